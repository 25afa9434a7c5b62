"""On the CPU frames are anonymized side by side; what comes out is that of one after another."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from analysis.deploy.anonymize import anonymize
from analysis.deploy.frame_model import Frames, OnnxModel
from analysis.deploy.measured import MeasuredAt
from analysis.deploy.video import VideoOptions
from tests.support.tiny_onnx import write_onnx
from tests.support.videos import moving_noise, read_video, write_video


class _Slow:
    """A session that takes the longer the brighter a frame is; it counts how many are computed at once."""

    def __init__(self, session: Any, threads: int) -> None:
        self._session, self._lock, self.threads, self.now, self.most = session, threading.Lock(), threads, 0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, names: Any, given: dict[str, Frames]) -> Any:
        (frames,) = given.values()
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.3 * float(frames.mean()))
        with self._lock:
            self.now -= 1
        return self._session.run(names, given)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[_Slow]:
    """The sessions that are opened, in their order."""
    found, right = list[_Slow](), OnnxModel._open

    def slow(self: OnnxModel, on_gpu: bool, quantized: bool = True, threads: int = 0) -> Any:
        found.append(_Slow(right(self, on_gpu, quantized, threads), threads or self._cores))
        return found[-1]

    monkeypatch.setattr(OnnxModel, "_open", slow)
    return found


@pytest.mark.parametrize(("cores", "batch", "threads"), [(3, 8, [3, 1]), (8, 2, [8, 4]), (1, 8, [1]), (4, 1, [4])])
def test_frames_come_out_in_their_order_however_long_each_takes(
    tmp_path: Path, opened: list[_Slow], cores: int, batch: int, threads: list[int]
) -> None:
    """moving_noise fades: later frames are quicker. A batch of one is for who waits for each frame: all cores share it."""
    raw = moving_noise(11, 24, 32)
    write_video(tmp_path / "in.mkv", raw)
    model, options = OnnxModel(write_onnx(tmp_path / "a.onnx", 0.5), cores=cores), VideoOptions(codec="ffv1", batch=batch)
    for name in ("a.mkv", "b.mkv"):
        assert anonymize(str(tmp_path / "in.mkv"), tmp_path / name, model, options, list[str]().append) == 0
        assert np.abs(read_video(tmp_path / name) - raw / 2).max() <= 0.5, "half as bright, but for the rounding"
    assert [session.threads for session in opened] == threads, "each opened once"
    assert [session.most for session in opened] == [1, *([min(cores, batch)] if len(threads) > 1 else [])]


def test_who_sees_time_gets_frames_in_their_order(tmp_path: Path) -> None:
    assert OnnxModel(write_onnx(tmp_path / "a.onnx"), cores=4).at_once(8) == 4
    made = onnx.load(write_onnx(tmp_path / "b.onnx", measured_at=MeasuredAt(32, 32, 1.0, 8, 4)))
    frames = made.graph.input[0].type.tensor_type.shape.dim
    sides = [frames[number].dim_param for number in (2, 3)]
    del frames[1:]
    frames.add().dim_value = 2
    frames.add().dim_value = 3
    for side in sides:
        frames.add().dim_param = side
    onnx.save(made, tmp_path / "b.onnx")
    assert OnnxModel(tmp_path / "b.onnx", cores=4).at_once(8) == 1


def test_a_model_of_one_frame_at_a_time_fails_at_no_batch(tmp_path: Path) -> None:
    raw = moving_noise(5, 24, 32)
    write_video(tmp_path / "in.mkv", raw)
    made = onnx.load(write_onnx(tmp_path / "a.onnx", 0.5))
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(made, tmp_path / "one.onnx")
    model = OnnxModel(tmp_path / "one.onnx", cores=2)
    assert anonymize(str(tmp_path / "in.mkv"), tmp_path / "out.mkv", model, VideoOptions(codec="ffv1"), list[str]().append) == 0
    assert np.abs(read_video(tmp_path / "out.mkv") - raw / 2).max() <= 0.5
