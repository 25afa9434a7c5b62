"""Parts of a video: of its time, of its picture; and videos that come and go through pipes."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from analysis.__main__ import main
from analysis.deploy.anonymize import anonymize
from analysis.deploy.record import Record
from analysis.deploy.video import Box, VideoOptions, part_of_text
from analysis.read.store import AnalysisError
from tests.support import ROOT
from tests.support.tiny_onnx import write_onnx
from tests.support.videos import Inverse, frame_times, moving_noise, read_video, write_video

PICTURES = moving_noise(50, 48, 64)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "in.mkv", PICTURES)


def run(video: Path, output: Path, *more: str) -> int:
    model = write_onnx(output.parent / "a.onnx", 0.0)  # all black
    return main(["anonymize", str(video), str(output), "--model", str(model), "--codec", "ffv1", *more])


@pytest.mark.parametrize(
    ("asked", "first", "count"),
    [
        (("--from", "0.4"), 10, 40),
        (("--to", "0.4"), 0, 10),
        (("--from", "0.39", "--to", "1"), 10, 15),
        (("--from", "1", "--seconds", "0.2"), 25, 5),
        (("--from", "0"), 0, 50),
    ],
)
def test_from_and_to_are_seconds_of_the_input(
    video: Path, tmp_path: Path, asked: tuple[str, ...], first: int, count: int
) -> None:
    assert run(video, tmp_path / "out.mkv", *asked, "--side-by-side") == 0
    shown = read_video(tmp_path / "out.mkv")
    assert (shown[:, :, :64] == PICTURES[first : first + count]).all()
    assert (shown[:, :, 64:] == 0).all()
    assert frame_times(tmp_path / "out.mkv") == pytest.approx([number / 25 for number in range(count)], abs=1e-3)


def test_sound_begins_with_the_picture(tmp_path: Path) -> None:
    """The second of sound of a video of two seconds."""
    source, output = write_video(tmp_path / "in.mp4", PICTURES, "libx264", sound=True), tmp_path / "out.mp4"
    options = VideoOptions(keep_audio=True, start=0.6)
    assert anonymize(str(source), output, Inverse(), options, lambda line: None) == 0
    with av.open(str(output)) as container:
        times = [float(packet.pts * packet.time_base) for packet in container.demux(audio=0) if packet.pts is not None]
    assert 0 <= min(times) < 0.07
    assert 0.3 < max(times) < 0.45


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("--from", "-1"), "--from -1: give a second of the video"),
        (("--from", "2"), "no frame after 2 s; give an earlier --from"),
        (("--from", "1", "--to", "1"), "--to 1: give a second after --from"),
        (("--black", "1,2,3"), "--black 1,2,3: give LEFT,TOP,WIDTH,HEIGHT in pixels"),
        (("--leave", "0,0,0,9"), "--leave 0,0,0,9: give LEFT,TOP,WIDTH,HEIGHT in pixels"),
        (("--black", "60,0,5,5"), "--black 60,0,5,5 reaches out of its pictures of 48x64 (HxW)"),
    ],
)
def test_parts_that_are_none_are_one_line(
    video: Path, tmp_path: Path, asked: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(video, tmp_path / "out.mkv", *asked) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize("both", [False, True])
def test_a_part_of_the_picture_is_always_black_and_another_left_alone(video: Path, tmp_path: Path, both: bool) -> None:
    """What is both is black; a frame that fails is black everywhere; the record says what is raw."""
    options = VideoOptions(
        codec="ffv1", batch=1, side_by_side=both, size=(24, 32), black=(Box(8, 4, 20, 10),), leave=(Box(0, 0, 16, 8),)
    )
    assert anonymize(str(video), tmp_path / "out.mkv", Inverse(nan_at=(3,)), options, lambda line: None) == 1
    shown = read_video(tmp_path / "out.mkv")
    assert (shown[3] == 0).all()
    whole, fine = shown[:, :, -64:], [number for number in range(50) if number != 3]
    assert (whole[fine, :8, :8] == PICTURES[fine, :8, :8]).all()
    assert (shown[:, 4:14, 8:28] == 0).all(), "in the half that is raw as well"
    assert (whole[:, 4:14, 8:28] == 0).all()
    assert np.abs(whole[fine, 20:, 32:].astype(int) - (255 - PICTURES[fine, 20:, 32:].astype(int))).mean() < 30
    record = Record.read(tmp_path / "out.mkv")
    assert record is not None
    assert {"left RAW: 0,0,16,8", "always black: 8,4,20,10"} <= set(record.found["notes"])
    assert record.found["figures_hold"] is False


def mask(path: Path, inside: np.ndarray, mode: str = "L") -> Path:
    Image.fromarray(np.where(inside, 255, 0).astype(np.uint8)).convert(mode).save(path)
    return path


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGB", "RGBA"])
def test_a_part_may_have_any_shape(video: Path, tmp_path: Path, mode: str) -> None:
    """Black where the mask is white, raw where the other one is, anonymized elsewhere; another mask makes the output anew."""
    y, x = np.mgrid[:48, :64]
    disc, corner = (y - 24) ** 2 + (x - 40) ** 2 < 100, x + y < 20
    black, leave = (mask(tmp_path / f"{name}.png", part, mode) for name, part in (("disc", disc), ("corner", corner)))
    parts = {"black": (part_of_text("--black", str(black)),), "leave": (part_of_text("--leave", str(leave)),)}
    options = VideoOptions(codec="ffv1", size="native", **parts)
    assert anonymize(str(video), tmp_path / "out.mkv", Inverse(), options, lambda line: None) == 0
    shown = read_video(tmp_path / "out.mkv")
    assert (shown[:, disc] == 0).all()
    assert (shown[:, corner] == PICTURES[:, corner]).all()
    assert (shown[:, ~(disc | corner)] == 255 - PICTURES[:, ~(disc | corner)]).all()
    record = Record.read(tmp_path / "out.mkv")
    assert record is not None
    assert record.made_with["black"] == f"disc.png (sha256 {hashlib.sha256(black.read_bytes()).hexdigest()[:16]})"
    mask(black, ~disc, mode)
    again = replace(options, black=(part_of_text("--black", str(black)),))
    assert "black was disc.png" in record.differences(video, again.made_with(Inverse()))[0]


def test_masks_that_do_not_fit_are_one_line(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = np.ones((48, 64), bool)
    (tmp_path / "text.png").write_text("no picture")
    clear = tmp_path / "clear.png"
    Image.new("RGBA", (64, 48), (255, 255, 255, 0)).save(clear)
    for path, message in (
        (mask(tmp_path / "lying.png", whole.T), "--black lying.png is 64x48, and its pictures, upright, are 48x64 (HxW)"),
        (mask(tmp_path / "empty.png", ~whole), "empty.png: has no pixel that is not black"),
        (clear, "clear.png: is transparent"),
        (tmp_path / "text.png", "text.png: not a readable PNG file"),
        (tmp_path / "gone.png", "gone.png: not a readable PNG file"),
    ):
        assert run(video, tmp_path / "out.mkv", "--black", str(path)) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert not (tmp_path / "out.mkv").exists()


def test_options_that_are_not_given_leave_older_records_as_they_were(video: Path) -> None:
    made_with = VideoOptions().made_with(Inverse())
    assert {made_with[name] for name in ("start", "end", "black", "left_raw")} == {None}, "as a record that lacks them"


def test_a_video_goes_through_pipes(video: Path, tmp_path: Path) -> None:
    model = write_onnx(tmp_path / "a.onnx", 0.0)
    command = [
        sys.executable,
        "-m",
        "analysis",
        "anonymize",
        "-",
        "-",
        "--model",
        str(model),
        "--codec",
        "ffv1",
        "--side-by-side",
    ]
    done = subprocess.run(command, cwd=ROOT, input=video.read_bytes(), capture_output=True, check=True)
    with av.open(io.BytesIO(done.stdout)) as container:
        shown = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert (shown[:, :, :64] == PICTURES).all()
    assert (shown[:, :, 64:] == 0).all()
    assert b"-: 50 frames of 48x64" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "in.mkv"]


def test_a_folder_does_not_go_through_a_pipe(video: Path) -> None:
    with pytest.raises(AnalysisError, match="for a folder of videos give another folder"):
        anonymize(str(video.parent), Path("-"), Inverse(), VideoOptions(), lambda line: None)
