"""Who is served and protected worst: figures of groups by hand, biases that are planted, and none where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from analysis.measure.groups import GroupFigure, Predicted, group_figures, too_few
from trainables.statistics import Interval, apart, average_precision, each_of, interval, mean

Array = NDArray[np.float64]
PEOPLE, CLIPS, NAMES = 24, 10, ("tall", "striped", "badge")


class Drawn:
    """PEOPLE with CLIPS each, whose attributes NAMES are coins; what is predicted of them knows as much of all."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.who = np.repeat(np.arange(PEOPLE), CLIPS)
        of_people = np.stack([self.random.permutation(PEOPLE) < PEOPLE // 2 for _ in NAMES], axis=1)
        self.labels = of_people[self.who].astype(float)
        self.items = tuple(f"clip {number}" for number in range(len(self.who)))
        self.people = tuple(f"g{person:02d}" for person in self.who)

    @property
    def known(self) -> dict[str, dict[str, int]]:
        rows = self.labels.astype(int).T.tolist()
        return {name: dict(zip(self.items, row, strict=True)) for name, row in zip(NAMES, rows, strict=True)}

    def right(self, share: float | Array) -> Predicted:
        return Predicted("top1", self.items, self.people, (self.random.random(len(self.who)) < share).astype(float))

    def read(self, signal: float | Array, measure: str = "attack.probe") -> Predicted:
        """`signal` of each item (or of all): by how much an attribute is seen, in deviations of what hides it."""
        noise = self.random.normal(size=self.labels.shape)
        seen = np.broadcast_to(signal, len(self.who))[:, None] * self.labels + noise
        return Predicted(measure, self.items, self.people, 1 / (1 + np.exp(-seen)), self.labels)

    def found(self, share: float | Array) -> Predicted:
        """A search that finds the same person with this probability, by chance in a tenth."""
        hits = (self.random.random(len(self.who)) < share).astype(float)
        return Predicted("attack.linkage", self.items, self.people, hits, np.full(len(hits), 0.1))


def figures(*predictions: Predicted, of: Drawn) -> dict[tuple[str, str], GroupFigure]:
    return {(each.measure, each.group): each for each in group_figures(predictions, of.known, "attack.probe")}


def worse(found: dict[tuple[str, str], GroupFigure]) -> list[tuple[str, str]]:
    return [name for name, figure in found.items() if figure.worse]


def test_an_anonymizer_that_fails_for_one_value_is_found() -> None:
    """Of who is tall, actions are recognised in 30 % and not in 85 %, and the other attributes are read as in raw video."""
    drawn = Drawn(1)
    tall = drawn.labels[:, 0] > 0
    found = figures(drawn.right(np.where(tall, 0.3, 0.85)), drawn.read(np.where(tall, 4.0, 0.3)), of=drawn)
    of_values = [name for name in worse(found) if found[name].kind == "attribute"]
    assert of_values == [("top1", "tall"), ("attack.probe", "tall")]
    served = found["top1", "tall"]
    assert served.own.low < 0.3 < served.own.high
    assert served.difference.low < 0.3 - 0.85 < served.difference.high < 0
    assert found["top1", "not tall"].difference == Interval(
        -served.difference.value, -served.difference.high, -served.difference.low, 240, 12
    )


def test_a_person_whom_the_anonymizer_fails_is_found() -> None:
    drawn = Drawn(1)
    hers = drawn.who == 7
    found = figures(drawn.right(np.where(hers, 0.0, 0.9)), drawn.found(np.where(hers, 1.0, 0.15)), of=drawn)
    assert worse(found) == [("top1", "g07"), ("attack.linkage", "g07")]
    figure = found["top1", "g07"]
    assert (figure.own.items, figure.rest.items) == (CLIPS, (PEOPLE - 1) * CLIPS), "beside the others, not beside all"


def test_without_a_bias_few_of_many_runs_name_anybody() -> None:
    """5 % of the runs of each kind may: of 20, more than 3 would in one of 60. All are as well served, and as badly hidden."""
    named = 0
    for seed in range(20):
        drawn = Drawn(100 + seed)
        named += bool(worse(figures(drawn.right(0.8), drawn.read(1.0), drawn.found(0.3), of=drawn)))
    assert named <= 3


def test_sources_count_and_not_their_clips() -> None:
    """Where the clips of a person are right or wrong together, ten copies of 24 coins tell no group from another."""
    named = 0
    for seed in range(20):
        drawn = Drawn(200 + seed)
        coins = drawn.random.random(PEOPLE) < 0.6
        same = Predicted("top1", drawn.items, drawn.people, coins[drawn.who].astype(float))
        found = group_figures([same], drawn.known)
        named += any(each.worse for each in found if each.kind == "attribute")
    assert named <= 3


def test_leakage_of_a_group_is_against_the_chance_within_it() -> None:
    """By hand, from scikit-learn: of who is tall, and without the attribute `tall`, which they have all in common."""
    drawn = Drawn(3)
    probe = drawn.read(2.0)
    assert probe.truths is not None
    figure = figures(probe, of=drawn)["attack.probe", "tall"]
    part = drawn.labels[:, 0] > 0
    scores, labels, people = probe.scores[part], drawn.labels[part], np.array(drawn.people)[part].tolist()
    precision, chance = [], []
    for column in (1, 2):
        precision.append(average_precision_score(labels[:, column], scores[:, column]))
        every = np.ones((1, len(labels)), dtype=bool)
        chance.append(float(average_precision(scores[:, column], labels[:, column], people, every)[1][0]))
    wanted = (np.mean(precision) - np.mean(chance)) / (1 - np.mean(chance))
    assert figure.own.value == pytest.approx(wanted)
    assert figure.own.groups == len(set(people))


def test_what_is_not_defined_is_said_and_not_counted() -> None:
    drawn = Drawn(4)
    probe = drawn.read(2.0)
    by_person = figures(probe, of=drawn)["attack.probe", "g03"]
    assert "no attribute has both values here" in by_person.lacking
    assert not by_person.worse
    assert math.isnan(by_person.own.value)
    alone = group_figures([drawn.right(0.5)], {"tall": dict.fromkeys(drawn.items, 1)})
    assert {each.lacking for each in alone if each.kind == "attribute"} == {"all test items whose value is known have the same"}
    few = Predicted("top1", drawn.items[:80], drawn.people[:80], drawn.right(0.5).scores[:80])
    values = {item: int(number >= 40) for number, item in enumerate(few.items)}
    found = [each for each in group_figures([few], {"late": values}) if each.kind == "attribute"]
    assert [each.lacking for each in found] == ["an interval takes 5 sources or people on either side, and one side has 4"] * 2
    assert math.isnan(found[0].difference.low)
    assert found[0].difference.value == pytest.approx(found[0].own.value - found[0].rest.value)


def test_the_more_is_asked_the_wider_are_the_intervals() -> None:
    drawn = Drawn(5)
    right = drawn.right(0.6)
    values = drawn.known
    one = group_figures([right], {"tall": values["tall"]})[0].difference
    three = group_figures([right], values)[0].difference
    assert three.low < one.low < one.high < three.high
    lone = Predicted("top1", right.items, right.items, right.scores)  # nobody has five items: attributes alone are asked for
    first, second = (
        interval(lone.among(np.flatnonzero(drawn.labels[:, 0] == value), np.arange(0), False), each_of(3)) for value in (1, 0)
    )
    assert group_figures([lone], values)[0].difference == apart(first, second)


def test_half_of_the_doubt_goes_to_the_strongest_attacker_whatever_else_was_tried() -> None:
    drawn = Drawn(6)
    probe, others = drawn.read(1.0), [drawn.read(1.0, f"attack.{number}") for number in range(8)]
    asked_alone, among_eight = (
        figures(probe, *some, of=drawn)["attack.probe", "tall"].difference for some in (others[:1], others)
    )
    assert asked_alone == among_eight
    all_of_it = figures(probe, of=drawn)["attack.probe", "tall"].difference
    assert all_of_it.high - all_of_it.low < asked_alone.high - asked_alone.low


def test_people_with_few_items_are_counted() -> None:
    drawn = Drawn(7)
    right = drawn.right(0.5)
    assert too_few([right]) == {}
    lone = Predicted("top1", right.items, right.items, right.scores)
    assert too_few([lone]) == {"top1": PEOPLE * CLIPS}
    assert {each.kind for each in group_figures([lone], drawn.known)} == {"attribute"}


def test_a_side_on_which_nothing_varies_tells_nothing() -> None:
    """Each of five sources is right in one of two clips: no spread is seen, which is no proof that there is none."""
    items = tuple(map(str, range(40)))
    sources = tuple(str(number // 2) for number in range(40))
    right = np.array([1.0, 0.0] * 5 + [1.0, 1.0] * 14 + [0.0, 1.0])
    values = {item: int(number < 10) for number, item in enumerate(items)}
    [figure, _] = group_figures([Predicted("top1", items, sources, right)], {"early": values})
    assert "nothing differs" in figure.lacking
    assert not figure.worse


class TestApart:
    def test_by_hand(self) -> None:
        first, second = Interval(0.6, 0.5, 0.8, 10, 5), Interval(0.3, 0.27, 0.34, 20, 8)
        found = apart(first, second)
        assert found.value == pytest.approx(0.3)
        assert found.low == pytest.approx(0.3 - math.sqrt(0.1**2 + 0.04**2))
        assert found.high == pytest.approx(0.3 + math.sqrt(0.2**2 + 0.03**2))
        assert (found.items, found.groups) == (30, 5)

    def test_each_of_many(self) -> None:
        assert each_of(1) == each_of(0) == pytest.approx(0.95)
        assert each_of(10) == pytest.approx(0.995)

    def test_it_holds_the_difference_as_often_as_it_says(self) -> None:
        random, held = np.random.default_rng(8), 0
        for _ in range(300):
            sides = [
                interval(mean(names := list(map(str, range(30))), names, random.random(30) < share)) for share in (0.7, 0.4)
            ]
            difference = apart(*sides)
            held += difference.low <= 0.3 <= difference.high
        assert 0.92 <= held / 300 <= 0.99
