"""What a killed process has left unfinished is told from what is being written, and removed."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.deploy.whole import hold, name_beside, remove_left, whole
from tests.support import ROOT
from tests.support.tiny_onnx import write_onnx
from tests.support.videos import moving_noise, write_video


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_is_written_stays_until_its_process_is_killed(tmp_path: Path) -> None:
    beside = name_beside(tmp_path / "out.mp4")
    code = "import sys, time; from pathlib import Path; from analysis.deploy.whole import hold;"
    code += "hold(Path(sys.argv[1])); print('held', flush=True); time.sleep(3600)"
    with subprocess.Popen([sys.executable, "-c", code, str(beside)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            remove_left([tmp_path])
            assert files_in(tmp_path) == {beside.name}
        finally:
            process.kill()
    remove_left([tmp_path])
    assert files_in(tmp_path) == set()


def test_only_what_this_project_left_is_removed(tmp_path: Path) -> None:
    left = {".0123456789ab.partial.mp4", ".0123456789ab.partial.json", ".0123456789ab.partial"}
    others = {"out.mp4", ".hidden.mp4", ".0123.partial.mp4", "0123456789ab.partial.mp4", ".0123456789ab.partial.link"}
    for name in (left | others) - {".0123456789ab.partial.link"}:
        (tmp_path / name).touch()
    (tmp_path / ".0123456789ab.partial.link").symlink_to(tmp_path / "out.mp4")
    remove_left([tmp_path / "none", tmp_path])
    assert files_in(tmp_path) == others


def test_where_there_are_no_locks_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(held: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    beside = name_beside(tmp_path / "out.mp4")
    os.close(hold(beside))
    remove_left([tmp_path])
    assert files_in(tmp_path) == {beside.name}
    with whole(tmp_path / "out.json") as path:
        path.write_text("{}")
    assert (tmp_path / "out.json").read_text() == "{}"


def test_a_file_that_was_removed_before_it_was_held_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside, lock, calls = name_beside(tmp_path / "out.mp4"), fcntl.flock, []

    def late(held: int, how: int) -> None:
        calls.append(held)
        if len(calls) == 1:
            beside.unlink()
        lock(held, how)

    monkeypatch.setattr(fcntl, "flock", late)
    held = hold(beside)
    assert len(calls) == 2
    remove_left([tmp_path])
    assert files_in(tmp_path) == {beside.name}
    os.close(held)


def test_a_folder_is_rid_of_what_a_killed_command_left(tmp_path: Path) -> None:
    write_onnx(tmp_path / "a.onnx")
    (tmp_path / "in" / "deep").mkdir(parents=True)
    write_video(tmp_path / "in" / "deep" / "a.mkv", moving_noise(600, 144, 176))
    arguments = ["anonymize", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(tmp_path / "a.onnx")]
    arguments += ["--codec", "ffv1", "--batch", "1"]
    out = tmp_path / "out" / "deep"
    with subprocess.Popen([sys.executable, "-m", "analysis", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        end = time.monotonic() + 300
        while not list(out.glob(".*.partial.mkv")) and time.monotonic() < end:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    left = files_in(out)
    assert len(left) == 1
    assert ".partial.mkv" in left.pop()
    another = name_beside(out / "b.mkv")
    held = hold(another)
    assert main(arguments) == 0
    assert files_in(out) == {"a.mkv", "a.mkv.json", another.name}, "what somebody else writes there stays"
    os.close(held)
    assert main(arguments) == 0
    assert files_in(out) == {"a.mkv", "a.mkv.json"}
