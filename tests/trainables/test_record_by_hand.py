"""The record of a trial from the outcomes of its stages: whose figures count, and whose seconds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trainables.losses import anonymizer_loss
from trainables.pipeline import _record
from trainables.store import Outcome


def stage(role: str, reported: bool = True, control: str = "", attack: bool = False) -> Any:
    own = SimpleNamespace(data=())
    return SimpleNamespace(role=role, key=f"key of {role}", reported=reported, control=control, attack=attack, stage=own)


def test_figures_are_the_trial_s_own_and_seconds_those_it_took() -> None:
    stages = [
        stage("minimax"),
        stage("evaluate_action"),
        stage("raw_action", reported=False, control="raw"),
        stage("evaluate_privacy", reported=False),
        stage("test_privacy"),
        stage("attack_retrained", attack=True),
        stage("attack_retrained.raw", reported=False, control="raw", attack=True),
        stage("attacks", attack=True),
    ]
    figures = [
        {},
        {"top1": 0.5},
        {"top1": 0.9},
        {"leakage": 0.8},
        {"leakage": 0.3},
        {},
        {"leakage": 0.7},
        {"attack.retrained": 0.4},
    ]
    outcomes = {
        each.role: Outcome(found, seconds=10.0**number, device="CPU", notes=(each.role,))
        for number, (each, found) in enumerate(zip(stages, figures, strict=True))
    }
    plan: Any = SimpleNamespace(key="trial", stages=stages, config=SimpleNamespace(selection="validation", method="penalty"))
    data: Any = SimpleNamespace(flaws=lambda: (), enlarged=lambda config: ["enlarged"])
    record = _record(plan, data, outcomes, {"minimax", "evaluate_action", "attacks"})
    own = 1e0 + 1e1 + 1e3 + 1e4 + 1e5 + 1e7  # all but the controls, which are stages of other trials
    share = pytest.approx((1e5 + 1e7) / own)
    assert record.metrics == {"top1": 0.5, "leakage": 0.3, "attack.retrained": 0.4, "attack_share": share}
    assert (record.seconds, record.pipeline_seconds) == (1 + 10 + 1e7, 11111111.0)
    assert record.stage_seconds["raw_action"] == 100.0
    assert record.computed == ("minimax", "evaluate_action", "attacks")
    assert len(record.reused) == 5
    assert record.stage_keys == {each.role: f"key of {each.role}" for each in stages}
    assert record.notes == ("enlarged", *outcomes)


def test_the_loss_of_f_a_by_hand() -> None:
    """Eq. 3 with the weight of L_B: 2 - 0.5 x 3 + 7 x 5."""
    action, privacy, penalty = torch.tensor(2.0), torch.tensor(3.0), torch.tensor(5.0)
    assert float(anonymizer_loss(action, privacy, penalty, 7.0, 0.5)) == 35.5
    assert float(anonymizer_loss(action, privacy, penalty, 7.0)) == 34.0
