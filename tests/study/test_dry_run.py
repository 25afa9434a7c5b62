"""What a study would cost, from what its storage has measured or the user gives; and the order of its trials."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from search_spaces.plan import StudyPlan, StudyTrial
from search_spaces.registry import RAW, Range, Search
from study.dry_run import dry_run
from study.schedule.costs import Prices
from study.schedule.order import in_order
from study.study import plan_stages
from tests.support.stages import SilentReporter
from tests.support.studies import study_of
from trainables.config import ConfigError, Runtime, TrialConfig, with_values
from trainables.data.trial_data import TrialData
from trainables.pipeline import run_trial
from trainables.plan import plan_trial

PENALTY = {"minimax.distortion_budget": 0.1}


def _plan(config: TrialConfig, *settings: dict[str, object]) -> StudyPlan:
    trials = tuple(StudyTrial(str(n), values, "p", with_values(config, values)) for n, values in enumerate(settings))
    return StudyPlan("mine", "small", trials)


def _dry_run(plan: StudyPlan, data: Path, storage: Path, prices: Prices) -> int:
    """On one GPU a trial."""
    return dry_run(study_of(plan, data, storage, gpus_per_trial=1.0, prices=prices))


def test_costs_are_given_then_measured(
    tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = _plan(tiny_config, dict(RAW), {**PENALTY, "seed": 5})
    where = plan, tiny_data, tmp_path / "store"
    _dry_run(*where, Prices({}, None))
    said = capsys.readouterr().out
    assert "never measured in this storage: evaluate_action" in said
    assert "estimate: unknown GPU hours\n" in said, "not 0.00"
    given = {name: 3.6 for name in ("evaluate_action", "evaluate_privacy", "evaluate_clip_privacy")}
    _dry_run(*where, Prices.of([f"{name}={value}" for name, value in given.items()], 2.0))
    steps = sum(stage.steps for stage in plan_stages(plan, tiny_data)[0].stages) * 2
    assert (
        f"estimate: {steps / 1000:.2f} GPU hours, {steps / 500:,.2f} at 2 each, without what is unknown"
        in capsys.readouterr().out
    )
    with pytest.raises(ConfigError, match="no stage 'minmax' here"):
        _dry_run(*where, Prices({"minmax": 1.0}, None))

    # another seed, budget and learning rate cost the same
    other = with_values(tiny_config, {**PENALTY, "seed": 1, "minimax.learning_rate_action": 1e-3, "minimax.epochs": 1})
    run_trial(other, Runtime(data_root=str(tiny_data), storage=str(tmp_path / "store"), device="cpu"), SilentReporter())
    _dry_run(*where, Prices({}, None))
    said = capsys.readouterr().out
    assert "never measured" not in said
    assert "measured here on CPU" in said
    assert "stages: 9 needed, 0 of them shared, 0 stored, 9 to compute" in said


def test_the_points_of_a_search_are_priced_too(
    tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Raw (3 stages) and two budgets (6 each); three points more (6 each), which share reconstruct and warm_up with them."""
    search = Search({"minimax.distortion_budget": Range(0.0, 1.0)}, 5, {"validation_top1": "max"}, "random")
    plan = replace(_plan(tiny_config, dict(RAW), dict(PENALTY), {"minimax.distortion_budget": 0.2}), search=search)
    steps = next(stage.steps for stage in plan_stages(plan, tiny_data)[1].stages if stage.name == "minimax")
    assert _dry_run(plan, tiny_data, tmp_path / "store", Prices.of(["minimax=3.6"], None)) == 0
    said = capsys.readouterr().out
    assert "3 of them are beyond these trials" in said
    assert "stages: 33 needed, 8 of them shared, 0 stored, 25 to compute" in said
    [row] = [line.split() for line in said.splitlines() if line.strip().startswith("minimax ")]
    assert row[1:5] == ["5", "0", "0", "5"]
    assert f"estimate: {5 * steps / 1000:.2f} GPU hours, without what is unknown" in said


@pytest.mark.parametrize("text", ["minimax", "minimax=fast", "minimax=0"])
def test_a_malformed_cost_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match="write STAGE=SECONDS"):
        Prices.of([text], None)


def test_every_anonymizer_comes_before_a_second_judge_of_one(
    tiny_config: TrialConfig, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judges = [{"evaluate_action.classifier.name": name} for name in ("narrow3d", "narrow2plus1d")]
    budgets = [{"minimax.distortion_budget": value} for value in (0.1, 0.2)]
    plan = _plan(tiny_config, *({**budget, **judge} for budget in budgets for judge in judges), {**budgets[0], **judges[0]})
    data = TrialData(tiny_config, tiny_data)
    ordered = in_order(plan.trials, [plan_trial(trial.config, data) for trial in plan.trials])
    assert [trial.setting for trial, _ in ordered] == ["0", "2", "1", "3"]
    assert "4 seed=0: the same trial as 0 seed=0" in capsys.readouterr().out

    seeds = _plan(tiny_config, *({**budget, "seed": seed} for seed in (0, 1) for budget in budgets))
    ordered = in_order(seeds.trials, [plan_trial(trial.config, data) for trial in seeds.trials])
    assert [trial.config.seed for trial, _ in ordered] == [0, 1, 0, 1]


def test_the_price_of_a_study_with_early_stopping_is_an_upper_bound(
    tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = _plan(tiny_config, dict(PENALTY))
    said = []
    for stop_early in (True, False):
        study = study_of(plan, tiny_data, tmp_path, prices=Prices.of(["minimax=3.6"], None), stop_early=stop_early)
        dry_run(study)
        said.append(capsys.readouterr().out)
    early, whole = said
    assert early == whole + "  at most: every trial is priced to its end, and --stop-early ends some before it\n"
