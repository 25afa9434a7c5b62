"""Reading studies back out of MLflow."""

import math
from collections.abc import Callable
from pathlib import Path

import mlflow.tracking
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from analysis.read.artifacts import fetch_artifact, read_curves
from analysis.read.store import AnalysisError, shown_uri
from analysis.read.study import RecordedStudy, read_study
from tests.support.fake_studies import FakeTrial, metrics
from trainables.schema import TAG_CONFIG, config_of

Maker = Callable[..., RecordedStudy]


def test_trials_are_typed(study: RecordedStudy) -> None:
    assert (study.name, study.space, study.profile) == ("ablation_B.generated", "ablation_B", "generated")
    assert len(study.trials) == 16  # 15 complete, one without its leakage
    assert len(study.complete) == 15
    row = study.trials[(study.trials["label"] == "B=0.3 lambda=1") & (study.trials["seed"] == 2)].iloc[0]
    assert row["method"] == "penalty"
    assert row["top1"] == pytest.approx(0.93, abs=0.05)
    assert row["params.minimax.distortion_budget"] == 0.3
    types = study.trials.dtypes
    assert types["seed"] == "Int64"
    assert types["top1"] == types["ap.face"] == types["params.minimax.distortion_budget"] == "float64"
    assert types["params.clip.frames"] == "int64"
    assert types["params.evaluate_privacy.clips"] == "bool"
    assert types["top5"] == "float64"
    assert row["params.evaluate_action.classifier.name"] == "i3d_r50"


def test_the_configuration_is_the_same_from_the_tag_and_from_parameters(make_study: Maker) -> None:
    """Runs of before there was the tag have all of it as parameters."""
    made = [FakeTrial(f"B={b:g}", values={"minimax.distortion_budget": b}, metrics=metrics(0.9, b)) for b in (0.1, 0.2, 0.3)]
    study = make_study(made)
    client = MlflowClient(study.tracking_uri)
    assert len(client.get_run(study.trials.index[0]).data.params) < 20
    older, broken, _ = study.trials.index
    for name, value in config_of({}, client.get_run(older).data.tags).items():
        if name not in client.get_run(older).data.params:
            client.log_param(older, name, value)
    client.delete_tag(older, TAG_CONFIG)
    again = read_study(study.space, study.profile, study.tracking_uri)
    pd.testing.assert_frame_equal(study.trials, again.trials)

    client.set_tag(broken, TAG_CONFIG, "{")
    again = read_study(study.space, study.profile, study.tracking_uri)
    assert again.trials["params.minimax.distortion_budget"].tolist() == [0.1, 0.2, 0.3]


def test_what_has_no_result_is_listed_with_its_reason(study: RecordedStudy) -> None:
    found = study.unfinished.set_index("state")["reason"].to_dict()
    assert found == {
        "failed": "CUDA out of memory in minimax",
        "killed": "stopped from outside; no reason recorded",
        "incomplete": "finished without leakage",
    }


def test_running_is_listed(make_study: Maker) -> None:
    study = make_study([FakeTrial("B=0.3", status="RUNNING")])
    assert study.trials.empty
    assert study.unfinished["state"].tolist() == ["running"]


def test_infinite_and_missing_metrics_are_nan(make_study: Maker) -> None:
    study = make_study([FakeTrial("a", metrics=metrics(0.9, 0.5) | {"macro_f1": math.inf, "leakage": math.nan})])
    assert math.isnan(study.trials["macro_f1"].iloc[0])
    assert math.isnan(study.trials["leakage"].iloc[0])
    assert study.trials["clip_leakage"].isna().all()
    assert study.unfinished["state"].tolist() == ["incomplete"]


def test_a_trial_run_twice_counts_once(make_study: Maker) -> None:
    twice = [
        FakeTrial("a", metrics=metrics(top1, 0.5), trial_key="same", start=start) for top1, start in ((0.7, 1000), (0.8, 2000))
    ]
    study = make_study([*twice, FakeTrial("a", seed=1, metrics=metrics(0.9, 0.5))])
    assert sorted(study.trials["top1"]) == [0.8, 0.9]
    assert study.unfinished["state"].tolist() == ["superseded"]


def test_an_equal_seed_is_no_repetition_whatever_its_key(make_study: Maker) -> None:
    study = make_study([FakeTrial("a", metrics=metrics(top1, 0.5), start=start) for top1, start in ((0.7, 2000), (0.8, 1000))])
    assert study.trials["top1"].tolist() == [0.7]
    assert study.unfinished["reason"].tolist() == ["this setting and seed finished again later; the newer run counts"]


def test_runs_under_one_name_with_other_parameters_are_other_settings(make_study: Maker) -> None:
    values = ({}, {"minimax.epochs": 3})
    study = make_study(
        [FakeTrial("a", seed=seed, metrics=metrics(0.9, 0.5), values=value) for seed in (0, 1) for value in values]
    )
    assert set(study.trials["label"]) == {"a (minimax.epochs=100)", "a (minimax.epochs=3)"}
    assert study.trials.groupby("setting").size().tolist() == [2, 2]
    assert study.unfinished.empty


