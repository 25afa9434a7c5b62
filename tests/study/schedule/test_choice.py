"""Which trials the command line names: settings with all of their seeds, single trials, the nearest names for a wrong one."""

from __future__ import annotations

import pytest

from search_spaces.plan import plan_study
from study.schedule.choice import named
from trainables.config import ConfigError

TRIALS = plan_study("ablation_lambda", "generated", [0, 3], {}).trials


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        (["raw"], {"raw seed=0", "raw seed=3"}),
        (["B=0.3 lambda=1 seed=3"], {"B=0.3 lambda=1 seed=3"}),
        (["raw seed=0, B=0.3 lambda=1"], {"raw seed=0", "B=0.3 lambda=1 seed=0", "B=0.3 lambda=1 seed=3"}),
        (["raw", "raw seed=3"], {"raw seed=0", "raw seed=3"}),
        ([], set()),
    ],
)
def test_a_label_names_its_trials(texts: list[str], names: set[str]) -> None:
    assert named(TRIALS, "--only", texts) == names


def test_a_wrong_one_is_told_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"^--first 'B=0.3 lamda=1': no setting or trial .* did you mean B=0.3 lambda=1 or"):
        named(TRIALS, "--first", ["B=0.3 lamda=1"])
