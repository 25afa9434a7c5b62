"""An anonymizer that goes on from its neighbour's: which trial that is, what is planned and shared, and what is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.stages import SilentReporter, stage_context
from trainables.config import ConfigError, Runtime, TrialConfig, with_values
from trainables.data.trial_data import TrialData
from trainables.execution.watch import place_of
from trainables.methods import resolved
from trainables.methods.continued import before
from trainables.methods.continued import training as continued
from trainables.pipeline import run_trial
from trainables.plan import PlannedStage, TrialPlan, plan_trial
from trainables.store import Outcome, StageStore

PATH = {"options.start": 0.1, "options.step": 0.2, "options.first": 3, "minimax.epochs": 2}


@pytest.fixture
def config(tiny_config: TrialConfig) -> TrialConfig:
    """The third budget of the path 0.1, 0.3, 0.5."""
    return at(with_values(tiny_config, {"method": "continued", **PATH}), 0.5)


def at(config: TrialConfig, budget: float) -> TrialConfig:
    return resolved(with_values(config, {"minimax.distortion_budget": budget}))


def first_of(config: TrialConfig) -> TrialConfig:
    """The trial of the method `penalty` with which the path begins."""
    values = {"method": "penalty", "options": {}, "minimax": config.minimax.model_copy(update={"epochs": 6})}
    return at(config.model_copy(update=values), 0.1)


def planned(config: TrialConfig, data: Path) -> TrialPlan:
    return plan_trial(config, TrialData(config, data))


def by_role(config: TrialConfig, data: Path) -> dict[str, PlannedStage]:
    return {stage.role: stage for stage in planned(config, data).stages}


def test_the_trial_before_by_hand(config: TrialConfig) -> None:
    second = before(config)
    assert (second.method, second.minimax.distortion_budget, second.minimax.epochs) == ("continued", 0.3, 2)
    assert before(second) == first_of(config)
    assert before(at(with_values(config, {"options.start": 0.0, "options.step": 0.1}), 0.4)).minimax.distortion_budget == 0.3


@pytest.mark.parametrize("budget", [0.1, 0.0, 0.4, 0.51])
def test_a_budget_that_is_not_a_later_one_of_the_path_is_refused(config: TrialConfig, tiny_data: Path, budget: float) -> None:
    with pytest.raises(ConfigError, match=rf"distortion_budget = {budget:g}: .* options\.start = 0\.1 in steps"):
        planned(at(config, budget), tiny_data)


def test_the_stages_of_a_path_by_hand(config: TrialConfig, tiny_data: Path) -> None:
    """reconstruct, warm_up, minimax at 0.1, continued at 0.3 and at 0.5, each from the one before it; then the evaluation."""
    stages = by_role(config, tiny_data)
    assert list(stages)[:5] == ["reconstruct", "warm_up", "before.before", "before", "continued"]
    shown = {
        role: (stage.name, stage.config.minimax.distortion_budget, dict(stage.inputs), stage.reported)
        for role, stage in list(stages.items())[2:5]
    }
    assert shown == {
        "before.before": ("minimax", 0.1, {"reconstruct": "reconstruct", "warm_up": "warm_up"}, False),
        "before": ("continued", 0.3, {"before": "before.before"}, False),
        "continued": ("continued", 0.5, {"before": "before"}, True),
    }
    of_clips = stages["warm_up"].steps // config.warm_up.epochs
    assert [stages[role].steps for role in shown] == [6 * of_clips, 2 * of_clips, 2 * of_clips]
    assert set(stages["evaluate_action"].inputs.values()) == {"continued"}
    assert planned(config, tiny_data).anonymizer_key == stages["continued"].key


def test_neighbours_on_the_path_share_what_they_have_in_common(config: TrialConfig, tiny_data: Path) -> None:
    """Each stage of a path is stored once, and the first is that of the trial of the method `penalty`."""
    first, second, third = (by_role(one, tiny_data) for one in (first_of(config), before(config), config))
    assert {role: third[role].key for role in ("reconstruct", "warm_up")} == {
        role: first[role].key for role in ("reconstruct", "warm_up")
    }
    assert third["before.before"].key == second["before"].key == first["minimax"].key
    assert third["before"].key == second["continued"].key


def test_a_key_holds_the_whole_way(config: TrialConfig, tiny_data: Path) -> None:
    """The same budget from another neighbour, with another start, or from one that trained longer, is another anonymizer."""
    found = by_role(config, tiny_data)
    for values in ({"options.step": 0.4}, {"options.start": 0.3}, {"options.first": 2}, {"minimax.penalty_weight": 7.0}):
        other = by_role(with_values(config, values), tiny_data)
        assert other["continued"].key != found["continued"].key, values
        assert other["evaluate_action"].key != found["evaluate_action"].key, values
        assert other["reconstruct"].key == found["reconstruct"].key, values


def test_nobody_on_a_path_is_stopped_early(config: TrialConfig, tiny_data: Path) -> None:
    """Not the trial itself, and not, as a part of it, the one from which it goes on; that one by itself can be."""

    def watched(config: TrialConfig) -> list[str]:
        data = TrialData(config, tiny_data)
        return [stage.role for stage in planned(config, tiny_data).stages if place_of(stage, data) is not None]

    assert watched(config) == []
    assert watched(first_of(config)) == ["minimax"]


def test_a_trial_goes_on_from_its_neighbour_s_networks(config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    """Without a step they are the neighbour's, bit for bit; in a trial it trains for its own epochs, and all is found again."""
    short = {f"{stage}.epochs": 1 for stage in ("reconstruct", "warm_up", "minimax", "evaluate_action", "evaluate_privacy")}
    config = with_values(config, {**short, "options.first": 2, "evaluate_privacy.clips": False})
    runtime = Runtime(data_root=str(tiny_data), storage=str(tmp_path), device="cpu")
    _, outcomes = run_trial(before(config), runtime, SilentReporter())
    assert [len(outcomes[role].history) for role in ("before", "continued")] == [2, 1]
    neighbour = outcomes["continued"]

    def trained(epochs: int) -> Outcome:
        own = with_values(config, {"minimax.epochs": epochs})
        context = stage_context("continued", own, tiny_data, tmp_path, {"before": neighbour}, key=f"of {epochs}")
        return continued.run(context)

    parts = ("anonymizer", "action_classifier", "privacy_encoder")
    same = [
        all(torch.equal(value, neighbour.state[part][name]) for part in parts for name, value in found.state[part].items())
        for found in (trained(0), trained(1))
    ]
    assert same == [True, False]
    store = StageStore(tmp_path)
    stored = {role for role, stage in by_role(config, tiny_data).items() if store.has(stage.name, stage.key)}
    assert stored == {"reconstruct", "warm_up", "before.before", "before"}
