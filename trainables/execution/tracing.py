"""What a step of a stage takes, memory and floating-point operations, without data, weights or a GPU.

The code of the stage itself is run, for one step, on fake tensors: they have shapes, types and storages, and no values
(torch's FakeTensorMode). What it would load is made up: batches of the right shapes, and networks that keep the values they are
built with. Every storage that comes and goes is counted while it lives.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, cast
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim.optimizer import ParamsT
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import default_collate
from torch.utils.flop_counter import flop_registry

from trainables.config import Runtime
from trainables.data.loader import Batch, Loader, SampleId
from trainables.data.reading import VideoFile
from trainables.data.trial_data import TrialData
from trainables.execution.context import StageContext
from trainables.execution.plain import Execution
from trainables.models.weights import without_weights
from trainables.plan import PlannedStage
from trainables.store import Outcome, Work
from trainables.store.artifacts import Progress


@dataclass(frozen=True)
class Trace:
    """A step of a stage.

    peak: bytes of all tensors at most, weights and the state of optimizers included.
    still: the part of it that is there before a batch is, whatever its size.
    flops: floating-point operations of its matrix products, convolutions and attention, those that are computed a second time
    included; a product with its sum counts as two.
    """

    peak: int
    still: int
    flops: int


class Untraceable(Exception):
    """The code of a stage depends on values that fake tensors do not have, or takes no step."""


# Of methods whose steps depend on what the networks know by then: each network learns once a step, and none starts over.
_PLAINEST = {"retrain_steps": 0, "action_steps": 1, "action_target": 0.0, "on_validation": False}


def trace(planned: PlannedStage, runtime: Runtime, data: TrialData) -> Trace:
    """Traces a step of a stage as it runs in the precision of `runtime`. Nothing of `data` but its labels is read.

    VITA's step is that between two restarts, with f_T learning from one batch. Raises Untraceable with the reason in one line.
    """
    options = {**planned.config.options, **{name: _PLAINEST[name] for name in _PLAINEST if name in planned.config.options}}
    planned = replace(planned, config=planned.config.model_copy(update={"options": options}))
    spent, first = Spent(), FirstStep()
    first.begins = spent.mark
    runtime = runtime.model_copy(update={"device": "cpu", "compile": False, "ranks": 1, "workers": 0})
    try:
        # a fake parameter cannot be exchanged for one of another layout or device, and none of its bytes would change
        as_it_is = patch.object(nn.Module, "_apply", lambda self, *_, **__: self)
        with FakeTensorMode(allow_non_fake_inputs=True), spent, as_it_is:
            one_step(planned, runtime, data, execution=first)
    except StepTaken:
        return Trace(spent.peak, spent.still, spent.flops)
    except Exception as error:
        raise Untraceable(f"{type(error).__name__}: {' '.join(str(error).split())[:160]}") from error
    raise Untraceable("it takes no step")


class StepTaken(Exception):
    """Ends a stage after its first step."""


def one_step(
    planned: PlannedStage,
    runtime: Runtime,
    data: TrialData,
    kind: type[Steady] | None = None,
    execution: Execution | None = None,
) -> Outcome:
    """Runs a stage on made-up batches and weights, with a context of `kind`, and raises StepTaken after its first step.

    Returns the outcome of a stage that takes none.
    """
    inputs = {name: Outcome({}, state=_Anything()) for name in planned.inputs}
    plain = StageContext.of(planned, runtime, data, inputs, _NoWork())
    context = (kind or Steady)(**{**plain.__dict__, "execution": execution or FirstStep()})
    with without_weights(), _nothing_read():
        return planned.stage.run(context)


class FirstStep(Execution):
    """Serves made-up batches, and ends the stage after its first step. `begins` is called before the first batch."""

    begins: Callable[[], None] | None = None

    def batches(self, loader: Loader, first: int, count: int) -> Iterator[Batch]:
        for number in range(first, first + count):
            if self.begins is not None:
                self.begins()
                self.begins = None
            yield made_up(loader, number)

    def agreed(self, *decisions: bool) -> tuple[bool, ...]:
        raise StepTaken


class Steady(StageContext):
    """The context of a stage as if it had taken steps before: with gradients and with the state of its optimizers, which change
    nothing.
    """

    def adam(self, parameters: ParamsT, learning_rate: float) -> torch.optim.Adam:
        optimizer = _Adam(parameters, lr=learning_rate)
        optimizer.taken = self.step
        for group in optimizer.param_groups:
            for value in group["params"]:
                optimizer.state[value] = {"exp_avg": torch.zeros_like(value), "exp_avg_sq": torch.zeros_like(value)}
                value.grad = torch.zeros_like(value)
        return optimizer

    def step(self, optimizer: torch.optim.Adam) -> None:
        """In place of a step of the optimizer."""

    def _colours(self, batch: Batch, view: Tensor) -> Tensor:
        return view  # which order they have depends on labels, and costs nothing


class _Adam(torch.optim.Adam):
    """Its steps do what `taken` does with it."""

    taken: Callable[[torch.optim.Adam], None]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.taken(self)


class _NoWork(Work):
    """No checkpoints."""

    def __init__(self) -> None:
        self.progress = Progress()

    def part(self, name: str) -> Work:
        return self

    def read(self) -> bytes | None:
        return None

    def write(self, content: bytes) -> None: ...


class _Anything(dict[str, Any]):
    """What an earlier stage left behind, whatever is asked for: never looked into, because nothing is loaded."""

    def __missing__(self, name: str) -> _Anything:
        return self

    def __iter__(self) -> Iterator[Any]:
        yield self


def made_up(loader: Loader, number: int) -> Batch:
    """A batch as `loader` yields it: noise, with the labels of the first items. Reads files unless that is prevented.

    The noise is that of batch `number`, in whatever order batches are made: copies to a device are made ahead.
    """
    samples = loader.samples
    found = [samples[SampleId(0, number)] for number in range(min(loader.batch_size, len(samples)))]
    shape = [sample.pop("clips").shape for sample in found].pop()
    noise = torch.randint(0, 256, (len(found), *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(number))
    return cast(Batch, {"clips": noise, **default_collate(found)})


_LONG = 10_000  # frames: no video is too short for what is asked of it


def _nothing_read() -> ExitStack:
    """Within it videos and images are black, and no file is opened."""

    def opened(self: VideoFile, path: object, size: int = 8, span: object = None) -> None:
        self._size, self._shown = size, range(_LONG)

    def frames(self: VideoFile, indices: Any, keep: bool = False) -> np.ndarray:
        side = self._size or 8
        return np.zeros((len(indices), side, side, 3), np.uint8)

    def image(path: object, size: int) -> np.ndarray:
        return np.zeros((size, size, 3), np.uint8)

    stack = ExitStack()
    for patched in (
        patch.multiple(VideoFile, __init__=opened, frames=frames),
        patch("trainables.data.loader.read_image", image),
    ):
        stack.enter_context(patched)
    return stack


class Spent(TorchDispatchMode):
    """What the operations within it take: the bytes of all storages that they have made, those alive now and the most at one
    time, and the floating-point operations that torch has a count for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = self.still = self.flops = 0
        self._alive: set[int] = set()

    def mark(self) -> None:
        """What is alive now is there before every step."""
        self.still = self.now

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for value in found if isinstance(found, tuple | list) else (found,):
            if isinstance(value, Tensor):
                self._count(value.untyped_storage())
        if count := flop_registry.get(func._overloadpacket):
            self.flops += count(*args, **(kwargs or {}), out_val=found)
        return found

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._alive:
            return
        size = storage.nbytes()
        self._alive.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self.now -= size
