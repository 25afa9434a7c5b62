"""What the section "How it was measured" and the warnings say of methods and of starting weights."""

from __future__ import annotations

import pandas as pd

from analysis.read.trials import PARAM
from analysis.report.measured import _approximate, missing_weights_of
from trainables.methods import METHODS


def trials(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Trials of a method, with the weights of f_T and of f_B as MLflow returns them."""
    return pd.DataFrame(
        {
            "method": method,
            PARAM + "action_classifier.name": "i3d_r50",
            PARAM + "action_classifier.weights": action,
            PARAM + "privacy_encoder.name": "resnet50",
            PARAM + "privacy_encoder.weights": privacy,
        }
        for method, action, privacy in rows
    )


def test_what_is_approximate_is_listed_with_what_differs() -> None:
    [table] = _approximate(trials(*((name, "kinetics400", "simclr") for name in ("penalty", "tedspad", "raw", "tedspad"))))
    assert table.rows == [["tedspad", METHODS["tedspad"].approximate]]
    assert _approximate(trials(("penalty", "kinetics400", "simclr"))) == []


def test_a_report_says_which_network_started_from_scratch_where_the_papers_did_not() -> None:
    assert missing_weights_of(trials(("penalty", "kinetics400", "simclr"), ("raw", "None", "None"))) == []
    said = missing_weights_of(trials(("penalty", "kinetics400", "None"), ("spact", "kinetics400", "None")))
    assert [line.partition(" starts from scratch")[0] for line in said] == ["f_B (resnet50)"]
    said = missing_weights_of(trials(("penalty", "None", "/weights/simclr.pt")))
    assert [line.partition(" starts from scratch")[0] for line in said] == ["f_T (i3d_r50)"]
    assert missing_weights_of(pd.DataFrame({"method": ["penalty"]})) == []
