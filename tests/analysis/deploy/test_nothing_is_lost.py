"""What is written is what was given, or an error of one line; a folder leaves out nothing unsaid, makes anew what differs."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from analysis.deploy import memory, record
from analysis.deploy.anonymize import anonymize
from analysis.deploy.folder import is_video, output_names
from analysis.deploy.one_video import WorkContext, anonymize_video
from analysis.deploy.record import Record
from analysis.deploy.video import VideoOptions
from analysis.deploy.video_output import VideoOutput
from analysis.read.store import AnalysisError
from tests.support import ROOT
from tests.support.tiny_onnx import write_onnx
from tests.support.videos import Inverse, facts_of, moving_noise, read_video, write_video


def names_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        (lambda frame, place: None if place == 4 else frame, "8 frames of 9"),
        (lambda frame, place: _later(frame, 5000) if place == 8 else frame, "s from the first frame to the last, not 0.32"),
    ],
)
def test_a_file_that_is_not_what_was_written_gets_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: Any, message: str
) -> None:
    source = write_video(tmp_path / "in.mkv", moving_noise(9, 24, 32))
    right, places = VideoOutput._encode, iter(range(99))

    def losing(self: VideoOutput, frame: Any) -> None:
        kept = frame if frame is None else lost(frame, next(places))
        if kept is not None or frame is None:
            right(self, kept)

    monkeypatch.setattr(VideoOutput, "_encode", losing)
    with pytest.raises(AnalysisError, match=f"what was written is not what was given .*{message}"):
        anonymize(str(source), tmp_path / "out.mp4", Inverse(), VideoOptions(), lambda line: None)
    assert names_in(tmp_path) == ["in.mkv"]


def _later(frame: Any, ticks: int) -> Any:
    frame.pts += ticks
    return frame


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_no_time_at_all_is_refused(tmp_path: Path, seconds: float) -> None:
    source = write_video(tmp_path / "in.mkv", moving_noise(3, 24, 32))
    with pytest.raises(AnalysisError, match=r"--seconds .*: give more than 0"):
        anonymize(str(source), tmp_path / "out.mp4", Inverse(), VideoOptions(seconds=seconds))
    assert names_in(tmp_path) == ["in.mkv"]


def test_a_disk_that_is_full_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_video(tmp_path / "in.mkv", moving_noise(3, 24, 32))
    right = VideoOutput._open

    class Full:
        def __init__(self, container: Any) -> None:
            self._container = container

        def __getattr__(self, name: str) -> Any:
            return getattr(self._container, name)

        def close(self) -> None:
            self._container.close()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def opened(self: VideoOutput) -> None:
        right(self)
        self._container = Full(self._container)

    monkeypatch.setattr(VideoOutput, "_open", opened)
    with pytest.raises(AnalysisError, match=r"cannot be written on \(.*No space left.*\); nothing of it was kept"):
        anonymize(str(source), tmp_path / "out.mp4", Inverse(), VideoOptions(), lambda line: None)
    assert names_in(tmp_path) == ["in.mkv"]


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mkv", moving_noise(3, 24, 32))
    with pytest.raises(AnalysisError, match=r"out\.mp4: cannot be made with "):
        anonymize(str(source), Path("/proc/out.mp4"), Inverse(), VideoOptions(), lambda line: None)


CHANGES = {
    "keep_audio was True, is False": VideoOptions(),
    "seconds was None, is 0.5": VideoOptions(keep_audio=True, seconds=0.5),
    "size was native, is 16x16": VideoOptions(keep_audio=True, size=(16, 16)),
    "side_by_side was False, is True": VideoOptions(keep_audio=True, side_by_side=True),
    "codec was auto, is mpeg4": VideoOptions(keep_audio=True, codec="mpeg4"),
}


def test_whatever_changes_the_output_makes_it_anew(tmp_path: Path) -> None:
    """Keeping the sound and then not: the voices must be gone."""
    folder, target = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    write_video(folder / "a.mp4", moving_noise(25, 32, 32), "libx264", sound=True)
    before = VideoOptions(keep_audio=True)
    for words, options in CHANGES.items():
        said: list[str] = []
        assert anonymize(str(folder), target, Inverse(), before, lambda line: None) == 0
        assert anonymize(str(folder), target, Inverse(), options, said.append) == 0
        assert f"made anew: {target / 'a.mp4'}, {words}" in said
        assert "1 of 1 videos anonymized, 0 skipped" in said[-1]
        with av.open(str(target / "a.mp4")) as container:
            assert len(container.streams.audio) == options.keep_audio
    said = []
    assert anonymize(str(folder), target, Inverse(), options, said.append) == 0
    assert f"skipped: {target / 'a.mp4'}, finished earlier" in said


def test_an_input_that_was_replaced_is_made_anew(tmp_path: Path) -> None:
    folder, target = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    source = write_video(folder / "a.mkv", moving_noise(9, 24, 32))
    options, said = VideoOptions(codec="ffv1"), list[str]()
    assert anonymize(str(folder), target, Inverse(), options, said.append) == 0
    known = Record.read(target / "a.mkv")
    assert known is not None
    assert known.source.sha256 == record._hash(source)
    times = source.stat()
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns + 10**9))
    assert anonymize(str(folder), target, Inverse(), options, said.append) == 0
    assert said[-2] == f"skipped: {target / 'a.mkv'}, finished earlier", "only the time of change is another"
    other = moving_noise(9, 24, 32)[::-1]
    write_video(source, other)
    assert anonymize(str(folder), target, Inverse(), options, said.append) == 0
    assert f"made anew: {target / 'a.mkv'}, the input is another file" in said
    assert (read_video(target / "a.mkv") == 255 - other).all()
    (target / "a.mkv").write_bytes(b"somebody else's")
    assert anonymize(str(folder), target, Inverse(), options, said.append) == 1
    assert (target / "a.mkv").read_bytes() == b"somebody else's"


def test_who_is_killed_just_before_the_name_is_given_can_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record of what is made anew is there by then, and the old output must not pass for another one's."""
    folder, target = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    write_video(folder / "a.mkv", moving_noise(9, 24, 32))
    assert anonymize(str(folder), target, Inverse(), VideoOptions(codec="ffv1"), lambda line: None) == 0

    def killed(self: VideoOutput) -> None:
        raise KeyboardInterrupt

    again = VideoOptions(codec="ffv1", size=(16, 16))
    with monkeypatch.context() as patched:
        patched.setattr(VideoOutput, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            anonymize(str(folder), target, Inverse(), again, lambda line: None)
    said: list[str] = []
    assert anonymize(str(folder), target, Inverse(), again, said.append) == 0
    assert "1 of 1 videos anonymized" in said[-1]
    assert names_in(target) == ["a.mkv", "a.mkv.json"]


def test_no_output_takes_the_name_of_another(tmp_path: Path) -> None:
    names = ["a.ts", "a.ts.mp4", "a.ts.mp4.mp4", "b.webm", "deep/a.ts"]
    found = output_names([tmp_path / name for name in names], tmp_path)
    assert [str(name) for name in found.values()] == [
        "a.ts.mp4.mp4.mp4",
        "a.ts.mp4",
        "a.ts.mp4.mp4",
        "b.webm.mp4",
        "deep/a.ts.mp4",
    ]


def test_what_is_left_out_is_named_and_linked_folders_are_not(tmp_path: Path) -> None:
    folder, elsewhere, target = tmp_path / "in", tmp_path / "elsewhere", tmp_path / "in" / "out"
    folder.mkdir()
    elsewhere.mkdir()
    for name, codec in (("a.m2ts", "libx264"), ("b.ogv", "libvpx")):
        path = write_video(elsewhere / "x.mkv", moving_noise(4, 32, 32), codec)
        path.rename(elsewhere / name)
    (folder / "linked").symlink_to(elsewhere)
    (elsewhere / "round").symlink_to(folder)
    (folder / "notes.txt").write_text("text")
    said: list[str] = []
    assert anonymize(str(folder), target, Inverse(), VideoOptions(), said.append) == 0
    assert [name for name in names_in(target) if name.endswith(".mp4")] == ["linked/a.m2ts.mp4", "linked/b.ogv.mp4"]
    assert "left out, by their names no videos: notes.txt" in said
    assert anonymize(str(folder), target, Inverse(), VideoOptions(), said.append) == 0
    assert "0 of 2 videos anonymized, 2 skipped" in said[-1]


@pytest.mark.parametrize(
    "suffix", [".m2ts", ".vob", ".ogv", ".gif", ".h264", ".mxf", ".asf", ".MTS", ".Mp4", ".y4m", ".3g2", ".dv"]
)
def test_names_of_videos(suffix: str) -> None:
    assert is_video(Path(f"a{suffix}"))


@pytest.mark.parametrize(
    ("one", "free", "batch"), [(100, 10_000, 8), (1000, 10_000, 5), (9000, 10_000, 1), (0, 10_000, 8), (5, 0, 8)]
)
def test_a_batch_takes_half_of_the_free_memory_at_most(one: int, free: int, batch: int) -> None:
    assert memory.fitting(8, one, free) == batch


@pytest.mark.parametrize("forgets", [True, False])
def test_memory_that_a_call_takes_is_measured(forgets: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """After more has been held before, and also where the kernel does not let that be forgotten."""
    if not forgets:
        monkeypatch.setattr(memory, "_forget_peak", lambda: False)
    size = 2**26
    np.ones(4 * size, np.uint8)
    assert 0.8 * size < memory.bytes_taken(lambda: np.ones(size, np.uint8)) < 3 * size


@pytest.mark.parametrize(("beside", "batch"), [(1, 3), (2, 1)])
def test_a_large_frame_makes_the_batch_small(beside: int, batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "bytes_taken", lambda run: (run(), 2**20)[1])
    monkeypatch.setattr(memory, "free_bytes", lambda: 6 * 2**20)
    shapes: list[int] = []

    class Counting(Inverse):
        def __call__(self, frames: Any) -> Any:
            shapes.append(len(frames))
            return super().__call__(frames)

    said: list[str] = []
    source = write_video(tmp_path / "in.mkv", moving_noise(9, 24, 32))
    anonymize_video(str(source), tmp_path / "out.mkv", Counting(), VideoOptions(), said.append, WorkContext(beside=beside))
    assert shapes == [1, *[batch] * (9 // batch)]
    assert f"{batch} frames at a time, as memory allows" in "\n".join(said)


def test_a_signal_leaves_nothing_half_written(tmp_path: Path) -> None:
    """The signal comes as soon as the file that is being written is there."""
    model = write_onnx(tmp_path / "a.onnx")
    source = write_video(tmp_path / "in.ts", moving_noise(400, 144, 176), "mpeg2video")
    command = [sys.executable, "-m", "analysis", "anonymize", str(source), str(tmp_path / "out.mkv"), "--model", str(model)]
    with subprocess.Popen(
        [*command, "--codec", "ffv1", "--batch", "1"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        end = time.monotonic() + 60
        while not any(name.endswith(".partial.mkv") for name in names_in(tmp_path)) and time.monotonic() < end:
            time.sleep(0.002)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert b"nothing of the video in work was written" in error
    assert names_in(tmp_path) == ["a.onnx", "in.ts"]


def test_a_model_of_onnx_needs_neither_torch_nor_mlflow(tmp_path: Path) -> None:
    """They take seconds to import; a video of one frame should not wait for them."""
    model, source = write_onnx(tmp_path / "a.onnx"), write_video(tmp_path / "in.mkv", moving_noise(1, 24, 32))
    slow = ("torch", "mlflow", "pandas", "sqlalchemy", "scipy", "onnx", "fsspec", "rich")
    code = (
        "import sys; from analysis.__main__ import main;"
        f"code = main(['anonymize', {str(source)!r}, {str(tmp_path / 'out.mp4')!r}, '--model', {str(model)!r}]);"
        f"print(*[name for name in {slow!r} if name in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
    assert facts_of(tmp_path / "out.mp4")[0] == 1
