"""A study in which raw data hold nothing to recognise, or nothing to hide, gives no answer and says what would help."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.deploy.select import choose, parse_rule
from analysis.measure.answer import answer, headline
from analysis.measure.settings import DEFAULT, settings_table
from analysis.measure.unanswered import CANNOT, HELP, reasons, surely_above, unanswered
from analysis.measure.warnings import warnings_of
from analysis.read.store import AnalysisError
from analysis.read.study import RecordedStudy
from analysis.report.front import front_text, notes
from analysis.report.front_figure import front_figure
from analysis.report.report import write_report
from analysis.report.table_of_settings import settings_text
from tests.support.fake_studies import FakeTrial, metrics, stored

Maker = Callable[..., RecordedStudy]
NBSP = "\N{NO-BREAK SPACE}"
CLIPS = 90


def of_clips(right: int, leakage: float, **more: float) -> dict[str, float]:
    """Figures of a trial that named `right` of 90 test clips of two classes, with the normal interval over single clips."""
    top1 = right / CLIPS
    reach = 1.96 * math.sqrt(top1 * (1 - top1) / CLIPS)
    return metrics(top1, leakage, chance_top1=0.5, top1_low=top1 - reach, top1_high=top1 + reach, **more)


@pytest.fixture(scope="module")
def own_data(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> RecordedStudy:
    """Somebody's two classes, 90 test clips, one seed: raw 55.6 % at a chance of 50, one setting 64.4, another 46.7."""
    trials = [
        FakeTrial("raw", "raw", metrics=of_clips(50, 0.5)),
        FakeTrial("B=0.1 lambda=10", metrics=of_clips(58, 0.4), values={"minimax.distortion_budget": 0.1}),
        FakeTrial("B=0.2 lambda=10", metrics=of_clips(42, 0.2), values={"minimax.distortion_budget": 0.2}),
    ]
    return stored(trials, empty_store, tmp_path_factory.mktemp("own"))


WHY = (
    f"On raw clips the action classifier is not surely above chance: top-1 accuracy 55.6{NBSP}% (n = 1), 45.3 to 65.8{NBSP}%"
    f" over test items, chance 50.0{NBSP}%. So no setting can be seen to cost anything."
)


def test_the_answer_says_first_that_there_is_none(own_data: RecordedStudy) -> None:
    settings = settings_table(own_data.trials)
    assert reasons(settings) == [WHY]
    assert answer(settings) == (f"{CANNOT} {WHY}", HELP)
    assert headline(settings) is None
    for word in ("epochs", "pretrained weights", "more clips"):
        assert word in HELP
    assert front_text(settings).endswith(": none, raw data are not surely above chance (see the answer)")
    assert notes(own_data.trials, settings, DEFAULT) == [
        "No front is drawn: raw data are not surely above chance (see the answer)."
    ]
    figure, _ = front_figure(own_data.trials, settings)
    assert not [line for line in figure.axes[0].lines if line.get_linestyle() == "-" and len(line.get_xdata()) > 1]
    assert "surely better" not in " ".join(warnings_of(own_data, settings))  # 64.4 is no win over 55.6, and no remark either


def test_the_table_gives_the_interval_over_test_items_and_no_front(own_data: RecordedStudy) -> None:
    head, raw, first, second = settings_text(settings_table(own_data.trials)).splitlines()
    assert "top-1 %" in head
    assert "55.6 [45.3, 65.8]" in raw
    assert "64.4 [54.6, 74.3]" in first
    assert "46.7 [36.4, 57.0]" in second
    assert "yes" not in raw + first + second


