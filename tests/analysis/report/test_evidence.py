"""`python -m analysis evidence`: the page for who must decide, its data, and the page in a browser."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from jsonschema import Draft202012Validator

from analysis.__main__ import main
from analysis.read.store import AnalysisError
from analysis.read.study import RecordedStudy, read_study
from analysis.report.evidence.gather import TrialEvidence, read_evidence
from analysis.report.evidence.output import page as page_of
from analysis.report.evidence.sizes import sentences as where_they_hold
from tests.support.browser import CHROMIUM, Browser
from tests.support.evidence_page import data, led_to, words
from tests.support.fake_attacks import action_answers, attack, attacked, attribute_answers, broken, figures_of, log
from tests.support.fake_studies import FakeTrial, frames_png, metrics, write_study

Maker = Callable[..., RecordedStudy]
HOSTILE = '<script>alert(1)</script> & "quoted" {{ 7 * 7 }} \N{RIGHT-TO-LEFT OVERRIDE}' + "long" * 40


def records(level: float) -> list[dict[str, object]]:
    return [
        attack("retrained", level, "Retrained classifiers"),
        attack("inversion", level - 0.1, "Undoing the anonymization", caption="raw, anonymized, restored"),
        attack("linkage", level - 0.2, "Finding the same person again", "linkability", caption="raw, anonymized, found"),
    ]


@pytest.fixture(scope="module")
def studied(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RecordedStudy, dict[str, str]]:
    """Label -> run id of seed 0: raw, an anonymizer with two seeds, one with a broken attack, one never attacked."""
    folder = tmp_path_factory.mktemp("evidence")
    shutil.copy(empty_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    answers, leakage = attribute_answers(0.95)
    record = json.dumps({"fingerprints": {"action": "8f4a1fe8"}, "stage_keys": {"minimax": "35ad196f"}})
    made = {"raw": records(0.95), "good": records(0.8), "invalid": [broken(records(0.7)[0]), *records(0.7)[1:]]}
    trials = [
        attacked(label, 0.9, leakage, made[label], seed=seed, frames=frames_png(), record=record)
        for label, seed in (("raw", 0), ("good", 0), ("good", 1), ("invalid", 0))
    ]
    trials += [FakeTrial("bare", metrics=metrics(0.8, 0.4), values={"minimax.distortion_budget": 0.7})]
    hostile = attack("hostile", 0.6, HOSTILE, question=HOSTILE, worst=[HOSTILE], caption=HOSTILE, measure=HOSTILE)
    hostile["items"] = [{key: value for key, value in item.items() if key != "group"} for item in hostile["items"]]
    figures = metrics(0.7, 0.3) | figures_of([hostile])
    trials += [FakeTrial(HOSTILE, metrics=figures, values={"minimax.distortion_budget": 0.8})]
    trials += [FakeTrial("lost", status="FAILED", reason="out of memory", values={"minimax.distortion_budget": 0.9})]
    write_study(uri, folder / "artifacts", "toy", "generated", trials)
    study = read_study("toy", "generated", uri)
    ids = {str(trial["label"]): str(run_id) for run_id, trial in study.trials.iterrows() if trial["seed"] == 0}
    kept = {"evaluate_action": action_answers([number < 36 for number in range(40)]), "evaluate_privacy": answers}
    for label, attacks in made.items():
        log(uri, ids[label], attacks, kept)
    log(uri, ids[HOSTILE], [hostile])
    return study, ids


def evidence(studied: tuple[RecordedStudy, dict[str, str]], label: str) -> TrialEvidence:
    return read_evidence(studied[1][label], studied[0].tracking_uri)


def test_the_page_says_what_was_found_and_how_sure_it_is(studied: tuple[RecordedStudy, dict[str, str]]) -> None:
    found = evidence(studied, "good")
    page = words(found)
    for expected in (
        "What was asked Can programs still read of the people in the anonymized video who they are (whether two videos show the"
        " same person), and what they are like (face, gender)?",
        "4 attackers, each of which tries to read people",
        "Retrained classifiers: reads 60 of the 90 it reads from raw video; 67 % survives (interval 56 % to 78 %).",
        "What people do is still recognised in 90.0 % (interval 6",
        "is one of 2 trainings of the same setting",
        "It claims no compliance with any law",
        "up to 14.0 % of the range from black to white cost the anonymizer nothing (budget B = 0.14); what went beyond was"
        " punished with the weight lambda = 10.",
        "Aslam &amp; Nasrollahi",
        "ucf101, drawn by a computer in the layout of that data set (fingerprint 8f4a1fe8)",
        "Result. Reads 60 of the 90 it reads from raw video",
        "beyond guessing that is 60.0 % (interval 50.0 % to 70.0 %)",
        "adjustable numbers (parameters): 11,200,000",
        "Holds: the same attack on raw data learned 90.0 %",
        "land at chance",
        "the surest first): v",
        "Rows from above: raw, anonymized, restored",
        "singling out: Can somebody pick one person",
        "Who finds the same person again picks the clips of that person",
        "how often exactly one person is singled out was not measured",
        "can put any video through the anonymizer, as often as it wants; has anonymized video of people",
        "It had none of: the method, the anonymizer itself, labelled ordinary video",
        "No attacker that was tried here had: the method, the anonymizer itself, other video.",
        "Attackers of this project that were not tried Everything at once",
        "Classifiers of ordinary video. Who has only ever seen ordinary video",
        "“No control” means: these classifiers were not tried where there is nothing to read",
        "python study/run.py --space toy --profile generated --seeds 0, --attacks inversion,linkage,retrained",
        f"python -m analysis evidence --trial {studied[1]['good']}",
        "mlflow",
    ):
        assert expected in page, expected
    assert page.count("INVALID") == 2, "where it is said what it would mean"
    measured = (
        "All figures of this page were measured with frames of 280x280 pixels (of each the middle 224x224), one in 4 frames"
    )
    assert [line for line in found.lines if line.startswith(measured)]
    unknown = where_they_hold(pd.Series(dtype=object), [])
    assert unknown[0].startswith("At which size of frames these figures were measured is not recorded")
    titles = [picture.title for picture in found.pictures]
    assert titles[0] == "Finding the same person again", "who was found again comes first"
    assert titles[-1] == "Some test videos"


def test_every_figure_stands_with_its_interval_or_number(studied: tuple[RecordedStudy, dict[str, str]]) -> None:
    """What is compared, anonymized against raw, one attacker against another, says how sure it is."""
    for finding in evidence(studied, "good").findings:
        assert finding.low <= finding.leakage <= finding.high
        assert re.search(r"interval|mean of \d trainings", finding.raw_text)


def test_items_without_a_source_are_said_to_count_as_independent(studied: tuple[RecordedStudy, dict[str, str]]) -> None:
    independent = "each counts as independent"
    assert independent not in words(evidence(studied, "good"))
    assert independent in words(evidence(studied, HOSTILE))


def test_missed_controls_are_seen_before_anything_else(studied: tuple[RecordedStudy, dict[str, str]]) -> None:
    found = evidence(studied, "invalid")
    page = words(found)
    assert found.alarm[0].startswith("INVALID FIGURES. A check built into the tests failed for: Retrained classifiers.")
    assert page.index("INVALID FIGURES") < page.index("In short")
    assert "MISSED: the same attack on raw data learned 4.0" in page
    assert "Result. INVALID, a control missed its level" in page
    assert found.findings[-1].status == "invalid", "it is no candidate for the strongest"
    assert "Retrained classifiers: INVALID" in page


def test_a_trial_without_attacks_says_what_is_missing(studied: tuple[RecordedStudy, dict[str, str]]) -> None:
    page = words(evidence(studied, "bare"))
    assert page.index("EVIDENCE IS MISSING") < page.index("In short")
    assert "--attacks standard" in page
    for title in ("Retrained classifiers", "Undoing the anonymization", "Finding the same person again"):
        assert title in page
    assert page.count("Not tested.") == 2
    assert "What the anonymized video looks like. python study/run.py --space toy" in page
    assert "worst cases first" not in page


def test_the_first_line_says_what_it_is_about_and_the_verdict_follows(studied: tuple[RecordedStudy, dict[str, str]]) -> None:
    about = "Drawn figures at 224 x 224 pixels: no evidence for a camera."
    for label, word, why in (
        ("raw", "No verdict", "This is raw video"),
        ("good", "Hardly protects", "Retrained classifiers: reads 60 of the 90"),
        ("invalid", "No verdict", "Figures are INVALID"),
        ("bare", "No verdict", "No attack that has controls was run."),
    ):
        found = evidence(studied, label)
        assert words(found).startswith(f"{about} A computer has drawn all videos"), label
        assert found.lines[0].startswith(about)
        assert found.lines[1].startswith(f"{word}. {why}"), label


def test_every_how_leads_to_a_part_of_the_page(studied: tuple[RecordedStudy, dict[str, str]]) -> None:
    for label in ("good", "invalid", "bare", HOSTILE):
        page = page_of(evidence(studied, label))
        led, there = set(re.findall(r'href="#([^"]+)"', page)), re.findall(r'id="([^"]+)"', page)
        assert led <= set(there), label
        assert len(there) == len(set(there)), label


@pytest.mark.parametrize("section", ["whom", "utility"])
def test_every_row_of_a_table_leads_to_how_its_figures_were_made(
    studied: tuple[RecordedStudy, dict[str, str]], section: str
) -> None:
    rows = led_to(evidence(studied, "good"), section)
    assert {"whom": "utility", "utility": "utility-made"}[section] in rows
    assert all(rows)


def test_what_this_reader_cannot_use_is_in_the_data_alone(studied: tuple[RecordedStudy, dict[str, str]]) -> None:
    found = evidence(studied, "bare")
    figures = {"macro_f1": 0.5, "leakage.narrow2d": 0.4, "rank1": 0.62, "ap.lit_room": 0.8, "ap_chance.lit_room": 0.4}
    shown = replace(evidence(studied, "good"), attacks=[replace(evidence(studied, "good").attacks[0], others=figures)])
    page = words(shown)
    assert "lit room 80.0 % (guessing 40.0 %)" in page
    assert "the most similar clip shows the same person in 62.0% of searches" in page
    assert not re.search(r"F1|narrow2d|n = 1", page)
    assert data(shown)["attacks"][0]["others"]["macro_f1"] == 0.5
    assert "all trainings of this setting" not in words(found), "it was trained once"
    assert "all trainings of this setting" in page


def test_hostile_names_are_text(studied: tuple[RecordedStudy, dict[str, str]]) -> None:
    page = page_of(evidence(studied, HOSTILE))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "49" not in re.findall(r"quoted.{0,20}", page)[0]


def test_data(studied: tuple[RecordedStudy, dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, ids = studied
    command = [
        "evidence",
        "--trial",
        ids["good"],
        "--tracking-uri",
        study.tracking_uri,
        "--out",
        str(tmp_path / "new" / "pack"),
    ]
    assert main(command) == 0
    assert capsys.readouterr().out.endswith(f"evidence: {tmp_path / 'new' / 'pack' / 'evidence.html'}\n")
    page = tmp_path / "new" / "pack" / "evidence.html"
    assert page.stat().st_size < 5_000_000
    read = json.loads((page.parent / "evidence.json").read_text())
    form = json.loads((page.parent / read["$schema"]).read_text())
    Draft202012Validator.check_schema(form)
    Draft202012Validator(form).validate(read)
    assert not Draft202012Validator(form).is_valid(read | {"findings": [{**read["findings"][0], "status": "perhaps"}]})
    assert set(read) == set(form["properties"]) == set(form["required"])
    assert read["attacks"][0]["items"][0]["id"] == "v00"
    assert read["record"]["stage_keys"] == {"minimax": "35ad196f"}
    assert "no compliance" in read["legal"]
    assert read == data(evidence(studied, "good"))


def test_what_has_no_evidence_is_one_line(
    studied: tuple[RecordedStudy, dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, ids = studied
    lost = str(study.unfinished["run_id"].iloc[0])
    for run_id, message in (("0" * 32, "no run 000"), (lost, "(failed: out of memory)")):
        assert main(["evidence", "--trial", run_id, "--tracking-uri", study.tracking_uri, "--out", str(tmp_path)]) == 2
        line = capsys.readouterr().err
        assert message in line
        assert line.count("\n") == 1
    (tmp_path / "file").write_text("")
    command = ["evidence", "--trial", ids["bare"], "--tracking-uri", study.tracking_uri, "--out", str(tmp_path / "file" / "x")]
    assert main(command) == 2
    assert "give another --out" in capsys.readouterr().err


def test_a_damaged_record_is_named(make_study: Maker) -> None:
    study = make_study([FakeTrial("a", metrics=metrics(0.9, 0.3))])
    run_id = str(study.trials.index[0])
    log(study.tracking_uri, run_id, [attack("linkage", 0.9) | {"controls": {}}])
    with pytest.raises(AnalysisError, match=r"attacks/linkage\.json is no record of an attack"):
        read_evidence(run_id, study.tracking_uri)


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium")
class TestBrowser:
    @pytest.fixture(scope="class")
    def browser(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
        browser = Browser(tmp_path_factory.mktemp("browser"))
        yield browser
        browser.close()

    @pytest.mark.parametrize("label", ["good", "invalid", "bare", HOSTILE])
    def test_nothing_is_asked_for_and_nothing_is_cut(
        self, studied: tuple[RecordedStudy, dict[str, str]], tmp_path: Path, browser: Browser, label: str
    ) -> None:
        page = tmp_path / "evidence.html"
        page.write_text(page_of(evidence(studied, label)), encoding="utf-8")
        for width in (360, 1440):
            browser.resize(width)
            browser.open(page.as_uri())
            assert browser.console == []
            assert browser.requests == [page.as_uri()]
            assert browser.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
            assert browser.evaluate("[...document.images].filter((image) => !image.naturalWidth).length") == 0
            cut = "[...document.querySelectorAll('p, li, td, th, dd, h1, h3, .label, .value, pre')]"
            cut += ".filter((item) => item.scrollWidth > item.clientWidth + 1 && item.clientWidth > 1).length"
            assert browser.evaluate(cut) == 0
        browser.resize(800, media="print")
        assert browser.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") == "none"
        browser.resize(800)
