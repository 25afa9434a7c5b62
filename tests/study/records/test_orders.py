"""What `--skip` and `--next` tell a study that runs, from a real MLflow database and the leases of a real store."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow.tracking import MlflowClient

from study.run import main
from study.schedule.orders import ordered_next, take_back
from tests.study.records.test_status import storage  # noqa: F401 - a study of seven trials, of which one runs
from trainables import schema
from trainables.store.files import Files


@pytest.fixture
def study(storage: Path, tmp_path: Path) -> Path:  # noqa: F811 - pytest names fixtures so
    shutil.copytree(storage, tmp_path / "study")
    return tmp_path / "study"


def ordered(study: Path, *arguments: str) -> int:
    uri = f"sqlite:///{study}/mlflow.db"
    return main(["--space", "demo", "--profile", "small", "--storage", str(study), "--tracking-uri", uri, *arguments])


def folder_of(study: Path) -> str:
    # the records of the fixture are of its first place
    return next(f"trials/{path.name}" for path in (study / "trials").iterdir())


@pytest.fixture(autouse=True)
def _one_place(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of a study's leases depends on the URI of its records, which a copy changes."""
    folder = folder_of(study)
    monkeypatch.setattr("study.records.orders.trials_folder", lambda uri, identity: folder)


def test_each_trial_is_told_what_its_state_allows(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ordered(study, "--skip", "a,c", "--skip", "trial f", "--next", "d,c,b") == 0
    assert capsys.readouterr().out.splitlines() == [
        "trial a: is done",
        "trial c: saves and ends at its next step",
        "trial f: is not computed",
        "trial b: is done",
        "trial c: runs",
        "trial d: starts before the others",
    ]
    files, folder = Files(study), folder_of(study)
    assert {name for name in files.names(folder) if ".lease" not in name} == {"c.skip", "f.skip", "d.next"}
    jobs = [SimpleNamespace(key=key, recorder=SimpleNamespace(leases=folder)) for key in "abcd"]
    assert ordered_next(files, jobs)() == {3}  # type: ignore[arg-type]

    take_back(files, folder, "abcd")
    assert {name for name in files.names(folder) if ".lease" not in name} == {"f.skip"}, "of a trial of another plan"
    assert ordered_next(files, jobs)() == set()  # type: ignore[arg-type]


def test_who_cannot_be_told_is_one_line(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ordered(study, "--skip", "trial z") == 2
    assert "--skip 'trial z': no setting or trial of this study; did you mean" in capsys.readouterr().err
    files, folder = Files(study), folder_of(study)
    for name in files.names(folder):
        files.remove(f"{folder}/{name}")
    assert ordered(study, "--next", "d") == 2
    assert "no trial of demo.small runs there; give that of the study" in capsys.readouterr().err
    client = MlflowClient(f"sqlite:///{study}/mlflow.db")
    experiment = client.get_experiment_by_name("demo.small")
    assert experiment is not None
    [own] = client.search_runs([experiment.experiment_id], f"tags.{schema.TAG_KIND} = '{schema.STUDY_RUN}'")
    client.set_terminated(own.info.run_id)
    assert ordered(study, "--skip", "c") == 2
    assert "demo.small does not run there; to leave trials out at its start" in capsys.readouterr().err
