"""The baseline of attacks on attributes: what they tell of one another, by hand and in a trial."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.stages import stage_context
from trainables.config import TrialConfig
from trainables.data.trial_data import TrialData
from trainables.evaluation.without_video import from_others, run
from trainables.metrics import leakage_of
from trainables.stages import WITHOUT_VIDEO

Array = NDArray[np.float64]


def coins(rows: int, seed: int = 0, columns: int = 2) -> Array:
    return (np.random.default_rng(seed).random((rows, columns)) < 0.4).astype(float)


def leakage(probabilities: Array, labels: Array) -> dict[str, float]:
    names = tuple(map(str, range(labels.shape[1])))
    found = leakage_of(probabilities, labels, names, list(map(str, range(len(labels)))))
    return {name: found.ap[name] - found.ap_chance[name] for name in names}


def test_of_two_equal_attributes_each_tells_the_other_and_nothing_of_a_third() -> None:
    train, test = (np.column_stack([(first := coins(400, seed))[:, 0], first[:, 0], first[:, 1]]) for seed in (0, 1))
    found = leakage(from_others(train, test), test)
    assert found["0"] == found["1"] > 0.55, "a share of 40 % has 60 % to go"
    assert abs(found["2"]) < 0.05


def test_how_likely_it_is_was_learned_from_the_training_items_alone() -> None:
    """In training the first attribute comes in 3 of 4 with the second and in 1 of 4 without; in test it is the other way."""
    with_it, without = np.array([1.0, 1.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0, 0.0])
    train = np.column_stack([np.tile([*with_it, *without], 100), np.tile([1.0] * 4 + [0.0] * 4, 100)])
    test = np.column_stack([1.0 - train[:, 0], train[:, 1]])
    found = from_others(train, test)
    assert found[0, 0] == pytest.approx(0.75, abs=0.01)
    assert found[4, 0] == pytest.approx(0.25, abs=0.01)
    assert leakage(found, test)["0"] < 0


def test_a_lone_attribute_and_one_of_one_value_have_their_share_which_ranks_nothing() -> None:
    train = coins(50, columns=1)
    found = from_others(train, coins(20, 1, columns=1))
    assert np.ptp(found) == 0.0
    assert found[0, 0] == pytest.approx(train.mean())
    constant = np.column_stack([np.ones(50), train])
    assert from_others(constant, constant)[:, 0].tolist() == [1.0] * 50
    assert np.ptp(from_others(constant, constant)[:, 1]) == 0.0, "a constant tells nothing"


def test_columns_of_people_do_not_give_one_another_away() -> None:
    """Exactly one of three is 1: who knows two knows the third, but they are values of one question."""
    who = np.random.default_rng(0).integers(0, 3, 300)
    people = np.eye(3)[who]
    found = from_others(people, people)
    assert np.ptp(found, axis=0).tolist() == [0.0, 0.0, 0.0]
    tall = ((who == 0) | (np.random.default_rng(1).random(300) < 0.2)).astype(float)
    told = leakage(from_others(with_tall := np.column_stack([people, tall]), with_tall), with_tall)
    assert told["0"] > 0.2, "another question still counts"


def test_the_stage_keeps_its_predictions_of_the_items_that_are_attacked(
    tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    outcome = run(stage_context(WITHOUT_VIDEO.name, tiny_config, tiny_data, tmp_path))
    kept = json.loads(outcome.files["answers/without_video.json"])
    clips = TrialData(tiny_config, tiny_data).clips_with_attributes
    assert kept["items"] == [clip.name for clip in clips.test]
    assert kept["labels"] == [list(map(int, clip.attributes or ())) for clip in clips.test]
    train, test = (np.array([clip.attributes for clip in part]) for part in (clips.train, clips.test))
    assert kept["probabilities"] == from_others(train, test).tolist()
    assert outcome.metrics.keys() == {"leakage_without_video"}
