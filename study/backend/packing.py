"""`--gpus-per-trial auto`: how many trials share a GPU, as measured with the largest trial of the study.

The steps of its minimax and of its evaluator f_T', where memory and time go, are run on a GPU of the cluster by one process,
then by two side by side, and so on as long as they fit and the GPU does more steps a second.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError
from types import SimpleNamespace
from typing import Any

from study.schedule.resources import Resources
from trainables.config import ClipConfig, ConfigError, Runtime, TrialConfig
from trainables.plugins import Plugin, load_plugins
from trainables.store import Outcome, StageStore

MOST_TRIALS = 8  # on one GPU
MARGIN = 1.15  # of memory: fragments, and what a step takes that was not measured
GAIN = 1.05  # steps a second, for one more trial on the GPU
_SECONDS, _WARM_UP, _STEPS = 5.0, 2, 3  # measured that long, at least so many steps, after some
_PATIENCE_SECONDS = 600.0
_GIB = 2**30
CLASSES, ATTRIBUTES = 51, 5


@dataclass(frozen=True)
class Load:
    """A measurement of `trials` trials side by side on one device: their steps a second and the bytes they took, in sum."""

    trials: int
    rate: float
    taken: int
    total: int
    device: str

    @property
    def fits(self) -> bool:
        return self.taken * MARGIN <= self.total

    def fits_with_one_more(self) -> bool:
        """Whether another trial would fit if it took as much memory as each of these did on average."""
        return self.taken / self.trials * (self.trials + 1) * MARGIN <= self.total


def packed(
    resources: Resources,
    configs: Sequence[TrialConfig],
    kinds: Sequence[str],
    measure: Callable[[TrialConfig, str, int], list[Load]],
) -> Resources:
    """Returns `resources` with the part of a GPU that suits the largest of `configs`; prints what was chosen, and why.

    `kinds` are Ray's names of the kinds of GPUs; the one that holds fewest trials decides. `measure(config, kind, most)`
    returns the loads of 1, 2, ... trials. Raises ConfigError if not even one trial fits.
    """
    largest = max(configs, key=step_size)
    most = max(
        1, min(MOST_TRIALS, int(resources.cpus_per_gpu if resources.cpus is None else resources.cpus_per_gpu / resources.cpus))
    )
    chosen = []
    for kind in kinds:
        loads = measure(largest, kind, most)
        count, why = choose(loads, most)
        rates = ", ".join(f"{load.trials}: {load.rate:.2f}" for load in loads)
        print(
            f"GPUs per trial: {count} on one {loads[0].device} ({why}); a trial takes {loads[0].taken / _GIB:.1f} of"
            f" {loads[0].total / _GIB:.1f} GiB, steps a second by trials side by side: {rates}",
            flush=True,
        )
        chosen.append(count)
    return replace(resources, gpus=part_of_gpu(min(chosen)))


def choose(loads: Sequence[Load], most: int) -> tuple[int, str]:
    """Returns how many trials share a device, and why not one more. `loads` were measured with 1, 2, ... trials."""
    first = loads[0]
    if not first.fits:
        raise ConfigError(
            f"--gpus-per-trial auto: one trial takes {first.taken / _GIB:.1f} GiB of the {first.total / _GIB:.1f} of"
            f" {first.device}, too near its end; give --gpus-per-trial 2, a smaller batch or a larger GPU"
        )
    for before, load in pairwise(loads):
        if not load.fits:
            return before.trials, f"{load.trials} do not fit its memory"
        if load.rate < GAIN * before.rate:
            return before.trials, f"{load.trials} get only {load.rate / before.rate:.2f} times as much done"
    last = loads[-1]
    if last.trials >= most:
        return last.trials, "as many as there are CPUs for" if most < MOST_TRIALS else "no more are tried"
    return last.trials, f"{last.trials + 1} would not fit its memory"


def part_of_gpu(trials: int) -> float:
    """The part of a GPU that each of so many trials asks Ray for, which counts in steps of 0.0001."""
    return int(1e4 / trials) / 1e4


def step_size(config: TrialConfig) -> tuple[float, float]:
    """The size by which trials are compared: the pixels of a step, then the number of weights."""
    batches = (config.minimax.batch_size, config.clip), (config.evaluate_action.batch_size, config.as_evaluated.clip)
    pixels = max(batch * clip.frames * clip.size**2 for batch, clip in batches)
    return float(pixels), float(_weights_of(config))


def _weights_of(config: TrialConfig) -> int:
    import torch

    with torch.device("meta"):
        return sum(weight.numel() for network in _networks(config).values() for weight in network.parameters())


def measured_on_cluster(config: TrialConfig, kind: str, most: int, runtime: Runtime, plugins: tuple[Plugin, ...]) -> list[Load]:
    """`loads_of` on a free GPU of a kind, in a Ray task of its own. Raises ConfigError if that has no GPU for PyTorch."""
    import ray

    resources = {f"accelerator_type:{kind}": 0.001} if kind else {}
    remote = ray.remote(num_cpus=1, num_gpus=1, resources=resources, max_calls=1, max_retries=0)(_task)
    found: list[Load] | str = ray.get(remote.remote(config.model_dump(mode="json"), most, runtime.model_dump(), plugins))
    if isinstance(found, str):
        raise ConfigError(f"--gpus-per-trial auto: {found}")
    return found


def kinds_of_gpus() -> list[str]:
    """The kinds of GPUs of the nodes that are there; one empty name where Ray does not know."""
    import ray

    kinds = {
        name.partition(":")[2]
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("GPU")
        for name in node["Resources"]
        if name.startswith("accelerator_type:")
    }
    return sorted(kinds) or [""]


def _task(config: Mapping[str, Any], most: int, runtime: Mapping[str, Any], plugins: tuple[Plugin, ...]) -> list[Load] | str:
    import torch

    load_plugins(plugins)
    if runtime["device"] == "cuda" and not torch.cuda.is_available():
        return "Ray counts a GPU here, PyTorch sees none; give the number, such as --gpus-per-trial 1"
    try:
        return loads_of(TrialConfig.model_validate(config), most, Runtime(**runtime), plugins)
    except (RuntimeError, ConfigError) as error:
        return str(error)


def loads_of(config: TrialConfig, most: int, runtime: Runtime, plugins: tuple[Plugin, ...] = ()) -> list[Load]:
    """Measures 1, 2, ... trials side by side on the device of this process, up to the first number that is not worth it.

    Raises RuntimeError for a single trial that cannot run, such as one that needs more memory than there is.
    """
    loads = [_load(config, 1, runtime, plugins)]
    while loads[-1].trials < most and loads[-1].fits_with_one_more():
        try:
            loads.append(_load(config, loads[-1].trials + 1, runtime, plugins))
        except RuntimeError:
            break  # out of memory, whatever the forecast said
        if loads[-1].rate < GAIN * loads[-2].rate:
            break
    return loads


def _load(config: TrialConfig, trials: int, runtime: Runtime, plugins: tuple[Plugin, ...]) -> Load:
    processes = multiprocessing.get_context("forkserver")
    # PyTorch, and what the first optimizer of a process imports, once for all: it takes seconds
    processes.set_forkserver_preload(["torch._dynamo", "trainables.methods.penalty.training"])
    with ProcessPoolExecutor(trials, processes, _keep, (processes.Barrier(trials), plugins)) as pool:
        calls = [pool.submit(_measured, config, runtime, _SECONDS) for _ in range(trials)]
        errors = [error for error in (call.exception() for call in calls) if error is not None]
        if errors:
            error = next((error for error in errors if not isinstance(error, BrokenBarrierError)), errors[0])
            raise RuntimeError(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}")
    found = [call.result() for call in calls]
    taken = [bytes_taken for _, bytes_taken, _, _ in found]
    _, _, total, device = found[0]
    whole = max(taken) if runtime.device == "cuda" else sum(taken)  # a GPU says what all have taken, a process its own
    return Load(trials, sum(rate for rate, *_ in found), whole, total, device)


_kept: list[Barrier] = []  # of the processes that are measured side by side, in each of them


def _keep(together: Barrier, plugins: tuple[Plugin, ...]) -> None:
    _kept.append(together)
    load_plugins(plugins)


def _measured(config: TrialConfig, runtime: Runtime, seconds: float) -> tuple[float, int, int, str]:
    """Runs rounds of one step of each kind for `seconds`. Returns rounds a second, bytes taken, bytes in all, and the device's
    name.
    """
    import torch

    cuda, together = runtime.device == "cuda", _kept[0]
    torch.set_num_threads(runtime.threads)
    try:
        steps = _steps(config, runtime)
        for step in steps * _WARM_UP:
            step()
        together.wait(_PATIENCE_SECONDS)
        start, rounds = time.monotonic(), 0
        while rounds < _STEPS or time.monotonic() - start < seconds:
            for step in steps:
                step()
            if cuda:
                torch.cuda.synchronize()
            rounds += 1
        rate = rounds / (time.monotonic() - start)
        together.wait(_PATIENCE_SECONDS)
        if cuda:
            free, total = torch.cuda.mem_get_info()
            found = rate, total - free, total, torch.cuda.get_device_name()
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            found = rate, peak, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "CPU"
        together.wait(_PATIENCE_SECONDS)  # what one holds is there as long as another one looks
    except BaseException:
        together.abort()
        raise
    return found


def _networks(config: TrialConfig) -> dict[str, Any]:
    """The networks of a trial's minimax, and its evaluator f_T', from scratch."""
    from trainables.models.action import build_action_classifier
    from trainables.models.anonymizers import build_anonymizer
    from trainables.models.privacy import build_privacy_encoder

    evaluator = config.evaluate_action.classifier.from_scratch
    return {
        "anonymizer": build_anonymizer(config.anonymizer.from_scratch, config.options),
        "action_classifier": build_action_classifier(config.action_classifier.from_scratch, CLASSES, config.clip),
        "privacy_encoder": build_privacy_encoder(config.privacy_encoder.from_scratch),
        "evaluator": build_action_classifier(evaluator, CLASSES, config.as_evaluated.clip),
    }


def _steps(config: TrialConfig, runtime: Runtime) -> list[Callable[[], object]]:
    """A step of both sides of the minimax, and a step of f_T', each on noise of the right shape."""
    import torch
    import torch.nn.functional as F

    from trainables.execution.context import StageContext
    from trainables.methods.penalty import training as minimax

    networks = _networks(config)
    evaluator = networks.pop("evaluator")
    states = {name: network.state_dict() for name, network in networks.items()}
    inputs = {"reconstruct": Outcome({}, state=states), "warm_up": Outcome({}, state=states)}
    labels: Any = SimpleNamespace(action=SimpleNamespace(classes=range(CLASSES)))
    work = StageStore(runtime.storage).work("minimax", "measured")  # never written
    context = StageContext("minimax", config, runtime, labels, inputs, work, lambda *_: None, lambda: False)
    settings, device = config.minimax, context.device
    players = minimax.players_of(context, settings.learning_rate_anonymizer)
    evaluator = context.placed(evaluator).train()
    optimizer = context.adam(evaluator.parameters(), config.evaluate_action.learning_rate)

    def noise(batch: int, clip: ClipConfig) -> torch.Tensor:
        return torch.rand(batch, clip.frames, 3, clip.size, clip.size, device=device)

    def train_minimax() -> None:
        batch = (
            noise(settings.batch_size, config.clip),
            torch.arange(settings.batch_size, device=device) % CLASSES,
            [noise(settings.batch_size, config.clip.model_copy(update={"frames": 1})) for _ in range(2)],
            settings,
            context,
        )
        minimax.step_anonymizer(players, *batch)
        minimax.step_opponents(players, *batch)

    def train_evaluator() -> None:
        count = config.evaluate_action.batch_size
        with context.autocast():
            with torch.no_grad():
                anonymized = context.anonymize(players.anonymizer, noise(count, config.as_evaluated.clip))
            loss = F.cross_entropy(evaluator(anonymized), torch.arange(count, device=device) % CLASSES)
        minimax.descend(optimizer, loss)

    return [train_minimax, train_evaluator]


def measuring(runtime: Runtime, plugins: tuple[Plugin, ...]) -> Callable[[TrialConfig, str, int], list[Load]]:
    """The function that measures on the cluster of this process, for `packed`."""
    return partial(measured_on_cluster, runtime=runtime.model_copy(update={"ranks": 1}), plugins=plugins)
