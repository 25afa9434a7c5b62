"""A version of `Execution` that measures how long a stage waits for its batches."""

from __future__ import annotations

import time
from collections.abc import Iterator

from trainables.data.loader import Batch, Loader
from trainables.execution.plain import Execution


class TimedLoading(Execution):
    """`batches_loaded` and the `seconds` spent on loading them, for everything a stage loads."""

    def __init__(self) -> None:
        self.batches_loaded, self.seconds = 0, 0.0

    def batches(self, loader: Loader, first: int, count: int) -> Iterator[Batch]:
        batches = super().batches(loader, first, count)
        for _ in range(count):
            start = time.perf_counter()
            batch = next(batches)
            self.seconds += time.perf_counter() - start
            self.batches_loaded += 1
            yield batch
