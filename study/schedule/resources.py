"""What each trial is given of a node: CPUs, GPUs or a part of one, of a kind. Imports neither torch nor Ray."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainables.config import ConfigError, TrialConfig, flatten, parse_setting, with_values

MOST_CPUS = 16.0  # decoding for one GPU has no use for more


@dataclass(frozen=True)
class Share:
    """What one trial is given. `kind` is Ray's name of a GPU, such as A100 or H100; empty: any."""

    cpus: float
    gpus: float
    kind: str = ""

    @property
    def bundle(self) -> dict[str, float]:
        """As Ray counts it."""
        kind = {f"accelerator_type:{self.kind}": 0.001} if self.kind else {}
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {}), **kind}

    def __str__(self) -> str:
        return f"{self.cpus:g} CPUs and {self.gpus:g} GPUs" + (f" of kind {self.kind}" if self.kind else "")


@dataclass(frozen=True)
class Size:
    """Trials whose field `key` is `value` are given `gpus`, of `kind` if that is not empty."""

    key: str
    value: Any
    gpus: float
    kind: str

    @staticmethod
    def of(text: str) -> Size:
        """`KEY=VALUE:GPUS` or `KEY=VALUE:GPUS:KIND`. Raises ConfigError for anything else, or a field that is not there."""
        setting, *rest = text.split(":")
        try:
            gpus = float(rest[0]) if len(rest) in (1, 2) else -1.0
        except ValueError:
            gpus = -1.0
        if "=" not in setting or not can_be_given(gpus):
            raise ConfigError(f"--gpus-for {text!r}: write KEY=VALUE:GPUS or KEY=VALUE:GPUS:KIND, such as method=raw:0.5")
        key, value = parse_setting(setting)
        value = flatten(with_values(TrialConfig(), {key: value}))[key]
        return Size(key, value, gpus, rest[1] if len(rest) == 2 else "")


def can_be_given(gpus: float) -> bool:
    """A fraction of one GPU, or whole ones."""
    return math.isfinite(gpus) and (0 <= gpus <= 1 or (gpus > 1 and gpus == int(gpus)))


@dataclass(frozen=True)
class Resources:
    """What trials are given, and how many may run at once (None: as many as fit).

    `cpus`: None = matched to the GPUs of the cluster (`matched`). The first of `sizes` that fits a trial replaces `gpus`.
    """

    cpus: float | None
    gpus: float
    max_concurrent: int | None = None
    sizes: tuple[Size, ...] = ()
    cpus_per_gpu: float = 1.0

    def of(self, config: TrialConfig) -> Share:
        flat = flatten(config)
        size = next((size for size in self.sizes if flat.get(size.key) == size.value), None)
        gpus, kind = (self.gpus, "") if size is None else (size.gpus, size.kind)
        cpus = self.cpus if self.cpus is not None else max(1.0, float(int(min(MOST_CPUS, self.cpus_per_gpu) * (gpus or 1.0))))
        return Share(cpus, gpus, kind)

    def matched(self, nodes: Sequence[Mapping[str, float]]) -> Resources:
        """With the cores of `nodes` (Ray's resources of each) shared out evenly among their GPUs: decoding then gets all
        cores, and every GPU can be used. Of unequal nodes the poorest counts; without a GPU anywhere nothing changes.
        """
        ratios = [node.get("CPU", 0.0) / node["GPU"] for node in nodes if node.get("GPU")]
        return replace(self, cpus_per_gpu=min(ratios)) if ratios else self
