"""Settings, intervals, changes, the answer and the warnings."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from analysis.measure.answer import answer, headline
from analysis.measure.plane import Plane
from analysis.measure.settings import change_by_seed, common, of, settings_table, varying
from analysis.measure.warnings import missing_seeds, warnings_of
from analysis.read.study import RecordedStudy
from analysis.report import table_of_settings
from analysis.text import mean
from tests.support.fake_studies import FakeTrial, metrics, on_clips
from trainables.statistics import Estimate, change, estimate

Maker = Callable[..., RecordedStudy]


def repeated(label: str, pairs: list[tuple[float, float]], method: str = "penalty", **more: object) -> list[FakeTrial]:
    values = more.pop("values", {})
    found = [metrics(top1, leakage, **more) for top1, leakage in pairs]  # type: ignore[arg-type]
    return [FakeTrial(label, method, seed, item, values) for seed, item in enumerate(found)]  # type: ignore[arg-type]


def test_interval_is_students() -> None:
    values = [0.91, 0.95, 0.93, math.nan]
    low, high = stats.t.interval(0.95, 2, np.mean(values[:3]), stats.sem(values[:3]))
    found = estimate(values)
    assert (found.mean - found.half_width, found.mean + found.half_width, found.n) == (
        pytest.approx(low),
        pytest.approx(high),
        3,
    )


def test_change_is_welchs() -> None:
    ours, theirs = [0.5, 0.62, 0.55], [0.8, 0.83, 0.79, 0.81]
    low, high = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    found = change(ours, theirs)
    assert found.mean - found.half_width == pytest.approx(low)
    assert found.mean + found.half_width == pytest.approx(high)
    assert found.n == 3


def test_no_interval_without_repetition() -> None:
    assert math.isnan(estimate([0.5]).half_width)
    assert estimate([]).n == estimate([math.nan]).n == 0
    assert math.isnan(change([0.5], [0.7, 0.8]).half_width)
    assert change([], [0.7]).n == 0
    assert change([0.5, 0.5], [0.7, 0.7]) == Estimate(pytest.approx(-0.2), 0.0, 2)


def test_printed_estimates_say_how_sure_they_are() -> None:
    assert mean(Estimate(0.9213, 0.0131, 3)) == "92.1 ± 1.3"
    assert mean(Estimate(-0.05, math.nan, 1), signed=True) == "−5.0 (n = 1)"
    assert mean(Estimate(0.05, 0.01, 2), signed=True) == "+5.0 ± 1.0"
    assert mean(Estimate(math.nan, math.nan, 0)) == "–"
    assert mean(Estimate(0.4567, 0.01, 2), share=False, digits=3) == "0.457 ± 0.010"


def test_changes_against_raw_are_paired_by_the_seeds_in_common(make_study: Maker) -> None:
    """A seed moves both figures; what the pairs have in common says nothing of the change."""
    raw = {0: 0.90, 1: 0.70, 2: 0.80, 3: 0.60}
    trials = [FakeTrial("raw", "raw", seed, metrics(top1, 0.8)) for seed, top1 in raw.items()]
    figures = {
        "paired": {0: 0.85, 1: 0.64, 2: 0.76},
        "unpaired": {7: 0.85, 8: 0.64, 9: 0.76},
        "one in common": {0: 0.85, 8: 0.64, 9: 0.76},
        "one alone": {0: 0.85},
    }
    for label, by_seed in figures.items():
        trials += [FakeTrial(label, "penalty", seed, metrics(top1, 0.5)) for seed, top1 in by_seed.items()]
    study = make_study(trials)
    settings = settings_table(study.trials)
    theirs = list(raw.values())

    low, high = stats.ttest_rel([0.85, 0.64, 0.76], theirs[:3]).confidence_interval(0.95)
    found = of(settings.loc["paired"], "change_top1")
    assert (found.mean - found.half_width, found.mean + found.half_width) == (pytest.approx(low), pytest.approx(high))
    assert (found.mean, found.n) == (pytest.approx(-0.05), 3)
    assert settings["change_top1_paired"].to_dict() == {
        "raw": False,
        "paired": True,
        "unpaired": False,
        "one in common": False,
        "one alone": False,
    }
    for label in ("unpaired", "one in common"):
        welch = stats.ttest_ind(list(figures[label].values()), theirs, equal_var=False).confidence_interval(0.95)
        found = of(settings.loc[label], "change_top1")
        assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx(tuple(welch))
        assert found.n == 3
    alone = of(settings.loc["one alone"], "change_top1")
    assert (alone.mean, alone.n) == (pytest.approx(-0.05), 1)  # against raw of that seed, not of all
    assert math.isnan(alone.half_width)
    for label in figures:
        ours, of_raw = (study.trials[study.trials["label"] == name] for name in (label, "raw"))
        changed, paired = change_by_seed(ours, of_raw, "top1")
        assert (changed.mean, changed.n, paired) == (
            pytest.approx(of(settings.loc[label], "change_top1").mean),
            of(settings.loc[label], "change_top1").n,
            settings.loc[label, "change_top1_paired"],
        )
        assert changed.half_width == pytest.approx(of(settings.loc[label], "change_top1").half_width, nan_ok=True)
    assert table_of_settings._against_raw(settings.loc["paired"], "top1").startswith("−5.0 ± 2.5")
    marked = {label: "(Welch)" in table_of_settings._against_raw(settings.loc[label], "top1") for label in figures}
    assert marked == {"paired": False, "unpaired": True, "one in common": True, "one alone": False}


def test_settings_of_the_sweep(study: RecordedStudy) -> None:
    settings = settings_table(study.trials)
    assert settings["label"].tolist()[0] == "raw"
    assert settings["label"].tolist()[1:] == [
        "B=0 lambda=1",
        "B=0.3 lambda=1",
        "B=0.5 lambda=1",
        "B=0.9 lambda=1",
        "B=1 lambda=1",
    ]
    row = settings.loc["B=0.3 lambda=1"]
    trials = study.trials[study.trials["setting"] == "B=0.3 lambda=1"]
    raw = study.trials[study.trials["method"] == "raw"]
    assert of(row, "leakage").mean == pytest.approx(trials["leakage"].mean())
    assert of(row, "change_leakage").mean == pytest.approx(trials["leakage"].mean() - raw["leakage"].mean())
    assert row["change_leakage_paired"]
    assert row["baseline"] == "raw"
    assert settings["on_front"].to_dict() == {
        "raw": True,
        "B=0 lambda=1": True,
        "B=0.3 lambda=1": True,
        "B=0.5 lambda=1": False,
        "B=0.9 lambda=1": True,
        "B=1 lambda=1": False,
    }
    assert of(settings.loc["B=1 lambda=1"], "leakage").n == 0
    assert settings.index[settings["knee"]].tolist() == ["B=0.3 lambda=1"]
    assert settings.loc["B=0.5 lambda=1", "dominated"] == 1
    assert math.isnan(settings.loc["B=1 lambda=1", "dominated"])


def test_parameters(study: RecordedStudy) -> None:
    assert varying(study.trials)["minimax.distortion_budget"] == ["0.0", "0.3", "0.5", "0.9", "1.0"]
    assert "seed" not in varying(study.trials) | common(study.trials)
    assert common(study.trials)["clip.frames"] == "16"


def test_answer_takes_the_least_leakage_near_raw(study: RecordedStudy) -> None:
    settings = settings_table(study.trials)
    best = headline(settings)
    assert best is not None
    assert best["label"] == "B=0.3 lambda=1"
    first, second = answer(settings)
    assert "B=0.3 lambda=1 keeps top-1 accuracy" in first
    assert (first + second).count("3 seeds") == 1
    assert "falls from" in second
    assert "−4" in second


def test_answer_in_other_axes(study: RecordedStudy) -> None:
    plane = Plane("top5", "clip_leakage", "test")
    settings = settings_table(study.trials, plane)
    first, second = answer(settings, plane)
    assert "keeps top-5 accuracy" in first
    assert second.startswith("Leakage on clips falls from 70.0 ")
    shares = Plane("top1", "macro_f1", "test")
    first, second = answer(settings_table(study.trials, shares), shares)
    assert first.startswith("B=0.3 lambda=1 keeps top-1 accuracy")
    assert second.startswith("Macro F1 falls from 0.671 ± 0.007 to 0.537")
    assert "points" not in second
    turned = Plane("seconds", "top1")  # seconds have no need of a twin; less is better upwards, more across
    first, second = answer(settings_table(study.trials, turned), turned)
    assert "keeps seconds 60.0 ± 0.0, where" in first
    assert second.startswith("Top-1 accuracy does not rise: it goes from 96.2")
    nothing = Plane("deployed_top1", "leakage")
    assert (
        "carries both top-1 of a deployed classifier and leakage" in answer(settings_table(study.trials, nothing), nothing)[1]
    )


def test_front_knee_and_headline_follow_the_axes(make_study: Maker) -> None:
    study = make_study(
        [
            *repeated("raw", [(0.9, 0.8)] * 2, "raw", **on_clips(0.8)),
            *repeated("images", [(0.88, 0.2)] * 2, **on_clips(0.85)),
            *repeated("clips", [(0.89, 0.85)] * 2, **on_clips(0.1)),
        ]
    )
    by_images, by_clips = (settings_table(study.trials, plane) for plane in (Plane(), Plane(privacy="clip_leakage")))
    assert by_images["on_front"].to_dict() == {"raw": True, "images": True, "clips": False}
    assert by_images["dominated"].to_dict() == {"raw": 0, "images": 0, "clips": 1}
    assert by_clips["on_front"].to_dict() == {"raw": True, "images": False, "clips": True}
    assert by_clips["dominated"].to_dict() == {"raw": 0, "images": 1, "clips": 0}
    assert [best["label"] for best in (headline(by_images), headline(by_clips, Plane(privacy="clip_leakage")))] == [  # type: ignore[index]
        "images",
        "clips",
    ]


def test_answer_when_every_setting_costs_much(make_study: Maker) -> None:
    study = make_study([*repeated("raw", [(0.9, 0.8)], "raw"), *repeated("a", [(0.7, 0.9)]), *repeated("b", [(0.6, 0.3)])])
    first, second = answer(settings_table(study.trials))
    assert first.startswith("No setting stays within 5 points of raw; a keeps most")
    assert (first + second).count("One seed: in brackets the 95 % intervals over test items; a change may be chance") == 1
    assert "does not fall" in second


def test_answer_says_when_a_change_may_be_none(make_study: Maker) -> None:
    study = make_study([*repeated("raw", [(0.9, 0.8), (0.8, 0.5)], "raw"), *repeated("a", [(0.91, 0.5), (0.8, 0.4)])])
    assert all("the interval includes no change" in sentence for sentence in answer(settings_table(study.trials)))


def test_answer_without_raw_or_without_anything(make_study: Maker) -> None:
    study = make_study(repeated("a", [(0.7, 0.5)]))
    assert "no raw trial" in answer(settings_table(study.trials))[1]
    assert "no answer yet" in answer(settings_table(study.trials.iloc[:0]))[0]


def test_only_equal_classifiers_are_compared(make_study: Maker) -> None:
    other = {"evaluate_action.classifier.name": "r3d_18"}
    trials = [
        *repeated("raw i3d", [(0.9, 0.8)], "raw"),
        *repeated("raw r3d", [(0.7, 0.8)], "raw", values=other),
        *repeated("a i3d", [(0.8, 0.5)]),
        *repeated("a r3d", [(0.6, 0.6)], values=other),
        *repeated("a c3d", [(0.6, 0.6)], values={"evaluate_action.classifier.name": "c3d"}),
    ]
    study = make_study(trials)
    settings = settings_table(study.trials)
    assert settings["change_top1"].to_dict() == pytest.approx(
        {"raw i3d": math.nan, "raw r3d": math.nan, "a i3d": -0.1, "a r3d": -0.1, "a c3d": math.nan}, nan_ok=True
    )
    assert settings["on_front"].all()
    warnings = " ".join(warnings_of(study, settings))
    assert "evaluate_action.classifier.name" in warnings
    assert "No raw trial was measured the same way as a c3d" in warnings


def test_warnings(study: RecordedStudy, make_study: Maker) -> None:
    found = " ".join(warnings_of(study, settings_table(study.trials)))
    assert "generated" in found
    assert "3 trials failed, stopped or finished without a result" in found
    assert "never bound (active in under 1 % of steps): B=0.9 lambda=1." in found
    assert "One seed only (n = 1, no interval over seeds): B=1 lambda=1." in found
    weak = make_study([*repeated("raw", [(0.9, 0.05)], "raw"), *repeated("a", [(0.7, 0.0)])])
    found = " ".join(warnings_of(weak, settings_table(weak.trials)))
    assert "near chance already (leakage 5.0\N{NO-BREAK SPACE}% (n = 1))" in found
    assert "Every setting ran with one seed (n = 1)" in found
    assert "never bound" not in found
    lost = make_study([*repeated("raw", [(0.12, 0.8)], "raw"), *repeated("a", [(0.1, 0.0)])], space="lost")
    found = " ".join(warnings_of(lost, settings_table(lost.trials)))
    assert "near chance on raw clips already (top-1 12.0\N{NO-BREAK SPACE}% (n = 1), chance 10.0\N{NO-BREAK SPACE}%)" in found
    alone = make_study(repeated("a", [(0.7, 0.5)]), space="other")
    assert "There is no raw trial" in " ".join(warnings_of(alone, settings_table(alone.trials)))
    assert warnings_of(make_study([], space="none"), settings_table(alone.trials.iloc[:0])) == []


def test_warnings_of_the_clips_the_axes_and_the_measuring(make_study: Maker) -> None:
    trials = [
        *repeated("raw", [(0.9, 0.8)], "raw", **on_clips(0.02)),
        *repeated("a", [(0.7, 0.5)], **on_clips(0.0)),
        *repeated("b", [(0.7, 0.5)], values={"evaluate_action.epochs": 7}, output_beyond=0.25),
    ]
    study = make_study(trials)
    found = " ".join(warnings_of(study, settings_table(study.trials)))
    assert "The output of the anonymizer leaves [0, 1] by up to 0.25: b. A video holds [0, 1] only" in found
    assert "The attacker on raw clips is near chance already (leakage 2.0\N{NO-BREAK SPACE}% (n = 1))" in found
    assert "The attacker on raw data" not in found
    assert "Trials are measured differently (evaluate_action.epochs)" in found
    assert "classifiers" not in found
    assert "no place on the front" not in found
    plane = Plane(privacy="clip_leakage")
    found = " ".join(warnings_of(study, settings_table(study.trials, plane), plane))
    assert "1 of 3 trials with a result have no leakage on clips (clip_leakage): no place on the front." in found


def test_lambda_zero_has_no_penalty_to_bind(make_study: Maker) -> None:
    study = make_study(repeated("a", [(0.7, 0.5)], values={"minimax.penalty_weight": 0.0}, penalty_active=0.0))
    assert "never bound" not in " ".join(warnings_of(study, settings_table(study.trials)))


def test_missing_seeds(study: RecordedStudy) -> None:
    assert missing_seeds(study) == ["B=1 lambda=1: no result for seeds 0, 1, 2"]


def test_clip_metrics_are_averaged(make_study: Maker) -> None:
    study = make_study([FakeTrial("a", seed=seed, metrics=metrics(0.9, 0.5) | on_clips(0.4)) for seed in (0, 1)])
    assert of(settings_table(study.trials).loc["a"], "clip_ap.skin_color").mean == pytest.approx(0.76)
