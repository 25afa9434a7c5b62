"""`ray job submit` as a user types it, on a head started in a checkout: a study that is stopped and submitted again in both
forms, and a folder of videos."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
from mlflow.tracking import MlflowClient
from ray.job_submission import JobSubmissionClient

from search_spaces.plan import plan_study
from tests.support import ROOT
from tests.support.environment import as_in_a_new_shell
from tests.support.ports import answers, free_ports
from tests.support.stages import SilentReporter
from tests.support.tiny_onnx import write_onnx
from tests.support.videos import moving_noise, read_video, write_video
from trainables.config import Runtime, parse_setting
from trainables.pipeline import run_trial
from trainables.schema import figures_of

SETTINGS = {
    "clip.size": 16,
    "clip.decode_size": 16,
    "clip.frames": 4,
    "anonymizer.decoder_channels": "[8, 4]",
    "reconstruct.epochs": 2,
    "warm_up.epochs": 1,
    "minimax.epochs": 1,
    "evaluate_action.epochs": 1,
    "evaluate_privacy.epochs": 1,
    "evaluate_privacy.clips": "false",
}
SPACE = """
from search_spaces.registry import RAW, SPACES, Space

if "two" not in SPACES:
    SPACES.register("two")(Space("none", "?", (RAW, {"minimax.distortion_budget": 0.1, "minimax.penalty_weight": 10.0})))
