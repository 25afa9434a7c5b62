"""No figure of test items is recorded under the name of a validation figure."""

from types import SimpleNamespace
from typing import Any

import pytest

from trainables.config import TrialConfig
from trainables.pipeline import metrics_of
from trainables.store import Outcome


@pytest.mark.parametrize(("selection", "recorded"), [("validation", True), ("last", True), ("test", False)])
def test_selection_on_test_data_leaves_no_validation_figures(selection: str, recorded: bool) -> None:
    stages = [SimpleNamespace(role=role, reported=role != "warm_up") for role in ("warm_up", "evaluate_action", "attacks")]
    plan: Any = SimpleNamespace(config=TrialConfig().model_copy(update={"selection": selection}), stages=stages)
    outcomes = {
        "warm_up": Outcome({"validation_top1": 0.1}),
        "evaluate_action": Outcome({"top1": 0.7, "validation_top1": 0.8}),
        "attacks": Outcome({"attack.linkage": 0.3, "validation_attack.linkage": 0.2}),
    }
    twins = {"validation_top1": 0.8, "validation_attack.linkage": 0.2} if recorded else {}
    assert metrics_of(plan, outcomes) == {"top1": 0.7, "attack.linkage": 0.3} | twins
