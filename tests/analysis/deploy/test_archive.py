"""A folder on Ray: the files, records and exit codes of the command without it, whatever dies meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from analysis.__main__ import main
from analysis.deploy import archive
from analysis.deploy.archive import ModelFile, _Progress, _Shared
from analysis.deploy.folder import Done, Job
from analysis.deploy.video import VideoOptions
from tests.support import ROOT
from tests.support.environment import as_in_a_new_shell
from tests.support.plugin_files import loaded
from tests.support.tiny_onnx import write_onnx
from tests.support.videos import frame_times, moving_noise, read_video, write_video
from trainables.cluster import JOB_VARIABLE

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.timeout(600)  # on a busy machine Ray takes long to start


def contents(folder: Path) -> dict[str, object]:
    """All files below a folder, hidden ones too: of videos frames and times (Matroska draws a number for each file)."""
    found: dict[str, object] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        video = path.suffix == ".mkv" and not path.name.startswith(".")
        content = (read_video(path).tobytes(), frame_times(path)) if video else path.read_bytes()
        found[str(path.relative_to(folder))] = content
    return found


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`in`: three videos in two folders, a file that is none; `model.onnx`."""
    folder = tmp_path_factory.mktemp("given")
    write_onnx(folder / "model.onnx", 0.5)
    (folder / "in" / "deep").mkdir(parents=True)
    for name, frames in (("a.mkv", 300), ("b.mkv", 9), ("deep/c.mkv", 12)):
        write_video(folder / "in" / name, moving_noise(frames, 144, 176))
    (folder / "in" / "broken.mp4").write_bytes(b"text" * 99)
    return folder


@pytest.fixture(scope="module")
def plain(given: Path) -> dict[str, object]:
    """The outputs of the command without Ray."""
    assert main(command(given, given / "plain")) == 1
    return contents(given / "plain")


def command(given: Path, output: Path) -> list[str]:
    return [
        "anonymize",
        str(given / "in"),
        str(output),
        "--model",
        str(given / "model.onnx"),
        "--codec",
        "ffv1",
        "--batch",
        "1",
    ]


@contextlib.contextmanager
def once_half_written(folder: Path, process: psutil.Process) -> Iterator[psutil.Process]:
    """A process below `process` that is in the midst of writing `a.mkv`, held there meanwhile."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if any(Path(file.path).suffix == ".mkv" and folder in Path(file.path).parents for file in child.open_files()):
                    child.suspend()
                    if any(path.stat().st_size > 1000 for path in folder.glob(".*.partial.mkv")):
                        yield child
                        return
                    child.resume()
        time.sleep(0.002)
    pytest.fail("nobody wrote a video")


def test_a_worker_that_is_killed_in_the_midst_of_a_file_costs_nothing(
    given: Path, plain: dict[str, object], tmp_path: Path
) -> None:
    """On a Ray that the command starts on this machine, and ends."""
    output = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-m", "analysis", *command(given, output), "--ray"],
        cwd=ROOT,
        env=as_in_a_new_shell(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            with once_half_written(output, psutil.Process(process.pid)) as worker:
                below = psutil.Process(process.pid).children(recursive=True)
                worker.kill()
            said, errors = process.communicate(timeout=300)
        except BaseException:
            process.kill()
            raise
    assert process.returncode == 1, said + errors
    assert "its worker ended" in said
    assert "; it is tried again" in said
    assert contents(output) == plain
    assert f"with an error: {given}/in/broken.mp4: not a readable video" in said
    assert "3 of 4 videos anonymized, 0 skipped as already there, 1 with errors" in said
    assert not [one for one in below if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


FULL_DISK = """
import errno, os, ray
from analysis.deploy.video_output import VideoOutput


