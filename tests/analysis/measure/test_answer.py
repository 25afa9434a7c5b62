"""The setting that the answer of a report is about."""

from __future__ import annotations

from collections.abc import Callable

from analysis.measure.answer import headline
from analysis.measure.settings import settings_table
from analysis.read.study import RecordedStudy
from tests.support.fake_studies import FakeTrial, metrics


def test_it_is_the_most_private_of_those_near_raw_or_else_the_most_useful(make_study: Callable[..., RecordedStudy]) -> None:
    figures = {
        "raw": (0.90, 0.50),
        "a": (0.89, 0.40),
        "b": (0.87, 0.20),
        "c": (0.86, 0.30),
        "d": (0.70, 0.01),
        "e": (0.80, 0.10),
    }
    trials = [
        FakeTrial(label, "raw" if label == "raw" else "penalty", metrics=metrics(*pair), values={"minimax.epochs": number})
        for number, (label, pair) in enumerate(figures.items())
    ]
    settings = settings_table(make_study(trials).trials)
    found = headline(settings)
    assert found is not None
    assert found["label"] == "b", "d and e have lost more than five points"
    far = headline(settings[~settings["label"].isin(["a", "b", "c"])])
    assert far is not None
    assert far["label"] == "e"
