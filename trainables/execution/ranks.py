"""Data parallel within a trial: N processes, one a GPU, take every step together, each with its share of the batch.

Every rank sees its rows of a batch. What a loss needs of the others is gathered, so each computes the loss of the whole batch,
and the gradients are added up: all ranks hold the same weights, draw the same random numbers and come to the same end. Rank 0
is the trial's worker itself; it alone saves, reports, and says when to stop.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import logging
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors
from torch.nn.modules._functions import SyncBatchNorm
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from trainables.config import ConfigError, Runtime, TrialConfig
from trainables.data.trial_data import TrialData
from trainables.execution.context import StageContext, Stopped
from trainables.failures import Lost
from trainables.plan import PlannedStage
from trainables.plugins import Plugin, load_plugins, loaded_plugins
from trainables.store import Outcome, Work
from trainables.store.artifacts import Progress

log = logging.getLogger(__name__)

_PATIENCE = datetime.timedelta(hours=1)  # of a rank for the others: one of them may write a large checkpoint
_BUCKET_BYTES = 64 * 2**20  # gradients are added up in pieces of this size
_LAST_WORDS_SECONDS = 10.0
_HERE = "127.0.0.1"


@dataclass(frozen=True)
class Ranks:
    """This process among the `count` ranks of a trial. Every method but `share` is to be called by all of them alike."""

    number: int
    count: int

    def share(self, items: list[int]) -> list[int]:
        """Which of the items of a batch are this rank's.

        Where there are fewer than ranks, and none for this one, it gets one of them three times: networks cannot do with
        nothing. By that it is told apart from a share (`_sizes`): it counts for nothing, but in batch norm on a GPU.
        """
        own = items[len(items) * self.number // self.count : len(items) * (self.number + 1) // self.count]
        return own or items[:1] * 3

    def gathered(self, rows: Tensor) -> Tensor:
        """(n, ...) of each rank -> (N, ...) of all, in the order of the batch.

        Each rank is taken to compute the same from it: the gradient of its own rows is then the whole one.
        """
        sizes = self._sizes(len(rows))
        gathered: Tensor = _Gather.apply(rows[: sizes[self.number]], sizes, self.number)
        return gathered

    def mean(self, value: Tensor, rows: int) -> Tensor:
        """The mean over the whole batch of what is a mean over `rows` here. A scalar."""
        sizes = self._sizes(rows)
        mean: Tensor = _Mean.apply(value, sizes[self.number] / sum(sizes))
        return mean

    def agreed(self, said: bool) -> bool:
        """What rank 0 says."""
        answer = torch.tensor(said)
        dist.broadcast(answer, src=0)
        return bool(answer)

    def told(self, content: bytes | None) -> bytes | None:
        """What rank 0 has."""
        contents = [content]
        dist.broadcast_object_list(contents, src=0, device=torch.device("cpu"))
        return contents[0]

    def join(self, optimizer: Optimizer, *networks: nn.Module) -> None:
        """From now on `optimizer` steps down the gradients of all ranks; batch norm in `networks` has the statistics of the
        whole batch, and dropout the mask that it would have there.
        """
        for layer in (layer for network in networks for layer in network.modules()):
            if isinstance(layer, _BatchNorm):
                layer.forward = partial(_batch_norm, layer, self)  # type: ignore[method-assign]
            elif type(layer) is nn.Dropout:
                layer.forward = partial(self._dropout, layer)  # type: ignore[method-assign]
        optimizer.register_step_pre_hook(_add_gradients)

    def _sizes(self, rows: int) -> list[int]:
        """Of the shares of all ranks. One share is at most twice another; what is larger is there for the want of one."""
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        dist.all_gather(sizes, torch.tensor([rows]))
        return [int(size) if size <= 2 * min(sizes) else 0 for size in sizes]

    def _dropout(self, layer: nn.Dropout, values: Tensor) -> Tensor:
        if not layer.training:
            return values
        sizes, keep = self._sizes(len(values)), 1.0 - layer.p
        mask = values.new_empty(sum(sizes), *values.shape[1:]).bernoulli_(keep).div_(keep or 1.0)
        first = sum(sizes[: self.number])
        return values * mask[first : first + len(values)] if sizes[self.number] else values


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, rows: Tensor, sizes: list[int], number: int) -> Tensor:
        context.own = slice(sum(sizes[:number]), sum(sizes[: number + 1]))
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient[context.own], None, None


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, value: Tensor, weight: float) -> Tensor:
        context.weight = weight
        total = value * weight
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * context.weight, None


class _Sum(torch.autograd.Function):
    """Of a tensor over all ranks; each makes something else of it, so the gradients are added up as well."""

    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _batch_norm(layer: _BatchNorm, ranks: Ranks, values: Tensor) -> Tensor:
    """As `layer` would compute it of the rows of all ranks."""
    if not layer.training:
        return type(layer).forward(layer, values)
    momentum = 0.0 if layer.momentum is None else layer.momentum
    if layer.num_batches_tracked is not None:
        layer.num_batches_tracked.add_(1)
        if layer.momentum is None:
            momentum = 1.0 / float(layer.num_batches_tracked)
    mean, variance, group = layer.running_mean, layer.running_var, dist.group.WORLD
    if values.is_cuda:
        normed: Tensor = SyncBatchNorm.apply(
            values, layer.weight, layer.bias, mean, variance, layer.eps, momentum, group, ranks.count
        )
        return normed
    return _batch_norm_on_cpu(layer, ranks, values, momentum)


def _batch_norm_on_cpu(layer: _BatchNorm, ranks: Ranks, values: Tensor, momentum: float) -> Tensor:
    """PyTorch has one over ranks for GPUs only."""
    axes, shape = [d for d in range(values.dim()) if d != 1], [1, -1, *[1] * (values.dim() - 2)]
    sizes = ranks._sizes(values.numel() // values.shape[1])
    count, counts = sum(sizes), float(sizes[ranks.number] > 0)
    mean = _Sum.apply(values.sum(axes) * counts) / count
    centred = values - mean.view(shape)
    variance = _Sum.apply(centred.square().sum(axes) * counts) / count
    with torch.no_grad():
        if layer.running_mean is not None and layer.running_var is not None:
            layer.running_mean.lerp_(mean, momentum)
            layer.running_var.lerp_(variance * (count / (count - 1)), momentum)
    normed = centred * (variance + layer.eps).rsqrt().view(shape)
    return normed if layer.weight is None else normed * layer.weight.view(shape) + layer.bias.view(shape)


def _add_gradients(optimizer: Optimizer, _: Any, __: Any) -> None:
    gradients = [
        parameter.grad for group in optimizer.param_groups for parameter in group["params"] if parameter.grad is not None
    ]
    while gradients:
        taken, size = 0, 0
        while taken < len(gradients) and (not taken or size < _BUCKET_BYTES):
            size += gradients[taken].nbytes
            taken += 1
        bucket, gradients = gradients[:taken], gradients[taken:]
        flat = _flatten_dense_tensors(bucket)
        dist.all_reduce(flat)
        for gradient, total in zip(bucket, _unflatten_dense_tensors(flat, bucket), strict=True):
            gradient.copy_(total)


class RankGroup:
    """The ranks of a trial, as its worker has them: the others are started when a stage first needs them, and kept.

    Raises ConfigError for a trial whose loss cannot be put together from shares.
    """

    def __init__(self, config: TrialConfig, runtime: Runtime) -> None:
        if runtime.ranks > 1 and config.minimax.penalty_scope == "batch":
            raise ConfigError("minimax.penalty_scope = batch: not over several GPUs; take clip or frame, or 1 GPU a trial")
        self._config, self._runtime = config, runtime
        self.processes: list[multiprocessing.process.BaseProcess] = []
        self._pipes: list[Connection] = []

    def __enter__(self) -> RankGroup:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(now=error is not None)

    def run(self, planned: PlannedStage, compute: Callable[[StageContext], Outcome], context: StageContext) -> Outcome:
        """`compute(context)` on all ranks, if the stage can be computed so; otherwise on this one.

        Raises what the rank that failed first has raised, and Lost for one that was killed.
        """
        if self._runtime.ranks == 1:
            return compute(context)
        if not planned.stage.parallel:
            log.info("%s: on one of the %d ranks", planned.role, self._runtime.ranks)
            return compute(context)
        task = io.BytesIO()
        torch.save(_Task(planned.name, planned.stage.run, context.config, context.inputs), task)
        try:
            ranks = self._started(context.device.type)
            for pipe in self._pipes:
                pipe.send_bytes(task.getvalue())
            work = _SharedWork(ranks, context.work)
            outcome = compute(replace(context, ranks=ranks, work=work, stop=lambda: ranks.agreed(context.stop())))
            for number in range(len(self._pipes)):
                if (error := self._said(number)) is not None:
                    raise error
        except BaseException as error:
            cause = self._cause() if _is_echo(error) else None
            self._end(now=True)
            if cause is not None:
                raise cause from error
            raise
        return outcome

    def _started(self, device: str) -> Ranks:
        count = self._runtime.ranks
        if self.processes:
            return Ranks(0, count)
        store = dist.TCPStore(_HERE, 0, count, is_master=True, wait_for_workers=False)
        spawn = multiprocessing.get_context("spawn")
        gpus = _visible_gpus() if device == "cuda" else []
        for number in range(1, count):
            ours, theirs = spawn.Pipe()
            gpu = gpus[number % len(gpus)] if gpus else None
            joins = _Joins(number, count, store.port, _backend(gpus, count), gpu, self._runtime, loaded_plugins())
            process = spawn.Process(target=_serve, args=(joins, theirs), name=f"rank {number}")
            process.start()
            theirs.close()
            self.processes.append(process)
            self._pipes.append(ours)
        for number in range(len(self._pipes)):
            if (error := self._said(number)) is not None:
                raise error
        _join_group(_backend(gpus, count), store, 0, count)
        threading.Thread(target=_abort_without, args=(self, list(self.processes)), daemon=True).start()
        return Ranks(0, count)

    def _said(self, number: int) -> BaseException | None:
        """The next word of a rank: None, or what has ended it."""
        try:
            said: BaseException | None = self._pipes[number].recv()
        except EOFError:
            self.processes[number].join()
            code = self.processes[number].exitcode
            return Lost(f"rank {number + 1} of {self._runtime.ranks} ended with exit code {code}")
        return said

    def _cause(self) -> BaseException:
        """What the first rank to fail has said, once another one was missed here."""
        end = time.monotonic() + _LAST_WORDS_SECONDS
        while wait(self._pipes, max(0.0, end - time.monotonic())):
            for number, pipe in enumerate(self._pipes):
                if pipe.poll() and (said := self._said(number)) is not None and not _is_echo(said):
                    return said
        return Lost("the ranks of the trial have lost each other")

    def _end(self, now: bool) -> None:
        processes, self.processes = self.processes, []
        for pipe in self._pipes:
            pipe.close()
        self._pipes = []
        for process in processes:
            process.join(0.0 if now else _LAST_WORDS_SECONDS)
            process.kill()
            process.join()
        if processes and dist.is_initialized():
            with contextlib.suppress(Exception):
                dist.destroy_process_group()


@dataclass(frozen=True)
class _Task:
    """A stage, as it travels to the other ranks."""

    name: str
    run: Callable[[StageContext], Outcome]
    config: TrialConfig
    inputs: Mapping[str, Outcome]


@dataclass(frozen=True)
class _Joins:
    """How a process becomes rank `number`. `gpu`: as CUDA_VISIBLE_DEVICES names it."""

    number: int
    count: int
    port: int
    backend: str
    gpu: str | None
    runtime: Runtime
    plugins: tuple[Plugin, ...]


def _serve(joins: _Joins, pipe: Connection) -> None:
    """A rank but the first: computes the stages that come down the pipe until it closes."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM):  # the first rank decides when all of them stop
        signal.signal(number, lambda *_: None)
    if joins.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = joins.gpu
    try:
        torch.set_num_threads(joins.runtime.threads)
        load_plugins(joins.plugins)
        pipe.send(None)
        store = dist.TCPStore(_HERE, joins.port, joins.count, is_master=False)
        _join_group(joins.backend, store, joins.number, joins.count)
        ranks, data = Ranks(joins.number, joins.count), None
        while True:
            try:
                task: _Task = torch.load(io.BytesIO(pipe.recv_bytes()), weights_only=False)  # from our own worker
            except EOFError:
                break
            data = TrialData(task.config, joins.runtime.data_root, like=data)
            with contextlib.suppress(Stopped):
                _compute(task, joins.runtime, data, ranks)
            pipe.send(None)
    except Exception as error:
        with contextlib.suppress(OSError):  # the first rank is gone
            pipe.send(_sendable(error))
        os._exit(1)  # the others wait for this one: no clean-up that might wait for them


