"""Networks that record what they are given, on videos and images whose pixels say which item, split and frame they are.

The upper half of a frame holds its number in its colour: red the data set and split, green the item, blue the frame. The
lower half is striped in a raw frame; `Stamp`, the anonymizer, paints it, in its own weight and in a colour for its mode. So
whoever is shown a frame can say where it comes from, whether it is anonymized, and by which weights in which mode.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from tests.support.videos import write_video
from trainables.attacks.adaptive import training as adaptive
from trainables.attacks.inversion import training as inversion
from trainables.config import ActionData, AnonymizerConfig, PrivacyData, Runtime, TrialConfig, with_values
from trainables.data.items import Still, StillSplits, Video, VideoSplits
from trainables.data.loader import Batch
from trainables.data.registry import STILL_SETS, VIDEO_SETS
from trainables.execution.context import StageContext
from trainables.models.action import ACTION_CLASSIFIERS
from trainables.models.base import ANONYMIZERS, Anonymizer
from trainables.models.classifier import Backbone
from trainables.models.privacy import PRIVACY_BACKBONES
from trainables.pipeline import TrialRecord, run_trial
from trainables.plan import PlannedStage
from trainables.registry import Registry
from trainables.store import Outcome

SIDE, FRAMES = 16, 8
SETS = ("action", "privacy", "evaluate_action", "evaluate_privacy", "test_privacy", "clip_privacy")
SPLITS = ("train", "validation", "test")
ITEMS = {"train": 6, "validation": 4, "test": 4}
ATTRIBUTES = ("a", "b")
_OF_SPLIT, _OF_ITEM, _OF_FRAME = 14, 16, 20  # grey levels between two numbers
_BOXES = "filename,frame,x0,y0,x1,y1"

NUMBERED: dict[str, Any] = {
    **{f"data.{name}.name": "numbered" for name in SETS},
    **{f"data.{name}.folder": name for name in SETS},
    "anonymizer.name": "stamp",
    "action_classifier.name": "f_T",
    "action_classifier.weights": None,
    "anonymizer.encoder_weights": None,
    "privacy_encoder.name": "f_B",
    "privacy_encoder.weights": None,
    "evaluate_action.classifier.name": "f_T'",
    "evaluate_action.classifier.weights": None,
    "evaluate_privacy.classifier.name": "f_B'",
    "attacks.ensemble": ("attacker_1", "attacker_2"),
    "attacks.encoder": "embedder",
    "attacks.weights": None,
    # attacks by networks from elsewhere are not tried: see test_pretrained and test_recognised
    "attacks.pretrained.weights": None,
    "attacks.face_detector_weights": "nowhere",
    "attacks.clip_network.name": "clip_attacker",
    "attacks.clip_network.weights": None,
    "attacks.decoder_width": 2,
    "attacks.learning_rate": 1e-6,
    "clip.frames": 3,
    "clip.skip": 2,
    "clip.size": SIDE,
    "clip.decode_size": SIDE,
    "clip.test_clips": 2,
    "augment.crop_min": 1.0,
    "augment.test_crop": 1.0,
    **{f"augment.{name}": 0.0 for name in ("flip", "brightness", "contrast", "saturation", "hue", "grey", "erase")},
    **{f"{name}.epochs": 2 for name in ("reconstruct", "warm_up", "minimax", "evaluate_action", "evaluate_privacy", "attacks")},
    **{f"{name}.batch_size": 4 for name in ("reconstruct", "warm_up", "minimax", "evaluate_privacy")},
    "evaluate_action.batch_size": 6,
    "evaluate_privacy.clip_frames": 2,
    "attacks.batch_size": 8,
    "attacks.frames": 2,
}


def numbered_config(values: Mapping[str, Any] | None = None) -> TrialConfig:
    """A trial on numbered data, a folder for each purpose, all of whose networks record."""
    return with_values(TrialConfig(), {**NUMBERED, **(values or {})})


@dataclass(frozen=True, order=True)
class Seen:
    """A frame as a network is given it.

    `view`: raw, raw flipped, blank, f_A, f_A training (in train mode), restored, or changed. `stamp`: the weight of f_A.
    """

    data: str
    split: str
    item: int
    frame: int
    view: str
    stamp: float | None = None


@dataclass(frozen=True)
class Look:
    """One forward pass. `doing`: learns, tested (eval mode), or frozen (eval mode, gradients run through it)."""

    network: str
    doing: str
    clips: tuple[tuple[Seen, ...], ...]
    weights: tuple[float, ...]

    @property
    def items(self) -> tuple[tuple[Seen, ...], ...]:
        """The clips without those at the end that repeat the one before: see `trainables.execution.context.filled`."""
        count = len(self.clips)
        while count > 1 and self.clips[count - 1] == self.clips[count - 2]:
            count -= 1
        return self.clips[:count]

    @property
    def words(self) -> set[str]:
        return {f"{self.network} {self.doing}: {f.data}.{f.split}, {f.view}" for clip in self.clips for f in clip}


@dataclass
class Log:
    """A reporter that sorts what networks record by the role of the stage that runs.

    labels: by role, the private attributes that batches have for an item, which is named by its split and number.
    """

    pending: list[Look] = field(default_factory=list)
    roles: dict[str, list[Look]] = field(default_factory=dict)
    told: dict[tuple[str, int], set[tuple[float, ...]]] = field(default_factory=dict)
    labels: dict[str, dict[tuple[str, int], set[tuple[float, ...]]]] = field(default_factory=dict)

    def epoch(self, *_: object) -> None: ...
    def waiting(self, *_: object) -> None: ...

    def finished(self, stage: PlannedStage, outcome: Outcome, reused: bool) -> None:
        self.roles[stage.role], self.pending = self.pending, []
        self.labels[stage.role], self.told = self.told, {}

    def words(self, role: str) -> set[str]:
        """What the networks of a stage were given; of f_A only what it learned from: what it makes is in the others' view."""
        found = {words for look in self.roles[role] for words in look.words}
        return {words for words in found if not words.startswith("f_A ") or words.startswith("f_A learns")}

    def weights(self, role: str, network: str, doing: str, split: str = "") -> list[tuple[float, ...]]:
        """The weights that a network had when it was given something, each once, in order."""
        looks = [look for look in self.roles[role] if (look.network, look.doing) == (network, doing)]
        return list(dict.fromkeys(look.weights for look in looks if not split or look.clips[0][0].split == split))

    def of(self, role: str, network: str, doing: str, split: str = "") -> list[tuple[Seen, ...]]:
        """The clips that a network was given in a stage, in order, without those that only fill the last batch of a test."""
        looks = [look for look in self.roles[role] if (look.network, look.doing) == (network, doing)]
        clips = [clip for look in looks for clip in (look.items if doing == "tested" else look.clips)]
        return [clip for clip in clips if not split or clip[0].split == split]

    def stamps(self, role: str) -> set[float]:
        """The weights of the anonymizer in all that the other networks were given, to five digits."""
        return {
            frame.stamp
            for look in self.roles[role]
            for clip in look.clips
            for frame in clip
            if frame.stamp is not None and not look.network.startswith("f_A")
        }


