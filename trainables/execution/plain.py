"""How a stage is executed: the interface, and its plain version for one stage in one process."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from trainables.data.loader import Batch, Loader
from trainables.models.anonymizers import Anonymizer

T = TypeVar("T")


class Execution:
    """One stage in one process. The code of a stage reaches it through its `StageContext` and is the same for all versions.

    Versions: `distributed.Distributed`, one of several processes that each compute a share of every batch;
    `together.SharedPass`, one of several evaluators that learn from the same anonymized batches.
    """

    def share(self, items: list[int]) -> list[int]:
        """The items of a batch that this process loads."""
        return items

    def batches(self, loader: Loader, first: int, count: int) -> Iterator[Batch]:
        """Batches `first` .. `first + count - 1` of the endless stream of `loader`."""
        return loader.load(first, count)

    def once(self, what: Hashable, clips: Tensor, compute: Callable[[], T]) -> T:
        """`compute()`, which depends on `what` and a batch's `clips` only: evaluators in one pass share the result."""
        return compute()

    def anonymizer(self, source: str, built: Anonymizer) -> Anonymizer:
        """The anonymizer of stage `source`, of which `built` is a copy."""
        return built

    def data_parallel(self, network: nn.Module) -> None:
        """Prepares `network` for training: its gradients and batch-norm statistics will be those of whole batches."""

    def call(self, network: nn.Module, compute: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
        """`compute(values)`, which uses `network`; every forward pass that trains a network goes through here."""
        return compute(values)

    def gathered(self, rows: Tensor) -> Tensor:
        """(n, ...) for this process's share of a batch -> (N, ...) for the whole batch, differentiable."""
        return rows

    def mean(self, value: Tensor, rows: int) -> Tensor:
        """A scalar that is a mean over the `rows` rows of this process's share -> the mean over the whole batch."""
        return value

    def whole(self, rows: int) -> int:
        """The number of rows of the whole batch, of which this process's share has `rows`."""
        return rows

    def agreed(self, *decisions: bool) -> tuple[bool, ...]:
        """What all processes of the stage do; the first one decides."""
        return decisions

    def random_state(self) -> dict[str, Any]:
        """The states of the random generators that the stage draws from."""
        return random_state()

    def set_random_state(self, state: Mapping[str, Any]) -> None:
        """Restores what `random_state` returned, here or in another version."""
        set_random_state(state["ranks"][0] if "ranks" in state else state)


PLAIN = Execution()


def random_state() -> dict[str, Any]:
    """The states of this process's torch generators, on the CPU and on its GPU."""
    cuda = [torch.cuda.get_rng_state()] if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"][0])
