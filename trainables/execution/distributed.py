"""Data-parallel training of one trial: N processes (ranks), one per GPU, compute a share of every batch each.

torch does most of it: DistributedDataParallel (DDP) averages gradients, SyncBatchNorm normalises by whole batches, and
differentiable collectives gather what a loss needs from the other ranks. This module divides the batches, and starts, feeds
and ends the processes. Rank 0 is the trial's own process; it alone writes checkpoints, reports, and decides when to stop.

Every rank computes the loss of the whole batch. The backward pass of a gather sums the gradients of all ranks, which for a
rank's own rows is N times the gradient of the loss; the mean over the ranks that DDP takes is then the gradient itself.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import itertools
import logging
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import Tensor, nn
from torch.distributed import _functional_collectives as collectives  # where torch keeps differentiable ones
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from trainables.config import ConfigError, Runtime, TrialConfig
from trainables.data.loader import close_loaders
from trainables.data.reading import choose_decoder
from trainables.execution.context import StageContext
from trainables.execution.plain import Execution, random_state, set_random_state
from trainables.failures import Lost, Stopped
from trainables.plan import PlannedStage, TrialData
from trainables.plugins import Plugin, load_plugins, loaded_plugins
from trainables.store import Outcome, Work
from trainables.store.artifacts import Progress

log = logging.getLogger(__name__)

Run = Callable[[StageContext], Outcome]

_PATIENCE = datetime.timedelta(hours=1)  # in a collective: rank 0 may be writing a large checkpoint
_FOREVER = datetime.timedelta(days=365)  # between two stages: rank 0 may be computing others on its own
_EXIT_SECONDS = 10.0
_HOST = "127.0.0.1"
_ERROR = "error"  # key of the store: what ended the rank that failed first
_STAND_INS = 3

# torch before 2.12 knows it by its second name
_all_gather = getattr(collectives, "all_gather_single", None) or collectives.all_gather_tensor


class Distributed(Execution):
    """A stage on one of `count` ranks. Every method but `share` must be called by all ranks, in the same order."""

    def __init__(self, rank: int, count: int) -> None:
        self.rank, self.count = rank, count
        self._replicas: dict[nn.Module, DistributedDataParallel] = {}

    def share(self, items: list[int]) -> list[int]:
        """The items of a batch that this rank computes; the shares of all ranks differ by one item at most.

        Networks cannot compute an empty batch. A rank without an item of its own takes the first one `_STAND_INS` times, a
        number by which `_sizes` recognises that these rows do not count. (SyncBatchNorm, on GPUs, does count them.)
        """
        own = items[len(items) * self.rank // self.count : len(items) * (self.rank + 1) // self.count]
        return own or items[:1] * _STAND_INS

    def data_parallel(self, network: nn.Module) -> None:
        if next(network.parameters()).is_cuda:
            nn.SyncBatchNorm.convert_sync_batchnorm(network)
        else:
            for layer in network.modules():
                if isinstance(layer, _BatchNorm):
                    layer.forward = partial(self._batch_norm, layer)  # type: ignore[method-assign]
        # the encoders of UNet++ keep layers deeper than `anonymizer.depth`, which take no part
        self._replicas[network] = DistributedDataParallel(
            _Call(network), forward_sync_buffers=False, find_unused_parameters=True
        )

    def call(self, network: nn.Module, compute: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
        """`compute(values)`, through DDP unless `network` is frozen: DDP waits for gradients of all parameters."""
        trained = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in network.parameters())
        computed: Tensor = self._replicas[network](compute, values) if trained else compute(values)
        return computed

    def gathered(self, rows: Tensor) -> Tensor:
        sizes = self._sizes(len(rows))
        own, most = sizes[self.rank], max(sizes)
        padded = functional.pad(rows[:own], (*[0, 0] * (rows.dim() - 1), 0, most - own))  # all must be of one size
        parts = _all_gather(padded.contiguous(), 0, _world()).split(most)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    def mean(self, value: Tensor, rows: int) -> Tensor:
        sizes = self._sizes(rows)
        return _summed(value * (sizes[self.rank] / sum(sizes)))

    def whole(self, rows: int) -> int:
        return sum(self._sizes(rows))

    def agreed(self, *decisions: bool) -> tuple[bool, ...]:
        taken = torch.tensor(decisions)
        dist.broadcast(taken, src=0)
        return tuple(taken.tolist())

    def random_state(self) -> dict[str, Any]:
        states: list[Any] = [None] * self.count
        dist.all_gather_object(states, random_state())
        return {"ranks": states}

    def set_random_state(self, state: Mapping[str, Any]) -> None:
        states = state.get("ranks", [state])
        set_random_state(states[self.rank % len(states)])

    def _sizes(self, rows: int) -> list[int]:
        """How many rows each rank has, given those of this one; 0 for a rank with stand-ins."""
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        dist.all_gather(sizes, torch.tensor([rows]))
        return [int(size) if size <= 2 * min(sizes) else 0 for size in sizes]

    def _batch_norm(self, layer: _BatchNorm, values: Tensor) -> Tensor:
        """`layer` of (n, C, ...) with the statistics of the whole batch, for CPUs: torch's SyncBatchNorm needs GPUs."""
        if not layer.training:
            return type(layer).forward(layer, values)
        axes, shape = [d for d in range(values.dim()) if d != 1], [1, -1, *[1] * (values.dim() - 2)]
        sizes = self._sizes(values.numel() // values.shape[1])
        count, counts = sum(sizes), float(sizes[self.rank] > 0)
        mean = _summed(values.sum(axes) * counts) / count
        centred = values - mean.view(shape)
        variance = _summed(centred.square().sum(axes) * counts) / count
        if layer.track_running_stats and layer.running_mean is not None and layer.running_var is not None:
            with torch.no_grad():
                assert layer.num_batches_tracked is not None
                layer.num_batches_tracked += 1
                momentum = 1.0 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
                layer.running_mean.lerp_(mean, momentum)
                layer.running_var.lerp_(variance * (count / (count - 1)), momentum)
        normed = centred * (variance + layer.eps).rsqrt().view(shape)
        return normed * layer.weight.view(shape) + layer.bias.view(shape) if layer.affine else normed


def _world() -> dist.ProcessGroup:
    group = dist.group.WORLD
    assert group is not None
    return group


def _summed(values: Tensor) -> Tensor:
    """The sum over all ranks, differentiable."""
    return collectives.all_reduce(values, "sum", _world())


class _Call(nn.Module):
    """Lets DDP wrap any computation with `network`, such as `anonymizer.clips`, not only its forward method."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, compute: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
        return compute(values)


class _SharedWork(Work):
    """The checkpoints of a stage on all ranks: rank 0 (`own`) writes them, and all ranks read what rank 0 reads."""

    def __init__(self, own: Work | None) -> None:
        self._own = own
        self.progress = Progress() if own is None else own.progress

    def part(self, name: str) -> Work:
        return _SharedWork(None if self._own is None else self._own.part(name))

    def read(self) -> bytes | None:
        return _broadcast(None if self._own is None else self._own.read())

    def write(self, content: bytes) -> None:
        if self._own is not None:
            self._own.write(content)


class Processes:
    """The processes of a trial as its rank 0 sees them; the others are started when a stage first needs them, and kept.

    Raises ConfigError for a loss that cannot be computed from shares of a batch, and for shares that are to be computed in
    parts.
    """

    def __init__(self, config: TrialConfig, runtime: Runtime) -> None:
        if runtime.ranks > 1 and config.minimax.penalty_scope == "batch":
            raise ConfigError("minimax.penalty_scope = batch: not over several GPUs; take clip or frame, or 1 GPU a trial")
        if runtime.ranks > 1 and config.microbatch is not None:
            raise ConfigError(
                f"microbatch = {config.microbatch}: not over several GPUs, whose shares of a batch may differ in their number"
                " of parts; leave it out, or take 1 GPU a trial"
            )
        self._runtime = runtime
        self._store: dist.TCPStore | None = None
        self._stages = 0
        self.started: list[multiprocessing.process.BaseProcess] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(now=error is not None)

    def run(self, planned: PlannedStage, context: StageContext) -> Outcome:
        """Computes the stage on all ranks if it supports that, otherwise on this one.

        Raises the error of the rank that failed first; Lost if it was killed.
        """
        if self._runtime.ranks == 1:
            return planned.stage.run(context)
        if not planned.stage.parallel:
            log.info("%s: on one of the %d ranks", planned.role, self._runtime.ranks)
            return planned.stage.run(context)
        try:
            if not self.started:
                self._start(context.device.type)
            self._send(_Task(planned, context.inputs))
            execution = Distributed(0, self._runtime.ranks)
            outcome = planned.stage.run(replace(context, execution=execution, work=_SharedWork(context.work)))
            _wait_for_all()
        except BaseException as error:
            cause = self._cause() if self.started and _is_consequence(error) else None
            self._end(now=True)
            if cause is not None:
                raise cause from error
            raise
        return outcome

    def _start(self, device: str) -> None:
        count = self._runtime.ranks
        self._store, self._stages = dist.TCPStore(_HOST, 0, count, is_master=True, wait_for_workers=False), 0
        gpus = torch.cuda.device_count() if device == "cuda" else 0
        joining = _Joining(self._store.port, gpus, self._runtime, loaded_plugins())
        # the fork server imports PyTorch, and what a first optimizer imports, once for all ranks and those that start again
        multiprocessing.get_context("forkserver").set_forkserver_preload(["torch._dynamo", __name__])
        start = torch.multiprocessing.start_processes
        children = start(_serve, (joining,), count - 1, join=False, start_method="forkserver")
        self.started = list(children.processes)
        while not self._store.check([f"ready {rank}" for rank in range(1, count)]):
            if wait([process.sentinel for process in self.started], timeout=0.1):
                raise self._cause()
        joining.join_group(self._store, 0)
        if gpus:
            threading.Thread(target=_abort_without, args=(self, self.started), daemon=True).start()

    def _send(self, task: _Task | None) -> None:
        """Gives all ranks their next stage; None ends them."""
        assert self._store is not None
        content = io.BytesIO()
        torch.save(task, content)
        self._store.set(f"stage {self._stages}", "")
        self._stages += 1
        _broadcast(content.getvalue())

    def _cause(self) -> BaseException:
        """The error of the rank that failed first, after rank 0 has lost the connection to a rank."""
        assert self._store is not None
        wait([process.sentinel for process in self.started], timeout=_EXIT_SECONDS)
        if self._store.check([_ERROR]):
            error: BaseException = pickle.loads(self._store.get(_ERROR))
            return error
        for process in self.started:
            process.join(0.1)
        codes = {rank: process.exitcode for rank, process in enumerate(self.started, start=1) if process.exitcode}
        if not codes:
            return Lost("the ranks of the trial have lost each other")
        first = min(codes, key=lambda rank: codes[rank] or 0)  # negative for one that was killed
        return Lost(f"rank {first + 1} of {self._runtime.ranks} ended with exit code {codes[first]}")

    def _end(self, now: bool) -> None:
        processes, self.started = self.started, []
        if not processes:
            return
        if not now:
            with contextlib.suppress(Exception):
                self._send(None)
        for process in processes:
            process.join(0.0 if now else _EXIT_SECONDS)
            process.kill()
            process.join()
        with contextlib.suppress(Exception):
            dist.destroy_process_group()
        self._store = None


@dataclass(frozen=True)
class _Task:
    """A stage as it is sent to the other ranks."""

    planned: PlannedStage
    inputs: Mapping[str, Outcome]

    def compute(self, runtime: Runtime, data: TrialData, rank: int) -> None:
        context = StageContext.of(self.planned, runtime, data, self.inputs, _SharedWork(None))  # rank 0 decides when to stop
        try:
            with contextlib.suppress(Stopped):
                self.planned.stage.run(replace(context, execution=Distributed(rank, runtime.ranks)))
        finally:
            close_loaders()


@dataclass(frozen=True)
class _Joining:
    """What a process needs to become a rank: the port of rank 0's store, and how many GPUs the ranks have together."""

    port: int
    gpus: int
    runtime: Runtime
    plugins: tuple[Plugin, ...]

    def join_group(self, store: dist.Store, rank: int) -> None:
        if os.path.isdir("/sys/class/net/lo"):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the name of the machine may lead elsewhere
        # NCCL needs a GPU for each rank; tensors on the CPU, such as the sizes of shares, go through Gloo in any case
        backend = "cpu:gloo,cuda:nccl" if self.gpus >= self.runtime.ranks else "gloo"
        if self.gpus:
            torch.cuda.set_device(rank % self.gpus)
        dist.init_process_group(backend, store=store, rank=rank, world_size=self.runtime.ranks, timeout=_PATIENCE)


def _serve(index: int, joining: _Joining) -> None:
    """The life of rank `index + 1`: it computes the stages that rank 0 sends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for told in (signal.SIGINT, signal.SIGTERM):  # rank 0 decides when all ranks stop
        signal.signal(told, lambda *_: None)
    rank, runtime = index + 1, joining.runtime
    store = dist.TCPStore(_HOST, joining.port, runtime.ranks, is_master=False)
    try:
        torch.set_num_threads(runtime.threads)
        load_plugins(joining.plugins)
        store.set(f"ready {rank}", "")
        joining.join_group(store, rank)
        data = None
        for number in itertools.count():
            store.wait([f"stage {number}"], _FOREVER)
            content = _broadcast(None)
            assert content is not None
            task: _Task | None = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)  # from rank 0
            if task is None:
                return
            choose_decoder(task.planned.config.data.decoder)
            data = TrialData(task.planned.config, runtime.data_root, like=data)
            task.compute(runtime, data, rank)
            _wait_for_all()
    except Exception as error:
        if not _is_consequence(error):
            with contextlib.suppress(Exception):  # rank 0 is gone
                store.set(_ERROR, _pickled(error))  # type: ignore[arg-type]  # takes bytes as well
        os._exit(1)  # the other ranks are waiting for this one: no clean-up that might wait for them


def _broadcast(content: bytes | None) -> bytes | None:
    """What rank 0 calls it with, on all ranks."""
    contents = [content]
    dist.broadcast_object_list(contents, src=0, device=torch.device("cpu"))
    return contents[0]


def _wait_for_all() -> None:
    dist.all_reduce(torch.zeros(1))


def _abort_without(processes: Processes, started: list[multiprocessing.process.BaseProcess]) -> None:
    """Ends a wait for a rank that is gone. NCCL would wait for it; Gloo notices the closed connection by itself."""
    wait([process.sentinel for process in started])
    if processes.started == started and dist.group.WORLD is not None:
        with contextlib.suppress(Exception):
            dist.group.WORLD.abort()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _is_consequence(error: BaseException) -> bool:
    """Whether an error only says that another rank is gone."""
    return isinstance(error, dist.DistError) or (type(error) is RuntimeError and "gloo" in str(error).lower())


def _pickled(error: Exception) -> bytes:
    try:
        content = pickle.dumps(error)
        pickle.loads(content)
        return content
    except Exception:
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
