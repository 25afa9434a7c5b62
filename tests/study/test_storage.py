"""`python -m study.storage`: what is there, and what of it goes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from study.storage import main
from trainables.store import Outcome, StageStore, leases

OUTCOME = Outcome({"top1": 0.5}, [], {"w": torch.zeros(500)}, seconds=12.5)


@pytest.fixture(autouse=True)
def fast_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time after which a heartbeat is late stays as it is: a busy machine's disk may take a second for one."""
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.05)


@pytest.fixture(params=["directory", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StageStore]:
    """One stage done, one half done by nobody, one half done by a worker that has died, one damaged."""
    store = StageStore(tmp_path / "storage" if request.param == "directory" else f"memory://test-{uuid.uuid4().hex}")
    store.write("minimax", "done", OUTCOME, {}, {})
    store.work("minimax", "stopped").write(b"checkpoint")
    nobody = 2**31 - 1  # more than any system counts its processes to
    store.files.replace("stages/minimax/died.lease.1", f"{socket.gethostname()} {nobody} abc 5".encode())
    store.files.replace("stages/minimax/died.work/checkpoint.pt", b"checkpoint")
    store.write("warm_up", "other", OUTCOME, {}, {})
    if store.directory is not None:
        store.files.replace("stages/warm_up/broken.damaged-abc/state.pt", b"half")
    yield store
    store.files.remove_tree("stages")


def command(store: StageStore, *arguments: str) -> int:
    return main([*arguments, "--storage", store.files.storage])


def paths(store: StageStore) -> set[str]:
    return {file.path.split("/")[2] for file in store.files.tree("stages")}


def test_list_names_every_stage_with_its_state(store: StageStore, capsys: pytest.CaptureFixture[str]) -> None:
    claim = store.try_claim("minimax", "now")
    assert claim is not None
    with claim:
        store.work("minimax", "now").write(b"checkpoint")
        assert command(store, "list") == 0
    rows = {line.split()[1]: line for line in capsys.readouterr().out.splitlines()}
    assert rows["key"].split() == ["stage", "key", "size", "age", "seconds", "state"]
    assert rows["done"].endswith("12.5     done")
    assert rows["stopped"].endswith("abandoned work")
    assert rows["died"].endswith("abandoned work")
    assert rows["now"].endswith(f"in work by {socket.gethostname()} {os.getpid()}")
    assert ("broken" in rows) is (store.directory is not None)
    assert all(row.endswith("damaged") for key, row in rows.items() if key == "broken")


def test_size_adds_up_each_stage(store: StageStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(store, "size") == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()[1:]}
    assert (rows["minimax"][1], rows["minimax"][4], rows["minimax"][5]) == ("1", "12.5", "2")
    assert (rows["all"][1], rows["all"][4]) == ("2", "25.0")


def test_prune_without_yes_only_says_what_it_would_delete(store: StageStore, capsys: pytest.CaptureFixture[str]) -> None:
    before = store.files.tree("stages")
    assert command(store, "prune", "--older-than", "0", "--stage", "minimax") == 0
    said = capsys.readouterr().out
    assert all(key in said for key in ("done", "stopped", "died", "would delete 3 entries", "add --yes"))
    assert "warm_up" not in said
    assert store.files.tree("stages") == before


def test_prune_deletes_what_was_chosen(store: StageStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(store, "prune", "--older-than", "1", "--yes") == 0
    assert "deleted 0 entries" in capsys.readouterr().out
    assert command(store, "prune", "--damaged", "--yes") == 0
    assert paths(store) == {"done", "other"}
    assert command(store, "prune", "--stage", "minimax", "--yes") == 0
    assert paths(store) == {"other"}
    assert store.read("minimax", "done") is None
    assert store.read("warm_up", "other") is not None


def test_prune_keeps_what_a_live_worker_holds(store: StageStore, capsys: pytest.CaptureFixture[str]) -> None:
    worker = StageStore(store.files.storage)
    claims = [worker.try_claim("minimax", key) for key in ("done", "stopped")]
    assert claims[0] is not None
    assert claims[1] is not None
    with claims[0], claims[1]:
        assert command(store, "prune", "--older-than", "0", "--stage", "minimax") == 0
        assert "would delete 1 entries" in capsys.readouterr().out, "the one whose worker has died"
        assert command(store, "prune", "--older-than", "0", "--yes") == 0
        said = capsys.readouterr().out
        assert "kept what live workers hold: minimax done, minimax stopped" in said
        assert "claimed meanwhile" not in said
        assert {"done", "stopped.work"} <= paths(store)
    assert "died.work" not in paths(store)


def test_prune_keeps_a_stage_that_was_claimed_after_the_table_was_made(
    store: StageStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(StageStore, "try_claim", lambda self, stage, key: None)
    assert command(store, "prune", "--stage", "minimax", "--yes") == 0
    assert "deleted 0 entries" in (said := capsys.readouterr().out)
    assert "kept 3 that a worker has claimed meanwhile" in said


def test_prune_keeps_what_the_runs_of_a_study_are_made_of(
    store: StageStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named by the tag of an unfinished trial, and by the record of a finished one from before there was the tag."""
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri)
    experiment = client.create_experiment("study", artifact_location=(tmp_path / "artifacts").as_uri())
    client.create_run(experiment, tags={"trial_key": "a", "stage_keys": "minimax=stopped reconstruct=gone"})
    old = client.create_run(experiment, tags={"trial_key": "b"}).info.run_id
    client.log_text(old, json.dumps({"stage_keys": {"a_role_of_it": "other"}}), "record.json")
    client.set_terminated(old)
    assert command(store, "prune", "--unused-by", uri, "--yes") == 0
    assert "made of 3 stages" in capsys.readouterr().out
    assert paths(store) == {"stopped.work", "other"}
    unknown = client.create_run(experiment, tags={"trial_key": "c"}).info.run_id
    client.set_terminated(unknown)
    assert command(store, "prune", "--unused-by", uri, "--yes") == 2
    assert paths(store) == {"stopped.work", "other"}, "a finished trial does not say what it needs: nothing goes"


def test_prune_deletes_no_trained_anonymizer_by_age_alone(store: StageStore, capsys: pytest.CaptureFixture[str]) -> None:
    """It is stored nowhere else: the record in MLflow only says where it lies."""
    trained = Outcome({}, state={"anonymizer": {}, "action": {}})
    store.write("minimax", "trained", trained, {}, {})
    assert command(store, "prune", "--older-than", "0", "--yes") == 0
    assert "kept 1 entries, " in (said := capsys.readouterr().out)
    assert "with trained anonymizers" in said
    assert "trained" in paths(store)
    assert "done" not in paths(store)
    assert command(store, "prune", "--stage", "minimax", "--yes") == 0
    assert "trained" not in paths(store)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "--storage", "nowhere"], "storage nowhere: no stages there"),
        (["list", "--storage", "sss://a"], "storage sss://a: "),
        (["list"], "--storage: give the storage of a study"),
        (["size", "--storage", "STORE", "--stage", "minmax"], "--stage minmax: not in"),
        (["prune", "--storage", "STORE"], "prune: say what"),
        (["prune", "--storage", "STORE", "--older-than", "-1"], "--older-than -1: give a number of days"),
        (["prune", "--storage", "STORE", "--unused-by", "sqlite:///nowhere.db"], "nowhere.db: no such file"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("ANONYMIZATION_STORAGE", raising=False)
    monkeypatch.chdir(tmp_path)
    StageStore(tmp_path / "store").write("minimax", "k", OUTCOME, {}, {})
    assert main([str(tmp_path / "store") if part == "STORE" else part for part in arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_from_the_command_line_without_torch(tmp_path: Path) -> None:
    StageStore(tmp_path).write("minimax", "k", OUTCOME, {}, {})
    code = (
        "import runpy, sys; sys.modules['torch'] = None;"
        f"sys.argv[1:] = ['list', '--storage', {str(tmp_path)!r}]; runpy.run_module('study.storage', run_name='__main__')"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert "12.5" in found.stdout
