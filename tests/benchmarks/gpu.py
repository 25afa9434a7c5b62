"""What a machine with a GPU can show in 8 minutes, what matters most first; `gpu.sh` brings along what it lacks.

    python -m tests.benchmarks.gpu --out gpu.json [--device cpu] [--small]
    python -m tests.benchmarks.gpu --table                # of tests/benchmarks/gpu.json, as the README shows it

Each result is written as soon as it is there. A part that fails or takes too long is noted, and the next one begins.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from search_spaces.profiles import PROFILES
from tests.benchmarks.handful import make_data
from tests.benchmarks.paper_size_space import SETTING
from tests.benchmarks.speed import machine
from tests.benchmarks.speed_gpu import blank, options, precision
from tests.benchmarks.speed_profile import parts, roofline
from tests.benchmarks.speed_rows import row_step
from tests.benchmarks.speed_setup import Data, Ours, Size, context_of, sizes, timed
from tests.support.stages import SilentReporter
from trainables.config import Runtime, TrialConfig, with_values
from trainables.data.loader import Loader, TrainingClips, close_loaders
from trainables.data.trial_data import TrialData
from trainables.execution.loop import Epoch
from trainables.execution.tracing import StepTaken, one_step
from trainables.failures import Stopped
from trainables.models.anonymizers import build_anonymizer
from trainables.pipeline import run_trial
from trainables.plan import PlannedStage, plan_trial

MEASURED = Path(__file__).with_name("gpu.json")
MINUTES = 8.0
BFLOAT16, FLOAT32, ON_CPU = "bfloat16", "float32", "float32 on the CPU"
TOLERANCES = {FLOAT32: 1e-3, BFLOAT16: 0.05}  # of a loss, relative to 1 or to the loss in float32 on the CPU if that is larger
METHODS: dict[str, dict[str, Any]] = {  # with what each needs to be told; those of the first include what evaluates and attacks
    "penalty": {"attacks.names": ("all",)},
    "spact": {},
    "tedspad": {},
    "vita": {"options.ensemble": 2, "options.retrain_steps": 0, "options.action_steps": 1, "options.privacy_steps": 1},
    "mass": {},
    "dial": {"anonymizer.dial": "film"},
    "bdq": {},
    "stprivacy": {},
}
RANDOM = ("stprivacy",)  # what it keeps is drawn on the device, so that its losses are others there


def steps(size: Size, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """One step of every stage that trains: of each method, of the evaluators and of all attacks. Its losses as the runtime has
    it, beside those in float32 on the CPU, of the same weights and the same noise.
    """
    root = make_data(folder / "data")
    narrow = PROFILES["small"].values if size.rounds <= 2 else {}
    seen = set[str]()
    for method, own in METHODS.items():
        values = {name: value for name, value in SETTING.items() if name != "microbatch" and not name.endswith(".epochs")}
        config = with_values(TrialConfig(), {**values, **narrow, **own, "method": method})
        data = TrialData(config, root)
        for stage in plan_trial(config, data).stages:
            judges = method != "penalty" and stage.name not in (method, "minimax", "reconstruct", "warm_up")
            stands_still = stage.name == "reconstruct" and stage.config.reconstruct.epochs == 0
            if not stage.stage.trains or "." in stage.role or judges or stands_still or stage.key in seen:
                continue
            seen.add(stage.key)
            yield f"{method}: {stage.role}", _compared(stage, data, size, method not in RANDOM)


def _compared(stage: PlannedStage, data: TrialData, size: Size, comparable: bool) -> dict[str, dict[str, float]]:
    found = {BFLOAT16: _losses(stage, data, size.kind, "bfloat16")}
    if comparable:
        found[FLOAT32] = _losses(stage, data, size.kind, "float32")
        found[ON_CPU] = _losses(stage, data, "cpu", "float32")
    return found


def _losses(stage: PlannedStage, data: TrialData, device: str, kind: str) -> dict[str, float]:
    """Of one step without dropout, whose noise would be another one on each device; float32 is without TF32."""
    found: dict[str, float] = {}

    def add(_: Epoch, rows: int, **values: Tensor) -> None:
        found.update({name: float(value.detach()) for name, value in values.items()})

    def kept(values: Tensor, *_: Any, **__: Any) -> Tensor:
        return values

    runtime = Runtime.model_validate({"data_root": "", "storage": "memory://", "device": device, "precision": kind})
    torch.manual_seed(0)
    exact = torch.backends.cudnn.flags(allow_tf32=kind != "float32")
    with exact, patch.object(F, "dropout", kept), patch.object(Epoch, "add", add), suppress(StepTaken):
        one_step(stage, runtime, data)
    return found


def apart(steps: Mapping[str, Mapping[str, Mapping[str, float]]], kind: str) -> dict[str, float]:
    """How far each loss is from that in float32 on the CPU, relative to 1 or to it if that is larger; by stage and loss."""
    return {
        f"{stage}, {name}": abs(one[kind][name] - value) / max(1.0, abs(value))
        for stage, one in steps.items()
        if kind in one
        for name, value in one.get(ON_CPU, {}).items()
    }


class _Memory(SilentReporter):
    """The most memory of the device during each stage, in GiB, and its seconds, as the stages end."""

    def __init__(self, cuda: bool) -> None:
        self.cuda, self.stages = cuda, dict[str, dict[str, float]]()

    def finished(self, *told: Any) -> None:
        stage, outcome, reused = told
        if reused:
            return
        self.stages[stage.role] = {"s": outcome.seconds}
        if self.cuda:
            self.stages[stage.role]["GiB"] = torch.cuda.max_memory_allocated() / 2**30
            torch.cuda.reset_peak_memory_stats()


def trial(size: Size, folder: Path) -> Iterator[tuple[str, Any]]:
    """A whole trial on a handful of clips, with the standard attacks, from files: what each stage takes. Then the same in a new
    storage, stopped within the minimax and gone on with: how far its figures are from those of the first.
    """
    root, cuda = make_data(folder / "data"), size.device.type == "cuda"
    narrow = PROFILES["small"].values if size.rounds <= 2 else {}
    values = {name: value for name, value in SETTING.items() if name != "microbatch"}
    longer = {"minimax.epochs": 3}
    config = with_values(TrialConfig(), {**narrow, **values, **longer, "attacks.names": ("standard",)})

    def runtime(storage: str) -> Runtime:
        places = {"data_root": str(root), "storage": str(folder / storage), "device": size.kind}
        return Runtime.model_validate({**places, "workers": size.workers, "threads": os.cpu_count() or 1})

    memory = _Memory(cuda)
    yield "stages", memory.stages  # of which those are there that ended, if time runs out
    first, _ = run_trial(config, runtime("first"), memory)
    yield "metrics", dict(first.metrics)
    again, _ = run_trial(config, runtime("first"), SilentReporter())
    yield "again", {"stages computed": len(again.computed)}
    ended = _EndsIn("minimax", after=2)
    with suppress(Stopped):
        run_trial(config, runtime("stopped"), ended, ended.asked)
    resumed, _ = run_trial(config, runtime("stopped"), SilentReporter())
    apart = {name: abs(resumed.metrics[name] - value) for name, value in first.metrics.items() if name != "attack_share"}
    differ = {name: value for name, value in apart.items() if value > 0.0}
    yield "stopped and resumed", {"was stopped": float(ended.over), "metrics": len(apart), "that differ": len(differ)}
    yield "differences", differ


class _EndsIn(SilentReporter):
    """Asks a trial to stop once a stage has had some epochs."""

    def __init__(self, stage: str, after: int) -> None:
        self.stage, self.after, self.over = stage, after, False

    def epoch(self, *told: Any) -> None:
        stage, history, _ = told
        self.over = self.over or (stage == self.stage and len(history) >= self.after)

    def asked(self) -> bool:
        return self.over


def speed(size: Size, folder: Path) -> Iterator[tuple[str, Any]]:
    """The step of the minimax against a plain loop, and with the options of the runtime."""
    for number, row in enumerate(row_step(size, folder)):
        yield f"row {number}", asdict(row)
    yield "options", options(size, folder / "options", compiled=False)


def behind(size: Size, folder: Path) -> Iterator[tuple[str, Any]]:
    """Where the time of a step goes."""
    for name, measure in (("roofline", roofline), ("parts", parts), ("blank", blank), ("precision", precision)):
        (folder / name).mkdir()
        yield name, measure(size, folder / name)


def kernels(size: Size, folder: Path) -> Iterator[tuple[str, Any]]:
    """What the device computes in a step, the longest first. PyTorch's profiler cannot be interrupted: it comes last."""
    loop = Ours(context_of("minimax", size.config, size, Data(folder / "data", size), folder))
    step = partial(loop.both, loop.inputs(*loop.next_batches()))
    step()
    cuda = size.device.type == "cuda"
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=kinds) as seen:
        timed(step, size.device)

    def spent(event: Any) -> float:
        return float(event.self_device_time_total if cuda else event.self_cpu_time_total)

    ordered = sorted(seen.key_averages(), key=spent, reverse=True)
    yield "most ms of a step", {event.key[:100]: spent(event) / 1000 for event in ordered[:20]}


