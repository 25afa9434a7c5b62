"""What the rows of the benchmark of speed share: sizes, noise as data, the project's minimax, and a fair clock."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, Literal

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from search_spaces.profiles import PROFILES
from tests.support.stages import stage_context
from trainables.config import TrialConfig, with_values
from trainables.data.items import Still, StillSplits, Video, VideoSplits
from trainables.data.loader import Batch, close_loaders
from trainables.execution.context import StageContext
from trainables.methods.penalty import training as minimax
from trainables.models.action import build_action_classifier
from trainables.models.anonymizers import build_anonymizer
from trainables.models.privacy import build_privacy_encoder
from trainables.store import Outcome
from trainables.training.pairs import pair_loader, pair_views

CLASSES, ATTRIBUTES = 6, ("one", "two")


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
        networks = ("action_classifier", "privacy_encoder", "evaluate_action.classifier")
        nothing = {**{f"{name}.weights": None for name in networks}, "anonymizer.encoder_weights": None}
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
        return {**minimax.step_anonymizer(self.players, *inputs), **minimax.step_opponents(self.players, *inputs)}

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
    close_loaders()
    torch.cuda.empty_cache()
    return found


def product_of_matrices(device: torch.device) -> float:
    """FLOP/s that a product of two large matrices reaches, in the precision of the stages."""
    side, kind = (8192, torch.bfloat16) if device.type == "cuda" else (1024, torch.float32)
    one, other = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    return 2 * side**3 / min(timed(lambda: one @ other, device) for _ in range(5))
