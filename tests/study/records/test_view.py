"""How MLflow's interface opens on a study, in a real database. What it makes of the tag was looked at in a browser."""

from __future__ import annotations

import json
from pathlib import Path

from mlflow.tracking import MlflowClient

from search_spaces.plan import plan_study
from study.records.opening import open_study
from study.records.view import description_of
from trainables.schema import TAG_NOTE

PLAN = plan_study("demo", "generated", (0,), {})


def test_an_experiment_has_a_view_and_a_description(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    identity = open_study(PLAN, uri, (tmp_path / "artifacts").as_uri())
    client = MlflowClient(uri)
    tags = client.get_experiment(identity).tags
    view = json.loads(tags["mlflow.sharedViewState.study"])
    assert {"metrics.`top1`", "metrics.`leakage`", "params.`minimax.distortion_budget`"} <= set(view["selectedColumns"])
    charts = {chart["uuid"]: chart for chart in view["compareRunCharts"]}
    assert len(charts) == len(view["compareRunCharts"])
    first = view["compareRunCharts"][0]
    assert (first["type"], first["xaxis"]["key"], first["yaxis"]["key"]) == ("SCATTER", "leakage", "top1")
    lines = [chart["metricKey"] for chart in charts.values() if chart["type"] == "LINE"]
    assert lines[0] == "minimax/loss_anonymizer"
    assert {chart["metricSectionId"] for chart in charts.values()} == {each["uuid"] for each in view["compareRunSections"]}
    assert f"(#/experiments/{identity}/runs?viewStateShareKey=study" in tags[TAG_NOTE]

    client.set_experiment_tag(identity, TAG_NOTE, "what somebody wrote")
    client.set_experiment_tag(identity, "mlflow.sharedViewState.study", "{}")
    assert open_study(PLAN, uri, (tmp_path / "artifacts").as_uri()) == identity
    tags = client.get_experiment(identity).tags
    assert tags[TAG_NOTE] == "what somebody wrote"
    assert json.loads(tags["mlflow.sharedViewState.study"]) == view


def test_a_run_says_what_it_is() -> None:
    said = {trial.setting: description_of(trial) for trial in PLAN.trials}
    assert said["raw"].startswith("**raw**, seed 0: method `raw` (")
    assert "lambda=0" in said