def keeps_up(size: Size, folder: Path) -> dict[str, float]:
    """Clips/s that are decoded by all worker processes, that are augmented on the device, and that the minimax takes."""
    data = Data(folder / "data", size)
    loop = Ours(context_of("minimax", size.config, size, data, folder))
    batches = loop.next_batches()
    batch = size.config.minimax.batch_size
    step = partial(loop.both, loop.inputs(*batches))
    step()
    found = {"minimax": batch / min(timed(step, size.device) for _ in range(size.steps))}
    augment = partial(loop.inputs, *batches)
    found["augmentation"] = batch / min(timed(augment, size.device) for _ in range(size.steps))
    loader = Loader(TrainingClips(data.labels.action.train, size.config.clip, 0), batch, True, size.workers)
    list(loader.epoch(0))
    found[f"decoding in {max(1, size.workers)} processes"] = len(loader.samples) / timed(
        lambda: list(loader.epoch(1)), size.device
    )
    return found


@torch.no_grad()
def exports(size: Size, folder: Path) -> dict[str, float]:
    """The anonymizer as an exported program of torch on the device: frames/s and how far it is from the network itself."""
    torch.manual_seed(0)
    anonymizer = build_anonymizer(size.config.anonymizer.from_scratch).to(size.device).eval()
    frames = torch.rand(4, 3, size.config.clip.size, size.config.clip.size, device=size.device)
    program = torch.export.export(anonymizer, (frames,))
    torch.export.save(program, folder / "anonymizer.pt2")
    loaded = torch.export.load(folder / "anonymizer.pt2").module()
    apart = float((loaded(frames) - anonymizer(frames)).abs().max())
    rates = {
        name: len(frames) / min(timed(partial(network, frames), size.device) for _ in range(5))
        for name, network in (("exported", loaded), ("eager", anonymizer))
    }
    return {**{f"{name}, frames/s": rate for name, rate in rates.items()}, "apart": apart}


