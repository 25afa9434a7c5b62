"""On the CPU the frames of a batch are computed side by side; what comes out is that of one after another."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from analysis.deploy.frame_model import Frames, OnnxModel
from tests.support.tiny_onnx import write_onnx

FRAMES = np.linspace(0, 1, 7 * 3 * 4 * 4, dtype=np.float32).reshape(7, 3, 4, 4)


class _Slow:
    """A session whose first frame takes longest; it counts how many are computed at once."""

    def __init__(self, session: Any) -> None:
        self._session, self._lock, self.now, self.most = session, threading.Lock(), 0, 0

    def run(self, names: Any, given: dict[str, Frames]) -> Any:
        (frames,) = given.values()
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.2 * (1 - float(frames.min())))
        with self._lock:
            self.now -= 1
        return self._session.run(names, given)


@pytest.mark.parametrize(("cores", "at_once"), [(3, 3), (1, 0)])
def test_frames_come_out_in_their_order_however_long_each_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, at_once: int
) -> None:
    model, opened = OnnxModel(write_onnx(tmp_path / "a.onnx", 0.5), cores=cores), list[_Slow]()
    right = OnnxModel._open

    def slow(self: OnnxModel, *arguments: Any) -> Any:
        opened.append(_Slow(right(self, *arguments)))
        return opened[-1]

    monkeypatch.setattr(OnnxModel, "_open", slow)
    for _ in range(2):
        np.testing.assert_array_equal(model(FRAMES), FRAMES / 2)
    assert [session.most for session in opened] == [at_once] * bool(at_once), "one session more, opened once"


def test_a_model_of_one_frame_at_a_time_takes_a_batch(tmp_path: Path) -> None:
    made = onnx.load(write_onnx(tmp_path / "a.onnx", 0.5))
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(made, tmp_path / "one.onnx")
    np.testing.assert_array_equal(OnnxModel(tmp_path / "one.onnx", cores=2)(FRAMES), FRAMES / 2)


def test_a_model_that_gives_another_shape_is_no_answer(tmp_path: Path) -> None:
    """One channel would otherwise pass for three."""
    sides = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, "height", "width"])
        for name, channels in (("frames", 3), ("grey", 1))
    ]
    grey = helper.make_node("ReduceMean", ["frames"], ["grey"], axes=[1])
    model = helper.make_model(
        helper.make_graph([grey], "grey", sides[:1], sides[1:]), opset_imports=[helper.make_opsetid("", 17)], ir_version=10
    )
    onnx.save(model, tmp_path / "grey.onnx")
    with pytest.raises(ValueError, match=re.escape("the model gives (1, 1, 4, 4) for (1, 3, 4, 4)")):
        OnnxModel(tmp_path / "grey.onnx", cores=2)(FRAMES)