def test_runs_without_a_trial_key_are_not_repetitions(make_study: Maker) -> None:
    study = make_study([FakeTrial("a", seed=seed, metrics=metrics(0.9, 0.5), trial_key="") for seed in (0, 1)])
    assert len(study.trials) == 2


def test_settings_that_share_a_name_stay_apart(make_study: Maker) -> None:
    study = make_study([FakeTrial("a", metrics=metrics(0.9, 0.5), setting=setting) for setting in ("one-hash", "two-hash")])
    assert set(study.trials["label"]) == {"a [one-hash]", "a [two-hash]"}


def test_an_empty_study_is_no_error(make_study: Maker) -> None:
    study = make_study([])
    assert study.trials.empty
    assert study.unfinished.empty
    assert study.complete.empty
    assert read_curves(study, ["minimax/loss_action"]).empty


def test_profile_may_be_left_out_only_where_there_is_one(make_study: Maker) -> None:
    first = make_study([], profile="small")
    assert read_study("toy", tracking_uri=first.tracking_uri).profile == "small"
    make_study([], profile="paper")
    with pytest.raises(AnalysisError, match="one of paper, small"):
        read_study("toy", tracking_uri=first.tracking_uri)
    assert read_study("toy", "paper", first.tracking_uri).name == "toy.paper"


def test_an_experiment_without_tags_is_found_by_its_name(make_study: Maker) -> None:
    uri = make_study([]).tracking_uri
    MlflowClient(tracking_uri=uri).create_experiment("by.hand.small")
    assert read_study("by.hand", tracking_uri=uri).profile == "small"


@pytest.mark.parametrize(("space", "profile"), [("nothing", None), ("toy", "paper"), ("%", None), ("'; --", None)])
def test_an_unknown_study_names_those_there_are(make_study: Maker, space: str, profile: str | None) -> None:
    uri = make_study([]).tracking_uri
    with pytest.raises(AnalysisError, match=r"studies there: toy\.small") as caught:
        read_study(space, profile, uri)
    assert "\n" not in str(caught.value)


def test_a_missing_database_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"no MLflow database at .*none\.db"):
        read_study("toy", tracking_uri=f"sqlite:///{tmp_path / 'none.db'}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"this is text, and long enough to be no SQLite header at all" * 20])
def test_a_file_that_is_no_store_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.db").write_bytes(content)
    with pytest.raises(AnalysisError, match="MLflow store") as caught:
        read_study("toy", tracking_uri=f"sqlite:///{tmp_path / 'file.db'}")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file.db").read_bytes() == content


def test_no_store_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(AnalysisError, match="MLFLOW_TRACKING_URI"):
        read_study("toy")


def test_the_environment_names_the_store(monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    assert read_study("ablation_B").profile == "generated"


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "./mlruns", "nonsense://x"])
def test_a_store_that_cannot_be_opened_is_one_line(uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AnalysisError, match="cannot be read") as caught:
        read_study("toy", tracking_uri=uri)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_passwords_are_not_shown() -> None:
    assert shown_uri("http://me:secret@host:5000/x") == "http://host:5000/x"
    assert shown_uri("postgresql://me:secret@host/db") == "postgresql://host/db"
    assert shown_uri("sqlite:////tmp/a@b/mlflow.db") == "sqlite:////tmp/a@b/mlflow.db"


def test_curves(study: RecordedStudy) -> None:
    run = str(study.trials.index[study.trials["label"] == "B=0.3 lambda=1"][0])
    curves = read_curves(study, ["minimax/loss_action", "minimax/none_such"], [run])
    assert curves["name"].unique().tolist() == ["minimax/loss_action"]
    assert curves["step"].tolist() == [0, 1, 2, 3, 4, 5]
    assert np.all(np.diff(curves["value"]) < 0)


def test_a_step_logged_twice_counts_once(make_study: Maker) -> None:
    study = make_study([FakeTrial("a", metrics=metrics(0.9, 0.5), curves=True)])
    run = str(study.trials.index[0])
    MlflowClient(tracking_uri=study.tracking_uri).log_metric(run, "minimax/penalty", 0.7, timestamp=2**42, step=3)
    curve = read_curves(study, ["minimax/penalty"]).set_index("step")["value"]
    assert curve.index.tolist() == [0, 1, 2, 3, 4, 5]
    assert curve[3] == 0.7


def test_an_artifact_that_is_not_there(study: RecordedStudy, tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"none\.png of run"):
        fetch_artifact(study, str(study.trials.index[0]), "none.png", tmp_path)


