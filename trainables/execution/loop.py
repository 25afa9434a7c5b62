"""The training loop of every stage: it can be stopped after any step and resumed with bit-for-bit the same results."""

from __future__ import annotations

import copy
import io
import logging
import math
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from trainables.data.loader import Batch, Loader
from trainables.execution.context import StageContext
from trainables.failures import Stopped
from trainables.store import Work

log = logging.getLogger(__name__)

SAVE_SECONDS = 600.0  # between two checkpoints within an epoch: what a killed worker can lose
_CHECK_EVERY = 25  # steps between two checks for NaN, each of which waits for the GPU

T = TypeVar("T")


class Diverged(ArithmeticError):
    """A loss became NaN or infinite. A retry would end the same way."""


class Stateful(Protocol):
    def state_dict(self) -> Any: ...
    def load_state_dict(self, state: Any) -> Any: ...


@dataclass
class Best:
    """The epoch with the largest `metric` (the first of equals; with `last` the last epoch), and the states of `parts` then.

    An epoch whose metric is not a number is never the best one.
    """

    metric: str
    parts: tuple[str, ...]
    last: bool = False
    value: float = float("-inf")
    epoch: int = -1
    state: dict[str, Any] = field(default_factory=dict)

    def improved_by(self, value: float) -> bool:
        """Whether an epoch that ends with `value` takes the place of the best one so far."""
        return self.last or (not math.isnan(value) and (self.epoch < 0 or value > self.value))


class Epoch:
    """One epoch of training, of which `done` steps have been taken; after an interruption it starts at that step."""

    def __init__(self, context: StageContext, number: int, save: Callable[[Epoch], None]) -> None:
        self.number, self.done = number, 0
        self._context, self._save = context, save
        self._meters: dict[str, _Meter] = {}
        self._saved = time.monotonic()
        self._random: Mapping[str, Any] | None = None  # of an interrupted epoch; restored once its loaders are open again
        self._random_at_end: Mapping[str, Any] | None = None

    def batches(self, loader: Loader, epoch: int | None = None) -> Iterator[Batch]:
        """All batches of a loader, on the device, in the order of this epoch (or of `epoch`)."""
        first = (self.number if epoch is None else epoch) * len(loader)
        return self.steps(lambda done: self._context.to_device(loader.stretch(first + done, len(loader) - done)))

    def paired(self, clips: Loader, others: Loader) -> Iterator[tuple[Batch, Batch]]:
        """Pairs of batches on the device: one epoch of `clips`, each with the next batch of the stream of `others`."""
        return self.steps(lambda done: self._context.paired(clips, others, self.number, done))

    def steps(self, source: Callable[[int], Iterator[T]]) -> Iterator[T]:
        """What `source(done)` yields, the steps of an epoch from number `done` on.

        `source` must open every loader it needs before it yields its first item. Raises Stopped after a step.
        """
        for item in source(self.done):
            self._restore_random()
            yield item
            self.done += 1
            long_ago = time.monotonic() - self._saved > SAVE_SECONDS
            stop, save = self._context.execution.agreed(self._context.stop(), long_ago)
            if stop:
                raise Stopped(f"{self._context.stage}: stopped after step {self.done} of epoch {self.number}; saved")
            if save:
                self._save(self)
                self._saved = time.monotonic()
        self._restore_random()
        # the evaluation that follows opens loaders, and opens them again when it was interrupted
        self._random_at_end = self._context.execution.random_state()

    def add(self, rows: int, **values: Tensor) -> None:
        """Records the losses of a step: scalars, each the mean over the `rows` rows of a batch.

        `rows` are those of this process's share of the batch. Steps with different names of losses are averaged separately.
        """
        whole = self._context.execution.whole(rows)
        self._meters.setdefault(" ".join(values), _Meter(self._context, self.number)).add(whole, values)

    def means(self) -> dict[str, float]:
        """The mean of every loss over the rows of the epoch: a partial batch counts by its rows.

        Raises Diverged, and ValueError if there was no step.
        """
        if not self._meters:
            raise ValueError(f"{self._context.stage}: an epoch without a single batch")
        return {name: value for names, meter in self._meters.items() for name, value in meter.means(names.split()).items()}

    def state_dict(self) -> dict[str, Any]:
        rows = {names: meter.state() for names, meter in self._meters.items()}
        random = self._random_at_end or self._context.execution.random_state()
        return {"number": self.number, "done": self.done, "rows": rows, "random": random}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.done, self._random = state["done"], state["random"]
        for names, rows in state["rows"].items():
            self._meters[names] = _Meter(self._context, self.number, rows)

    def _restore_random(self) -> None:
        if self._random is not None:
            self._context.execution.set_random_state(self._random)
            self._random = None


