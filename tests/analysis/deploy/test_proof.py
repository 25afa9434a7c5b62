"""What was proven where a model was exported is proven again where it is used: the CPU, a GPU, products of 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.deploy.frame_model import Frames, OnnxModel
from analysis.deploy.load import load_model
from analysis.deploy.measured import MeasuredAt
from analysis.deploy.proof import Proof, smooth_frame
from analysis.deploy.video import VideoOptions
from analysis.read.store import AnalysisError
from tests.support.tiny_onnx import write_onnx


def proof_of(factor: float, tolerance: float = 0.01) -> Proof:
    frame = smooth_frame((24, 32))
    return Proof(frame, frame * np.float32(factor), tolerance)


def test_the_test_frame_goes_from_end_to_end_of_the_levels() -> None:
    frame = smooth_frame((24, 32))
    assert frame.shape == (1, 3, 24, 32)
    assert frame.min() < 0.1
    assert frame.max() > 0.9
    assert np.abs(np.diff(frame, axis=3)).max() < 0.25, "smooth, as pictures are"
    carried = Proof.of_text(proof_of(0.5).as_text())
    assert np.array_equal(carried.frame, frame)
    assert carried.miss(lambda frames: frames * np.float32(0.5)) == 0
    assert carried.miss(lambda frames: frames * np.float32(0.6)) == pytest.approx(0.1 * frame.max(), rel=1e-3)
    assert carried.miss(lambda frames: frames * np.nan) == np.inf
    assert carried.miss(lambda frames: frames[..., 1:]) == np.inf


def test_a_machine_that_computes_the_same(tmp_path: Path) -> None:
    assert OnnxModel(write_onnx(tmp_path / "a.onnx", 0.5, carried=proof_of(0.5))).kind == "ONNX"


def test_a_machine_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "a.onnx", 0.6, carried=proof_of(0.5))
    with pytest.raises(AnalysisError, match=r"computes something else than was exported \(0\.1 off") as caught:
        OnnxModel(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


class _Off:
    """A session whose products are off."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, names: Any, given: dict[str, Frames]) -> list[Frames]:
        return [found + np.float32(0.2) for found in self._session.run(names, given)]


def test_products_of_8_bits_that_are_off_give_way_to_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = OnnxModel._open

    def saturating(self: OnnxModel, on_gpu: bool, quantized: bool = True, threads: int = 0) -> Any:
        session = right(self, on_gpu, quantized, threads)
        return _Off(session) if quantized else session

    monkeypatch.setattr(OnnxModel, "_open", saturating)
    model = OnnxModel(write_onnx(tmp_path / "a.onnx", 0.5, carried=proof_of(0.5)))
    assert model.kind == "ONNX in float32, because what is faster is 0.2 off here"
    for calls in (1, 4):
        model.at_once(calls)
        assert np.array_equal(model(np.ones((1, 3, 4, 4), np.float32)), np.full((1, 3, 4, 4), 0.5, np.float32))
    made_with = VideoOptions().made_with(model)
    assert made_with["computed_by"] == model.kind, "it is in the record"


def test_a_model_under_any_name(tmp_path: Path) -> None:
    at = MeasuredAt(32, 32, 1.0, 8, 4)
    for name in ("model", "camera.bin", "a.ONNX"):
        assert load_model(str(write_onnx(tmp_path / name, measured_at=at))).measured_at == at


def test_a_test_frame_that_cannot_be_read(tmp_path: Path) -> None:
    import onnx
    from onnx import helper

    path = write_onnx(tmp_path / "a.onnx")
    model = onnx.load(path)
    helper.set_model_props(model, {"proof": "{}"})
    onnx.save(model, path)
    with pytest.raises(AnalysisError, match="its test frame cannot be read"):
        OnnxModel(path)