def full(self, frame):
    raise self._failed(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


if ray.is_initialized():  # in a worker
    here = ray.get_runtime_context().get_node_id()
    if any("full" in node["Resources"] for node in ray.nodes() if node["NodeID"] == here):
        VideoOutput._encode = full
"""


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[str]:
    """The address of a cluster of two nodes on this machine, each for one video at a time; one has the resource `full`."""
    from ray._private import services
    from ray.cluster_utils import Cluster

    common: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000, "node_ip_address": "127.0.0.1"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setattr(services, "resolve_ip_for_localhost", lambda host: host)  # else Ray looks at the machine's own address
        cluster = Cluster(initialize_head=True, head_node_args={**common, "resources": {"full": 1}, "include_dashboard": False})
        try:
            cluster.add_node(**common)
            yield str(cluster.address)
        finally:
            ray.shutdown()
            cluster.shutdown()


def test_what_fails_on_one_node_is_done_by_another_and_is_not_done_again(
    two_nodes: str, given: Path, plain: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full_disk.py").write_text(FULL_DISK)
    output = tmp_path / "out"
    run = [*command(given, output), "--ray", two_nodes]
    with loaded(tmp_path / "full_disk.py"):
        assert main(run) == 1
    said = capsys.readouterr().out
    assert "No space left on device); nothing of it was kept; it is tried again on another node" in said
    assert contents(output) == plain
    assert main(run) == 1
    assert "0 of 4 videos anonymized, 3 skipped as already there, 1 with errors" in capsys.readouterr().out
    assert contents(output) == plain


DEADLY = """
import os, ray
from analysis.deploy.video_output import VideoOutput

right = VideoOutput.complete


def complete(self):
    if self.path.name == "b.mkv":
        os._exit(1)
    right(self)


if ray.is_initialized():  # in a worker
    VideoOutput.complete = complete
"""


def test_a_video_that_ends_every_worker_is_given_up_and_named(
    two_nodes: str, given: Path, plain: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "deadly.py").write_text(DEADLY)
    output = tmp_path / "out"
    with loaded(tmp_path / "deadly.py"):
        assert main([*command(given, output), "--ray", two_nodes]) == 1
    said = capsys.readouterr().out
    assert said.count("in/b.mkv: its worker ended") == archive.MOST_TRIES + 1, "each time, and at the end"
    assert "2 of 4 videos anonymized, 0 skipped as already there, 2 with errors" in said
    assert contents(output) == {name: value for name, value in plain.items() if not name.startswith("b.mkv")}


def test_who_stops_the_command_finds_nothing_half_written(two_nodes: str, given: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"

    def stop() -> None:
        end = time.monotonic() + 300
        while not list(output.glob(".*.partial.mkv")) and time.monotonic() < end:
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGTERM)

    watching = threading.Thread(target=stop, daemon=True)
    watching.start()
    assert main([*command(given, output), "--ray", two_nodes]) == 130
    watching.join()
    assert not [name for name in contents(output) if name.startswith(".")]


def test_a_node_that_sees_another_folder_writes_nothing(two_nodes: str, given: Path, tmp_path: Path) -> None:
    ray.init(address=two_nodes, log_to_driver=False)
    try:
        job = Job(given / "in" / "b.mkv", tmp_path / "out" / "b.mkv", "[1/1]")
        shared = _Shared(ModelFile(tmp_path / "out" / ".0.partial.onnx"), VideoOptions(), ())
        report = archive._anonymize(shared, job, "token")
    finally:
        ray.shutdown()
    assert report.done.failed
    assert report.done.error == f"{job.source}: {tmp_path / 'out'} is another folder on this node; give one that all nodes see"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("device", "suffix", "cuda", "gpus", "asked"),
    [
        ("auto", ".onnx", True, 8, True),
        ("auto", ".onnx", False, 8, False),
        ("auto", ".pt", False, 8, True),
        ("auto", ".pt", False, 0, False),
        ("cpu", ".pt", True, 8, False),
        ("cuda", ".onnx", True, 0, True),  # a node with one may come
    ],
)
def test_a_video_takes_a_gpu_where_it_can_use_one(
    device: str, suffix: str, cuda: bool, gpus: int, asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / f"model{suffix}"
    file.write_bytes(b"a model")
    monkeypatch.setattr(archive, "has_cuda", lambda: cuda)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 96.0, "GPU": float(gpus)})
    assert archive._needs(ModelFile(file, device)) == {"CPU": 1} | ({"GPU": 1} if asked else {})


def test_the_time_left_is_that_of_files_that_were_not_there_already() -> None:
    now = [100.0]
    progress = _Progress(10_000, lambda: now[0])
    assert progress.after(Done(kept=True)) == "1 of 10,000 files, 0.0 frames/s"
    now[0] = 110.0
    assert progress.after(Done(frames=250)) == "2 of 10,000 files, 25.0 frames/s, about 27 h 46 min to go"
    now[0] = 120.0
    assert progress.after(Done(error="broken")) == "3 of 10,000 files, 12.5 frames/s, about 27 h 46 min to go"


def test_what_cannot_be_is_one_line(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, one = command(given, tmp_path / "out"), ["anonymize", str(given / "in" / "b.mkv"), str(tmp_path / "out.mkv")]
    model = ["--model", str(given / "model.onnx")]
    cases = [
        ([*whole, "--ray", "127.0.0.1:1"], "--ray 127.0.0.1:1: no Ray answers there"),
        ([*one, *model, "--ray"], "b.mkv is no folder; a single video is anonymized without it"),
    ]
    for arguments, message in cases:
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    monkeypatch.setenv(JOB_VARIABLE, json.dumps({"runtime_env": {"working_dir": "gcs://_ray_pkg_1.zip"}}))
    monkeypatch.chdir(given)
    assert main(["anonymize", "in", str(tmp_path / "out"), *model, "--ray"]) == 2
    assert "in: this job runs in a copy of the code" in capsys.readouterr().err