@dataclass(frozen=True)
class Ran:
    """A trial on numbered data: what its networks were given, its record, and its outcomes by role."""

    log: Log
    record: TrialRecord
    outcomes: dict[str, Outcome]

    def stamp(self, role: str) -> float:
        """The weight of the anonymizer that a stage has left."""
        return round(float(self.outcomes[role].state["anonymizer"]["stamp"]), 5)


def ran(data: Path, storage: Path, **values: Any) -> Ran:
    """Runs a trial on what `write_numbered` has made; `__` in a name stands for the dot of a key."""
    config = numbered_config({key.replace("__", "."): value for key, value in values.items()})
    with recorded() as log:
        record, outcomes = run_trial(config, Runtime(data_root=str(data), storage=str(storage), device="cpu"), log)
    return Ran(log, record, outcomes)


_LOGS: list[Log] = []


@contextmanager
def recorded() -> Iterator[Log]:
    """Within it NUMBERED's data and networks are known by their names, and every network writes into the log."""
    log = Log()
    _LOGS.append(log)
    decoder = inversion.Decoder
    inversion.Decoder = adaptive.Decoder = _Restorer  # type: ignore[assignment, misc]
    anonymized = StageContext.anonymized_view

    def anonymized_view(
        self: StageContext, anonymizer: Anonymizer, batch: Batch, training: bool = False, clips: int = 1
    ) -> tuple[Tensor, Tensor]:
        found = anonymized(self, anonymizer, batch, training, clips)
        for clip, labels in zip(_seen(found[0].unflatten(0, (-1, clips))[:, 0]), batch["attributes"].tolist(), strict=True):
            log.told.setdefault((clip[0].split, clip[0].item), set()).add(tuple(labels))
        return found

    StageContext.anonymized_view = anonymized_view  # type: ignore[method-assign]
    try:
        with _registered():
            yield log
    finally:
        _LOGS.pop()
        inversion.Decoder = adaptive.Decoder = decoder  # type: ignore[misc]
        StageContext.anonymized_view = anonymized  # type: ignore[method-assign]


