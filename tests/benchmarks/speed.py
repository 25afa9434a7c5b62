"""How fast the parts of a study are, each against what it is to be measured with, side by side in one run.

    python -m tests.benchmarks.speed [--device cuda] [--out speed.json] [--small] [--rows step,loader,...]

Needs PyTorch, what the stages import and PyAV; only the row `study` needs Ray and MLflow as well. On a CPU the networks are
narrow, on a GPU they are the paper's. `--small` is a trial run of everything: its figures mean nothing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, Literal

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from search_spaces.profiles import PROFILES
from tests.benchmarks.plain import Plain, decoded_alone
from tests.support.stages import SilentReporter, stage_context
from trainables.config import AnonymizerConfig, NetworkConfig, Runtime, TrialConfig, with_values
from trainables.data.generated import GeneratedSpec, ensure
from trainables.data.items import Still, StillSplits, Video, VideoSplits
from trainables.data.loader import Batch, Loader, TrainingClips
from trainables.data.reading import DECODER
from trainables.evaluation import action as evaluate_action
from trainables.evaluation import privacy as evaluate_privacy
from trainables.execution.context import StageContext
from trainables.execution.together import run_together
from trainables.methods.penalty import training as minimax
from trainables.models.action import build_action_classifier
from trainables.models.anonymizers import build_anonymizer
from trainables.models.privacy import build_privacy_classifier, build_privacy_encoder
from trainables.pipeline import run_trial
from trainables.store import Outcome
from trainables.store.artifacts import RECORD, STAGES
from trainables.training.pairs import pair_loader, pair_views

ROOT = Path(__file__).resolve().parents[2]
CLASSES, ATTRIBUTES = 6, ("one", "two")
STUDY_STAGES = ("reconstruct", "warm_up", "minimax", "evaluate_action", "evaluate_privacy")
STUDY_SEEDS = "2"


@dataclass(frozen=True)
class Row:
    """`ratio` of `value` to `reference`; `reach` is what it is to be at least, or (`at_most`) at most."""

    what: str
    against: str
    unit: str
    value: float
    reference: float
    ratio: float
    reach: float
    at_most: bool = False
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return self.ratio <= self.reach if self.at_most else self.ratio >= self.reach


@dataclass(frozen=True)
class Size:
    """What the rows are measured at. `rounds` of `steps` steps for each of two that are compared, in turn."""

    config: TrialConfig
    kind: Literal["cpu", "cuda"]
    videos: int
    side: tuple[int, int]
    frames: int
    workers: int
    steps: int
    rounds: int

    @property
    def device(self) -> torch.device:
        return torch.device(self.kind)


def sizes(device: Literal["cpu", "cuda"], small: bool) -> Size:
    workers = max(0, (os.cpu_count() or 1) - 1) if device == "cuda" else 0
    if device == "cuda" and not small:
        nothing = {"action_classifier.weights": None, "evaluate_action.classifier.weights": None}
        return Size(with_values(TrialConfig(), nothing), device, 64, (320, 240), 100, workers, 5, 6)
    values = {**PROFILES["generated"].values, "minimax.distortion_budget": 0.1}
    config = with_values(TrialConfig(), values)
    return Size(config, device, 48, (32, 32), 20, workers, 2 if small else 5, 2 if small else 12)


class Data:
    """Moving noise, as files: videos (MPEG-4, as UCF101's) and images."""

    def __init__(self, folder: Path, size: Size) -> None:
        folder.mkdir(parents=True)
        generator = np.random.default_rng(0)
        videos, stills = [], []
        for number in range(size.videos):
            video, image = folder / f"{number}.avi", folder / f"{number}.jpg"
            frames = _picture(generator, size.side)
            write_video(video, [np.roll(frames, (t, 2 * t), (0, 1)) for t in range(size.frames)])
            Image.fromarray(_picture(generator, size.side)).save(image)
            labels = tuple(float(bit) for bit in generator.integers(0, 2, len(ATTRIBUTES)))
            videos.append(Video(video.name, video, number % CLASSES, video.name, labels))
            stills.append(Still(image.name, image, labels, image.name))
        parts = size.videos // 4
        names = tuple(map(str, range(CLASSES)))
        of_videos = VideoSplits("noise", names, ATTRIBUTES, *_cut(tuple(videos), parts))
        of_stills = StillSplits("noise", ATTRIBUTES, *_cut(tuple(stills), parts))
        self.labels = SimpleNamespace(
            action=replace(of_videos, train=tuple(videos)),
            privacy=replace(of_stills, train=tuple(stills)),
            action_evaluation=of_videos,
            privacy_evaluation=of_stills,
        )


def _cut(items: tuple[Any, ...], part: int) -> tuple[Any, Any, Any]:
    return items[2 * part :], items[:part], items[part : 2 * part]


def _picture(generator: np.random.Generator, side: tuple[int, int]) -> np.ndarray:
    width, height = side
    coarse = generator.integers(0, 255, (height // 8, width // 8, 3)).repeat(8, 0).repeat(8, 1)
    return (coarse // 2 + generator.integers(0, 12, (height, width, 3))).astype(np.uint8)


def write_video(path: Path, frames: Sequence[np.ndarray]) -> None:
    """Frames (H, W, 3) as MPEG-4 in AVI."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def context_of(stage: str, config: TrialConfig, size: Size, data: Data, folder: Path, **options: Any) -> StageContext:
    """Of a stage whose networks start as they are built."""
    states = fresh_states(config)
    inputs = {
        "reconstruct": Outcome({}, [], {"anonymizer": states["anonymizer"]}),
        "anonymizer": Outcome({}, [], {"anonymizer": states["anonymizer"]}),
        "warm_up": Outcome({}, [], states),
    }
    runtime = {"device": size.kind, "workers": size.workers, **options}
    labels: Any = data.labels
    return replace(stage_context(stage, config, folder, folder, inputs, f"{time.monotonic_ns()}", **runtime), data=labels)


def fresh_states(config: TrialConfig) -> dict[str, dict[str, Tensor]]:
    torch.manual_seed(0)
    return {
        "anonymizer": build_anonymizer(config.anonymizer).state_dict(),
        "action_classifier": build_action_classifier(config.action_classifier, CLASSES, config.clip).state_dict(),
        "privacy_encoder": build_privacy_encoder(config.privacy_encoder).state_dict(),
    }


class Ours:
    """The project's minimax, step by step."""

    def __init__(self, context: StageContext) -> None:
        self.context, self.settings = context, context.config.minimax
        self.players = minimax.players_of(context, self.settings.learning_rate_anonymizer)
        self.clips, self.pairs = (
            context.training_clips(self.settings.batch_size),
            pair_loader(context, self.settings.batch_size),
        )
        self.waited = 0.0
        self._batches = itertools.chain.from_iterable(self._epoch(number) for number in itertools.count())

    def _epoch(self, number: int) -> Iterator[tuple[Batch, Batch]]:
        yield from self.context.paired(self.clips, self.pairs, number)

    def step(self) -> dict[str, float]:
        start = time.perf_counter()
        batches = next(self._batches)
        self.waited += time.perf_counter() - start
        found = self.both(self.inputs(*batches))
        return {name: float(value.detach()) for name, value in found.items() if name.startswith("loss")}

    def inputs(self, clips: Batch, pairs: Batch) -> tuple[Any, ...]:
        views = pair_views(self.context, pairs)
        return self.context.training_view(clips), clips["label"], views, self.settings, self.context

    def both(self, inputs: tuple[Any, ...]) -> dict[str, Tensor]:
        return {**minimax.step_anonymizer(self.players, *inputs), **minimax.step_judges(self.players, *inputs)}

    def next_batches(self) -> tuple[Batch, Batch]:
        return next(self._batches)


Clock = Callable[[], float]


def timed(work: Callable[[], Any], device: torch.device, clock: Clock = time.perf_counter) -> float:
    """Seconds, with what the GPU was left to do."""
    _wait(device)
    start = clock()
    work()
    _wait(device)
    return clock() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_turn(
    size: Size, one: Callable[[], Any], other: Callable[[], Any], clock: Clock = time.perf_counter
) -> tuple[float, float, float]:
    """Median seconds of each over the rounds, and the median over rounds of the other's share of the one's."""
    pairs = [(timed(one, size.device, clock), timed(other, size.device, clock)) for _ in range(size.rounds)]
    firsts, seconds = zip(*pairs, strict=True)
    return median(firsts), median(seconds), median(b / a for a, b in pairs)


def peak(size: Size, build: Callable[[], Any]) -> float | None:
    """GiB of GPU memory at most while `build()` takes three steps alone."""
    if size.device.type != "cuda":
        return None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    loop = build()
    for _ in range(3):
        loop.step()
    found = torch.cuda.max_memory_allocated() / 2**30
    del loop
    torch.cuda.empty_cache()
    return found


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


def row_loader(size: Size, folder: Path) -> Iterator[Row]:
    """One process that loads training clips, against decord on the same frames, in seconds of a core."""
    small = size.rounds <= 2
    size = replace(size, videos=8 if small else 24, side=(320, 240), frames=100, config=TrialConfig(), kind="cpu")
    data = Data(folder / "data", size)
    items = data.labels.action.train
    samples = TrainingClips(items, size.config.clip, 0)
    loader = Loader(samples, size.config.minimax.batch_size, shuffle=True)
    epochs = 1 if small else 3
    begun = itertools.count(step=epochs)
    now = 0

    def ours() -> None:
        nonlocal now
        now = next(begun)
        for _ in loader.stretch(now * len(loader), epochs * len(loader)):
            pass

    def alone() -> None:
        for epoch in range(now, now + epochs):
            decoded_alone(items, samples, epoch)

    ours()
    seconds, reference, ratio = in_turn(size, ours, alone, time.process_time)
    clips = len(items) * epochs
    yield Row(
        "training loader, 320 x 240, 16 frames",
        f"{DECODER} alone",
        "clips/s of a core",
        clips / seconds,
        clips / reference,
        ratio,
        0.9,
    )


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


def parts(size: Size, folder: Path) -> dict[str, float]:
    """Where the milliseconds of a minimax step go, each part alone; `wait` is what is left of the whole."""
    data, device = Data(folder / "data", size), size.device
    loop = Ours(context_of("minimax", size.config, size, data, folder))
    context, players, config = loop.context, loop.players, size.config
    batches = loop.next_batches()
    clips, _, views, *_ = inputs = loop.inputs(*batches)
    on_host = {name: value.cpu() for name, value in batches[0].items()}  # type: ignore[attr-defined]
    grown = clips.clone().requires_grad_()
    frames = torch.cat([view.flatten(0, 1) for view in views])

    def forth_and_back(compute: Callable[[], Tensor], networks: Sequence[torch.nn.Module]) -> Callable[[], None]:
        def run() -> None:
            with context.autocast():
                value = compute().float().square().mean()
            value.backward()
            for network in networks:
                network.zero_grad(set_to_none=True)

        return run

    def anonymize_only() -> None:
        with torch.no_grad(), context.autocast():
            for values in (clips, *views):
                context.anonymize(players.anonymizer, values)

    samples = loop.clips.samples
    alone = itertools.count()
    decode = Loader(samples, config.minimax.batch_size, shuffle=True)
    work: dict[str, Callable[[], Any]] = {
        "decode (one core)": lambda: next(decode.stretch(next(alone), 1)),
        "copy": lambda: {name: value.to(device) for name, value in on_host.items()},
        "augment": lambda: loop.inputs(*batches),
        "f_A, step 1": forth_and_back(
            lambda: sum(
                (context.anonymize(players.anonymizer, v).mean() for v in (clips, *views)), torch.zeros((), device=device)
            ),
            [players.anonymizer],
        ),
        "f_A, step 2": anonymize_only,
        "f_T, both steps": lambda: [
            forth_and_back(lambda: players.action(grown), [players.action])(),
            forth_and_back(lambda: players.action(clips), [players.action])(),
        ],
        "f_B, both steps": lambda: [forth_and_back(lambda: players.privacy(frames), [players.privacy])() for _ in range(2)],
    }
    found = {}
    for name, run in work.items():
        run()
        found[name] = 1000 * median(timed(run, device) for _ in range(size.rounds))
    loop.both(inputs)
    optimizers = players.anonymizer_optimizer, players.judges_optimizer
    found["optimizers"] = 1000 * median(timed(lambda: [o.step() for o in optimizers], device) for _ in range(size.rounds))
    loop.waited = 0.0
    steps = size.rounds * size.steps
    found["whole step"] = 1000 * timed(lambda: [loop.step() for _ in range(steps)], device) / steps
    found["of it wait for data"] = 1000 * loop.waited / steps
    return found


class _Bytes(TorchDispatchMode):
    """Counts the bytes of the tensors that every operation takes and makes: an upper bound of what goes over the bus."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if not func.is_view:
            flat = torch.utils._pytree.tree_leaves((args, kwargs, found))
            self.total += sum(value.numel() * value.element_size() for value in flat if isinstance(value, Tensor))
        return found


def product_of_matrices(device: torch.device) -> float:
    """FLOP/s that a product of two large matrices reaches, in the precision of the stages."""
    side, kind = (8192, torch.bfloat16) if device.type == "cuda" else (1024, torch.float32)
    one, other = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    return 2 * side**3 / min(timed(lambda: one @ other, device) for _ in range(5))


def roofline(size: Size, folder: Path) -> dict[str, float]:
    """What a minimax step achieves of the peaks that a product of matrices and a copy reach on this device."""
    data, device = Data(folder / "data", size), size.device
    loop = Ours(context_of("minimax", size.config, size, data, folder))
    inputs = loop.inputs(*loop.next_batches())
    loop.both(inputs)
    with FlopCounterMode(display=False) as counted:
        loop.both(inputs)
    with _Bytes() as moved:
        loop.both(inputs)
    seconds = median(timed(lambda: loop.both(inputs), device) for _ in range(size.rounds))
    source = torch.empty((2**30 if device.type == "cuda" else 2**26) // 4, device=device)
    target = torch.empty_like(source)
    peak_flops = product_of_matrices(device)
    peak_bytes = 2 * source.numel() * 4 / min(timed(lambda: target.copy_(source), device) for _ in range(5))
    return {
        "TFLOP a step": counted.get_total_flops() / 1e12,
        "GB a step, unfused": moved.total / 1e9,
        "TFLOP/s": counted.get_total_flops() / seconds / 1e12,
        "peak TFLOP/s": peak_flops / 1e12,
        "GB/s, unfused": moved.total / seconds / 1e9,
        "peak GB/s": peak_bytes / 1e9,
    }


def curves(size: Size, folder: Path) -> dict[str, dict[str, float]]:
    """Clips/s of the minimax step (of the loader alone for `workers`), one size changed at a time."""
    small = size.rounds <= 2
    data = Data(folder / "data", size)
    config = size.config
    changes: dict[str, tuple[str, Sequence[int]]] = {
        "batch": ("minimax.batch_size", (4, 8) if small else (2, 4, 8, 16)),
        "resolution": ("clip.size", (32, 48) if small else tuple(config.clip.size * part // 4 for part in (2, 4, 6, 8))),
        "frames": ("clip.frames", (4, 8) if small else (4, 8, 16)),
    }
    found: dict[str, dict[str, float]] = {}
    for name, (key, values) in changes.items():
        found[name] = {}
        for value in values:
            changed = {key: value, **({"clip.decode_size": value} if name == "resolution" else {})}
            loop = Ours(context_of("minimax", with_values(config, changed), size, data, folder))
            for _ in range(2):
                loop.step()
            seconds = min(timed(loop.step, size.device) for _ in range(size.steps))
            found[name][str(value)] = loop.settings.batch_size / seconds
    found["workers"] = {}
    for workers in (0, 1) if small else (0, 1, 2, *((4, 8) if size.workers >= 8 else ())):
        samples = TrainingClips(data.labels.action.train, config.clip, 0)
        loader = Loader(samples, config.minimax.batch_size, True, workers)
        epochs = itertools.count()

        def load(loader: Loader = loader, epochs: Iterator[int] = epochs) -> None:
            for _ in loader.epoch(next(epochs)):
                pass

        load()
        found["workers"][str(workers)] = len(samples) / min(timed(load, size.device) for _ in range(3))
    return found


def flops(size: Size, folder: Path) -> dict[str, float]:
    """GFLOP of the paper's networks for one clip (no data, no device): f_A once, each judge forth and back; and what a pass
    over training clips for all judges of a table costs at the least, as a share of one pass for each.
    """
    config = TrialConfig()
    shape = config.clip.frames, 3, config.clip.size, config.clip.size
    tables = {
        "Table 5": ("r3d_18", "r2plus1d_18", "r2plus1d_18", "mvit_v2_s", "i3d_r50", "c3d"),
        "Tables 7, 8": ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    }
    found = {}
    with torch.device("meta"):
        clip = torch.empty(1, *shape)
        anonymizer = build_anonymizer(config.anonymizer)
        with torch.no_grad(), FlopCounterMode(display=False) as counted:
            anonymizer.clips(clip)
        found["f_A"] = counted.get_total_flops() / 1e9
        for table, names in tables.items():
            for name in names:
                network: torch.nn.Module
                if table == "Table 5":
                    network, seen = build_action_classifier(NetworkConfig(name=name), CLASSES, config.clip), clip
                else:
                    network, seen = build_privacy_classifier(NetworkConfig(name=name), len(ATTRIBUTES)), clip.flatten(0, 1)
                with FlopCounterMode(display=False) as counted:
                    network(seen).mean().backward()
                found[name] = counted.get_total_flops() / 1e9
            judges = sum(found[name] for name in names)
            found[f"{table}, at least"] = (found["f_A"] + judges) / (len(names) * found["f_A"] + judges)
    return found


def machine(device: str) -> dict[str, str]:
    names = ("torch", "torchvision", "timm", "segmentation-models-pytorch", "pytorchvideo", "decord", "av", "numpy")
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "none"
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    gpu = torch.cuda.get_device_name() if device == "cuda" else "none"
    threads = str(torch.get_num_threads())
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    here = {"processor": processor, "cores": str(os.cpu_count()), "threads": threads, "load before": load, "GPU": gpu}
    return {**here, "python": platform.python_version(), **versions}


def table(rows: Sequence[Row]) -> str:
    lines = ["| what | against | measured | reference | ratio | reach | |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        sign = "<=" if row.at_most else ">="
        verdict = "yes" if row.holds else "NO"
        lines.append(
            f"| {row.what} | {row.against} | {row.value:.3g} {row.unit} | {row.reference:.3g} {row.unit} | {row.ratio:.2f}"
            f" | {sign} {row.reach:g} | {verdict} |"
        )
    return "\n".join(lines)


def _figures(notes: Mapping[str, Any]) -> str:
    """Those of a row's notes that are a number or a few."""
    few = {name: value if isinstance(value, list) else [value] for name, value in notes.items() if name != "losses"}
    return "; ".join(f"{name} {', '.join(f'{one:.3g}' for one in values)}" for name, values in few.items())


MORE: dict[str, Callable[[Size, Path], Any]] = {"parts": parts, "roofline": roofline, "curves": curves, "flops": flops}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--out", type=Path, help="a file for everything as JSON")
    parser.add_argument("--small", action="store_true", help="a trial run: the figures mean nothing")
    every = (*ROWS, *MORE)
    parser.add_argument("--rows", default="", help=f"of {','.join(every)}; default: all, on a GPU all but study")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch sees no GPU here")
    wanted = options.rows.split(",") if options.rows else [name for name in every if options.device == "cpu" or name != "study"]
    if unknown := set(wanted) - set(every):
        parser.error(f"--rows {unknown.pop()}: there are {', '.join(every)}")
    torch.set_num_threads(1)
    size, rows = sizes(options.device, options.small), []
    content: dict[str, Any] = {"machine": machine(options.device), "small": options.small, "seconds": {}}
    with tempfile.TemporaryDirectory() as directory:
        for name in wanted:
            folder, start = Path(directory) / name, time.perf_counter()
            folder.mkdir()
            if name in ROWS:
                for row in ROWS[name](size, folder):
                    rows.append(row)
                    print(f"{row.what}: {row.ratio:.2f}", file=sys.stderr, flush=True)
            else:
                content[name] = MORE[name](size, folder)
            content["seconds"][name] = time.perf_counter() - start
    content["rows"] = [{**asdict(row), "holds": row.holds} for row in rows]
    if options.out is not None:
        options.out.write_text(json.dumps(content, indent=1) + "\n")
    print("\n".join(f"{name}: {value}" for name, value in content["machine"].items()))
    print("\n" + table(rows) if rows else "")
    for row in rows:
        if figures := _figures(row.notes):
            print(f"{row.what}: {figures}")
    for name in ("parts", "roofline", "flops"):
        if name in content:
            print(f"\n{name}:\n" + "\n".join(f"  {key}: {value:.3g}" for key, value in content[name].items()))
    for name, points in content.get("curves", {}).items():
        print(f"clips/s by {name}: " + ", ".join(f"{key}: {value:.3g}" for key, value in points.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
