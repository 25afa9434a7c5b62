"""For whom the anonymizer works worst, on the evidence page and in its data: computed from what every trial keeps by item."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from analysis.read.study import RecordedStudy
from analysis.report.evidence import untested
from analysis.report.evidence.gather import TrialEvidence, read_evidence
from tests.support.evidence_page import data, words
from tests.support.fake_attacks import attack, broken, log
from tests.support.fake_studies import FakeTrial, metrics

Maker = Callable[..., RecordedStudy]
PEOPLE, CLIPS = 20, 8
ITEMS = [f"clip {number:03d}" for number in range(PEOPLE * CLIPS)]
GROUPS = [f"g{number // CLIPS:02d}" for number in range(len(ITEMS))]


def evidence(make_study: Maker, utility_if_tall: float, valid: bool = True) -> TrialEvidence:
    """Half of the people are tall, of whom the action is recognised so often, and else in 90 %; nothing else differs."""
    random = np.random.default_rng(0)
    labels = np.stack([random.permutation(PEOPLE) % 2, random.permutation(PEOPLE) % 2], axis=1).repeat(CLIPS, axis=0)
    right = random.random(len(ITEMS)) < np.where(labels[:, 0] == 1, utility_if_tall, 0.9)
    seen = 1 / (1 + np.exp(-(labels + random.normal(size=labels.shape))))
    read = {"items": ITEMS, "groups": GROUPS, "attributes": ["tall", "badge"]}
    read |= {"probabilities": seen.tolist(), "labels": labels.tolist()}
    alone = {**read, "probabilities": np.full(labels.shape, 0.5).tolist()}  # attributes that tell nothing of one another
    rows = [
        {"id": item, "group": group, "score": float(hit), "chance": 0.1}
        for item, group, hit in zip(ITEMS, GROUPS, random.random(len(ITEMS)) < 0.3, strict=True)
    ]
    score = float(np.mean([row["score"] for row in rows]))
    search = attack("linkage", 0.9, "Finding the same person again", "linkability")
    search |= {"items": rows, "chance": 0.1, "leakage": (score - 0.1) / 0.9}
    study = make_study([FakeTrial("a", metrics=metrics(0.9, 0.3))])
    run_id = str(study.trials.index[0])
    action = {"items": ITEMS, "groups": GROUPS, "rank": [1 if each else 4 for each in right]}
    log(
        study.tracking_uri,
        run_id,
        [search if valid else broken(search)],
        {"evaluate_action": action, "evaluate_clip_privacy": read, "without_video": alone},
    )
    return read_evidence(run_id, study.tracking_uri)


def test_whom_it_serves_worse_is_said_at_the_top_and_in_the_data(make_study: Maker) -> None:
    found = evidence(make_study, 0.3)
    page = words(found)
    assert "some are surely worse off than the others; served worse: “tall”" in page
    assert page.index("served worse: “tall”") < page.index("How much each attacker reads")
    assert re.search(r"The right action is recognised: surely worse than the others are “tall” with \d\d\.\d %", page)
    assert "“tall” (surely worse) the right action is recognised" in page
    assert "learned by Finding the same person again: no group is surely worse" in page.replace("Learned", "learned")
    read = data(found)
    rows = {(row["measure"], row["group"]): row for row in read["groups"]}
    assert {row["group"] for row in rows.values() if row["worse"] and row["kind"] == "attribute"} == {"tall"}
    assert rows["top1", "tall"]["difference"]["high"] < 0
    assert rows["clip_leakage", "g03"]["own"]["value"] is None, "all clips of a person have the same labels"
    assert "not defined" in rows["clip_leakage", "g03"]["lacking"]
    assert rows["attack.linkage", "g03"]["own"]["items"] == CLIPS


def test_what_the_video_adds_is_said_beside_who_has_not_seen_it(make_study: Maker) -> None:
    found = evidence(make_study, 0.9)
    page = words(found)
    [mean, *each] = found.added_by_video
    assert [one.attribute for one in each] == ["tall", "badge"]
    assert mean.without.value == 0.0
    assert mean.added.low > 0
    said = (
        r"Surely: who sees no video and infers each private attribute from all others of a person reads 0; from the anonymized"
    )
    said += r" video \d\d is read \(a freshly trained classifier, on the videos\)\. The difference is \d\d \(interval \d"
    assert len(re.findall(said, page)) == 1, "at the top"
    assert "mean over all" in page
    rows = data(found)["added_by_video"]
    assert {(row["measure"], row["attribute"]) for row in rows} == {("clip_leakage", name) for name in ("", "tall", "badge")}
    assert rows[1]["precision"] > rows[1]["precision_without"]


def test_without_a_difference_nobody_is_named_and_what_is_left_open_is_said(make_study: Maker) -> None:
    found = evidence(make_study, 0.9)
    page = words(found)
    assert "none is surely served or protected worse than the others" in page
    halves = [(each.difference.high - each.difference.low) / 2 for each in found.groups if not each.lacking]
    open_to = f"a difference of up to {100 * max(halves):.0f} points would not have been seen"
    assert f"protected worse than the others; {open_to}. How" in page
    assert "No single person was compared" not in page, "everybody has eight clips"
    assert "(surely worse)" not in page


def test_an_attack_whose_control_failed_says_nothing_of_groups(make_study: Maker) -> None:
    assert not [each for each in evidence(make_study, 0.9, valid=False).groups if each.measure == "attack.linkage"]


def test_without_predictions_by_item_it_is_not_known(make_study: Maker) -> None:
    study = make_study([FakeTrial("a", metrics=metrics(0.9, 0.3))])
    found = read_evidence(str(study.trials.index[0]), study.tracking_uri)
    page, missing = words(found), {each.what: each.command for each in found.not_measured}
    for what in (untested.GROUPS, untested.ADDED):
        assert f"{what}." in found.lines, "on the first screen too"
        assert f"{what}." in page.partition("Not measured, though there is a command for it")[2]
        assert missing[what].startswith("python study/run.py --space toy --profile small --seeds 0, --data-root DATA --attacks")
    for heading in ("For whom?", "What the video adds Two", "Over time", "Does the anonymizer remember"):
        assert heading not in page, "a section without content is not on the page"


def test_studies_whose_settings_have_different_options_have_evidence(make_study: Maker) -> None:
    """A method with an option of its own: the other trials, raw among them, have no value of it, and are alike in that."""
    study = make_study(
        [
            FakeTrial("8 pixels", "downsample_to", metrics=metrics(0.8, 0.2), values={"options.pixels": 8}),
            FakeTrial("raw", "raw", metrics=metrics(0.9, 0.6)),
            FakeTrial("a", metrics=metrics(0.85, 0.3)),
        ]
    )
    assert study.trials["params.options.pixels"].isna().sum() == 2
    for run_id in study.trials.index:
        found = read_evidence(str(run_id), study.tracking_uri)
        assert next(each.raw.mean for each in found.utility if each.raw.n) == pytest.approx(0.9)
