"""What --status says, from a real MLflow database and the leases of a real store."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest
from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from study.options import Options
from study.records.outbox import trials_folder
from study.records.status import show_status, status_of
from study.run import main
from trainables import schema
from trainables.config import ConfigError
from trainables.store.files import Files
from trainables.store.leases import Leases


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven trials: two done, one running, one whose worker is gone, one failed, one stopped early, one not begun; a point
    of a search.
    """
    folder = tmp_path_factory.mktemp("status")
    uri = f"sqlite:///{folder}/mlflow.db"
    client = MlflowClient(uri)
    tags = {schema.TAG_SPACE: "demo", schema.TAG_PROFILE: "small"}
    identity = client.create_experiment("demo.small", artifact_location=(folder / "artifacts").as_uri(), tags=tags)
    own = client.create_run(identity, run_name="demo.small", tags={schema.TAG_KIND: schema.STUDY_RUN}).info.run_id
    client.log_metric(own, f"{schema.GPU_HOURS}busy", 3.0)
    client.log_metric(own, f"{schema.GPU_HOURS}waiting", 0.5)
    trials = [{"key": key, "name": f"trial {key}", "setting": key, "seed": 0} for key in "abcdefg"]
    client.log_dict(own, {"trials": trials}, schema.ARTIFACT_PLAN)

    def run(key: str, stages: str = "") -> str:
        tags = {schema.TAG_TRIAL_KEY: key, schema.TAG_STAGE_KEYS: stages}
        return str(client.create_run(identity, run_name=f"trial {key}", tags=tags).info.run_id)

    for key in "abx":
        done = run(key)
        client.log_metric(done, "seconds", 120.0)
        client.set_terminated(done)
    runs = run("c", "reconstruct=1")
    now = int(time.time() * 1000)
    rows = [
        Metric(f"{stage}/loss", 0.5, now - 60_000 + step, step) for stage in ("reconstruct", "minimax") for step in range(3)
    ]
    client.log_batch(runs, metrics=rows, params=[Param("minimax.epochs", "8")])
    lease = Leases(Files(folder)).take(trials_folder(uri, identity), "c")
    assert lease is not None
    run("d")
    failed = run("e")
    client.set_tag(failed, schema.TAG_REASON, "minimax: loss = nan at step 3\nmore")
    client.set_terminated(failed, "FAILED")
    early = run("g")
    client.set_tag(early, schema.TAG_EARLY, "true")
    client.set_terminated(early, "KILLED")
    return folder


def test_every_trial_is_in_one_state(storage: Path) -> None:
    uri = f"sqlite:///{storage}/mlflow.db"
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("demo.small")
    assert experiment is not None
    found = status_of(client, uri, experiment, Files(storage))
    assert (found.done, found.planned, found.outside) == (2, 7, 1)
    (running,) = found.running
    assert (running.name, running.stage, running.epoch, running.epochs) == ("trial c", "minimax", 3, 8)
    assert re.fullmatch(r"\S+ \d+", running.worker)
    assert found.stopped == ("trial d",)
    assert found.early == ("trial g",)
    assert found.waiting == ("trial f",)
    assert found.failed == (("trial e", "minimax: loss = nan at step 3\nmore"),)
    assert found.left == 120.0 * (0.5 + 2)
    elsewhere = status_of(client, uri, experiment, Files(storage / "nowhere"))
    assert len(elsewhere.running) == 2, "without the storage nobody knows that a worker is gone"


def test_it_is_printed(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--status", "--space", "demo", "--storage", str(storage)]) == 0
    said = capsys.readouterr().out
    assert "demo.small: 7 trials: 2 done, 1 running, 1 waiting, 1 stopped, 1 failed, 1 stopped early" in said
    assert re.search(r"running  trial c +minimax 3/8, 1 min \d+ s ago; since \d{4}-\d\d-\d\d \d\d:\d\d on \S+ \d+", said)
    assert "failed   trial e                          minimax: loss = nan at step 3" in said
    assert "GPU hours: 3.00 busy, 0.50 waiting" in said
    assert "about 5 min 00 s to go with 1 at a time" in said


def test_a_store_without_the_study_is_one_line(storage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--status", "--space", "grid", "--storage", str(storage)]) == 2
    assert "no study of the space grid there" in capsys.readouterr().err
    assert main(["--status", "--storage", str(tmp_path)]) == 2
    assert "mlflow.db: the file is not there" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_study_that_was_deleted_in_mlflow_is_said(storage: Path, tmp_path: Path) -> None:
    shutil.copy(storage / "mlflow.db", tmp_path)
    options = Options(show_status=True, space="demo", storage=str(tmp_path))
    client = MlflowClient(options.places.tracking_uri)
    client.delete_experiment(client.get_experiment_by_name("demo.small").experiment_id)
    with pytest.raises(
        ConfigError, match=r"demo.small was deleted in MLflow; running it again, or `mlflow experiments restore"
    ):
        show_status(options)