def _at_once(measure: Callable[[Size, Path], dict[str, float]]) -> Callable[[Size, Path], Iterator[tuple[str, Any]]]:
    def found(size: Size, folder: Path) -> Iterator[tuple[str, Any]]:
        yield "all", measure(size, folder)

    return found


# In the order of what matters most: the most seconds of each, and what measures it.
PARTS: dict[str, tuple[float, Callable[[Size, Path], Iterator[tuple[str, Any]]]]] = {
    "steps": (150.0, steps),
    "trial": (100.0, trial),
    "speed": (120.0, speed),
    "behind": (120.0, behind),
    "keeps up": (60.0, _at_once(keeps_up)),
    "exports": (60.0, _at_once(exports)),
    "profile": (60.0, kernels),
}


class TooLong(Exception):
    """A part has had its seconds."""


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    def over(*_: object) -> None:
        raise TooLong(f"not done after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def measure(size: Size, minutes: float, write: Callable[[dict[str, Any]], None], content: dict[str, Any]) -> None:
    """Measures the parts one after another into `content`, which `write` is given after every result."""
    end = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as directory:
        for name, (most, part) in PARTS.items():
            found: dict[str, Any] = {}
            content["parts"][name] = found
            start, folder = time.monotonic(), Path(directory) / name
            folder.mkdir()
            try:
                if start >= end:
                    raise TooLong("no time was left")
                with _at_most(min(most, end - start)):
                    for what, result in part(size, folder):
                        found[what] = result
                        write(content)
            except Exception as error:
                found["error"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            found["seconds"] = time.monotonic() - start
            close_loaders()
            write(content)
            print(f"{name}: {found['seconds']:.0f} s {found.get('error', '')}", file=sys.stderr, flush=True)


def table(content: dict[str, Any] | None) -> str:
    """The Markdown of what was measured."""
    if content is None:
        return "| on a GPU | |\n|---|---|\n| everything | not measured |"
    rows = [(name, value) for name, value in content["machine"].items() if name in ("GPU", "torch", "processor", "cores")]
    parts_of = content["parts"]
    steps_taken = {name: one for name, one in parts_of.get("steps", {}).items() if isinstance(one, dict)}
    if steps_taken:
        finite = sum(all(map(math.isfinite, one[BFLOAT16].values())) for one in steps_taken.values())
        rows.append(("stages whose step ran in bfloat16, with finite losses", f"{finite} of {len(steps_taken)}"))
    for kind, most in TOLERANCES.items():
        if distances := apart(steps_taken, kind):
            near = [value for value in distances.values() if value <= most]
            rows.append(
                (f"losses in {kind} within {most:g} of those in float32 on the CPU", f"{len(near)} of {len(distances)}")
            )
    stages = parts_of.get("trial", {}).get("stages", {})
    rows += [
        (f"trial: {role}", ", ".join(f"{value:.3g} {unit}" for unit, value in one.items())) for role, one in stages.items()
    ]
    for name in ("trial", "speed", "behind", "keeps up", "exports", "profile"):
        for what, found in parts_of.get(name, {}).items():
            if what.startswith("row"):
                rows.append((f"{found['what']} against {found['against']}", f"{found['ratio']:.2f}"))
            elif isinstance(found, dict) and what not in ("stages", "metrics", "differences"):
                rows += [(f"{name}: {key}", f"{value:.3g}") for key, value in found.items() if not key.endswith("in float32")]
    rows += [(f"{name}: error", one["error"]) for name, one in parts_of.items() if "error" in one]
    return "\n".join(["| on a GPU | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument(
        "--out", type=Path, default=MEASURED, help=f"the results as JSON (default: {MEASURED.name} beside this)"
    )
    parser.add_argument("--small", action="store_true", help="a trial run of everything: its figures mean nothing")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--table", action="store_true", help="print the table of what was measured, and measure nothing")
    given = parser.parse_args(arguments)
    if given.table:
        print(table(json.loads(given.out.read_text()) if given.out.is_file() else None))
        return 0
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch sees no GPU here")
    torch.set_num_threads(os.cpu_count() or 1)
    content: dict[str, Any] = {"machine": machine(given.device), "small": given.small, "parts": {}}

    def write(found: dict[str, Any]) -> None:
        given.out.write_text(json.dumps(found, indent=1) + "\n")

    measure(sizes(given.device, given.small or given.device == "cpu"), given.minutes, write, content)
    print(table(content))
    return 1 if any("error" in part for part in content["parts"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
