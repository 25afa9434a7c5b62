"""Settings are chosen by validation figures: no test figure, however wrong, changes which setting is chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.deploy import select
from analysis.deploy.choice_text import choice_text
from analysis.deploy.select import choose, median_trial, parse_rule
from analysis.measure.answer import answer, headline
from analysis.measure.plane import Plane
from analysis.measure.settings import settings_table
from analysis.measure.validation import not_validated, without_test_figures
from analysis.measure.warnings import warnings_of
from analysis.read.study import RecordedStudy
from analysis.read.trials import RAW
from analysis.report.answer import rule
from analysis.report.front import front_text
from tests.support.fake_studies import FakeTrial, metrics, on_clips, stored
from trainables.schema import UNTESTED, is_read

Maker = Callable[..., RecordedStudy]

# Setting -> (top1, leakage) on validation data, and on test data, where another one looks best in each.
POINTS = {
    "raw": ((0.95, 0.80), (0.94, 0.80)),
    "a": ((0.92, 0.60), (0.80, 0.70)),
    "b": ((0.91, 0.30), (0.90, 0.35)),
    "c": ((0.60, 0.10), (0.93, 0.05)),
    "d": ((0.70, 0.50), (0.95, 0.02)),
}
RULES: list[tuple[list[str], list[str], str | None]] = [
    (["leakage=0.35"], [], "top1"),
    ([], ["top1=0.65"], "leakage"),
    ([], [], "top1"),
    ([], [], "leakage"),
    ([], [], None),
]


class Poison:
    """A figure that nobody may read yet."""

    def _read(self, *_: Any) -> NoReturn:
        raise AssertionError("a test figure was read before the choice was made")

    __float__ = __lt__ = __gt__ = __le__ = __ge__ = __eq__ = __add__ = __radd__ = __sub__ = __rsub__ = _read  # type: ignore
    __mul__ = __rmul__ = __bool__ = __hash__ = __repr__ = __str__ = _read  # type: ignore[assignment]


@pytest.fixture(scope="module")
def study(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> RecordedStudy:
    trials = []
    for label, ((top1, leakage), (test_top1, test_leakage)) in POINTS.items():
        for seed in range(3):
            lucky = 0.01 * (seed - 1)
            on_validation = metrics(top1 + lucky, leakage + lucky) | on_clips(leakage)
            twins = {name: value for name, value in on_validation.items() if name.startswith("validation_")}
            found = metrics(test_top1, test_leakage) | on_clips(test_leakage) | twins
            values = {} if label == "raw" else {"minimax.distortion_budget": list(POINTS).index(label) / 10}
            trials.append(FakeTrial(label, RAW if label == "raw" else "penalty", seed, found, values))
    return stored(trials, empty_store, tmp_path_factory.mktemp("validated"))


def on_test(trials: pd.DataFrame) -> list[str]:
    """The columns that hold test figures."""
    return [name for name in trials if is_read(name) and not name.startswith("validation_") and name not in UNTESTED]


def poisoned(study: RecordedStudy, seed: int, *, raw: bool = False) -> RecordedStudy:
    """The study with nonsense for the test figures: of its settings, or of raw data too."""
    trials = study.trials.copy()
    rows = trials.index if raw else trials.index[trials["method"] != RAW]
    columns = on_test(trials)
    trials.loc[rows, columns] = np.random.default_rng(seed).uniform(-1.0, 2.0, (len(rows), len(columns)))
    return replace(study, trials=trials)


@pytest.mark.parametrize(("at_most", "at_least", "prefer"), RULES)
def test_select_reads_no_test_figure_before_the_choice_is_made(
    study: RecordedStudy, at_most: list[str], at_least: list[str], prefer: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first table that `choose` makes of the test figures is the one that it reports from."""
    asked = parse_rule(at_most, at_least, prefer, prefer is None)
    expected = choose(study, asked)
    trials = study.trials.copy()
    trials[on_test(trials)] = pd.DataFrame({name: [Poison() for _ in trials.index] for name in on_test(trials)}, trials.index)
    told: list[str] = []

    def table(given: pd.DataFrame, plane: Plane) -> pd.DataFrame:
        told.extend(on_test(given))  # the choice is made: let it have the figures
        return settings_table(study.trials, plane)

    monkeypatch.setattr(select, "settings_table", table)
    found = choose(replace(study, trials=trials), asked)
    assert found.setting["label"] == expected.setting["label"]
    assert told == on_test(trials)
    assert found.by_seed == expected.by_seed
    assert median_trial(found) == median_trial(expected)


