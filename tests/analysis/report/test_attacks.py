"""Attacks over a study: their table and summary, the strongest as an axis and a bound, and figures that do not count."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.deploy.choice_text import choice_text
from analysis.deploy.select import choose, parse_rule
from analysis.measure.plane import Plane
from analysis.measure.settings import settings_table
from analysis.read.attacks import invalid
from analysis.read.store import AnalysisError
from analysis.read.study import RecordedStudy
from analysis.report import attacks
from analysis.report.report import write_report
from tests.support.fake_attacks import attack, attacked, broken
from tests.support.fake_studies import FakeTrial, metrics

Maker = Callable[..., RecordedStudy]


def trials(seeds: int = 2, invalid: str = "") -> list[FakeTrial]:
    """The usual classifier calls `weak` the more private one, an attack says it is not."""
    levels = {"raw": (0.95, 0.95), "weak": (0.6, 0.9), "strong": (0.75, 0.6)}
    made = []
    for label, (retrained, inversion) in levels.items():
        records = [attack("retrained", retrained), attack("inversion", inversion)]
        if label == invalid:
            records[1] = broken(records[1])
        for seed in range(seeds):
            leakage = {"raw": 0.8, "weak": 0.2, "strong": 0.4}[label]
            made.append(attacked(label, 0.9, leakage, records, seed=seed))
    return made


def test_table_and_summary(make_study: Maker) -> None:
    study = make_study(trials())
    settings = settings_table(study.trials)
    table = attacks.table(study.trials, settings)
    assert table.columns == ["setting", "n", "strongest attacker %", "which", "controls", "inversion %", "retrained %"]
    by_label = {row[0]: row[1:] for row in table.rows}
    assert by_label["weak"] == ["2", "80.0 ± 0.0", "inversion", "hold", "80.0 ± 0.0", "20.0 ± 0.0"]
    assert by_label["strong"][1:3] == ["50.0 ± 0.0", "retrained"]
    assert "mean over seeds" in table.caption
    (said,) = attacks.summary(study.trials, settings)
    least = "strong leaks least on validation data; on test data 50.0 ± 0.0\N{NO-BREAK SPACE}% (n = 2)"
    assert f"Against the strongest of 2 attackers {least}" in said
    assert "by: retrained" in said
    assert attacks.controls_table(study.trials).rows[0] == [
        "inversion",
        "90.0 (n = 6)",
        "0.0 (n = 6)",
        "2.0 (n = 6)",
        "6 of 6",
    ]


def test_the_report_says_what_each_attacker_had(make_study: Maker) -> None:
    records = [attack("retrained", 0.8), attack("of_a_plug_in", 0.7)]
    rows = attacks.attackers_table(make_study([attacked("weak", 0.9, 0.2, records)]).trials).rows
    known = "use of the anonymizer, labelled anonymized video, networks from elsewhere"
    assert rows == [["of a plug in", "–"], ["retrained", known]]


def test_one_seed_has_the_interval_over_videos(make_study: Maker) -> None:
    study = make_study(trials(seeds=1))
    rows = attacks.table(study.trials, settings_table(study.trials)).rows
    cells = {row[0]: row for row in rows}
    assert cells["weak"][5] == "80.0 [70.0, 90.0]"


def test_missed_controls_are_marked(make_study: Maker, tmp_path: Path) -> None:
    study = make_study(trials(invalid="weak"))
    assert invalid(study.trials).groupby(study.trials["label"]).all().to_dict() == {
        "raw": False,
        "strong": False,
        "weak": True,
    }
    settings = settings_table(study.trials)
    rows = attacks.table(study.trials, settings).rows
    cells = {row[0]: row for row in rows}
    assert cells["weak"][4] == "INVALID in 2 of 2"
    assert cells["weak"][5].endswith("INVALID")
    assert cells["weak"][2:4] == ["–", "–"], "who is the strongest is not known where an attack says nothing"
    said = "INVALID: controls of attacks missed their level in 2 of 6 trials (weak)."
    assert attacks.summary(study.trials, settings)[0].startswith(said)
    assert not any("Not attacked" in line for line in attacks.summary(study.trials, settings))
    page = write_report(study, tmp_path, Plane("top1", "worst_leakage"))
    text = page.read_text()
    assert said in text
    assert text.index(said) < text.index("The privacy-utility front")
    assert "2 of 6 trials with a result have no leakage, strongest attacker (worst_leakage): no place on the front" in text
    runs = pd.read_csv(tmp_path / "trials.csv")
    assert runs["state"].value_counts().to_dict() == {"finished": 4, "invalid": 2}
    assert runs.loc[runs["label"] == "weak", "worst_leakage"].isna().all()


def test_the_strongest_attacker_is_an_axis_of_the_front(
    make_study: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_study(trials())
    command = ["report", "--space", "toy", "--tracking-uri", study.tracking_uri, "--privacy", "worst_leakage"]
    assert main([*command, "--out", str(tmp_path)]) == 0
    assert "front (top-1 accuracy against leakage, strongest attacker): " in capsys.readouterr().out
    text = (tmp_path / "report.html").read_text()
    assert "What attackers learn" in text
    assert "Against the strongest of 2 attackers strong leaks least" in text
    assert (tmp_path / "attacks.png").stat().st_size > 5000


def test_select_bounds_the_strongest_attacker(make_study: Maker) -> None:
    study = make_study(trials())
    assert choose(study, parse_rule([], [], "leakage", False)).setting["label"] == "weak"
    assert choose(study, parse_rule(["worst_leakage=60%"], [], "leakage", False)).setting["label"] == "strong"
    assert choose(study, parse_rule([], [], "worst_leakage", False)).setting["label"] == "strong"
    with pytest.raises(AnalysisError, match=r"nearest is strong with 50\.0"):
        choose(study, parse_rule(["worst_leakage=20%"], [], "top1", False))


def test_select_takes_no_setting_whose_controls_missed(make_study: Maker) -> None:
    study = make_study(trials(invalid="weak"))
    rule = parse_rule([], [], "leakage", False)
    choice = choose(study, rule)
    assert choice.setting["label"] == "strong"
    assert "left out   weak: controls of their attacks missed their level (--allow-invalid" in choice_text(choice)
    asked = choose(study, rule, allow_invalid=True)
    assert asked.setting["label"] == "weak"
    assert "  INVALID    controls of its attacks missed their level" in choice_text(asked)


def test_select_where_every_setting_missed(make_study: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study([trial for trial in trials(invalid="weak") if trial.label != "strong"])
    command = ["select", "--space", "toy", "--tracking-uri", study.tracking_uri, "--prefer", "leakage"]
    assert main(command) == 2
    assert "missed their level in every setting (weak)" in capsys.readouterr().err
    assert main([*command, "--allow-invalid"]) == 0


def test_a_study_without_attacks_says_so(make_study: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study([FakeTrial("a", metrics=metrics(0.9, 0.3))])
    settings = settings_table(study.trials)
    assert attacks.section(study, settings) is None
    assert attacks.summary(study.trials, settings) == attacks.warnings_of(study.trials) == []
    command = ["report", "--space", "toy", "--tracking-uri", study.tracking_uri, "--privacy", "worst_leakage"]
    assert main([*command, "--out", str(tmp_path)]) == 2
    assert "run the study with --attacks standard" in capsys.readouterr().err
    with pytest.raises(AnalysisError, match=r"no trial has leakage, strongest attacker .*--attacks standard"):
        choose(study, parse_rule(["worst_leakage=20%"], [], "top1", False))