@contextmanager
def _registered() -> Iterator[None]:
    """Names them in the registries, and takes the names back: other tests go through all that is registered."""
    named: list[tuple[Registry[Any], dict[str, Any]]] = [
        (ACTION_CLASSIFIERS, {name: partial(_watcher, name) for name in ("f_T", "f_T'", "clip_attacker")}),
        (
            PRIVACY_BACKBONES,
            {name: partial(_watcher, name) for name in ("f_B", "f_B'", "attacker_1", "attacker_2", "embedder")},
        ),
        (ANONYMIZERS, {"stamp": Stamp}),
    ]
    for readers, read in ((VIDEO_SETS, numbered_videos), (STILL_SETS, _numbered_stills)):
        named.append((readers, {"numbered": read, "numbered_permuted": partial(read, permuted=True)}))
    for registry, entries in named:
        registry._entries |= entries
    try:
        yield
    finally:
        for registry, entries in named:
            for name in entries:
                del registry._entries[name]


def _note(network: str, module: nn.Module, clips: Tensor, weight: Tensor) -> None:
    """clips: (N, T, 3, H, W)."""
    if not _LOGS:
        return
    own = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in module.parameters())
    doing = ("learns" if own else "in train mode") if module.training else ("frozen" if torch.is_grad_enabled() else "tested")
    _LOGS[-1].pending.append(Look(network, doing, _seen(clips), tuple(weight.detach().flatten().tolist())))


def _seen(clips: Tensor) -> tuple[tuple[Seen, ...], ...]:
    """(N, T, 3, H, W) -> what the frames of each clip are."""
    corners = clips.detach()[..., (0, -1, -1), (0, 0, 1)].cpu().numpy()  # (N, T, 3, 3): upper, lower left, beside it
    return tuple(tuple(_decoded(frame.T) for frame in clip) for clip in corners)


def _near(values: np.ndarray, others: np.ndarray | float | tuple[float, ...], most: float) -> bool:
    """What numpy.allclose says, in a tenth of its time, which is called for every frame."""
    return bool(np.abs(values - others).max() <= most)