@pytest.mark.parametrize(("at_most", "at_least", "prefer"), RULES)
def test_nonsense_on_test_data_changes_no_choice(
    study: RecordedStudy, at_most: list[str], at_least: list[str], prefer: str | None
) -> None:
    asked = parse_rule(at_most, at_least, prefer, prefer is None)
    expected = choose(study, asked)
    for seed in range(5):
        found = choose(poisoned(study, seed), asked)
        assert (found.setting["label"], found.by_seed) == (expected.setting["label"], expected.by_seed)
        assert median_trial(found) == median_trial(expected)


def test_what_is_chosen_differs_from_what_test_figures_would_choose(study: RecordedStudy) -> None:
    chosen = {prefer: choose(study, parse_rule([], [], prefer, prefer is None)).setting["label"] for prefer in ("top1", None)}
    assert chosen == {"top1": "a", None: "b"}
    on_test = choose(study, parse_rule([], [], "top1", False, "test"))
    assert on_test.setting["label"] == "d"
    assert "the figures that chose the setting are those reported, so they flatter it" in choice_text(on_test)


def test_select_reports_the_test_figures_of_what_it_chose(study: RecordedStudy) -> None:
    said = choice_text(choose(study, parse_rule(["leakage=0.32"], [], "top1", False)))
    assert "chosen on  validation data: top-1 accuracy 91.0 ± 2.5 % (n = 3), leakage above chance 30.0 ± 2.5 % (n = 3)" in said
    assert "measured   test data: top-1 accuracy 90.0 ± 0.0 % (n = 3), leakage above chance 35.0 ± 0.0 % (n = 3)" in said
    assert "on test data met by 0 of 3 seeds, and missed by their mean, by 3.0 points" in said
    assert "+10.0 ± 0.0 points (n = 3, paired by seed) top-1 accuracy against a, the highest on validation data" in said


def test_the_answer_the_front_and_the_knee_are_the_same_whatever_the_test_figures_are(study: RecordedStudy) -> None:
    settings = settings_table(study.trials)
    assert headline(settings)["label"] == "b"  # type: ignore[index]
    assert settings["on_front"].to_dict() == {"raw": True, "a": True, "b": True, "c": True, "d": False}
    assert settings.index[settings["knee"]].tolist() == ["b"]
    for seed in range(5):
        other = settings_table(poisoned(study, seed).trials)
        assert headline(other)["label"] == "b"  # type: ignore[index]
        assert other[["on_front", "knee"]].equals(settings[["on_front", "knee"]])
        whole = settings_table(poisoned(study, seed, raw=True).trials)
        assert whole[["on_front", "knee"]].equals(settings[["on_front", "knee"]])


def test_the_answer_reports_test_figures_and_those_show_which_settings_of_the_front_are_beaten(study: RecordedStudy) -> None:
    settings = settings_table(study.trials)
    first, second = answer(settings)
    assert first.startswith("b keeps top-1 accuracy 90.0 ± 0.0\N{NO-BREAK SPACE}%, where raw video has 94.0")
    assert "change −4.0 ± 0.0 points, paired by seed" in first
    assert "to 35.0 ± 0.0" in second
    assert second.endswith(" Means over 3 seeds with 95 % intervals.")
    assert settings["beaten"].to_dict() == {"raw": True, "a": True, "b": True, "c": True, "d": False}
    assert "4 of 5 settings on the front, chosen on validation data; on test data 4 of 5 settings dominated" in front_text(
        settings
    )
    assert "; of the front: raw, a, b, c; knee b; hypervolume" in front_text(settings)
    assert "validation figures" in rule(Plane())


def test_a_setting_that_kept_its_accuracy_on_validation_data_only_is_not_said_to_keep_it(study: RecordedStudy) -> None:
    trials = study.trials.copy()
    trials.loc[trials["label"] == "b", "top1"] = 0.7
    first, _ = answer(settings_table(trials))
    assert first.startswith("b, within 5 points of raw on validation data, has on test data top-1 accuracy 70.0")


