"""The axes of a front and the corner its area is measured from."""

import math
from collections.abc import Callable

import pytest

from analysis.measure.pareto import covered
from analysis.measure.plane import Corner, Plane, corner, scale
from analysis.measure.settings import settings_table
from analysis.read.store import AnalysisError
from analysis.read.study import RecordedStudy
from tests.support.fake_studies import FakeTrial, metrics
from trainables.schema import FINAL_METRICS

Maker = Callable[..., RecordedStudy]
NBSP = "\N{NO-BREAK SPACE}"


def test_directions_are_those_of_the_metrics() -> None:
    assert Plane().names == ("leakage", "top1")
    assert Plane().directions == ("lower", "higher")
    assert Plane("macro_f1", "top5").directions == ("higher", "lower")
    assert [scale(name) for name in ("top1", "macro_f1", "seconds")] == [100, 1, 1]


@pytest.mark.parametrize(
    ("utility", "privacy", "said"),
    [
        ("top_1", "leakage", "--utility: there is no metric top_1; the nearest that can be an axis is top1 "),
        ("top1", "clip_leak", "--privacy: there is no metric clip_leak; the nearest that can be an axis is clip_leakage "),
        (
            "chance_top1",
            "leakage",
            "--utility: chance_top1 has no direction, neither more nor less of it is better; the nearest",
        ),
        ("top1", "rms_distortion", "--privacy: rms_distortion has no direction"),
        ("top1", "", "--privacy: there is no metric without a name"),
        ("cmap", "cmap", "--utility and --privacy are both cmap"),
    ],
)
def test_wrong_axes_are_refused_in_one_line(utility: str, privacy: str, said: str) -> None:
    with pytest.raises(AnalysisError) as caught:
        Plane(utility, privacy)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_every_pair_of_metrics_with_a_direction_is_a_plane() -> None:
    directed = [name for name, metric in FINAL_METRICS.items() if metric.better != "neither"]
    pairs = [(a, b) for a in directed for b in directed if a != b]
    assert all(Plane(utility, privacy).names == (privacy, utility) for utility, privacy in pairs)


def test_corner_is_chance_and_raw(make_study: Maker) -> None:
    trials = [FakeTrial("raw", "raw", seed, metrics(0.9, 0.8 + 0.02 * seed)) for seed in (0, 1)]
    settings = settings_table(make_study([*trials, FakeTrial("a", metrics=metrics(0.85, 0.4))]).trials)
    found = corner(Plane(), settings)
    assert found.reference == pytest.approx((0.81, 0.1))
    assert found.ideal == (0.0, 1.0)
    assert found.words == f"top-1 accuracy at chance (10.0{NBSP}%) and leakage above chance of raw (81.0{NBSP}%)"
    assert corner(Plane("top5", "macro_f1"), settings).words == f"top-5 accuracy 0.0{NBSP}% and macro F1 of raw (0.67)"
    assert corner(Plane("top5", "seconds"), settings).reference == (60.0, 0.0)


def test_corner_stays_where_it_is_as_trials_arrive(make_study: Maker) -> None:
    """A new extreme setting moves neither the corner nor what the others cover."""
    some = [FakeTrial("raw", "raw", metrics=metrics(0.9, 0.8)), FakeTrial("a", metrics=metrics(0.7, 0.4))]
    more = [*some, *(FakeTrial(name, seed=3, metrics=metrics(0.05, leak)) for name, leak in (("b", 0.99), ("c", 0.5)))]
    found: list[tuple[Corner, float]] = []
    for number, trials in enumerate((some, more)):
        settings = settings_table(make_study(trials, f"space{number}").trials)
        at = corner(Plane(), settings)
        found.append((at, covered(settings[["leakage", "top1"]], at.reference, at.ideal)))
    assert found[0] == found[1]
    assert found[0][1] == pytest.approx(0.4 * 0.6 / (0.8 * 0.9))


def test_corner_without_raw_or_chance(make_study: Maker) -> None:
    values = {name: value for name, value in metrics(0.7, 0.4).items() if name != "chance_top1"}
    settings = settings_table(make_study([FakeTrial("a", metrics=values)]).trials)
    found = corner(Plane(), settings)
    assert found.reference == (1.0, 0.0)
    assert found.words == f"top-1 accuracy 0.0{NBSP}% and leakage above chance 100.0{NBSP}% (there is no raw trial)"
    unknown = corner(Plane("top1", "seconds"), settings)
    assert math.isnan(unknown.reference[0])
    assert "seconds of raw, which is not there" in unknown.words
    assert math.isnan(covered([[50.0, 0.7]], unknown.reference, unknown.ideal))
