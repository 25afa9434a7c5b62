"""Recording anonymizers (`tests.support.recording.Stamp`) that stand in for the networks that a method insists on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tests.support.recording import Stamp
from trainables.config import AnonymizerConfig
from trainables.models.base import ANONYMIZERS
from trainables.models.bdq import BlurDifferenceQuantization
from trainables.models.dial import undialled
from trainables.models.tubelets import Tubelets


class StampTubelets(Stamp, Tubelets):
    """A stamp that STPrivacy, which trains tubelets only, takes for its own network."""

    def __init__(self, config: AnonymizerConfig) -> None:
        nn.Module.__init__(self)
        self.stamp = nn.Parameter(torch.tensor(0.3))
        self.register_buffer("keep", torch.tensor(0.7))
        self.kept: deque[Tensor] = deque(maxlen=2)

    def clips(self, clips: Tensor) -> Tensor:
        self.kept.append(self.stamp * 0.0 + 0.5)
        return Stamp.clips(self, undialled(clips))

    def forward(self, frames: Tensor) -> Tensor:
        return Stamp.forward(self, frames)


class StampBdq(Stamp, BlurDifferenceQuantization):
    """A stamp that BDQ, which trains its own encoder only, takes for it."""

    def __init__(self, config: AnonymizerConfig) -> None:
        nn.Module.__init__(self)
        self.stamp = nn.Parameter(torch.tensor(0.3))

    @property
    def sigma(self) -> Tensor:  # type: ignore[override]
        return self.stamp

    def configure(self, options: object) -> None: ...
    def hold(self) -> None: ...


@contextmanager
def stamp_in_place_of(name: str) -> Iterator[None]:
    """Within it the anonymizer `name`, which a method insists on, is a stamp."""
    entries = ANONYMIZERS._entries
    own, entries[name] = entries[name], StampBdq if name == "bdq" else StampTubelets
    try:
        yield
    finally:
        entries[name] = own
