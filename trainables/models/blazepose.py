"""BlazePose, https://arxiv.org/abs/2006.10204: where people are in a frame, and where their joints are.

The two networks of MediaPipe's pose pipeline, as its package carries them, run by LiteRT: nothing is trained, and MediaPipe
itself is not imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchvision.ops import nms

from trainables.config import ConfigError
from trainables.data.boxes import Box
from trainables.models.packaged import POSE_DETECTOR, POSE_LANDMARKS

Network = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]

JOINTS = (11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)  # shoulders, elbows, wrists, hips, knees, ankles: left, right
_LANDMARKS = 33  # of a body; those after them are of the pipeline alone
_SIDE, _CROP = 224, 256  # pixels of the pictures that the two networks take
_CELLS = ((28, 2), (14, 2), (7, 6))  # cells in a row of each grid of the detector, and its answers in a cell
_MARGIN = 1.25  # of the square around a person
_OVERLAP = 0.3  # of two squares that are one person


@dataclass(frozen=True)
class Pose:
    """A person in a frame.

    score: how sure the detector is. present: how sure the second network is that somebody is there.
    joints: (33, 3), across, down (in pixels of the frame), and how surely the joint can be seen.
    box: around the silhouette, in shares of width and height of the frame.
    """

    score: float
    present: float
    joints: NDArray[np.float64]
    box: Box


class BlazePose:
    """Finds the people in a frame whom both networks see with at least `score`. `networks`: the two; None: the package's.

    Raises ConfigError, which begins with `field`, where the package is not installed.
    """

    def __init__(self, score: float, field: str, networks: tuple[Network, Network] | None = None) -> None:
        if networks is None:
            require_package(field)
            networks = _loaded(POSE_DETECTOR.find()), _loaded(POSE_LANDMARKS.find())
        self._detect, self._look = networks
        self._score = score

    def __call__(self, frame: NDArray[np.uint8]) -> list[Pose]:
        """(H, W, 3) RGB -> the people, the surest first."""
        height, width = frame.shape[:2]
        picture = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float() / 255
        found = []
        for score, square in self._squares(picture):
            joints, present, silhouette = (part[0] for part in self._look(_channels_last(_crop(picture, square, _CROP)))[:3])
            points = np.asarray(joints, dtype=np.float64).reshape(-1, 5)[:_LANDMARKS]
            if (sure := float(np.ravel(present)[0])) < self._score:
                continue
            places = square.in_frame(points[:, :2] / _CROP)
            seen = 1 / (1 + np.exp(-np.clip(points[:, 3], -50, 50)))
            rows, columns = np.nonzero(silhouette[..., 0] > 0)  # logits
            outline = square.in_frame((np.stack([columns, rows], axis=1) + 0.5) / _CROP) if len(rows) else places
            (left, top), (right, bottom) = outline.min(axis=0), outline.max(axis=0)
            shares = np.clip([left / width, top / height, right / width, bottom / height], 0.0, 1.0).tolist()
            box: Box = (shares[0], shares[1], shares[2], shares[3])
            if box[0] < box[2] and box[1] < box[3]:
                found.append(Pose(score, sure, np.concatenate([places, seen[:, None]], axis=1), box))
        return found

    def _squares(self, picture: Tensor) -> list[tuple[float, _Square]]:
        """(1, 3, H, W) in [0, 1] -> how sure the detector is of each person, and the square around them, upright for them."""
        height, width = picture.shape[2:]
        whole = _Square((width / 2, height / 2), float(max(height, width)), 0.0)
        answers, logits = self._detect(_channels_last(_crop(picture, whole, _SIDE) * 2 - 1))[:2]
        scores = torch.from_numpy(np.asarray(logits[0, :, 0])).float().clamp(-50, 50).sigmoid()
        chosen = torch.where(scores >= self._score)[0]
        if not len(chosen):
            return []
        # Four points of a person, of which the first two count: the middle of the hips, and where a circle around all of the
        # body ends, above the head.
        points = torch.from_numpy(np.asarray(answers[0, :, 4:8])).double().reshape(-1, 2, 2)[chosen] / _SIDE
        places = whole.in_frame((points + _anchors()[chosen][:, None]).reshape(-1, 2).numpy()).reshape(-1, 2, 2)
        squares = []
        for (across, down), (end_across, end_down) in places.tolist():
            radius = math.hypot(end_across - across, end_down - down)
            turn = math.pi / 2 - math.atan2(down - end_down, end_across - across)
            squares.append(_Square((across, down), max(2 * radius * _MARGIN, 1.0), turn))
        boxes = torch.tensor(
            [
                [x - one.side / 2, y - one.side / 2, x + one.side / 2, y + one.side / 2]
                for one in squares
                for x, y in [one.centre]
            ]
        )
        kept: list[int] = nms(boxes, scores[chosen], _OVERLAP).tolist()
        return [(float(scores[chosen[number]]), squares[number]) for number in kept]


@dataclass(frozen=True)
class _Square:
    """A square of a frame: its centre and its side in pixels, turned clockwise by `turn` radians."""

    centre: tuple[float, float]
    side: float
    turn: float

    def in_frame(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 2) shares of the square, across and down -> pixels of the frame."""
        across, down = ((shares - 0.5) * self.side).T
        cosine, sine = math.cos(self.turn), math.sin(self.turn)
        return np.stack(
            [self.centre[0] + across * cosine - down * sine, self.centre[1] + across * sine + down * cosine], axis=1
        )


def require_package(field: str) -> None:
    """Raises ConfigError unless the files of both networks, and what runs them, are installed."""
    import importlib.util

    if POSE_DETECTOR.find() is None or POSE_LANDMARKS.find() is None:
        raise ConfigError(f"{field}: {POSE_DETECTOR.missing}")
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise ConfigError(f"{field}: ai-edge-litert is not installed (pip install .[attackers])")


def _loaded(file: Path | None) -> Network:
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(str(file), num_threads=torch.get_num_threads())
    network.allocate_tensors()
    place, answers = network.get_input_details()[0]["index"], [one["index"] for one in network.get_output_details()]

    def run(pictures: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        network.set_tensor(place, pictures)
        network.invoke()
        return [network.get_tensor(one) for one in answers]

    return run


def _channels_last(picture: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(picture.permute(0, 2, 3, 1).numpy().astype(np.float32))


def _crop(picture: Tensor, square: _Square, size: int) -> Tensor:
    """(1, 3, H, W) -> (1, 3, size, size), black beside the frame."""
    height, width = picture.shape[2:]
    shares = (np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).reshape(-1, 2) + 0.5) / size
    places = torch.from_numpy(square.in_frame(shares)).float().reshape(1, size, size, 2)
    grid = places / torch.tensor([width, height]) * 2 - 1
    return functional.grid_sample(picture, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _anchors() -> Tensor:
    """(2254, 2) centres of the detector's cells, across and down, in shares of its picture."""
    rows = []
    for cells, answers in _CELLS:
        centres = (torch.arange(cells).double() + 0.5) / cells
        down, across = torch.meshgrid(centres, centres, indexing="ij")
        rows.append(torch.stack([across, down], dim=-1).reshape(-1, 2).repeat_interleave(answers, dim=0))
    return torch.cat(rows)
