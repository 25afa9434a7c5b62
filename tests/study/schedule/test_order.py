"""Which trial is started when, and on what."""

from __future__ import annotations

from pathlib import Path

import pytest

from search_spaces.plan import StudyTrial
from study.schedule.order import Queue, Step, in_order
from study.schedule.resources import ResourceOverride, Resources, Share
from trainables.config import ConfigError, TrialConfig, with_values
from trainables.data.trial_data import TrialData
from trainables.plan import plan_trial

START = Step("reconstruct", "r", ())


def trial(anonymizer: str, judge: str) -> tuple[Step, ...]:
    return (START, Step("minimax", anonymizer, ("r",)), Step("evaluate_action", f"{anonymizer}{judge}", (anonymizer,)))


def queue(stored: set[str], *trials: tuple[Step, ...], **more: object) -> Queue:
    return Queue(trials, set(stored), lambda stage, key: key in stored, every=0.0, **more)  # type: ignore[arg-type]


def test_a_trial_that_could_only_wait_is_kept_back() -> None:
    stored: set[str] = set()
    raw = (Step("evaluate_action", "raw", ()),)
    trials = queue(stored, trial("a", "1"), trial("b", "1"), raw, trial("a", "2"))
    assert [trials.next(), trials.next(), trials.next()] == [0, 2, None], "b and a's second judge need the reconstruction too"
    stored.add("r")
    assert [trials.next(), trials.next()] == [1, None], "a's second judge needs a"
    stored.add("a")
    assert trials.next() == 3, "the other judge of a has work of its own"
    assert trials.next() is None
    assert len(trials) == 0


def test_what_a_failed_trial_has_not_stored_is_free_again() -> None:
    trials = queue(set(), trial("a", "1"), trial("a", "2"))
    assert [trials.next(), trials.next()] == [0, None]
    trials.ended(0)
    assert trials.next() == 1


def test_what_is_stored_before_is_no_reason_to_wait() -> None:
    trials = queue({"r", "a", "b", "a1", "b1"}, trial("a", "1"), trial("b", "1"), trial("a", "2"), trial("b", "2"))
    assert [trials.next() for _ in range(4)] == [0, 1, 2, 3]


def test_one_shape_of_resources_is_not_behind_another() -> None:
    trials = queue({"r"}, *(trial(name, "1") for name in "abcd"), shapes=["large", "large", "large", "small"], pending=1)
    assert [trials.next(), trials.next(), trials.next()] == [0, 3, None]
    trials.started(0)
    assert trials.next() == 1


def test_what_is_ordered_next_comes_before_the_others() -> None:
    ordered: set[int] = set()
    trials = queue({"r"}, *(trial(name, "1") for name in "abcd"), first=lambda: ordered)
    assert trials.next() == 0
    ordered.add(3)
    assert [trials.next() for _ in range(3)] == [3, 1, 2]


def test_a_storage_that_is_away_orders_nothing() -> None:
    def away() -> set[int]:
        raise OSError("Stale file handle")

    assert queue({"r"}, trial("a", "1"), first=away).next() == 0


def test_the_longest_first_and_what_most_work_waits_for(tiny_config: TrialConfig, tiny_data: Path) -> None:
    settings = [
        {"method": "raw"},
        {"minimax.distortion_budget": 0.1},
        {"minimax.distortion_budget": 0.2},
        {"minimax.distortion_budget": 0.2, "evaluate_action.classifier.name": "narrow2plus1d"},
        {"minimax.distortion_budget": 0.3},
    ]
    trials = [StudyTrial(str(n), values, "p", with_values(tiny_config, values)) for n, values in enumerate(settings)]
    plans = [plan_trial(one.config, TrialData(one.config, tiny_data)) for one in trials]
    seconds = {stage.key: 1.0 for plan in plans for stage in plan.stages}
    order = [int(one.setting) for one, _ in in_order(trials, plans, seconds)]
    assert order == [2, 0, 1, 4, 3], "of equally long ones the anonymizer judged twice; starts that differ in turn"
    seconds[next(stage.key for stage in plans[4].stages if stage.name == "minimax")] = 9.0
    assert [int(one.setting) for one, _ in in_order(trials, plans, seconds)] == [4, 0, 2, 1, 3]
    assert [int(one.setting) for one, _ in in_order(trials, plans)] == [0, 1, 2, 4, 3], "the order given, without costs"


def test_cores_are_shared_out_among_the_gpus() -> None:
    nodes = [{"CPU": 96.0, "GPU": 8.0}, {"CPU": 40.0, "GPU": 4.0}, {"CPU": 64.0}]
    config = TrialConfig()
    matched = Resources(None, 0.5, overrides=(ResourceOverride.of("method=raw:1:A100"),), cpus_per_gpu=8.0).matched(nodes)
    assert matched.of(config) == Share(5.0, 0.5)
    raw = matched.of(with_values(config, {"method": "raw"}))
    assert raw == Share(10.0, 1.0, "A100")
    assert raw.bundle == {"CPU": 10.0, "GPU": 1.0, "accelerator_type:A100": 0.001}
    assert Resources(None, 1.0, cpus_per_gpu=8.0).matched([{"CPU": 4.0}]).of(config) == Share(8.0, 1.0), "the profile's"
    assert Resources(3.0, 1.0).matched(nodes).of(config) == Share(3.0, 1.0), "as given"
    assert Resources(None, 1.0).matched([{"CPU": 256.0, "GPU": 1.0}]).of(config).cpus == 16.0


@pytest.mark.parametrize("text", ["method:1", "method=raw", "method=raw:many", "method=raw:1.5", "method=raw:1:A100:2"])
def test_a_malformed_size_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match="write KEY=VALUE:GPUS"):
        ResourceOverride.of(text)


def test_a_size_for_a_field_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'minimax\.epoch'"):
        ResourceOverride.of("minimax.epoch=3:1")
