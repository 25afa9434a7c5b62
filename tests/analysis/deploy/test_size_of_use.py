"""An anonymizer works at the size that its figures were measured at; another one is asked for, warned of and recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.__main__ import main
from analysis.deploy.anonymize import anonymize
from analysis.deploy.frame_model import OnnxModel
from analysis.deploy.measured import MeasuredAt
from analysis.deploy.record import Record
from analysis.deploy.video import VideoOptions
from tests.support.tiny_onnx import write_onnx
from tests.support.videos import Inverse, read_video, write_video

AT_16 = MeasuredAt(decode_size=20, clip_size=16, crop=0.8, frames=8, skip=4)


class Measured(Inverse):
    """Inverts frames, was measured at 20 x 20 pixels, and notes what it is given."""

    measured_at = AT_16

    def __init__(self) -> None:
        super().__init__()
        self.sizes: set[tuple[int, ...]] = set()

    def __call__(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        self.sizes.add(frames.shape[2:])
        return super().__call__(frames)


def chessboard() -> NDArray[np.uint8]:
    """Three frames of 40 x 80 whose pixels alternate between black and white: finer than 20 x 20 pixels can show."""
    rows, columns = np.indices((40, 80))
    return np.repeat((255 * ((rows + columns) % 2)).astype(np.uint8)[None, ..., None], 3, 0).repeat(3, -1)


def test_people_are_as_large_as_they_were_when_measured() -> None:
    values = {"clip.decode_size": "280", "clip.size": "224", "clip.frames": "16", "clip.skip": "4", "augment.test_crop": "0.8"}
    paper = MeasuredAt.of_config(values)
    assert paper is not None
    assert paper.whole_frame == (280, 280)  # of which the middle 0.8 is 224
    assert MeasuredAt.of_json(paper.as_json()) == paper
    assert paper.words() == "frames of 280x280 pixels (of each the middle 224x224), one in 4 frames"
    assert MeasuredAt.of_config({**values, "augment.test_crop": "0.5"}).whole_frame == (448, 448)  # type: ignore[union-attr]
    at_128 = MeasuredAt.of_config({**values, "evaluate_at": "128"})  # the trial was evaluated where it works at that size
    assert at_128 is not None
    assert (at_128.clip_size, at_128.decode_size, at_128.whole_frame) == (128, 160, (160, 160))
    assert MeasuredAt.of_config({**values, "evaluate_at": "None"}) == paper
    assert MeasuredAt.of_config({}) is None
    assert MeasuredAt.of_json("{}") is None


@pytest.mark.parametrize(
    ("size", "sizes", "holds"), [(None, {(20, 20)}, True), ("native", {(40, 80)}, False), ((10, 12), {(10, 12)}, False)]
)
def test_the_size_of_use(tmp_path: Path, size: tuple[int, int] | None, sizes: set[tuple[int, int]], holds: bool) -> None:
    source = write_video(tmp_path / "in.mkv", chessboard())
    output, model, said = tmp_path / "out.mkv", Measured(), list[str]()
    assert anonymize(str(source), output, model, VideoOptions(size=size, codec="ffv1"), said.append) == 0  # type: ignore[arg-type]
    assert model.sizes == sizes
    made, record = read_video(output), Record.read(output)
    assert made.shape == (3, 40, 80, 3), "the output has the size of the video"
    fine = size == "native"
    assert (made.std() > 100) == fine, "what is finer than the size of use is gone"
    assert record is not None
    assert record.found["figures_hold"] is holds
    (worked,) = sizes
    assert record.found["worked_at"] == f"{worked[0]}x{worked[1]}"
    assert record.found["measured_at"] == AT_16.words()
    warned = [line for line in said if line.startswith("warning: ")]
    assert len(warned) == (0 if holds else 1)
    assert ("the size it was measured at" in "\n".join(said)) is holds
    if not holds:
        assert AT_16.words() in warned[0]


def test_what_is_exported_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_onnx(tmp_path / "a.onnx", 0.5, AT_16)
    assert OnnxModel(model).measured_at == AT_16
    source = write_video(tmp_path / "in.mkv", chessboard())
    command = ["anonymize", str(source), str(tmp_path / "out.mkv"), "--model", str(model), "--codec", "ffv1"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "warning" not in said
    assert "worked at 20x20, the size it was measured at" in said
    assert abs(read_video(tmp_path / "out.mkv").astype(int) - 64).max() <= 20, "a grey of half the level"
    assert main([*command, "--overwrite", "--size", "native"]) == 0
    assert capsys.readouterr().out.startswith(
        "warning: the network works at each video's own size, and its figures were measured"
    )
    assert set(np.unique(read_video(tmp_path / "out.mkv"))) == {0, 128}


def test_a_model_that_does_not_say_it(tmp_path: Path) -> None:
    source, said = write_video(tmp_path / "in.mkv", chessboard()), list[str]()
    model = OnnxModel(write_onnx(tmp_path / "a.onnx"))
    assert anonymize(str(source), tmp_path / "out.mkv", model, VideoOptions(), said.append) == 0
    assert said[0].startswith("note: this model does not say at which size it was measured")
