"""Which trainings end early, by figures that are small enough to be sorted by hand."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from study.backend.early import EarlyStoppingScheduler, watched_of
from study.schedule.early import Rungs, Standing, chance, decide, layers
from trainables.early import Decision, EarlyStopping, Figures, Place, Watch, Watched
from trainables.failures import StoppedEarly
from trainables.store.files import Files

RULES = EarlyStopping("trials/x/early")
BAD = Figures(0.2, 0.8, 40, 60)


MANY = 1_000_000  # items, of which no figure varies by chance


def standing(name: str, top1: float, leakage: float, clips: int = MANY, items: int = MANY) -> Standing:
    return Standing(name, Figures(top1, leakage, clips, items))


A, B = standing("A", 0.9, 0.5), standing("B", 0.5, 0.05)  # neither dominates the other
C = standing("C", 0.8, 0.6)  # dominated by A
D = standing("D", 0.4, 0.7)  # dominated by A, B and C


def test_non_dominated_layers_by_hand() -> None:
    assert layers([D, C, B, A]) == [[B, A], [C], [D]]
    assert layers([A, standing("A2", 0.9, 0.5)]) == [[A, standing("A2", 0.9, 0.5)]]
    assert layers([]) == []


def test_nobody_stops_whom_no_other_one_surpasses_however_many_there_are() -> None:
    front = [standing(str(step), step / 20, step / 20) for step in range(20)]
    for own in front:
        assert not decide(own, [one for one in front if one is not own] + [D] * 3, 2, 10).stop


def test_who_is_better_by_chance_only_dominates_nobody() -> None:
    """Of 25 clips a share varies by at most 10 points, of 100 items by 5; the smaller set of the two counts."""
    assert chance(25) == 0.1
    assert chance(100) == 0.05
    own = standing("own", 0.5, 0.5, clips=25, items=100)
    for top1, leakage, dominates in ((0.61, 0.44, True), (0.59, 0.44, False), (0.61, 0.46, False), (0.9, 0.5, False)):
        assert standing("other", top1, leakage, clips=25, items=100).dominates(own) == dominates, (top1, leakage)
    assert standing("other", 0.61, 0.44, clips=16, items=100).dominates(own) is False
    assert not own.dominates(own)
    alike = [standing(str(number), 0.5 + number / 100, 0.5 - number / 100, clips=25, items=25) for number in range(9)]
    assert [decide(one, [other for other in alike if other is not one], 1, 6).stop for one in alike] == [False] * 9


def test_with_fewer_than_three_at_a_rung_nobody_stops() -> None:
    assert not decide(D, [], 2, 10).stop
    assert not decide(D, [A], 2, 10).stop
    assert decide(D, [A, B], 2, 10).stop


def test_about_a_third_of_those_at_a_rung_go_on() -> None:
    """Of a line in which each dominates the next, the first n/3, rounded up."""
    line = [standing(str(rank), 1 - rank / 10, rank / 10) for rank in range(9)]
    for count, kept in ((3, 1), (4, 2), (6, 2), (7, 3), (9, 3)):
        some = line[:count]
        stops = [decide(own, [one for one in some if one is not own], 1, 10).stop for own in some]
        assert stops == [False] * kept + [True] * (count - kept), count


def test_a_layer_that_is_cut_through_goes_on_as_a_whole() -> None:
    """One dominates all; the three of the second layer come to places 2 to 4 of 4, of which two go on: all three do."""
    best = standing("best", 1.0, 0.0)
    second = [standing("x", 0.9, 0.9), standing("y", 0.5, 0.5), standing("z", 0.1, 0.1)]
    for own in second:
        assert not decide(own, [best, *(one for one in second if one is not own)], 1, 10).stop


def test_equals_are_treated_alike_and_the_order_does_not_matter() -> None:
    twins = [standing("C1", 0.8, 0.6), standing("C2", 0.8, 0.6)]
    for others in itertools.permutations([A, B, D, twins[1]]):
        assert decide(twins[0], others, 3, 9) == decide(twins[0], [A, B, D, twins[1]], 3, 9)
    assert [decide(one, [A, B, other, A], 3, 9).stop for one, other in (twins, twins[::-1])] == [True, True]
    reasons = {decide(D, others, 3, 9).reason for others in itertools.permutations([A, B, C])}
    assert reasons == {
        "stopped early at epoch 3 of 9: dominated by B (validation top-1 50.0 %, leakage to a linear probe 5.0 %;"
        " here 40.0 % and 70.0 %)"
    }


def test_who_has_no_figures_is_compared_with_nobody() -> None:
    unknown = standing("unknown", 0.1, math.nan)
    assert not decide(unknown, [A, B, C], 1, 10).stop
    assert not decide(D, [A, unknown], 1, 10).stop, "there are two with figures"


@pytest.mark.parametrize(("epochs", "rungs"), [(1, ()), (2, (1,)), (3, (1,)), (9, (1, 3)), (10, (2, 4)), (100, (12, 34))])
def test_rungs(epochs: int, rungs: tuple[int, ...]) -> None:
    assert Place("key", "group", epochs).rungs == rungs


def heard(files: Files, name: str, top1: float, leakage: float, group: str = "g") -> Decision:
    return Rungs(RULES, files).hear(Watched(Place(name, group, 9), 3, Figures(top1, leakage, MANY, MANY)), f"trial {name}")


def test_what_was_decided_stays_decided(tmp_path: Path) -> None:
    """For a driver that starts again, a worker that reports twice, another trial with the same anonymizer."""
    files = Files(tmp_path)
    first = heard(files, "bad", 0.1, 0.9)
    assert first == Decision(False), "it is the first"
    assert not heard(files, "good", 0.9, 0.1).stop
    assert not heard(files, "fair", 0.8, 0.05).stop
    assert heard(files, "bad", 0.1, 0.9) == first
    worse = heard(files, "worse", 0.1, 0.9)
    assert worse.stop
    assert "epoch 3 of 9: dominated by trial good" in worse.reason
    assert heard(Files(tmp_path), "worse", 1.0, 0.0) == worse
    assert not heard(files, "elsewhere", 0.0, 1.0, group="h").stop


def test_a_training_that_was_stopped_does_not_begin_again_under_the_same_rules(tmp_path: Path) -> None:
    files, told = Files(tmp_path), list[Watched]()
    for name in ("one", "two"):
        heard(files, name, 0.9, 0.1)
    place = Place("bad", "g", 9)

    def tell(watched: Watched) -> None:
        told.append(watched)
        Rungs(RULES, files).hear(watched, "trial bad")

    watch = Watch(RULES, files, tell)
    watch.begins(place)
    watch.after(place, 2, lambda: pytest.fail("no rung"))
    with pytest.raises(StoppedEarly, match="stopped early at epoch 3 of 9"):
        watch.after(place, 3, lambda: BAD)
    assert told == [Watched(place, 3, BAD)]
    with pytest.raises(StoppedEarly, match="stopped early at epoch 3 of 9"):
        watch.begins(place)
    with pytest.raises(StoppedEarly):
        watch.after(place, 3, lambda: pytest.fail("measured before"))
    watch.begins(Place("bad", "h", 9))


def test_who_hears_nothing_goes_on(tmp_path: Path) -> None:
    Watch(RULES, Files(tmp_path), lambda watched: None).after(Place("x", "g", 9), 3, lambda: BAD)


def test_the_scheduler_decides_and_stops_no_worker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scheduler = EarlyStoppingScheduler(RULES, str(tmp_path))

    def flat(name: str, top1: float, leakage: float) -> dict[str, object]:
        place = {"watched/place/anonymizer": name, "watched/place/group": "g", "watched/place/epochs": 9}
        figures = {"top1": top1, "leakage": leakage, "clips": 40, "items": 60}
        named = {f"watched/figures/{key}": value for key, value in figures.items()}
        return {"status": "running", **place, "watched/epoch": 3, **named}

    assert watched_of(flat("x", 0.5, 0.25)) == Watched(Place("x", "g", 9), 3, Figures(0.5, 0.25, 40, 60))
    assert watched_of({"status": "running", "watched": None}) is None
    for name, top1 in (("a", 0.9), ("b", 0.8), ("c", 0.1)):
        assert scheduler.on_trial_result(None, f"trial {name}", flat(name, top1, 1 - top1)) == "CONTINUE"
    kept = [RULES.decision(Files(tmp_path), Place(name, "g", 9), 3) for name in "abc"]
    assert [decision and decision.stop for decision in kept] == [False, False, True]
    blocked = EarlyStoppingScheduler(RULES, str(tmp_path / "a file"))
    (tmp_path / "a file").write_text("")
    assert blocked.on_trial_result(None, "trial d", flat("d", 0.1, 0.9)) == "CONTINUE"
    assert "trial d: nothing was decided at epoch 3" in capsys.readouterr().out