def test_a_servers_search_gives_what_the_database_gives(study: RecordedStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server is asked page by page, a database table by table."""
    calls = []
    search = mlflow.tracking.MlflowClient.search_runs
    monkeypatch.setattr("analysis.read.runs.is_database", lambda uri: False)
    monkeypatch.setattr("analysis.read.runs.PAGE", 5)
    monkeypatch.setattr(mlflow.tracking.MlflowClient, "search_runs", lambda *a, **k: calls.append(1) or search(*a, **k))
    searched = read_study("ablation_B", tracking_uri=study.tracking_uri)
    assert len(calls) == 4
    pd.testing.assert_frame_equal(searched.trials, study.trials, check_like=True)
    pd.testing.assert_frame_equal(searched.unfinished, study.unfinished)
    assert searched.curve_names == study.curve_names


class TestPlan:
    """What the study's parent run plans, against the runs there are."""

    TRIALS = (
        FakeTrial("raw", "raw", metrics=metrics(0.9, 0.8), trial_key="now-raw"),
        FakeTrial("B=0.3", metrics=metrics(0.8, 0.4), trial_key="before", start=2000),
        FakeTrial("B=0.3", metrics=metrics(0.7, 0.3), trial_key="now-0.3", start=1000),
        FakeTrial("B=0.5", metrics=metrics(0.6, 0.2), trial_key="before-0.5"),
        FakeTrial("B=0.5", seed=1, status="FAILED", reason="no GPU", trial_key="before-0.5-1"),
        FakeTrial("B=0.7", seed=4, metrics=metrics(0.6, 0.2), trial_key="of another seed"),
    )
    PLAN = tuple(
        {"key": key, "name": f"{setting} seed={seed}", "setting": setting, "seed": seed}
        for key, setting, seed in (
            ("now-raw", "raw", 0),
            ("now-0.3", "B=0.3", 0),
            ("now-0.5", "B=0.5", 0),
            ("now-0.5-1", "B=0.5", 1),
            ("now-0.7", "B=0.7", 0),
            ("now-0.9", "B=0.9", 0),
        )
    )

    @pytest.fixture
    def planned(self, make_study: Maker) -> RecordedStudy:
        return make_study(list(self.TRIALS), plan=list(self.PLAN))

    def test_the_parent_run_is_no_trial(self, planned: RecordedStudy) -> None:
        assert set(planned.trials["label"]) | set(planned.unfinished["label"]) == {"raw", *(f"B=0.{n}" for n in (3, 5, 7, 9))}

    def test_trials_never_started_are_listed(self, planned: RecordedStudy) -> None:
        found = planned.unfinished[planned.unfinished["state"] == "missing"]
        assert found["name"].tolist() == ["B=0.5 seed=0", "B=0.5 seed=1", "B=0.7 seed=0", "B=0.9 seed=0"]
        assert found["reason"].unique().tolist() == ["planned, and no run was ever started"]

    def test_runs_planned_anew_are_outdated_whatever_became_of_them(self, planned: RecordedStudy) -> None:
        found = planned.unfinished[planned.unfinished["state"] == "outdated"]
        assert found["trial_key"].tolist() == ["before", "before-0.5", "before-0.5-1"]
        assert found["reason"].tolist()[-1] == "planned anew since code, data or recipe changed; this run was failed"
        # the older run of the plan counts, not the newer one of before
        assert planned.trials.loc[planned.trials["label"] == "B=0.3", "top1"].tolist() == [0.7]

    def test_what_does_not_count_does_not_change_the_names_of_what_does(self, make_study: Maker) -> None:
        """Runs of one setting with other values are told apart by these, unless they are of an older plan."""
        epochs = {"before": 5, "now-0.3": 6}
        trials = [
            FakeTrial("B=0.3", metrics=metrics(0.8, 0.4), trial_key=key, values={"minimax.epochs": number})
            for key, number in epochs.items()
        ]
        study = make_study(trials, plan=[entry for entry in self.PLAN if entry["key"] == "now-0.3"])
        assert study.trials["label"].tolist() == study.trials["setting"].tolist() == ["B=0.3"]
        assert study.unfinished["label"].tolist() == ["B=0.3"]
        labels = make_study(trials, "other").trials["label"]
        assert {label.partition(" (")[2] for label in labels} == {"minimax.epochs=5)", "minimax.epochs=6)"}

    def test_a_seed_the_last_plan_left_out_counts(self, planned: RecordedStudy) -> None:
        assert planned.trials.loc[planned.trials["label"] == "B=0.7", "seed"].tolist() == [4]

        assert planned.other_seeds == (4,)

    def test_every_planned_trial_and_every_run_is_somewhere(self, planned: RecordedStudy) -> None:
        keys = [*planned.trials["trial_key"], *planned.unfinished["trial_key"]]
        assert sorted(keys) == sorted({*(trial.trial_key for trial in self.TRIALS), *(entry["key"] for entry in self.PLAN)})

    def test_the_newest_plan_that_can_be_read_counts(self, make_study: Maker) -> None:
        study = make_study([FakeTrial("a", metrics=metrics(0.9, 0.5), trial_key="old")], plan=list(self.PLAN))
        client = MlflowClient(tracking_uri=study.tracking_uri)
        newest = client.create_run(study.experiment_id, tags={"kind": "study"}).info.run_id
        client.log_text(newest, "{not json", "plan.json")
        assert len(read_study("toy", tracking_uri=study.tracking_uri).unfinished) == len(self.PLAN)