def test_the_terminal_and_the_page_say_it_first(
    own_data: RecordedStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["report", "--space", "toy", "--tracking-uri", own_data.tracking_uri, "--out", str(tmp_path)]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith(f"{CANNOT} {WHY}")
    page = (tmp_path / "report.html").read_text()
    assert page.index(CANNOT) < page.index("Before you trust")
    assert "Chosen by rule" not in page
    assert "hypervolume" not in page.lower().replace("no hypervolume", "")
    assert "keeps" not in page[page.index("<main") : page.index("Before you trust")]


def test_select_refuses_unless_forced(own_data: RecordedStudy, capsys: pytest.CaptureFixture[str]) -> None:
    asked = parse_rule([], [], "top1", False)
    with pytest.raises(AnalysisError) as caught:
        choose(own_data, asked)
    assert str(caught.value) == f"toy.small: {CANNOT} {WHY} {HELP} --force chooses all the same."
    command = ["select", "--space", "toy", "--tracking-uri", own_data.tracking_uri, "--prefer", "top1"]
    assert main(command) == 2
    assert capsys.readouterr().out == ""
    assert main([*command, "--force"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["toy.small: B=0.1 lambda=10", f"  FORCED     {CANNOT} {WHY} {HELP}"]


def test_no_attacker_above_chance_is_no_answer_either(make_study: Maker) -> None:
    weak = {"leakage_low": -0.06, "attack.linkage": 0.1, "attack_low.linkage": -0.02, "attack_high.linkage": 0.2}
    trials = [FakeTrial("raw", "raw", metrics=metrics(0.9, 0.04, **weak)), FakeTrial("a", metrics=metrics(0.9, 0.0))]
    settings = settings_table(make_study(trials).trials)
    assert reasons(settings) == [
        f"On raw data no attacker is surely above chance: leakage to f_B' on images 4.0{NBSP}% (n = 1), −6.0 to 8.0{NBSP}% over"
        f" test items, linkage 10.0{NBSP}% (n = 1), −2.0 to 20.0{NBSP}% over test items. So no setting can be seen to hide"
        " anything."
    ]


@pytest.mark.parametrize(("valid", "answered"), [(1.0, True), (0.0, False)])
def test_one_attack_that_surely_reads_raw_data_is_enough_if_its_controls_hold(
    make_study: Maker, valid: float, answered: bool
) -> None:
    strong = {"leakage_low": -0.06, "attack.linkage": 0.4, "attack_low.linkage": 0.3, "attack_valid.linkage": valid}
    trials = [FakeTrial("raw", "raw", metrics=metrics(0.9, 0.04, **strong)), FakeTrial("a", metrics=metrics(0.9, 0.0))]
    assert (reasons(settings_table(make_study(trials).trials)) == []) is answered


def test_what_is_sure() -> None:
    def row(n: int, half_width: float, low: float) -> pd.Series:
        return pd.Series({"top1": 0.6, "top1_half_width": half_width, "top1_n": n, "top1_low": low})

    assert surely_above(row(1, math.nan, 0.51), "top1", 0.5)
    assert not surely_above(row(1, math.nan, 0.49), "top1", 0.5)
    assert not surely_above(row(1, math.nan, math.nan), "top1", 0.5)
    assert surely_above(row(3, 0.05, math.nan), "top1", 0.5)
    # three seeds that agree about the same few clips do not say what other clips would give
    assert not surely_above(row(3, 0.001, 0.49), "top1", 0.5)


def test_of_several_protocols_only_those_that_can_answer_are_chosen_from(make_study: Maker) -> None:
    other = {"clip.frames": 8}
    trials = [
        FakeTrial("raw", "raw", metrics=metrics(0.9, 0.8)),
        FakeTrial("a", metrics=metrics(0.88, 0.5)),
        FakeTrial("raw of few frames", "raw", metrics=metrics(0.12, 0.8), values=other),
        FakeTrial("b", metrics=metrics(0.12, 0.1), values=other),
    ]
    study = make_study(trials)
    settings = settings_table(study.trials)
    assert len(unanswered(settings)) == 1
    assert reasons(settings) == []
    assert headline(settings)["label"] == "a"  # type: ignore[index]
    said = " ".join(warnings_of(study, settings))
    assert "Nothing can be said of raw of few frames, b. On raw clips the action classifier is not surely above chance" in said


def test_surely_above_raw_is_a_remark(make_study: Maker, tmp_path: Path) -> None:
    trials = [FakeTrial("raw", "raw", metrics=metrics(0.7, 0.8)), FakeTrial("a", metrics=metrics(0.9, 0.5))]
    study = make_study(trials)
    settings = settings_table(study.trials)
    remark = (
        "Top-1 accuracy is surely better than on raw data in a. An anonymizer adds nothing to a video: the classifier of raw"
        " data learned too little, and what anonymizing costs is unknown."
    )
    assert remark in warnings_of(study, settings)
    assert answer(settings)[0].startswith("a keeps top-1 accuracy 90.0")
    assert remark in write_report(study, tmp_path / "out").read_text()
