"""The rows of the benchmark of speed: each measures a part of a study beside what it is compared with, in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from search_spaces.profiles import PROFILES
from tests.benchmarks.plain import Plain
from tests.benchmarks.speed_loader import row_loader
from tests.benchmarks.speed_setup import (
    CLASSES,
    Data,
    Ours,
    Row,
    Size,
    context_of,
    fresh_states,
    in_turn,
    peak,
    product_of_matrices,
    timed,
)
from tests.support.stages import SilentReporter
from trainables.config import AnonymizerConfig, Runtime, TrialConfig, with_values
from trainables.data.generated import GeneratedSpec, ensure
from trainables.data.loader import Loader, TrainingClips
from trainables.evaluation import action as evaluate_action
from trainables.evaluation import privacy as evaluate_privacy
from trainables.execution.context import StageContext
from trainables.execution.together import run_together
from trainables.methods.penalty import training as minimax
from trainables.models.anonymizers import build_anonymizer
from trainables.pipeline import run_trial
from trainables.store.artifacts import RECORD, STAGES

ROOT = Path(__file__).resolve().parents[2]
STUDY_STAGES = ("reconstruct", "warm_up", "minimax", "evaluate_action", "evaluate_privacy")
STUDY_SEEDS = "2"


def row_step(size: Size, folder: Path) -> Iterator[Row]:
    """The minimax against the plain loop: time, memory, and that both learn the same."""
    data, config = Data(folder / "data", size), size.config

    def ours() -> Ours:
        return Ours(context_of("minimax", config, size, data, folder))

    def plain() -> Plain:
        loop = ours()
        clips: Any = loop.clips.samples
        images: Any = loop.pairs.samples
        return Plain(config, clips, images, CLASSES, fresh_states(config), size.device, size.workers)

    memory = peak(size, ours), peak(size, plain)
    one, other = ours(), plain()
    losses = [(one.step(), other.step()) for _ in range(4)]
    apart = [max(abs(a[name] - b[name]) / max(1.0, abs(b[name])) for name in b) for a, b in losses]
    batch = config.minimax.batch_size * size.steps

    def block(loop: Ours | Plain) -> Callable[[], Any]:
        return lambda: [loop.step() for _ in range(size.steps)]

    seconds, reference, ratio = in_turn(size, block(one), block(other))
    cuda = size.device.type == "cuda"
    what = (
        f"minimax step, {config.clip.size} x {config.clip.size}, {config.clip.frames} frames, batch {config.minimax.batch_size}"
    )
    yield Row(
        what,
        "plain loop, " + ("fp16" if cuda else "fp32"),
        "clips/s",
        batch / seconds,
        batch / reference,
        ratio,
        3.0 if cuda else 1.5,
        # after the first step the weights differ in the last bits, and Adam makes more of that
        notes={"losses of steps 1 to 4 apart by": apart, "of step 1 at most": 5e-2 if cuda else 1e-5, "losses": losses},
    )
    if memory[0] is not None and memory[1] is not None:
        yield Row("the same, memory", "plain loop", "GiB", memory[0], memory[1], memory[0] / memory[1], 0.6, at_most=True)


def row_judges(size: Size, folder: Path) -> Iterator[Row]:
    """k classifiers of one anonymizer in one pass, against one after another."""
    data, small = Data(folder / "data", size), size.rounds <= 2
    cuda = size.device.type == "cuda" and not small
    tables = {
        "evaluate_action": (("r3d_18", "r2plus1d_18", "i3d_r50", "c3d") if cuda else ("narrow3d", "narrow2plus1d") * 2),
        "evaluate_privacy": (("resnet18", "resnet34", "resnet50", "resnet101", "resnet152") if cuda else ("narrow2d",) * 5),
    }
    runs = {"evaluate_action": evaluate_action.run, "evaluate_privacy": evaluate_privacy.run_on_images}
    for stage, names in tables.items():

        def contexts(stage: str = stage, names: tuple[str, ...] = names) -> list[StageContext]:
            epochs = {f"{stage}.epochs": 1 if small else 2}
            configs = [
                with_values(
                    size.config,
                    {
                        **epochs,
                        f"{stage}.classifier.name": name,
                        f"{stage}.classifier.weights": None,
                        f"{stage}.learning_rate": 1e-3 * (1 + number),
                    },
                )
                for number, name in enumerate(names)
            ]
            return [context_of(stage, config, size, data, folder) for config in configs]

        def together(run: Any = runs[stage], contexts: Callable[[], list[StageContext]] = contexts) -> None:
            first, *others = contexts()
            run_together(run, first, others)

        def separately(run: Any = runs[stage], contexts: Callable[[], list[StageContext]] = contexts) -> None:
            for context in contexts():
                run(context)

        rounds = replace(size, rounds=1 if small or cuda else 3)
        together()  # imports, kernels, files
        seconds, reference, ratio = in_turn(rounds, together, separately)
        what = f"{stage} of one anonymizer by {len(names)} classifiers"
        yield Row(what, "one after another", "s", seconds, reference, 1 / ratio, 0.5, at_most=True)


def row_start(size: Size, folder: Path) -> Iterator[Row]:
    """From the call that starts a trial to its first step, in a process that has run one before."""
    root = ensure(
        folder / "data", GeneratedSpec(train_clips=240, test_clips=96, train_images=240, val_images=60, test_images=96)
    )
    tiny = {f"{stage}.epochs": 1 for stage in ("reconstruct", "warm_up", "minimax", "evaluate_action", "evaluate_privacy")}
    config = with_values(TrialConfig(), {**PROFILES["generated"].values, **tiny})
    runtime = Runtime(data_root=str(root), storage=str(folder / "store"), device=size.kind)
    began: list[float] = []
    step = minimax.step_anonymizer

    def first_step(*arguments: Any) -> dict[str, Tensor]:
        began.append(time.perf_counter())
        return step(*arguments)

    seconds = []
    for budget in (0.1, 0.2):
        began.clear()
        minimax.step_anonymizer = first_step  # type: ignore[assignment]
        start = time.perf_counter()
        run_trial(with_values(config, {"minimax.distortion_budget": budget}), runtime, SilentReporter())
        minimax.step_anonymizer = step
        seconds.append(began[0] - start)
    yield Row("start of a trial to its first step", "5 s", "s", seconds[1], 5.0, seconds[1] / 5.0, 1.0, at_most=True)
    data = Data(folder / "noise", size)
    waits = []
    for seed in range(2):
        loader = Loader(TrainingClips(data.labels.action.train, size.config.clip, seed), 8, shuffle=True, workers=2)
        start = time.perf_counter()
        batches = loader.epoch(0)
        next(batches)
        waits.append(time.perf_counter() - start)
        list(batches)
    what = "a stage's loader with 2 processes to its first batch"
    yield Row(what, "5 s", "s", waits[1], 5.0, waits[1] / 5.0, 1.0, at_most=True, notes={"the first of all": waits[0]})


def row_study(size: Size, folder: Path) -> Iterator[Row]:
    """A study on two workers against two processes that run the same trials in the same order: from the start of the first
    stage to the end of the last one, and as whole commands, with Ray, a new database, imports and the report.
    """
    values = {f"{stage}.epochs": 1 for stage in STUDY_STAGES} | {"attacks.names": "none"}
    sets = [part for name, value in values.items() for part in ("--set", f"{name}={value}")]
    study = ["study/run.py", "--space", "demo", "--profile", "generated", "--storage", str(folder / "study")]
    study += ["--max-concurrent", "2", "--seeds", STUDY_SEEDS, *sets]
    _python([*study, "--dry-run"])  # makes the data
    [data] = (folder / "study" / "generated").iterdir()
    folders = [folder / name for name in ("before", "study", "after")]  # a machine that slows down meanwhile is no ratio
    bare = ["-m", "tests.benchmarks.bare", str(data)]
    commands = [study if place.name == "study" else [*bare, str(place), STUDY_SEEDS, json.dumps(values)] for place in folders]
    whole = [timed(partial(_python, command), size.device) for command in commands]
    stages = [_stages(place) for place in folders]
    if len({frozenset(found) for found in stages}) > 1:
        raise RuntimeError("study and bare loop have not computed the same stages; was the code changed meanwhile?")
    spans = [max(end for _, end in found.values()) - min(start for start, _ in found.values()) for found in stages]
    sums = [sum(end - start for start, end in found.values()) for found in stages]
    against, value, reference = "a bare loop in 2 processes", spans[1], (spans[0] + spans[2]) / 2
    notes: dict[str, Any] = {"bare loop before and after": [spans[0], spans[2]], "seconds of all stages, all three": sums}
    yield Row("study, 2 workers, first stage to last", against, "s", value, reference, value / reference, 1.03, True, notes)
    notes = {"seconds before the first stage and after the last": whole[1] - spans[1], "of the bare loop": whole[2] - spans[2]}
    value, reference = whole[1], (whole[0] + whole[2]) / 2
    yield Row("the same, whole commands", against, "s", value, reference, value / reference, 1.03, True, notes)


def _python(arguments: Sequence[str]) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)


def _stages(storage: Path) -> dict[str, tuple[float, float]]:
    """When each of the stored stages began and ended, by key: seconds since 1970."""
    found = {}
    for path in storage.glob(f"{STAGES}/*/*/{RECORD}"):
        end = path.stat().st_mtime
        found[path.parent.name] = (end - json.loads(path.read_text())["seconds"], end)
    return found


def row_export(size: Size, folder: Path) -> Iterator[Row]:
    """The paper's anonymizer as ONNX, frame by frame as a camera gives them; always on the CPU."""
    import onnxruntime

    from analysis.deploy.anonymizers import read_stored
    from analysis.deploy.export import checked_onnx

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    config, file = AnonymizerConfig(), folder / "anonymizer.pt"
    torch.save({"config": config.model_dump(mode="json"), "state_dict": build_anonymizer(config).state_dict()}, file)
    stored, on_cpu, frame = read_stored(file), replace(size, kind="cpu"), torch.rand(1, 3, 240, 320)
    with torch.inference_mode(), FlopCounterMode(display=False) as counted:
        stored.anonymizer(frame)
    flops_a_frame, peak_flops = counted.get_total_flops(), product_of_matrices(on_cpu.device)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    for precision in ("float32", "int8"):
        model, check = checked_onnx(stored, (240, 320), precision)
        session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
        with torch.inference_mode():
            exported, eager, ratio = in_turn(
                on_cpu, partial(session.run, None, {"frames": frame.numpy()}), partial(stored.anonymizer, frame)
            )
        notes = {"difference": check.difference, "tolerance": check.tolerance, "GFLOP a frame": flops_a_frame / 1e9}
        if precision == "float32":  # what there is to gain
            rates = {"PyTorch eager": flops_a_frame / eager, "exported": flops_a_frame / exported, "matrices": peak_flops}
            notes |= {f"{name}, GFLOP/s": rate / 1e9 for name, rate in rates.items()}
        what = f"exported anonymizer, {precision}, 240x320"
        yield Row(what, "PyTorch eager", "frames/s", 1 / exported, 1 / eager, ratio, 2.0, notes=notes)


ROWS = {
    "step": row_step,
    "loader": row_loader,
    "judges": row_judges,
    "start": row_start,
    "study": row_study,
    "export": row_export,
}
