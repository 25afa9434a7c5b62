"""Evaluators of one anonymizer in one pass: what each learns is what it would learn alone, and each clip is anonymized once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.support.stages import SilentReporter, stage_context
from trainables.config import Runtime, TrialConfig, with_values
from trainables.data.trial_data import TrialData
from trainables.evaluation import action as evaluate_action
from trainables.evaluation import privacy as evaluate_privacy
from trainables.execution.context import StageContext
from trainables.execution.together import run_together
from trainables.failures import Stopped
from trainables.models.action import ACTION_CLASSIFIERS, Narrow3d
from trainables.models.base import Anonymizer
from trainables.models.classifier import Backbone
from trainables.pipeline import TrialRecord, run_trial
from trainables.plan import neighbours, plan_trial
from trainables.store import Outcome
from trainables.training import reconstruct


def _forgetful(_: object) -> Backbone:
    """Draws random numbers in every step, as dropout does."""
    network = Narrow3d()
    network.stages.append(nn.Dropout3d(0.5))
    return Backbone(network, "fc", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture
def contexts(
    tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[StageContext]]:
    """The contexts of three evaluators of one trained anonymizer, with checkpoints in the folder `where`."""
    monkeypatch.setitem(ACTION_CLASSIFIERS._entries, "forgetful", _forgetful)
    trained = {"anonymizer": reconstruct.run(stage_context("reconstruct", tiny_config, tiny_data, tmp_path))}

    def make(stage: str, where: str, stop: Any = lambda: False) -> list[StageContext]:
        names = ("narrow3d", "forgetful", "forgetful") if stage == "evaluate_action" else ("narrow2d",) * 3
        rates = (1e-3, 1e-3, 1e-2)
        configs = [
            with_values(tiny_config, {f"{stage}.classifier.name": name, f"{stage}.learning_rate": rate})
            for name, rate in zip(names, rates, strict=True)
        ]
        found = [
            stage_context(stage, config, tiny_data, tmp_path, trained, key=f"{where}{number}")
            for number, config in enumerate(configs)
        ]
        return [replace(context, stop=stop) for context in found]

    return make


def together(run: Callable[[StageContext], Outcome], contexts: list[StageContext]) -> list[Outcome]:
    found: dict[str, Outcome] = {}

    def keep(context: StageContext) -> Outcome:
        found[context.work._folder] = outcome = run(context)
        return outcome

    run_together(keep, contexts[0], contexts[1:])
    return [found[context.work._folder] for context in contexts]


def alike(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)


@pytest.mark.parametrize("stage", ["evaluate_action", "evaluate_privacy"])
def test_each_learns_what_it_learns_alone(
    contexts: Callable[..., list[StageContext]], stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = {"evaluate_action": evaluate_action.run, "evaluate_privacy": evaluate_privacy.run_on_images}[stage]
    seen: list[int] = []
    anonymize = Anonymizer.clips

    def counted(anonymizer: Anonymizer, clips: torch.Tensor) -> torch.Tensor:
        seen.append(len(clips))
        return anonymize(anonymizer, clips)

    monkeypatch.setattr(Anonymizer, "clips", counted)
    alone = [run(context) for context in contexts(stage, "alone")]
    by_each = sum(seen) / 3
    seen.clear()
    shared = together(run, contexts(stage, "shared"))
    assert sum(seen) <= by_each  # less where a validation pass of one batch is found again
    for one, other in zip(alone, shared, strict=True):
        assert alike(one.history, other.history)
        assert alike(dict(one.metrics), dict(other.metrics))
        assert alike(dict(one.state), dict(other.state))
        assert one.files == other.files
    assert not alike(alone[0].state["classifier"], alone[2].state["classifier"])


def test_stopped_together_each_goes_on_alone(contexts: Callable[..., list[StageContext]]) -> None:
    """From what each has saved."""
    alone = [evaluate_action.run(context) for context in contexts("evaluate_action", "alone")]
    steps = iter(range(1000))
    with pytest.raises(Stopped):
        together(evaluate_action.run, contexts("evaluate_action", "stopped", stop=lambda: next(steps) > 7))
    for one, context in zip(alone, contexts("evaluate_action", "stopped"), strict=True):
        assert context.work.read() is not None
        assert alike(dict(one.state), dict(evaluate_action.run(context).state))


def test_one_that_fails_does_not_disturb_the_others(
    contexts: Callable[..., list[StageContext]], caplog: pytest.LogCaptureFixture
) -> None:
    found = {}
    first, second, third = contexts("evaluate_action", "failing")

    def run(context: StageContext) -> Outcome:
        if context.work is second.work:
            raise ValueError("broken")
        found[context.work._folder] = evaluate_action.run(context)
        return found[context.work._folder]

    run_together(run, first, [second, third])
    assert len(found) == 2
    assert "broken" in caplog.text
    assert alike(dict(found[first.work._folder].state), dict(evaluate_action.run(contexts("evaluate_action", "x")[0]).state))


def test_a_trial_trains_the_evaluators_of_its_neighbours(
    tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other trial then finds them, and its figures are those it would have come to alone."""
    monkeypatch.setitem(ACTION_CLASSIFIERS._entries, "forgetful", _forgetful)
    no_data = {"evaluate_privacy.clips": False}
    other = with_values(tiny_config, {**no_data, "evaluate_action.classifier.name": "forgetful"})
    tiny_config = with_values(tiny_config, no_data)

    def run(config: TrialConfig, storage: str, neighbours: tuple[TrialConfig, ...] = ()) -> TrialRecord:
        runtime = Runtime(data_root=str(tiny_data), storage=str(tmp_path / storage), device="cpu")
        return run_trial(config, runtime, SilentReporter(), neighbours=neighbours)[0]

    alone = run(other, "alone")
    first = run(tiny_config, "shared", neighbours=(other,))
    second = run(other, "shared", neighbours=(tiny_config,))
    assert "evaluate_action" in first.computed
    assert second.computed == ()
    assert dict(second.metrics) == dict(alone.metrics)


def test_trials_are_neighbours_where_only_the_classifier_differs(tiny_config: TrialConfig, tiny_data: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"evaluate_action.classifier.name": "narrow2plus1d"},
        {"evaluate_action.learning_rate": 1e-2},
        {"evaluate_action.epochs": 3, "evaluate_privacy.epochs": 3},
        {"seed": 1},
        {"minimax.distortion_budget": 0.7},
        {"evaluate_privacy.classifier.name": "resnet18"},
    ]
    configs = [with_values(tiny_config, change) for change in changes]
    plans = [plan_trial(config, TrialData(config, tiny_data)) for config in configs]
    near = neighbours(plans)
    assert near[0] == [1, 2, 6]
    assert near[1] == [0, 2, 6]
    assert near[3] == near[4] == near[5] == []
