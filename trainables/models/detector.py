"""People in frames, found by a detection model of torchvision or by BlazePose."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainables.config import ConfigError, ObfuscationConfig
from trainables.data.boxes import Box
from trainables.models.blazepose import BlazePose, require_package
from trainables.models.packaged import PACKAGE
from trainables.models.weights import DETECTOR_FIELD, DETECTORS, load_weights

_PERSON = 1  # in COCO's numbering, which all of torchvision's detectors follow
_AT_ONCE = 8  # frames
BLAZEPOSE = "blazepose"  # which is no model of torchvision, and has no weights but those of its package


def new_detector(name: str, field: str = "obfuscation.detector") -> nn.Module:
    """The detector `name` of torchvision, untrained. Raises ConfigError for an unknown name, which stands in `field`."""
    from torchvision.models import get_model

    if name not in DETECTORS:
        raise ConfigError(f"{field} = {name!r}: no such detector; there are: {', '.join((*DETECTORS, BLAZEPOSE))}")
    return get_model(name, weights=None, weights_backbone=None)


class PeopleDetector:
    """Boxes of the people that a detector with given weights finds with at least a given score. `field` is where the weights
    are given.
    """

    def __init__(self, name: str, weights: str, score: float, device: torch.device, field: str) -> None:
        self._score, self._device = score, device
        self._poses: BlazePose | None = None
        if name == BLAZEPOSE:
            require_blazepose(weights, field)
            self._poses = BlazePose(score, field)
        else:
            model = new_detector(name, field.removesuffix("_weights"))
            load_weights(model, weights, name, field)
            self._model = model.to(device).eval()

    @staticmethod
    def of(settings: ObfuscationConfig, device: torch.device) -> PeopleDetector:
        """That of a method which changes people only. Raises ConfigError where none is named."""
        if settings.detector is None or settings.detector_weights is None:
            raise ConfigError("obfuscation.detector and obfuscation.detector_weights: name both")
        return PeopleDetector(settings.detector, settings.detector_weights, settings.score, device, DETECTOR_FIELD)

    def __call__(self, frames: NDArray[np.uint8]) -> list[list[Box]]:
        """(T, H, W, 3) RGB -> the people of each frame, in shares of its width and height."""
        if self._poses is not None:
            return [[pose.box for pose in self._poses(frame)] for frame in frames]
        return self._of_torchvision(frames)

    @torch.no_grad()
    def _of_torchvision(self, frames: NDArray[np.uint8]) -> list[list[Box]]:
        height, width = frames.shape[1:3]
        sides = torch.tensor([width, height, width, height])
        found: list[list[Box]] = []
        for start in range(0, len(frames), _AT_ONCE):
            part = torch.from_numpy(frames[start : start + _AT_ONCE]).to(self._device).permute(0, 3, 1, 2).float() / 255
            for found_in_frame in self._model(list(part)):
                is_person = (found_in_frame["labels"] == _PERSON) & (found_in_frame["scores"] >= self._score)
                chosen = found_in_frame["boxes"][is_person]
                shares = (chosen.cpu() / sides).clamp(0.0, 1.0)
                found.append([(x0, y0, x1, y1) for x0, y0, x1, y1 in shares.tolist() if x0 < x1 and y0 < y1])
        return found


def require_blazepose(weights: str, field: str) -> None:
    """Raises ConfigError where BlazePose's weights are to be others than its package's, or that is missing."""
    if weights != PACKAGE:
        raise ConfigError(f"{field} = {weights!r}: the weights of {BLAZEPOSE} are those of its package; give {field}={PACKAGE}")
    require_package(f"{field} = {weights!r}")