"""


class Head:
    """Ray, started in a copy of the checkout; results are left there."""

    def __init__(self, checkout: Path, data: Path, temporary: str) -> None:
        self.checkout, self.results = checkout, checkout / "results"
        settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
        self._study = ["--space", "two", "--plugin", "two_space.py", "--profile", "small", "--data-root", str(data), *settings]
        self._study += ["--max-concurrent", "1"]  # one worker, which imports PyTorch once
        port, dashboard, agent = free_ports(3)
        self._environment = {
            **as_in_a_new_shell("PYTHONPATH"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_JOB_STOP_WAIT_TIME_S": "60",
            "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}",
        }
        options = ["--head", "--block", "--num-cpus=2", f"--port={port}", "--dashboard-host=127.0.0.1"]
        options += [f"--dashboard-port={dashboard}", f"--temp-dir={temporary}", "--object-store-memory=80000000"]
        options += [f"--dashboard-agent-listen-port={agent}"]  # the default is one for the whole machine
        self.process = subprocess.Popen(
            ["ray", "start", *options], env=self._environment, cwd=checkout, stdout=subprocess.DEVNULL
        )
        try:
            wait_for(lambda: answers(f"{self._environment['RAY_API_SERVER_ADDRESS']}/api/version"))
        except BaseException:
            self.end()
            raise

    def submit(self, *options: str) -> subprocess.Popen[str]:
        """The study."""
        return self.submit_command(["python", "study/run.py", *self._study], *options)

    def submit_command(self, command: Sequence[str], *options: str) -> subprocess.Popen[str]:
        """Any command, from the checkout."""
        command = ["ray", "job", "submit", *options, "--", *command]
        return subprocess.Popen(
            command, cwd=self.checkout, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def stop(self, job: str) -> None:
        """As `ray job stop` does, which takes three seconds to start: the trials could be done by then."""
        assert self._client().stop_job(job)

    def log(self, job: str) -> str:
        """What `ray job logs` prints."""
        return self._client().get_job_logs(job)

    def end(self) -> None:
        below = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        for process in below:
            if process.is_running():
                process.kill()
        self.process.wait()

    def _client(self) -> JobSubmissionClient:
        return JobSubmissionClient(self._environment["RAY_API_SERVER_ADDRESS"])


def wait_for(ready: Callable[[], object], seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def head(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    checkout = tmp_path_factory.mktemp("jobs") / "checkout"
    for name in ("study", "trainables", "search_spaces", "analysis"):
        shutil.copytree(ROOT / name, checkout / name)  # with its byte code
    shutil.copy(ROOT / ".gitignore", checkout)
    (checkout / "two_space.py").write_text(SPACE)
    (checkout / "demo").mkdir()
    (checkout / "demo" / "stays_here").touch()
    temporary = f"/tmp/jobs{os.getpid()}"  # short: the paths of Ray's sockets may have 107 characters
    started = Head(checkout, tiny_data, temporary)
    yield started
    started.end()
    shutil.rmtree(temporary, ignore_errors=True)


@pytest.mark.timeout(1800)  # more than a busy machine takes
def test_a_job_that_was_stopped_goes_on_in_either_form(head: Head, tiny_data: Path, tmp_path: Path) -> None:
    first = head.submit("--submission-id", "first")
    wait_for(lambda: list(head.results.glob("stages/*/*.work/*")) or first.poll() is not None)
    head.stop("first")
    first.communicate(timeout=600)
    said = head.log("first")  # what was followed may end before the job does
    assert "2 trials, 0 done before, 2 to run" in said, said
    assert "told to stop" in said
    ended = re.search(r"([01]) done, 0 failed, 0 lost", said)  # one may be quicker than the command that stops them
    assert ended is not None, said
    stored = list(head.results.glob("stages/*/*/record.json"))

    again = head.submit("--working-dir", ".").communicate(timeout=600)[0]
    assert f"storage {head.results}" in again, again
    assert f"{2 - int(ended[1])} done, 0 failed, 0 lost" in again
    assert len(list(head.results.glob("stages/*/*/record.json"))) == 7 > len(stored)
    packages = Path(f"/tmp/jobs{os.getpid()}").glob("session_2*/runtime_resources/working_dir_files/_ray_pkg_*")
    uploaded = next(path for path in packages if path.is_dir())
    assert (uploaded / "study" / "run.py").is_file()
    assert not (uploaded / "results").exists()
    assert not (uploaded / "demo").exists()

    client = MlflowClient(f"sqlite:///{head.results}/mlflow.db")
    experiment = client.get_experiment_by_name("two.small")
    assert experiment is not None
    found = {run.data.tags.get("method"): run for run in client.search_runs([experiment.experiment_id])}
    for method, metrics in undisturbed(tiny_data, tmp_path / "undisturbed").items():
        assert found[method].info.status == "FINISHED"
        compared = {name: value for name, value in metrics.items() if "seconds" not in name}
        figures = figures_of(found[method].data.metrics, found[method].data.tags)
        assert {name: figures[name] for name in compared} == compared


@pytest.mark.timeout(900)  # more than a busy machine takes
def test_a_folder_of_videos_is_anonymized_by_a_job(head: Head, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    model = write_onnx(tmp_path / "model.onnx", 0.5)
    raw = {name: moving_noise(frames, 24, 32) for name, frames in (("a.mkv", 9), ("deep/b.mkv", 12))}
    for name, pictures in raw.items():
        write_video(tmp_path / "in" / name, pictures)
    given = ["anonymize", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(model), "--codec", "ffv1", "--ray"]
    job = head.submit_command(["python", "-m", "analysis", *given])
    said = job.communicate(timeout=600)[0]
    assert job.returncode == 0, said
    assert "Ray: joins the one at" in said
    assert "2 of 2 videos anonymized, 0 skipped as already there, 0 with errors" in said
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == {"a.mkv", "a.mkv.json", "deep/b.mkv", "deep/b.mkv.json"}
    for name, pictures in raw.items():
        made = read_video(tmp_path / "out" / name)
        assert made.shape == pictures.shape
        assert np.abs(made - pictures / 2).max() <= 0.5, "half as bright, but for the rounding"


def undisturbed(data: Path, storage: Path) -> dict[str, dict[str, float]]:
    """The figures of the same trials by the pipeline alone."""
    exec(SPACE)
    overrides = dict(parse_setting(f"{key}={value}") for key, value in SETTINGS.items())
    runtime = Runtime(data_root=str(data), storage=str(storage), device="cpu", threads=1)
    trials = plan_study("two", "small", (0,), overrides).trials
    return {trial.config.method: dict(run_trial(trial.config, runtime, SilentReporter())[0].metrics) for trial in trials}
