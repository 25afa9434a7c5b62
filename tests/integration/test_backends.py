"""The same study through Ray and through plain processes: the same records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from search_spaces.plan import StudyPlan, StudyTrial
from search_spaces.registry import RAW
from study.backend.base import Backend
from study.backend.ray_tune import RayBackend
from tests.support.pool_backend import PoolBackend
from tests.support.studies import study_of
from trainables.config import TrialConfig, with_values
from trainables.schema import TAG_KIND, TAG_SETTING, TAG_STAGES_REUSED

pytestmark = pytest.mark.timeout(900)  # on a busy machine Ray takes long to start
Recorded = dict[str, tuple[str, dict[str, str], dict[str, float]]]


def recorded(plan: StudyPlan, data: Path, storage: Path, backend: Backend) -> Recorded:
    """Runs the plan; returns status, parameters and figures by setting."""
    study = study_of(plan, data, storage, backend)
    assert study.run() == 0
    assert (storage / "reports" / "mine.small" / "report.html").is_file()
    client = MlflowClient(study.places.tracking_uri)
    runs = [run for run in client.search_runs([study.tracker.experiment_id]) if TAG_KIND not in run.data.tags]
    for run in runs:
        assert TAG_STAGES_REUSED in run.data.tags
        curve = client.get_metric_history(run.info.run_id, "evaluate_action/loss")
        assert [point.step for point in curve] == [0, 1]
    return {run.data.tags[TAG_SETTING]: (run.info.status, run.data.params, _figures(run.data.metrics)) for run in runs}


def _figures(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if "seconds" not in name}


def test_two_backends_record_the_same_study(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    settings = {"raw": RAW, "B=0.1": {"minimax.distortion_budget": 0.1}}
    trials = tuple(StudyTrial(name, values, "p", with_values(tiny_config, values)) for name, values in settings.items())
    plan = StudyPlan("mine", "small", trials)
    by_pool = recorded(plan, tiny_data, tmp_path / "pool", PoolBackend(2))
    by_ray = recorded(plan, tiny_data, tmp_path / "ray", RayBackend())
    assert by_pool.keys() == settings.keys()
    assert {status for status, _, _ in by_pool.values()} == {"FINISHED"}
    assert by_pool == by_ray
