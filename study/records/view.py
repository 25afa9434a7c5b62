"""How MLflow's interface opens on a study: what it asks, its columns, and charts that begin with the front and the losses.

The interface keeps a view that somebody shares as a tag of the experiment, `mlflow.sharedViewState.KEY`, and opens it at an
address with that key. A study shares one.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from mlflow.tracking import MlflowClient

from search_spaces.plan import StudyPlan, StudyTrial
from search_spaces.registry import load_spaces
from trainables.methods import method_of
from trainables.schema import TAG_NOTE, TAG_TRIAL_KEY

_KEY = "study"
_TAG = f"mlflow.sharedViewState.{_KEY}"
_COLUMNS = ("top1", "leakage", "clip_leakage", "worst_leakage", "rms_distortion", "controls_valid")
_VARIED = 4  # parameters beside them
_LOSSES = ("loss_anonymizer", "loss_action", "loss_privacy", "penalty", "rms_distortion")
_FIGURES = ("top1", "leakage", "clip_leakage")


def view_of(experiment_id: str) -> str:
    """The address of the view in MLflow's interface, after that of the server."""
    return f"/#/experiments/{quote(experiment_id)}/runs?viewStateShareKey={_KEY}&compareRunsMode=CHART"


def share_view(client: MlflowClient, experiment_id: str, plan: StudyPlan) -> None:
    """Gives the experiment its view, and a description where it has none: somebody may have written a better one."""
    tags = client.get_experiment(experiment_id).tags
    wanted = {_TAG: json.dumps(_state(plan))}
    if not tags.get(TAG_NOTE):
        wanted[TAG_NOTE] = _description(experiment_id, plan)
    for name, value in wanted.items():
        if tags.get(name) != value:
            client.set_experiment_tag(experiment_id, name, value)


def description_of(trial: StudyTrial) -> str:
    """What a trial's run is, in MLflow's Markdown."""
    method = trial.config.method
    return (
        f"**{trial.setting}**, seed {trial.config.seed}: method `{method}` ({method_of(trial.config).source}).\n\n"
        "Metrics without a `/` are final figures of test data, those with one are curves by epoch. `record.json` has every"
        " figure, also those of validation data by which settings are chosen, and `frames.png` raw frames above anonymized"
        " ones."
    )


def _description(experiment_id: str, plan: StudyPlan) -> str:
    spaces = load_spaces()
    question, source = (spaces[plan.space].question, spaces[plan.space].source) if plan.space in spaces else ("", "a plug-in's")
    return (
        f"{question}\n\nSpace `{plan.space}` ({source}), profile `{plan.profile}`."
        f" [Settings side by side]({view_of(experiment_id)[1:]}). The report is an artifact of the run above all"
        " trials: `report/report.html`."
    )


def _state(plan: StudyPlan) -> dict[str, Any]:
    """What the interface keeps of a view: columns, charts in sections, order."""
    varied = [f"params.`{key}`" for key in plan.compared if key != "seed"][:_VARIED]
    metrics = [f"metrics.`{name}`" for name in _COLUMNS]
    stages = [method_of(trial.config).anonymizer for trial in plan.trials]
    losses = [f"{stage}/{name}" for stage in dict.fromkeys(filter(None, stages)) for name in _LOSSES]
    fronts = [("leakage", "top1"), ("clip_leakage", "top1")]
    charts = [
        *(_chart("SCATTER", "front", f"{x} {y}", xaxis=_axis(x), yaxis=_axis(y)) for x, y in fronts),
        *(_chart("BAR", "front", name, metricKey=name) for name in _FIGURES),
        *(_chart("LINE", "losses", name, metricKey=name, selectedMetricKeys=[name]) for name in losses),
    ]
    sections = [
        {"uuid": uuid, "name": name, "display": True, "isReordered": False, "deleted": False, "isGenerated": False}
        for uuid, name in (("front", "accuracy and leakage"), ("losses", "losses of the anonymizer"))
    ]
    return {
        # in the order of their start, runs are folded below the study's own
        **{"orderByKey": "metrics.`leakage`", "orderByAsc": True, "lifecycleFilter": "Active", "startTime": "ALL"},
        **{"selectedColumns": [*varied, *metrics], "compareRunCharts": charts, "compareRunSections": sections},
        **{"hideEmptyCharts": True, "isAccordionReordered": False, "runsHiddenMode": "SHOW_ALL"},
        "searchFilter": f"tags.{TAG_TRIAL_KEY} != ''",
    }


def _chart(kind: str, section: str, name: str, **more: Any) -> dict[str, Any]:
    fixed = {"deleted": False, "isGenerated": False, "runsCountToCompare": 100 if kind == "SCATTER" else 10}
    return {"uuid": f"{section} {kind} {name}", "type": kind, "metricSectionId": section, **fixed, **more}


def _axis(metric: str) -> dict[str, str]:
    return {"key": metric, "type": "METRIC"}
