"""An anonymizer that was not trained here: a model of frames in an ONNX file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainables.config import AnonymizerConfig, ConfigError, TrialConfig
from trainables.methods import method_of
from trainables.models.axes import clips_of, frames_of, windows_of
from trainables.models.base import ANONYMIZERS, Anonymizer
from trainables.one_line import reason
from trainables.onnx_frames import frames_input, has_cuda, open_session
from trainables.schema import NOTE_GIVEN

GIVEN = "given"
_AT_ONCE = 64  # frames in one call, so that memory does not grow with the batch


@ANONYMIZERS.register(GIVEN)
class GivenModel(Anonymizer):
    """The ONNX model in the file `anonymizer.weights`: float32 RGB frames (N, 3, H, W) in [0, 1] -> frames of the same shape.

    Or windows (N, K, 3, H, W) -> (N, 3, H, W): each frame after the K - 1 before it in the clip; the first stands still before
    it. Where it takes one size only, frames are resized to that, and back. It is computed by onnxruntime, on a GPU where that
    has CUDA. What it puts out is taken as it is, without clamping.
    """

    reads_weights = True

    def __init__(self, config: AnonymizerConfig) -> None:
        """Raises ConfigError, one line, for a file that is no such model."""
        super().__init__()
        if config.weights is None:
            raise ConfigError("anonymizer.weights: the method given needs the file of a model; give FILE.onnx")
        self.file = config.weights
        self._session = _session(config.weights)
        taken = frames_input(self._session)
        if taken is None or not taken.floats:
            seen = ", ".join(f"{one.name} {one.type} {one.shape}" for one in self._session.get_inputs())
            raise ConfigError(
                f"{self.file}: no model from float RGB frames (N, 3, H, W) to such frames; it takes {seen or 'nothing'}"
            )
        self.window, self.size, self._input, self._batch = taken.window, taken.size, taken.name, taken.batch

    @property
    def sees_time(self) -> bool:
        return self.window is not None

    def require(self, side: int) -> None:
        """Raises ConfigError unless it gives frames of the same size for square ones of `side` pixels."""
        frames = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
        try:
            shape = self._made(frames.unsqueeze(1)).shape
        except Exception as error:  # onnxruntime has a class of its own for every status
            why = f"cannot be run on frames of {side}x{side} ({reason(error, 120)})"
            raise ConfigError(f"{self.file}: {why}; export it for any size, or set clip.size and clip.decode_size") from None
        wanted = (2, 3, *(self.size or (side, side)))
        if shape != wanted:
            raise ConfigError(f"{self.file}: makes {tuple(shape)} of frames {wanted}; an anonymizer keeps their shape")

    def forward(self, frames: Tensor) -> Tensor:
        return frames_of(self.clips(frames.unsqueeze(1)))

    def clips(self, clips: Tensor) -> Tensor:
        sides = clips.shape[-2:]
        if self.size is None or self.size == tuple(sides):
            return clips_of(self._made(clips), clips.shape[0])
        fitted = functional.interpolate(frames_of(clips).float(), self.size, mode="bilinear", antialias=True)
        made = self._made(clips_of(fitted, clips.shape[0]))
        return clips_of(functional.interpolate(made, sides, mode="bilinear", align_corners=False), clips.shape[0])

    def _made(self, clips: Tensor) -> Tensor:
        """(B, T, C, H, W) -> ((B T), C, H, W), of a size that it takes."""
        seen = frames_of(clips) if self.window is None else _in_order(clips, self.window)
        return torch.from_numpy(self._run(seen.detach().float().cpu().numpy())).to(clips.device)

    def _run(self, seen: np.ndarray) -> np.ndarray:
        """Frames or windows -> frames, in calls of as many as the model takes; the last call repeats its last frame."""
        parts, at_once = [], self._batch or _AT_ONCE
        for start in range(0, len(seen), at_once):
            part = seen[start : start + at_once]
            lacking = (self._batch or len(part)) - len(part)
            given = np.concatenate([part, np.repeat(part[-1:], lacking, axis=0)]) if lacking else part
            parts.append(self._session.run(None, {self._input: np.ascontiguousarray(given)})[0][: len(part)])
        return np.concatenate(parts)


@ANONYMIZERS.register("given_videos")
class GivenVideos(Anonymizer):
    """Stands where an anonymizer would: whoever reads what it makes reads videos that were anonymized elsewhere instead."""

    def __init__(self, config: AnonymizerConfig) -> None:
        super().__init__()

    def forward(self, frames: Tensor) -> Tensor:
        raise ConfigError("given_videos: frames that have no anonymized video beside them cannot be anonymized")


def given_notes(config: TrialConfig) -> list[str]:
    """Which file a trial of the method `given` has evaluated, for its record; empty for other methods."""
    if method_of(config).exchanged:
        return [f"{NOTE_GIVEN}videos that were anonymized elsewhere"]
    if not method_of(config).given or config.anonymizer.weights is None:
        return []
    path = Path(config.anonymizer.weights)
    with path.open("rb") as opened:
        return [f"{NOTE_GIVEN}{path.name}, SHA-256 {hashlib.file_digest(opened, 'sha256').hexdigest()}"]


def _in_order(clips: Tensor, length: int) -> Tensor:
    """The windows of `windows_of` as an exported model takes them: ((B T), length, C, H, W), the present frame last."""
    return windows_of(clips, length).unflatten(1, (length, -1)).flip(1)


def _session(file: str) -> Any:
    if not Path(file).is_file():
        raise ConfigError(f"anonymizer.weights = {file!r}: no such file; give the ONNX file of a model of frames")
    try:
        return open_session(file, has_cuda(), torch.get_num_threads())
    except ValueError as error:
        raise ConfigError(str(error)) from None
