"""What a video adds to what the other attributes tell: attributes that go together, and attributes that do not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from analysis.measure.groups import Predicted
from analysis.measure.without_video import AddedByVideo, added_by_video
from trainables.evaluation.without_video import from_others
from trainables.metrics import leakage_of
from trainables.statistics import compare, leakage

Array = NDArray[np.float64]
NAMES = ("tall", "strong", "badge")
PEOPLE, CLIPS = 40, 3


def labelled(seed: int, together: float) -> Array:
    """Attributes of people: `strong` is `tall` again with this probability, and otherwise a coin, as all are."""
    random = np.random.default_rng(seed)
    coins = (random.random((PEOPLE, len(NAMES))) < 0.4).astype(float)
    coins[:, 1] = np.where(random.random(PEOPLE) < together, coins[:, 0], coins[:, 1])
    return coins.repeat(CLIPS, axis=0)


class Trial:
    def __init__(self, together: float, seed: int = 0) -> None:
        self.labels = labelled(seed, together)
        self.random = np.random.default_rng(seed + 100)
        self.items = tuple(f"clip {number}" for number in range(PEOPLE * CLIPS))
        self.people = tuple(f"g{number // CLIPS}" for number in range(PEOPLE * CLIPS))
        self.known = from_others(labelled(seed + 1, together), self.labels)
        self.answers: dict[str, Any] = {"without_video": self.record(self.known)}

    def record(self, probabilities: Array) -> dict[str, Any]:
        names: dict[str, Any] = {"items": list(self.items), "groups": list(self.people), "attributes": list(NAMES)}
        return names | {"probabilities": probabilities.tolist(), "labels": self.labels.astype(int).tolist()}

    def attack(self, probabilities: Array) -> Predicted:
        return Predicted("attack.probe", self.items, self.people, probabilities, self.labels, NAMES)

    def seen(self, signal: float) -> Array:
        return np.asarray(1 / (1 + np.exp(-(signal * self.labels + self.random.normal(size=self.labels.shape)))))

    def found(self, probabilities: Array) -> dict[str, AddedByVideo]:
        return {each.attribute: each for each in added_by_video([self.attack(probabilities)], self.answers)}


def test_a_video_that_shows_no_more_than_the_other_attributes_tell_adds_nothing() -> None:
    """The attacker has read of the video what the baseline knows, with a little noise that changes no order of two values."""
    trial = Trial(together=0.9)
    found = trial.found(trial.known)
    for name in ("tall", "strong"):
        assert found[name].without.low > 0.3, "they go together: the baseline is high"
        assert found[name].read == found[name].without
        assert found[name].added.value == 0.0
        assert found[name].added.low <= 0.0 <= found[name].added.high
    noisy = trial.found(trial.seen(0.0))
    assert noisy["tall"].added.high < 0, "who reads nothing learns less than who knows the others"


def test_where_attributes_are_independent_all_that_is_read_is_added() -> None:
    trial = Trial(together=0.0)
    found = trial.found(trial.seen(3.0))
    for name in NAMES:
        assert found[name].without.low <= 0.0 <= found[name].without.high
        assert found[name].added.low > 0.3
        assert found[name].added.value == pytest.approx(found[name].read.value - found[name].without.value)


def test_without_a_leak_the_difference_is_about_zero_whatever_ties_there_are() -> None:
    """A baseline of one attribute alone has equal scores, an attacker at random has not: by average precision alone he would
    seem to read something of few items, as the first ranks are few.
    """
    differences, precisions = [], []
    for seed in range(60):
        random = np.random.default_rng(seed)
        labels = (random.permutation(20) < 4).astype(float)[:, None]
        items = tuple(map(str, range(20)))
        attack = Predicted("attack.probe", items, items, random.random((20, 1)), labels, ("badge",))
        record = {"items": list(items), "groups": list(items), "attributes": ["badge"], "labels": labels.tolist()}
        [_, found] = added_by_video([attack], {"without_video": record | {"probabilities": [[0.4]] * 20}})
        differences.append(found.added.value)
        precisions.append(found.precision - found.precision_without)
    assert abs(np.mean(differences)) < 0.06
    assert np.mean(precisions) > 0.06


def test_figures_by_hand() -> None:
    trial = Trial(together=0.5, seed=4)
    seen = trial.seen(1.0)
    found = trial.found(seen)
    assert list(found) == ["", *NAMES]
    badge = found["badge"]
    assert badge.precision == pytest.approx(average_precision_score(trial.labels[:, 2], seen[:, 2]))
    assert badge.precision_without == pytest.approx(average_precision_score(trial.labels[:, 2], trial.known[:, 2]))
    whole = leakage_of(seen, trial.labels, NAMES, trial.people)
    assert found[""].read.value == pytest.approx(whole.leakage)
    assert found[""].precision == pytest.approx(whole.cmap)
    ours, theirs = (leakage(trial.items, trial.people, each, trial.labels) for each in (seen, trial.known))
    assert found[""].added == compare(ours, theirs).difference
    assert found[""].added.groups == PEOPLE


def test_items_and_attributes_are_matched_by_name() -> None:
    trial = Trial(together=0.7, seed=5)
    seen = trial.seen(1.0)
    whole = trial.found(seen)["strong"]
    order, columns = trial.random.permutation(len(trial.items)), [1, 2, 0]
    shuffled = Predicted(
        "attack.probe",
        tuple(trial.items[place] for place in order),
        tuple(trial.people[place] for place in order),
        seen[order][:, columns],
        trial.labels[order][:, columns],
        tuple(NAMES[column] for column in columns),
    )
    again = {each.attribute: each for each in added_by_video([shuffled], trial.answers)}["strong"]
    assert again.added.value == pytest.approx(whole.added.value)
    assert again.added.low == pytest.approx(whole.added.low)
    some = Predicted(
        "attack.probe",
        shuffled.items[:90],
        shuffled.sources[:90],
        shuffled.scores[:90],
        trial.labels[order[:90]][:, columns],
        shuffled.attributes,
    )
    of_some = {each.attribute: each for each in added_by_video([some], trial.answers)}["strong"]
    wanted = average_precision_score(trial.labels[order[:90], 1], trial.known[order[:90], 1])
    assert of_some.precision_without == pytest.approx(wanted), "of the items that both have predicted"
    assert of_some.added.items == 90


def test_what_cannot_be_compared_is_left_out() -> None:
    trial = Trial(together=0.5)
    seen = trial.seen(1.0)
    assert added_by_video([trial.attack(seen)], {}) == [], "a trial without the baseline"
    search = Predicted("attack.linkage", trial.items, trial.people, seen[:, 0], np.full(len(seen), 0.1))
    assert added_by_video([search], trial.answers) == [], "a search for people reads no attribute"
    double = Predicted("leakage", ("same",) * len(seen), trial.people, seen, trial.labels, NAMES)
    assert added_by_video([double], trial.answers) == []
    other = Predicted("leakage", tuple(f"image {name}" for name in trial.items), trial.people, seen, trial.labels, NAMES)
    assert added_by_video([other], trial.answers) == [], "other items"
    trial.labels[:, 2] = 1.0
    assert [each.attribute for each in added_by_video([trial.attack(seen)], trial.answers)] == ["", "tall", "strong"]
    assert not math.isnan(trial.found(seen)[""].added.value)
