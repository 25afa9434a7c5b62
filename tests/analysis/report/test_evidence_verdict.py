"""The verdict of the evidence page by its rule, what each attacker reads in words, and the people who are named right."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.measure.groups import Predicted
from analysis.report.evidence.findings import AttackerFinding, in_words, utility
from analysis.report.evidence.provenance import title_of
from analysis.report.evidence.short import data_sets
from analysis.report.evidence.verdict import HARDLY, IN_PART, NONE, NOTHING, verdict
from analysis.report.evidence.who import best_named, sentence

UNKNOWN = math.nan


def finding(value: float, low: float, high: float, raw: float = 0.8, status: str = "valid") -> AttackerFinding:
    return AttackerFinding("X", "x", value, low, high, raw, "", status, value / raw, low / raw, high / raw)


PART, OPEN, BLIND = finding(0.3, 0.2, 0.5), finding(0.3, -0.1, 0.9), finding(0.1, -0.1, 0.2)


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ([finding(0.5, 0.41, 0.6)], HARDLY),
        ([finding(0.5, 0.39, 0.6)], IN_PART),
        ([finding(0.4, 0.1, 0.8)], HARDLY),
        ([BLIND], NOTHING),
        ([BLIND, PART], IN_PART),
        ([BLIND, OPEN], NONE),
        ([OPEN, PART], IN_PART),
        ([BLIND, replace(PART, status="invalid")], NONE),
        ([finding(0.5, 0.41, 0.6), replace(PART, status="invalid")], HARDLY),
        ([replace(finding(0.5, 0.41, 0.6), status="invalid"), BLIND], NONE),
        ([finding(0.5, 0.41, 0.6, status="unchecked")], HARDLY),
        ([replace(PART, status="unchecked")], NONE),
        ([BLIND, replace(PART, status="unchecked")], IN_PART),
        ([finding(0.5, UNKNOWN, UNKNOWN)], NONE),
        ([], NONE),
    ],
)
def test_the_worst_attacker_decides_on_its_interval(found: list[AttackerFinding], word: str) -> None:
    assert verdict(found, is_raw=False).word == word
    assert verdict(found, is_raw=True).word == NONE


def test_what_an_attacker_reads_in_words() -> None:
    assert in_words(finding(0.38, 0.3, 0.44, 0.6)) == (
        "X: reads 38 of the 60 it reads from raw video; 63\N{NO-BREAK SPACE}% survives"
        " (interval 50\N{NO-BREAK SPACE}% to 73\N{NO-BREAK SPACE}%)."
    )
    assert "reads 10 of the 80 it reads from raw video, which cannot be told from guessing; up to 25" in in_words(BLIND)
    unknown = replace(BLIND, raw=UNKNOWN, survives=UNKNOWN)
    assert in_words(unknown) == "X: reads 10; what it reads from raw video is not known."
    assert "INVALID" in in_words(replace(PART, status="invalid"))
    assert "30" not in in_words(replace(PART, status="invalid"))
    assert in_words(finding(0.82, 0.7, 0.9)).startswith("X: reads 82, and 80 from raw video; 102")


def test_who_is_named_right_by_a_reader_of_people() -> None:
    """Three people, ten clips each: of the first nine clips are named right, of the others five."""
    truths = np.eye(3)[np.arange(30) % 3]
    right = np.where(np.arange(30) % 3 == 0, np.arange(30) < 27, np.arange(30) < 15)
    scores = np.where(right[:, None], truths, np.roll(truths, 1, axis=1))
    items = tuple(f"v{number}" for number in range(30))
    reader = Predicted("attack.probe", items, items, scores, truths, ("ann", "bob", "cid"))
    (weaker,) = [replace(reader, measure="clip_leakage", scores=np.roll(truths, 1, axis=1))]
    named = best_named([], [weaker, reader])
    assert named is not None
    assert (named.by, named.asked, round(30 * named.right)) == ("probe", 30, 19)
    assert named.low < 19 / 30 < named.high
    said = sentence(named, {"probe": "A linear classifier"})
    assert said.startswith(
        "Who is it? “A linear classifier” names 19 of 30 test items (which of ann, bob and 1 more it is) right"
    )
    assert said.endswith("guessing names 10 of 30.")
    assert best_named([], [replace(reader, scores=scores[:, :2], truths=truths[:, :2])]) is None, "two are one question"


@pytest.mark.parametrize(("guess", "shown"), [(1 / 6, 1), (0.1, 2)])
def test_five_best_guesses_of_few_classes_tell_nothing(guess: float, shown: int) -> None:
    trial = pd.Series({"top1": 0.5, "top5": 0.9, "chance_top1": guess})
    assert len(utility(trial, pd.DataFrame([trial]), pd.DataFrame([trial]), {})) == shown


@pytest.mark.parametrize(
    ("values", "title"),
    [
        ({"method": "penalty", "label": "B=0.1"}, "B=0.1"),
        ({"method": "given", "label": "given", "params.anonymizer.weights": "/models/blur.onnx"}, "blur.onnx"),
        ({"method": "given_videos", "label": "given_videos", "params.data.anonymized": "/data/defaced"}, "defaced"),
    ],
)
def test_an_anonymizer_from_elsewhere_is_called_by_its_file(values: dict[str, str], title: str) -> None:
    assert title_of(pd.Series(values)) == title


def test_data_are_called_by_their_layout_for_what_lies_there_may_be_anything() -> None:
    names = {"params.data.action.name": "ucf101", "params.data.privacy.name": "frames_of_clips", "params.data.action.split": 1}
    assert data_sets(pd.Series(names)) == ["in the layout ucf101"]