def test_the_best_of_many_equal_settings_is_no_better_than_the_others(make_study: Maker) -> None:
    """64 settings that differ by chance alone: chosen on test data the best is 2.4 standard deviations too good."""
    random = np.random.default_rng(5)
    told = {"validation": [], "test": []}  # type: dict[str, list[float]]
    for repeat in range(20):
        trials = pd.DataFrame(
            {
                "setting": [f"s{number}" for number in range(64)],
                "seed": repeat,
                "method": "penalty",
                **{name: random.normal(0.8, 0.01, 64) for name in ("top1", "validation_top1")},
                **{name: 0.5 for name in ("leakage", "validation_leakage")},
            }
        ).assign(label=lambda rows: rows["setting"], protocol_tag="")
        for chosen_on, found in told.items():
            plane = Plane(chosen_on=chosen_on)  # type: ignore[arg-type]
            found.append(float(headline(settings_table(trials, plane), plane)["top1"]))  # type: ignore[index]
    assert (np.mean(told["test"]) - 0.8) / 0.01 == pytest.approx(2.4, abs=0.3)
    assert (np.mean(told["validation"]) - 0.8) / 0.01 == pytest.approx(0.0, abs=0.6)


def without_twins(study: RecordedStudy) -> RecordedStudy:
    return replace(study, trials=study.trials.drop(columns=[c for c in study.trials if c.startswith("validation_")]))


def test_without_validation_figures_nothing_is_chosen_and_it_is_said(study: RecordedStudy) -> None:
    older = without_twins(study)
    settings = settings_table(older.trials)
    assert not settings["on_front"].any()
    assert headline(settings) is None
    said = (
        "no trial has validation_leakage and validation_top1, the figures to choose by; run it again, or: --choose-on test"
        " chooses by the test figures that are then reported, which flatters what is chosen"
    )
    assert answer(settings) == (
        "This study gives no answer yet.",
        f"Settings are chosen on validation data, and {said}.",
    )
    assert f"No setting is chosen and no front drawn: {said}." in warnings_of(older, settings)
    assert front_text(settings).endswith(f": none, {said}")
    with pytest.raises(select.AnalysisError, match="no trial has validation_top1, the figures to choose by; run it again"):
        choose(older, parse_rule([], [], "top1", False))
    plane = Plane(chosen_on="test")
    on_test = settings_table(older.trials, plane)
    assert headline(on_test, plane)["label"] == "d"  # type: ignore[index]
    assert on_test["on_front"].sum() == 1
    assert "the figures of the chosen ones are too good" in " ".join(warnings_of(older, on_test, plane))


def test_a_metric_without_a_twin_is_refused_with_those_that_have_one(study: RecordedStudy) -> None:
    with pytest.raises(
        select.AnalysisError,
        match=r"no trial has validation_macro_f1, .* choose by top1, cmap, leakage, clip_cmap, clip_leakage",
    ):
        choose(study, parse_rule(["macro_f1=0.5"], [], "top1", False))
    assert choose(study, parse_rule(["macro_f1=0.5"], [], "top1", False, "test")).setting["label"] == "d"
    assert choose(study, parse_rule(["seconds=3600"], [], "top1", False)).setting["label"] == "a"


def test_trials_without_validation_figures_count_for_nothing(make_study: Maker) -> None:
    trials = [FakeTrial("raw", RAW, 0, metrics(0.95, 0.8)), FakeTrial("a", seed=0, metrics=metrics(0.9, 0.4))]
    older = {name: value for name, value in metrics(0.94, 0.1).items() if not name.startswith("validation_")}
    found = make_study([*trials, FakeTrial("b", seed=0, metrics=older)])
    settings = settings_table(found.trials)
    assert headline(settings)["label"] == "a"  # type: ignore[index]
    told = "1 of 3 trials have no validation_leakage or no validation_top1: they count for nothing in the choice."
    assert told in warnings_of(found, settings)
    choice = choose(found, parse_rule([], [], "leakage", False))
    assert choice.setting["label"] == "a"
    assert "left out   b: no validation figures to choose by" in choice_text(choice)


def test_what_a_choice_may_look_at(study: RecordedStudy) -> None:
    seen = without_test_figures(study.trials)
    assert not on_test(seen)
    assert {"label", "seed", "method", "seconds", "validation_top1", "params.minimax.distortion_budget"} <= set(seen)
    assert not_validated(study.trials, ("top1", "leakage")) == ""


def test_the_commands_choose_on_test_data_only_if_asked(
    study: RecordedStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--space", "toy", "--tracking-uri", study.tracking_uri]
    for more, label in (([], "a"), (["--choose-on", "test"], "d")):
        assert main(["select", *command, "--prefer", "top1", *more]) == 0
        assert capsys.readouterr().out.startswith(f"toy.small: {label}\n")
    for more, label in (([], "b"), (["--choose-on", "test"], "d")):
        assert main(["report", *command, "--out", str(tmp_path), *more]) == 0
        assert capsys.readouterr().out.startswith(f"{label} keeps top-1 accuracy")
