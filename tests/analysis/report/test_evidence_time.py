"""Exposure over time and flicker on the evidence page: from what attacks have recorded of each test clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from analysis.read.study import RecordedStudy
from analysis.report.evidence.gather import TrialEvidence, read_evidence
from tests.support.evidence_page import data, led_to, words
from tests.support.fake_attacks import attack, broken, log
from tests.support.fake_studies import FakeTrial, metrics

Maker = Callable[..., RecordedStudy]


def with_runs(record: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Item number n is read for n % 4 frames in a row; of who is not read at all the detector has no worst frame."""
    faces = "frames" not in more
    rows = [
        {**item, "longest_run": number % 4, "worst_frame": None if faces and number % 4 == 0 else 10 * number, **more}
        for number, item in enumerate(record["items"])
    ]
    others = {} if faces else {"all_right_by_guess": 0.125, "frames_all_right": 0.4}
    return record | {"items": rows, "others": others}


def evidence(make_study: Maker, records: list[dict[str, Any]], flicker: bool = True) -> TrialEvidence:
    ours, raws = ({"flicker": 0.031}, {"flicker": 0.024}) if flicker else ({}, {})
    study = make_study(
        [
            FakeTrial("a", metrics=metrics(0.9, 0.3) | ours, values={"minimax.distortion_budget": 0.3}),
            FakeTrial("raw", "raw", metrics=metrics(0.95, 0.8) | raws),
        ]
    )
    [run_id] = [str(name) for name, trial in study.trials.iterrows() if trial["method"] != "raw"]
    log(study.tracking_uri, run_id, records)
    return read_evidence(run_id, study.tracking_uri)


def test_the_longest_runs_and_the_worst_frames_are_on_the_page_and_in_the_data(make_study: Maker) -> None:
    faces = with_runs(attack("face_found", 0.8, "Finding a face at all", "singling out"))
    reads = with_runs(attack("retrained", 0.8, "Retrained classifiers"), frames=4)
    found = evidence(make_study, [faces, reads])
    page = words(found)
    assert (
        "Finding a face at all: in 30 of 40 test clips a face is found in some frame. The longest run is 3 frames, in v03."
        in page
    )
    assert (
        "Retrained classifiers: in 30 of 40 test clips there is a frame in which every private attribute is read rightly. The"
        " longest run is 3 frames of 4 looked at in a row, in v03. Guessing would be right in all frames of 12.5 % of them."
    ) in page
    assert "v07 Retrained classifiers g03 3 4 70" in page
    assert "40.0% of frames in which every attribute is read rightly" in page
    assert set(led_to(found, "time")) == {"attacker-face_found", "attacker-retrained"}
    read = data(found)
    rows = {row["attack"]: row for row in read["time"]}
    assert [clip["clip"] for clip in rows["face_found"]["worst"]] == ["v03", "v07", "v11", "v15", "v19"]
    assert (rows["face_found"]["frames"], rows["retrained"]["frames"]) == (None, 4)
    assert (rows["face_found"]["guess"], rows["retrained"]["guess"]) == (None, 0.125)
    assert read["flicker"] == {"anonymized": pytest.approx(0.031), "raw": pytest.approx(0.024)}
    assert "differ by 0.0310 of the range from black to white, on average; in raw video by 0.0240" in page


def test_a_broken_attack_says_nothing_of_time(make_study: Maker) -> None:
    assert evidence(make_study, [broken(with_runs(attack("retrained", 0.8), frames=4))]).time == []


def test_what_was_not_recorded_is_said(make_study: Maker) -> None:
    """Trials from before flicker was a metric, and attacks from before frames were looked at one by one."""
    found = evidence(make_study, [attack("retrained", 0.8)], flicker=False)
    assert "For how many frames in a row a person is exposed, and in which frame most" in words(found)
    assert "Over time" not in words(found)
    assert data(found)["flicker"] == {"anonymized": None, "raw": None}
