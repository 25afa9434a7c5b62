"""A study from Python: its plan, its records and its front as tables and figures, and the notebook, cell by cell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from study.api import Options, choose, draw_front, plan, records, settings
from tests.support import ROOT
from tests.support.fake_studies import FakeTrial, metrics, write_study
from trainables.config import ConfigError

NOTEBOOK = ROOT / "analysis" / "from_study_to_anonymizer.ipynb"
TRIALS = [
    FakeTrial("raw", "raw", metrics=metrics(0.9, 0.8)),
    FakeTrial("B=0 lambda=10", metrics=metrics(0.5, 0.1)),
    FakeTrial("B=0.1 lambda=10", metrics=metrics(0.8, 0.4)),
    FakeTrial("lambda=0", metrics=metrics(0.7, 0.7)),
]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the study of the notebook has run."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "demo").mkdir()
    write_study(f"sqlite:///{folder}/demo/mlflow.db", folder / "demo" / "mlflow-artifacts", "demo", "generated", TRIALS)
    return folder


def test_a_plan_is_a_row_a_trial(tiny_data: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"profile": "small", "data_root": str(tiny_data), "storage": str(tmp_path / "s")}
    options = Options(space="ablation_B", overrides={"attacks.names": "none"}, seeds=(0, 3), **given)
    found = plan(options)
    assert len(found) == 2 * 8
    assert found.loc["raw seed=3"].to_dict() == {
        **{"setting": "raw", "seed": 3, "method": "raw", "stages": 3, "stored": 0},
        "steps": found.loc["raw seed=0", "steps"],
    }
    assert set(found["stages"]) == {3, 6}
    assert (found["steps"] > 0).all()
    assert list(plan(options.model_copy(update={"only": ("raw",)})).index) == ["raw seed=0", "raw seed=3"]
    with pytest.raises(ConfigError, match="no space named 'nothing'"):
        plan(Options(space="nothing", **given))


def test_records_settings_front_and_choice(recorded: Path) -> None:
    uri = f"sqlite:///{recorded}/demo/mlflow.db"
    trials = records("demo", tracking_uri=uri)
    assert sorted(trials["label"]) == sorted(trial.label for trial in TRIALS)
    by_label = settings(trials).set_index("label")
    assert by_label.loc["B=0.1 lambda=10", ["top1", "leakage"]].tolist() == [0.8, 0.4]
    assert by_label.index[by_label["on_front"].astype(bool)].tolist() == ["raw", "B=0 lambda=10", "B=0.1 lambda=10"]
    assert len(draw_front(trials).axes) == 1
    bounded = choose("demo", at_most={"leakage": 0.2}, prefer="top1", tracking_uri=uri)
    assert bounded.setting["label"] == "B=0 lambda=10"
    assert choose("demo", at_least={"top1": 0.6}, prefer="leakage", tracking_uri=uri).setting["label"] == "B=0.1 lambda=10"


def test_the_notebook_runs_from_a_recorded_study_to_the_commands_of_its_anonymizer(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ANONYMIZATION_STORAGE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(recorded)
    notebook = json.loads(NOTEBOOK.read_text())
    assert all(not cell.get("outputs") for cell in notebook["cells"]), "it is kept without what it printed"
    names: dict[str, Any] = {"display": print}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    chosen = names["trials"].loc[names["run_id"]]
    assert chosen["label"] == "B=0.1 lambda=10"
    assert isinstance(names["table"], pd.DataFrame)
    said = capsys.readouterr().out
    assert f"python -m analysis export --trial {names['run_id']} " in said
    assert "B=0.1 lambda=10" in said