def run_epochs(
    context: StageContext,
    parts: Mapping[str, Stateful],
    epochs: int,
    run_epoch: Callable[[Epoch], dict[str, float]],
    best: Best | None = None,
) -> list[dict[str, float]]:
    """Calls `run_epoch`, which returns the metrics of an epoch, for the epochs 0 .. epochs - 1; returns those of all epochs.

    A checkpoint with `parts`, random states and history is written after each epoch, every SAVE_SECONDS within one, and on a
    request to stop; the next call resumes from it. At the end `best.parts` have the states of their best epoch.
    Raises Stopped and StoppedEarly, with everything saved, and Diverged where the metric of `best` was a number after no epoch.
    """
    history: list[dict[str, float]] = []
    interrupted = None

    def save(within: Epoch | None = None) -> None:
        checkpoint = {
            "parts": {name: part.state_dict() for name, part in parts.items()},
            "history": history,
            "random": context.execution.random_state(),
            "best": None if best is None else (best.value, best.epoch, best.state),
            "epoch": None if within is None else within.state_dict(),
            "progress": context.work.progress.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        context.work.write(buffer.getvalue())

    saved = _load(context.work, context.stage)
    if saved is not None:
        for name, part in parts.items():
            part.load_state_dict(saved["parts"][name])
        history, interrupted = saved["history"], saved["epoch"]
        context.execution.set_random_state(saved["random"])
        if best is not None:
            best.value, best.epoch, best.state = saved["best"]
        within = "" if interrupted is None else f" and {interrupted['done']} steps"
        log.info("%s: resumed after %d epochs%s", context.stage, len(history), within)
    for number in range(len(history), epochs):
        epoch = Epoch(context, number, save)
        if interrupted is not None:
            epoch.load_state_dict(interrupted)
            interrupted = None
        else:
            context.watch(context, parts, history)
        try:
            metrics = run_epoch(epoch)
        except Stopped:
            save(epoch)
            raise
        history.append(metrics)
        if best is not None and best.improved_by(metrics[best.metric]):
            best.value, best.epoch = metrics[best.metric], number
            best.state = {name: copy.deepcopy(parts[name].state_dict()) for name in best.parts}
        save()
        context.report(history, epochs)
        if number + 1 < epochs and context.should_stop():
            raise Stopped(f"{context.stage}: stopped after epoch {number} of {epochs}; saved")
    if best is not None and epochs > 0:
        if best.epoch < 0:
            raise Diverged(
                f"{context.stage}: {best.metric} is not a number after any of {epochs} epochs, so that none is the best one;"
                " lower the learning rate"
            )
        for name in best.parts:
            parts[name].load_state_dict(best.state[name])
    return history


def _load(work: Work, stage: str) -> dict[str, Any] | None:
    """The last checkpoint that can be read; None if there is none, and the stage starts over."""
    content = work.read()
    if content is None:
        return None
    try:
        saved: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        log.warning("%s: its checkpoint cannot be used (%s); the stage starts over", stage, str(error).splitlines()[0])
        return None
    work.progress.load_state_dict(saved["progress"])
    return saved


class _Meter:
    """The losses of steps of one kind, each with the rows of its batch.

    They stay on the device and are checked for NaN and Inf every _CHECK_EVERY steps.
    """

    def __init__(self, context: StageContext, epoch: int, rows: Tensor | None = None) -> None:
        self._context, self._epoch = context, epoch
        self._names: tuple[str, ...] = ()
        self._pending: list[Tensor] = []
        self._rows: list[Tensor] = [] if rows is None else [rows]

    def add(self, rows: int, values: Mapping[str, Tensor]) -> None:
        self._names = tuple(values)
        losses = torch.stack([value.detach().float() for value in values.values()])
        self._pending.append(torch.cat([losses.new_full((1,), rows), losses]))
        if len(self._pending) == _CHECK_EVERY:
            self._flush()

    def means(self, names: list[str]) -> dict[str, float]:
        counts, losses = self.state().double().split([1, len(names)], dim=1)
        return dict(zip(names, ((counts * losses).sum(dim=0) / counts.sum()).tolist(), strict=True))

    def state(self) -> Tensor:
        """(steps, 1 + losses) float32: the rows of the batch, then the losses."""
        self._flush()
        return torch.cat(self._rows)

    def _flush(self) -> None:
        if not self._pending:
            return
        rows = torch.stack(self._pending).cpu()
        first = sum(len(block) for block in self._rows)
        bad = (~rows.isfinite()).nonzero()
        if len(bad):
            step, column = bad[0].tolist()
            raise Diverged(
                f"{self._context.stage}: {self._names[column - 1]} = {rows[step, column].item()} at step {first + step}"
                f" of epoch {self._epoch}; lower the learning rate or the weights"
            )
        self._rows.append(rows)
        self._pending = []
