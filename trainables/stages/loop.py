"""Epochs that can be interrupted: everything that matters is saved after each one and taken up again bit for bit."""

from __future__ import annotations

import copy
import io
import logging
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from trainables.stages.context import StageContext
from trainables.store import Work

log = logging.getLogger(__name__)


class Stopped(RuntimeError):
    """The trial was asked to stop; what it has done is saved."""


class Diverged(ArithmeticError):
    """A loss became NaN or infinite; a retry would end the same way."""


class Stateful(Protocol):
    def state_dict(self) -> Any: ...
    def load_state_dict(self, state: Any) -> Any: ...


@dataclass
class Best:
    """The epoch with the largest `metric`, the first of equals, and the state of `parts` then; with `last`, the last one."""

    metric: str
    parts: tuple[str, ...]
    last: bool = False
    value: float = float("-inf")
    epoch: int = -1
    state: dict[str, Any] = field(default_factory=dict)


def run_epochs(
    context: StageContext,
    parts: Mapping[str, Stateful],
    epochs: int,
    run_epoch: Callable[[int], dict[str, float]],
    best: Best | None = None,
) -> list[dict[str, float]]:
    """Calls `run_epoch(e)` for e = 0 .. epochs - 1, saving `parts`, random states and history after each.

    Starts after the last saved epoch if there is one. Leaves `best.parts` at their best epoch if `best` is given.
    Raises Stopped after a saved epoch when the context asks for it.
    """
    saved = _load(context.work, context.stage)
    history: list[dict[str, float]] = []
    if saved is not None:
        for name, part in parts.items():
            part.load_state_dict(saved["parts"][name])
        history = saved["history"]
        _set_random_state(saved["random"])
        if best is not None:
            best.value, best.epoch, best.state = saved["best"]
        log.info("%s: resumed after epoch %d", context.stage, len(history) - 1)
    for epoch in range(len(history), epochs):
        metrics = run_epoch(epoch)
        history.append(metrics)
        if best is not None and (best.last or metrics[best.metric] > best.value):
            best.value, best.epoch = metrics[best.metric], epoch
            best.state = {name: copy.deepcopy(parts[name].state_dict()) for name in best.parts}
        buffer = io.BytesIO()
        checkpoint = {
            "parts": {name: part.state_dict() for name, part in parts.items()},
            "history": history,
            "random": _random_state(),
            "best": None if best is None else (best.value, best.epoch, best.state),
        }
        torch.save(checkpoint, buffer)
        context.work.write(buffer.getvalue())
        context.report(epoch, epochs, metrics)
        if context.stop() and epoch + 1 < epochs:
            raise Stopped(f"{context.stage}: stopped after epoch {epoch} of {epochs}; saved")
    if best is not None:
        for name in best.parts:
            parts[name].load_state_dict(best.state[name])
    return history


def _load(work: Work, stage: str) -> dict[str, Any] | None:
    """The last checkpoint; None if there is none, or if it is damaged, which is said: then the stage starts over."""
    content = work.read()
    if content is None:
        return None
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        log.warning("%s: checkpoint %s is damaged (%s); the stage starts over", stage, work.path, str(error).splitlines()[0])
        return None


def _random_state() -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _set_random_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


class Meter:
    """Means of the losses of an epoch, kept on the device; looks for NaN and Inf every `every` steps and at the end."""

    def __init__(self, context: StageContext, epoch: int, every: int = 25) -> None:
        self._context, self._epoch, self._every = context, epoch, every
        self._names: tuple[str, ...] = ()
        self._pending: list[Tensor] = []
        self._rows: list[Tensor] = []

    def add(self, **values: Tensor) -> None:
        """One step: scalars of the same names each time."""
        self._names = tuple(values)
        self._pending.append(torch.stack([value.detach().float() for value in values.values()]))
        if len(self._pending) == self._every:
            self._flush()

    def means(self) -> dict[str, float]:
        self._flush()
        if not self._rows:
            raise ValueError(f"{self._context.stage}: an epoch without a single batch")
        mean = torch.cat(self._rows).double().mean(dim=0)
        return dict(zip(self._names, mean.tolist(), strict=True))

    def _flush(self) -> None:
        if not self._pending:
            return
        rows = torch.stack(self._pending).cpu()
        first = sum(len(block) for block in self._rows)
        bad = (~rows.isfinite()).nonzero()
        if len(bad):
            step, column = bad[0].tolist()
            config = self._context.config
            raise Diverged(
                f"{self._context.stage}: {self._names[column]} = {rows[step, column].item()} at step {first + step} of epoch"
                f" {self._epoch} (method {config.method}, B {config.minimax.distortion_budget}, lambda"
                f" {config.minimax.penalty_weight}, seed {config.seed}); lower the learning rate or the weights"
            )
        self._rows.append(rows)
        self._pending = []
