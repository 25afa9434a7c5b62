"""Anonymizers as functions of frames, and those of ONNX files, which need neither torch nor MLflow."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from analysis.deploy import dial, measured, proof
from analysis.deploy.dial import Dial
from analysis.deploy.measured import MeasuredAt, Size
from analysis.deploy.window import Before, Frames
from analysis.read.store import AnalysisError
from trainables.onnx_frames import frames_input, has_cuda, open_session


class FrameModel(Protocol):
    """An anonymizer of the frames of a video, each by itself or with those before it.

    `size`: the one (height, width) it takes, None for any. `measured_at`: what its figures hold for, None if that is not
    known. `dial`: where it stands, None if it has no dial. `digest`: of its file. `kind` and `device`: what computes it, and
    where, in words.
    """

    size: Size | None
    measured_at: MeasuredAt | None
    dial: Dial | None
    device: str
    digest: str
    kind: str

    def begin(self) -> None:
        """Another video begins: nothing that was shown before is one of its frames."""

    def at_once(self, count: int) -> int:
        """How many threads, of `count`, may call it from now on, each with a frame at a time; 1 where cores share a frame, or
        where frames are to come in their order. Cores that share a frame wait for one another.
        """

    def __call__(self, frames: Frames) -> Frames:
        """The next frames of the video, (N, 3, H, W) in [0, 1] -> the same shape, not yet clamped."""


class OnnxModel:
    """An exported anonymizer in onnxruntime, on the CPU, or on a GPU where the installed onnxruntime has CUDA.

    Where it carries a test frame, this machine's answer is compared: a GPU that is off gives way to the CPU, products of 8 bits
    that are off to float32; `missed` is how far it is off, None where there is no test frame. Raises AnalysisError where all
    that is off, and for what is no anonymizer of frames. cores: how many it takes, all for None.
    """

    def __init__(self, path: Path, device: str = "auto", cores: int | None = None) -> None:
        if device == "cuda" and not has_cuda():
            raise AnalysisError("--device cuda: this onnxruntime has no CUDA; install onnxruntime-gpu or give FILE.pt or a run")
        on_gpu = device != "cpu" and has_cuda()
        self._path, self._cores = path, cores or os.cpu_count() or 1
        self._quantized = True
        self.device = "cpu"
        self.kind = "ONNX"
        self._session = self._open(on_gpu)
        taken = frames_input(self._session)
        if taken is None:
            raise AnalysisError(f"{path}: no model of RGB frames (N, 3, H, W); make one with `python -m analysis export`")
        self.size, self._input = taken.size, taken.name
        self.digest = digest_of(path)
        carried: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.measured_at = MeasuredAt.of_json(carried[measured.KEY]) if measured.KEY in carried else None
        self.dial = Dial.of_json(carried.get(dial.KEY, ""))
        self._before = Before(taken.window or 1, self.measured_at.skip if self.measured_at else 1)
        if on_gpu:
            self.device = self._session.get_providers()[0].removesuffix("ExecutionProvider").lower()
        self.missed: float | None = None
        if proof.KEY in carried:
            self._prove(carried[proof.KEY], on_gpu)
        self._sessions = {self._cores: self._session}  # by how many threads compute a frame

    def begin(self) -> None:
        self._before.forget()

    def __call__(self, frames: Frames) -> Frames:
        found = self._run(self._before.seen(frames))
        self._before.keep()
        return found

    def at_once(self, count: int) -> int:
        count = min(count, self._cores) if self.device == "cpu" and self._before.window == 1 else 1
        threads = self._cores // count
        if threads not in self._sessions:
            self._sessions[threads] = self._open(False, self._quantized, threads)
        self._session = self._sessions[threads]
        return count

    def _run(self, seen: Frames) -> Frames:
        given = {self._input: seen}
        if self.dial is not None:
            given[dial.INPUT] = np.array([self.dial.at], np.float32)
        found: Frames = self._session.run(None, given)[0]
        return found

    def _open(self, on_gpu: bool, quantized: bool = True, threads: int = 0) -> Any:
        try:
            return open_session(self._path, on_gpu, threads or self._cores, quantized)
        except ValueError as error:
            raise AnalysisError(str(error)) from None

    def _prove(self, carried: str, on_gpu: bool) -> None:
        """Takes the first way of computing the model that gives the answer it carries."""
        try:
            wanted = proof.Proof.of_text(carried)
        except ValueError as error:
            raise AnalysisError(f"{self._path}: {error}; export it again") from None
        missed: list[float] = []
        for gpu, quantized in [*([(True, True)] if on_gpu else []), (False, True), (False, False)]:
            if missed:
                self._session, self._quantized = self._open(gpu, quantized), quantized
                self.device = "cpu"
            try:
                off = wanted.miss(self._run)
            except Exception:  # onnxruntime has a class of its own for every status
                off = float("inf")
            if off <= wanted.tolerance:
                self.missed = off
                if missed:
                    how = "the CPU" if quantized else "float32"
                    self.kind = f"ONNX in {how}, because what is faster is {missed[0]:.2g} off here"
                return
            missed.append(off)
        raise AnalysisError(
            f"{self._path}: this machine computes something else than was exported ({min(missed):.2g} off at its test frame,"
            f" tolerance {wanted.tolerance:.0e}); export it again, in float32"
        )


def digest_of(path: Path) -> str:
    """The start of the SHA-256 of a file."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]
