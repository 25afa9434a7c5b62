"""Trials share GPUs as was measured, on a Ray that counts two GPUs where there is none."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from study.backend.base import Demands, TrialBatch
from study.backend.packing import Load, kinds_of_gpus, measuring, packed
from study.backend.ray_tune import RayBackend, _checked
from study.schedule.order import Queue
from study.schedule.resources import Resources
from tests.support.studies import NoRecorder
from trainables.config import ConfigError, Runtime, TrialConfig
from trainables.data.trial_data import TrialData
from trainables.plan import plan_trial
from trainables.trial import DONE, FAILED, Report, TrialJob, TrialState

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.timeout(600)  # on a busy machine Ray takes long to start
HERE, GIB, TRIALS = Path(__file__).resolve(), 2**30, 4


@pytest.fixture(scope="module")
def two_gpus() -> Iterator[None]:
    ray.init(
        address="local",
        num_cpus=4,
        num_gpus=2,
        object_store_memory=100_000_000,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": {"PYTHONPATH": f"{HERE.parents[2]}:{HERE.parent}"}},
        _node_ip_address="127.0.0.1",
    )
    yield
    ray.shutdown()


def meet(job: TrialJob, proposed: Mapping[str, Any], report: Report) -> None:
    """In place of `run_job`: notes which GPU it was given, and is done when every other trial has."""
    folder, end = Path(job.runtime.storage) / "met", time.monotonic() + 200
    folder.mkdir(exist_ok=True)
    (folder / job.key).write_text(" ".join(map(str, ray.get_gpu_ids())))
    while len(list(folder.iterdir())) < TRIALS and time.monotonic() < end:
        time.sleep(0.05)
    met = len(list(folder.iterdir())) == TRIALS
    report(TrialState(DONE) if met else TrialState(FAILED, reason="they did not run at once"))


def test_as_many_trials_run_on_a_gpu_as_were_chosen(
    two_gpus: None, tiny_config: TrialConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(config: TrialConfig, kind: str, most: int) -> list[Load]:
        return [Load(trials, rate, trials * GIB, 8 * GIB, "fake") for trials, rate in ((1, 2.0), (2, 3.5), (3, 3.6))]

    resources = packed(Resources(1.0, 1.0, cpus_per_gpu=4.0), [tiny_config], kinds_of_gpus(), measure)
    assert "GPUs per trial: 2 on one fake" in capsys.readouterr().out
    runtime = Runtime(data_root="", storage=str(tmp_path))
    jobs = [TrialJob(f"trial {n}", str(n), tiny_config, runtime, NoRecorder()) for n in range(TRIALS)]
    shares = [resources.of(tiny_config)] * TRIALS
    queue = Queue([()] * TRIALS, (), lambda stage, key: False)
    end = RayBackend(meet).run(TrialBatch("packed", jobs, shares, queue, tmp_path), lambda usage: None)
    assert end.done == TRIALS
    assert sorted(path.read_text() for path in (tmp_path / "met").iterdir()) == ["0", "0", "1", "1"]


def test_the_largest_trial_is_measured_where_ray_counts_a_gpu(
    two_gpus: None, tiny_config: TrialConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the CPU, for there is no other; one trial alone, for there is one core for each GPU."""
    resources = Resources(None, 1.0, cpus_per_gpu=1.0)
    runtime = Runtime(data_root="", storage=str(tmp_path), device="cpu")
    assert packed(resources, [tiny_config], kinds_of_gpus(), measuring(runtime, ())).gpus == 1.0
    assert "GPUs per trial: 1 on one CPU (as many as there are CPUs for)" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="Ray counts a GPU here, PyTorch sees none"):
        packed(resources, [tiny_config], kinds_of_gpus(), measuring(runtime.model_copy(update={"device": "cuda"}), ()))


def test_more_than_there_is_is_one_clear_line(
    two_gpus: None, tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    plan = plan_trial(tiny_config, TrialData(tiny_config, tiny_data))
    demands = Demands([plan], tiny_data, str(tmp_path), f"sqlite:///{tmp_path}/mlflow.db", Resources(999.0, 0.0))
    with pytest.raises(ConfigError, match="a trial asks for 999 CPUs and 0 GPUs, but this machine has 4 and 2;") as error:
        _checked(demands)
    assert "\n" not in str(error.value)
