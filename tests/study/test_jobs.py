"""What a study gives its workers: the config, the place, the identity and the labels of every trial, and its hours."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from study.backend.base import StudyEnd
from study.options import Options
from study.records.view import description_of
from study.schedule.usage import Usage
from study.study import Study
from trainables.config import ConfigError
from trainables.data.items import DataError
from trainables.early import EarlyStopping

TAGS = {"study": "of mine"}


def study_of(space: str, data: Path, storage: Path, **options: Any) -> Study:
    values = {"space": space, "profile": "small", "data_root": str(data), "storage": str(storage), "cpus_per_trial": 1.0}
    made = Study(Options(**{**values, **options}))
    made.__dict__["tracker"] = SimpleNamespace(
        tags=TAGS, experiment_id="7", stop="halt", usage={}, runs=lambda: RUNS, address=""
    )
    return made


RUNS: list[Any] = []


def test_every_trial_goes_to_a_worker_under_its_own_name(tiny_data: Path, tmp_path: Path) -> None:
    study = study_of("ablation_B", tiny_data, tmp_path / "s", seeds=(0, 3))
    todo = list(zip(study.plan.trials, study.trial_plans, strict=True))
    batch = study._batch(todo, study.resources)
    assert len(batch.jobs) == len(todo) == 2 * 8
    for job, (trial, staged) in zip(batch.jobs, todo, strict=True):
        assert (job.name, job.key, job.config, job.gpus, job.stop) == (trial.name, staged.key, trial.config, 0.0, "halt")
        assert job.tags == {
            **TAGS,
            "space": "ablation_B",
            "profile": "small",
            "protocol": "known_ucf101",
            "method": trial.config.method,
            "setting": trial.setting,
            "seed": str(trial.config.seed),
            "mlflow.note.content": description_of(trial),
        }
        assert (job.runtime.data_root, job.runtime.storage, job.runtime.device) == (str(tiny_data), str(tmp_path / "s"), "cpu")
        recorder: Any = job.recorder
        assert (recorder.experiment_id, recorder.tracking_uri) == ("7", study.places.tracking_uri)
    assert {job.tags["seed"] for job in batch.jobs} == {"0", "3"}
    assert len({job.key for job in batch.jobs}) == len(todo)


def test_early_stopping_is_decided_in_the_storage_beside_the_trials(tiny_data: Path, tmp_path: Path) -> None:
    for stop_early in (False, True):
        study = study_of("ablation_B", tiny_data, tmp_path / "s", stop_early=stop_early)
        batch = study._batch(list(zip(study.plan.trials, study.trial_plans, strict=True))[:2], study.resources)
        wanted = EarlyStopping(f"{batch.jobs[0].recorder.leases}/early") if stop_early else None
        assert [batch.early, *(job.early for job in batch.jobs)] == [wanted] * 3


def test_early_stopping_is_refused_where_each_trial_counts_or_none_can_be_watched(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--stop-early: table1_ucf101 makes Table 1 of the paper, whose cells all count"):
        study_of("table1_ucf101", tiny_data, tmp_path / "s", stop_early=True)
    with pytest.raises(ConfigError, match="--stop-early: not where a trial has several GPUs"):
        study_of("ablation_B", tiny_data, tmp_path / "s", stop_early=True, gpus_per_trial=2.0).check()


def test_trials_know_the_others_that_can_share_a_pass(tiny_data: Path, tmp_path: Path) -> None:
    study = study_of("table7_privacy_backbones", tiny_data, tmp_path / "s")
    todo = list(zip(study.plan.trials, study.trial_plans, strict=True))
    for job in study._batch(todo, study.resources).jobs:
        varied = [other for other, _ in todo if other.config.method == job.config.method]
        same = [other.config for other in varied if other.config.minimax == job.config.minimax and other.config != job.config]
        assert list(job.neighbours) == same, "another attacker of the same anonymizer"
        assert len(same) == 1


@pytest.mark.parametrize(("gpus", "prefix"), [(0.0, "cpu_hours"), (0.5, "gpu_hours")])
def test_hours_are_those_of_what_trials_are_given(tiny_data: Path, tmp_path: Path, gpus: float, prefix: str) -> None:
    study = study_of("ablation_B", tiny_data, tmp_path / "s", gpus_per_trial=gpus)
    study._note(Usage(busy=1.5))
    assert {name for name in study.tracker.usage if not name.startswith(prefix)} == set()
    assert 1.5 in study.tracker.usage.values()


def test_of_a_search_the_points_that_have_figures_are_done(tiny_data: Path, tmp_path: Path) -> None:
    study = study_of("pareto_search", tiny_data, tmp_path / "s", search_trials=5)
    assert study.plan.search is not None
    params = {"method": "penalty", "seed": "0", **dict.fromkeys(study.plan.search.axes, "0.5")}
    figures = dict.fromkeys(study.plan.search.objectives, 0.4)
    ends = [("FINISHED", figures), ("FINISHED", {}), ("KILLED", {}), ("FAILED", {}), ("FINISHED", figures)]
    RUNS[:] = [
        SimpleNamespace(info=SimpleNamespace(status=status), data=SimpleNamespace(params=params, metrics=metrics, tags={}))
        for status, metrics in ends
    ]
    left = study._points_left()
    RUNS.clear()
    assert left is not None
    assert left.count == 3
    assert len(left.points) == 4, "those without figures are tried first, the failed one not at all"


def test_nothing_is_started_where_nothing_is_left(tiny_data: Path, tmp_path: Path) -> None:
    assert study_of("ablation_B", tiny_data, tmp_path / "s").run_trials([]) is None
    assert StudyEnd().failed == 0


def test_flawed_data_are_refused_when_the_plan_is_made(tiny_data: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for folder in ("UCF-101", "VISPR"):
        (root / folder).symlink_to(tiny_data / folder)
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    for file in (tiny_data / "ucfTrainTestlist").iterdir():
        (lists / file.name).write_bytes(file.read_bytes())
    test, train = lists / "testlist01.txt", lists / "trainlist01.txt"
    classes = [line.split()[1] for line in (lists / "classInd.txt").read_text().splitlines()]
    kept = [line for line in train.read_text().splitlines() if not line.startswith(classes[0])]
    train.write_text("\n".join(kept) + "\n")
    assert any(line.startswith(classes[0]) for line in test.read_text().splitlines())
    with pytest.raises(DataError, match="2 classes without a training item"):
        study_of("ablation_B", root, tmp_path / "s").trial_plans  # noqa: B018


def test_a_study_runs_the_trials_that_are_asked_for_in_the_order_that_is(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def todo(**options: Any) -> list[str]:
        study = study_of("ablation_lambda", tiny_data, tmp_path / "s", seeds=(0, 1), **options)
        ends = {
            "raw seed=0": "FINISHED",
            "raw seed=1": "FAILED",
            "B=0.3 lambda=1 seed=0": "FAILED",
            "B=0.3 lambda=0 seed=0": "KILLED",
        }
        RUNS[:] = [
            SimpleNamespace(info=SimpleNamespace(status=ends[trial.name]), data=SimpleNamespace(tags={"trial_key": staged.key}))
            for trial, staged in zip(study.plan.trials, study.trial_plans, strict=True)
            if trial.name in ends
        ]
        vars(study.tracker).update(send_unsent=lambda: 0, plan=lambda trials: None)
        return [trial.name for trial, _ in study.prepare()]

    everything = todo()
    assert len(everything) == 2 * 7 - 1, "what has failed or was stopped is run again, what is done is not"
    assert todo(retry_failed=True) == [name for name in everything if name in ("raw seed=1", "B=0.3 lambda=1 seed=0")]
    assert sorted(todo(only=("B=0.3 lambda=0.5, raw",))) == ["B=0.3 lambda=0.5 seed=0", "B=0.3 lambda=0.5 seed=1", "raw seed=1"]
    assert "14 trials, 1 done before, 3 to run, 10 left out" in capsys.readouterr().out
    assert todo(only=("raw",), retry_failed=True) == ["raw seed=1"]
    first = ("B=0.3 lambda=0.1", "raw seed=1")
    ahead = [name for name in everything if name.startswith(first)]
    assert todo(first=first) == ahead + [name for name in everything if name not in ahead]
    assert len(ahead) == 3


def test_names_of_no_trial_end_the_study_before_anything_is_made(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--only 'rwa': no setting or trial of this study; did you mean raw"):
        study_of("ablation_lambda", tiny_data, tmp_path / "s", only=("rwa",)).check()
    with pytest.raises(ConfigError, match=r"^--retry-failed: with --fresh there are no records"):
        study_of("ablation_lambda", tiny_data, tmp_path / "s", fresh=True, retry_failed=True).check()
    assert not (tmp_path / "s").exists()


def test_a_search_proposes_nothing_where_certain_trials_are_asked_for(tiny_data: Path, tmp_path: Path) -> None:
    RUNS.clear()
    assert study_of("pareto_search", tiny_data, tmp_path / "s")._points_left() is not None
    for asked in ({"only": ("raw",)}, {"retry_failed": True}):
        assert study_of("pareto_search", tiny_data, tmp_path / "s", **asked)._points_left() is None