def _decoded(pixels: np.ndarray) -> Seen:
    """(3 pixels, RGB) of a frame."""
    if _near(pixels, 0.5, 1e-4):
        return Seen("-", "-", -1, -1, "blank")
    split, item, frame = (round(v * 255 / step) for v, step in zip(pixels[0], (_OF_SPLIT, _OF_ITEM, _OF_FRAME), strict=True))
    if not 0 <= split < 3 * len(SETS):  # colours were changed
        return Seen("-", "-", -1, -1, "changed")
    return Seen(SETS[split // 3], SPLITS[split % 3], item, frame, *_view(pixels[1:]))


def _view(lower: np.ndarray) -> tuple[str, float | None]:
    """How the two pixels in the lower half came to be, and the weight of f_A if it painted them."""
    for view, blue in (("raw", (1.0, 0.0)), ("raw flipped", (0.0, 1.0)), ("restored", (0.7, 0.7))):
        if _near(lower[:, 2], blue, 1e-3) and (view == "restored" or lower[:, :2].max() < 1e-3):
            return view, None
    stamp, mode, _ = lower[0].tolist()
    if _near(lower[0], lower[1], 1e-3) and mode > 0.2:
        return "f_A training" if mode > 0.75 else "f_A", round(stamp, 5)
    return "changed", None


class _Watcher(nn.Module):
    """Features are the mean colour, scaled by a weight that training moves."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.scale = nn.Parameter(0.5 + torch.rand(3))
        self.fc = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        clips = x.unsqueeze(2) if x.dim() == 4 else x  # (N, 3, T, H, W)
        _note(self.name, self, clips.transpose(1, 2), self.scale)
        return self.fc(clips.mean((2, 3, 4)) * self.scale)


def _watcher(name: str, *_: object) -> Backbone:
    return Backbone(_Watcher(name), "fc", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class _Restorer(nn.Module):
    """In place of the decoder of the attacks that restore: marks what it has restored."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, frames: Tensor) -> Tensor:
        _note("decoder", self, frames[:, None], self.weight)
        restored = frames + self.weight
        if (frames[..., -1, :] - 0.5).abs().max() > 1e-4:  # nothing is restored of blank frames
            restored = torch.cat([restored[..., : SIDE // 2, :], _painted(restored[..., SIDE // 2 :, :], blue=0.7)], dim=-2)
        return restored


def _painted(lower: Tensor, **colours: float | Tensor) -> Tensor:
    planes = list(lower.unbind(dim=1))
    for colour, value in colours.items():
        planes[["red", "green", "blue"].index(colour)] = torch.zeros_like(planes[0]) + value
    return torch.stack(planes, dim=1)


class Stamp(Anonymizer):
    """Paints the lower half of a frame in its only weight (red) and its mode (green: 1 in training, 0.5 in use)."""

    def __init__(self, config: AnonymizerConfig) -> None:
        super().__init__()
        self.stamp = nn.Parameter(torch.tensor(0.3))

    def clips(self, clips: Tensor) -> Tensor:
        _note("f_A", self, clips, self.stamp)
        return Anonymizer.clips(self, clips)  # frame by frame, for whatever network it stands in

    def forward(self, frames: Tensor) -> Tensor:
        green = 1.0 if self.training else 0.5
        lower = _painted(frames[..., SIDE // 2 :, :], red=self.stamp, green=green, blue=0.0)
        return torch.cat([frames[..., : SIDE // 2, :], lower], dim=-2)


def label_of(number: int) -> int:
    return number % 2


def attributes_of(number: int) -> tuple[float, ...]:
    return float(number // 2 % 2), float(number in (0, 3, 5))


def numbered_videos(config: ActionData, root: Path, permuted: bool = False) -> VideoSplits:
    def items(split: str) -> tuple[Video, ...]:
        turned = permuted and split == "test"
        return tuple(
            Video(
                f"{root.name}/{split}/{number}.mkv",
                root / split / f"{number}.mkv",
                label_of(number + turned),
                f"{split} {number // 2}",
                attributes_of((number + turned) % ITEMS[split]),
            )
            for number in range(ITEMS[split])
        )

    return VideoSplits(root.name, ("even", "odd"), ATTRIBUTES, *map(items, SPLITS))


def _numbered_stills(config: PrivacyData, root: Path, permuted: bool = False) -> StillSplits:
    def items(split: str) -> tuple[Still, ...]:
        turned = permuted and split == "test"
        return tuple(
            Still(
                f"{root.name}/{split}/{number}.png",
                root / split / f"{number}.png",
                attributes_of((number + turned) % ITEMS[split]),
                f"{split} {number // 2}",
            )
            for number in range(ITEMS[split])
        )

    return StillSplits(root.name, ATTRIBUTES, *map(items, SPLITS))


def picture(data: str, split: str, item: int, frame: int) -> np.ndarray:
    """The pixels of a raw frame."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    place = SETS.index(data) * 3 + SPLITS.index(split)
    pixels[: SIDE // 2] = place * _OF_SPLIT, item * _OF_ITEM, frame * _OF_FRAME
    pixels[SIDE // 2 :, ::2, 2] = 255
    return pixels


def write_numbered(root: Path, sets: Sequence[str] = SETS) -> Path:
    """The data sets of NUMBERED, with boxes of people that cover the lower half of every frame."""
    for data in sets:
        rows = [_BOXES]
        for split, count in ITEMS.items():
            (root / data / split).mkdir(parents=True)
            for item in range(count):
                path = root / data / split / str(item)
                if "privacy" in data and data != "clip_privacy":
                    Image.fromarray(picture(data, split, item, 0)).save(path.with_suffix(".png"))
                    rows.append(f"{data}/{split}/{item}.png,0,0,0.5,1,1")
                else:
                    write_video(path.with_suffix(".mkv"), np.stack([picture(data, split, item, f) for f in range(FRAMES)]))
                    rows += [f"{data}/{split}/{item}.mkv,{f},0,0.5,1,1" for f in range(FRAMES)]
        (root / data / "boxes.csv").write_text("\n".join(rows) + "\n")
    return root