def _compute(task: _Task, runtime: Runtime, data: TrialData, ranks: Ranks) -> None:
    context = StageContext(
        stage=task.name,
        config=task.config,
        runtime=runtime,
        data=data,
        inputs=task.inputs,
        work=_SharedWork(ranks, None),
        report=lambda history, epochs: None,
        stop=lambda: ranks.agreed(False),
        ranks=ranks,
    )
    task.run(context)


class _SharedWork(Work):
    """The checkpoints of a stage: the first rank (`own`) writes them, and what it reads all of them have."""

    def __init__(self, ranks: Ranks, own: Work | None) -> None:
        self._ranks, self._own = ranks, own
        self.progress = Progress() if own is None else own.progress

    def part(self, name: str) -> Work:
        return _SharedWork(self._ranks, None if self._own is None else self._own.part(name))

    def read(self) -> bytes | None:
        return self._ranks.told(None if self._own is None else self._own.read())

    def write(self, content: bytes) -> None:
        if self._own is not None:
            self._own.write(content)


def _join_group(backend: str, store: dist.Store, number: int, count: int) -> None:
    if os.path.isdir("/sys/class/net/lo"):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # whatever the name of the machine stands for
    dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=_PATIENCE)


def _backend(gpus: list[str], count: int) -> str:
    """NCCL takes a GPU for each rank; what is on the CPU, such as the sizes of shares, goes by Gloo in any case."""
    return "cpu:gloo,cuda:nccl" if len(gpus) >= count else "gloo"


def _visible_gpus() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [str(number) for number in range(torch.cuda.device_count())] if visible is None else visible.split(",")


def _abort_without(group: RankGroup, processes: list[Any]) -> None:
    """A GPU would wait for a rank that is gone; on a CPU the broken connection is noticed."""
    wait([process.sentinel for process in processes])
    if group.processes == processes and dist.is_nccl_available() and torch.cuda.is_available():
        with contextlib.suppress(Exception):
            dist.distributed_c10d._abort_process_group()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _is_echo(error: BaseException) -> bool:
    """Whether an error only says that another rank is gone."""
    return isinstance(error, dist.DistError | BrokenPipeError) or (type(error) is RuntimeError and "gloo" in str(error).lower())


def _sendable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
