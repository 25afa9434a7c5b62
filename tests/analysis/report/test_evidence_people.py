"""Singling out and linking one of N people on the evidence page and in its data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest

from analysis.read.study import RecordedStudy
from analysis.report.evidence.gather import read_evidence
from tests.support.evidence_page import data, led_to, words
from tests.support.fake_attacks import attack, broken, log
from tests.support.fake_studies import FakeTrial, metrics, on_clips
from trainables.attacks.shared.people_at_risk import RiskPoint

Maker = Callable[..., RecordedStudy]


def points() -> list[dict[str, object]]:
    """Linking: 60 % of the way to 1 among 10, 40 % among 100 people; of raw video all; singling out of one curve only."""
    made = [
        ("anonymized", RiskPoint("linkability", 1, 10, 100, 0.6, 0.5, 0.7, 0.1)),
        ("anonymized", RiskPoint("linkability", 1, 100, 100, 0.4, 0.3, 0.5, 0.01)),
        ("anonymized", RiskPoint("singling out", 2, 100, 90, 0.45, 0.4, 0.5, 0.37)),
        ("raw", RiskPoint("linkability", 1, 10, 100, 0.99, 0.98, 1.0, 0.1)),
        ("raw", RiskPoint("linkability", 1, 100, 100, 0.98, 0.97, 1.0, 0.01)),
        ("blank", RiskPoint("linkability", 1, 10, 100, 0.1, 0.1, 0.1, 0.1)),
    ]
    return [{"video": video, **asdict(point)} for video, point in made]


@pytest.mark.parametrize("valid", [True, False])
def test_the_page_and_its_data_have_the_curves(make_study: Maker, valid: bool) -> None:
    study = make_study([FakeTrial("a", metrics=metrics(0.9, 0.3))])
    run_id = str(study.trials.index[0])
    record = attack("linkage", 0.9, "Finding the same person again", "linkability", people_at_risk=points())
    older = attack("pretrained_neighbour", 0.8, "The most similar clip", "linkability")  # from before it had these curves
    log(study.tracking_uri, run_id, [record if valid else broken(record), older])
    found = read_evidence(run_id, study.tracking_uri)
    page = words(found)
    invalid = "" if valid else " (INVALID: a control of this attack missed its level)"
    assert (
        f"Finding the same person again{invalid}: with 1 anonymized clip of each it links the right one of 100 people in 40.0 %"
        " (interval 30.0 % to 50.0 %); without any knowledge 1.0 %; from raw video 98.0 % (interval 97.0 % to 100.0 %)."
    ) in page
    assert "with 2 anonymized clips of each it singles out exactly one of 100 people in 45.0 %" in page
    assert (
        "linkability, 1 clip of each, one of 10 (Finding the same person again) 60.0 (50.0 to 70.0) 99.0 (98.0 to 100.0)"
        in page
    )
    named = (
        "names 40 of 100 people (each among 100, from 1 clip) right (interval 30 to 50); from raw video 98; guessing names 1"
    )
    assert (f"Who is it? “Finding the same person again” {named} of 100." in found.lines) is valid
    assert set(led_to(found, "people")) == {"attacker-linkage"}
    read = data(found)
    curves = {(curve["risk"], curve["video"], curve["clips"]): curve for curve in read["people"]}
    assert set(curves) == {
        ("linkability", "anonymized", 1),
        ("linkability", "raw", 1),
        ("linkability", "blank", 1),
        ("singling out", "anonymized", 2),
    }
    assert [point["value"] for point in curves["linkability", "anonymized", 1]["points"]] == [0.6, 0.4]
    assert curves["linkability", "anonymized", 1]["valid"] is valid


def test_a_record_without_them_has_no_such_section(make_study: Maker) -> None:
    study = make_study([FakeTrial("a", metrics=metrics(0.9, 0.3))])
    run_id = str(study.trials.index[0])
    log(study.tracking_uri, run_id, [attack("linkage", 0.9, risk="linkability")])
    assert "One person among N" not in words(read_evidence(run_id, study.tracking_uri))


def test_what_is_read_of_pictures_that_show_nothing_is_no_finding(make_study: Callable[..., RecordedStudy]) -> None:
    """A single picture of a difference of frames is grey: a leakage of 0 there is no protection."""
    on_both = {"raw": metrics(0.9, 0.6) | on_clips(0.5), "grey": metrics(0.9, 0.0) | on_clips(0.4)}
    study = make_study(
        [
            FakeTrial("raw", "raw", metrics=on_both["raw"]),
            FakeTrial("grey", "grey_difference", metrics=on_both["grey"], values={"anonymizer.name": "difference"}),
        ]
    )
    runs = {str(trial["method"]): str(run) for run, trial in study.trials.iterrows()}
    grey, raw = (read_evidence(runs[method], study.tracking_uri) for method in ("grey_difference", "raw"))
    assert [each.by for each in grey.findings] == ["clip_leakage"]
    assert {each.by for each in raw.findings} == {"leakage", "clip_leakage"}
    told = "Of a single picture this anonymizer shows nothing"
    assert told in words(grey)
    assert told not in words(raw)
