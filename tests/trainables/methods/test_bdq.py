"""BDQ: who moves in which step, from what f_B learns, and a trial from end to end."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support.fake_data import Files
from tests.support.stages import SilentReporter
from trainables.config import ConfigError, Runtime, TrialConfig, with_values
from trainables.data.items import DataError
from trainables.data.trial_data import TrialData
from trainables.execution.context import StageContext
from trainables.methods import resolved
from trainables.methods.bdq import training as bdq
from trainables.pipeline import run_trial
from trainables.plan import plan_trial

At = Callable[..., StageContext]


def snapshot(players: bdq.BdqPlayers) -> list[dict[str, Tensor]]:
    return [copy.deepcopy(network.state_dict()) for network in (players.anonymizer, players.action, players.privacy)]


def moved(before: list[dict[str, Tensor]], after: list[dict[str, Tensor]]) -> list[bool]:
    return [any(not torch.equal(a[name], b[name]) for name in a) for a, b in zip(before, after, strict=True)]


def batch_of(context: StageContext) -> tuple[Tensor, Tensor, Tensor]:
    batch = next(context.training_clips(4).epoch(0))
    return context.training_view(batch), batch["label"], batch["attributes"]


@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_f_a_and_f_t_move_together_then_f_b_alone(at: At, statistics: str) -> None:
    context = at("bdq", {"minimax.judge_statistics": statistics})
    players = bdq.players_of(context)
    clips, labels, attributes = batch_of(context)
    start = snapshot(players)
    bdq.step_serving(players, clips, labels, 2, context)
    middle = snapshot(players)
    assert moved(start, middle) == [True, True, False]
    assert start[0].keys() == {"sigma", "thresholds"}
    assert all(not torch.equal(start[0][name], middle[0][name]) for name in start[0]), "sigma and the thresholds"
    bdq.step_privacy(players, clips, attributes, 2, context)
    assert moved(middle, snapshot(players)) == [False, False, True]


def test_the_loss_of_f_a_by_hand(at: At) -> None:
    """L_T - alpha H(f_B), of an f_B that knows nothing: H is ln 2 for each attribute."""
    context = at("bdq", {"options.entropy_weight": 0.5})
    players = bdq.players_of(context)
    nn.init.zeros_(players.privacy.head.weight)
    nn.init.zeros_(players.privacy.head.bias)
    clips, labels, attributes = batch_of(context)
    found = bdq.step_serving(players, clips, labels, 1, context)
    nothing = attributes.shape[1] * math.log(2)
    assert found["entropy"].item() == pytest.approx(nothing, rel=1e-5)
    assert found["loss_anonymizer"].item() == pytest.approx(found["loss_action"].item() - 0.5 * nothing, rel=1e-5)
    assert bdq.step_privacy(players, clips, attributes, 1, context).item() == pytest.approx(nothing, rel=1e-5)


def test_f_a_makes_f_b_less_sure(at: At) -> None:
    """Without f_T's loss moving it, which here is that of an f_T that says the same of all clips."""
    context = at("bdq", {"options.encoder_rate": 0.05, "minimax.learning_rate_action": 1e-9, "options.entropy_weight": 10.0})
    players = bdq.players_of(context)
    nn.init.zeros_(players.action.head.weight)
    clips, labels, _ = batch_of(context)
    players.privacy.head.weight.data *= 5
    found = [bdq.step_serving(players, clips, labels, 2, context)["entropy"].item() for _ in range(12)]
    assert found[-1] > found[0]


def test_each_network_learns_at_its_own_rate(at: At) -> None:
    values = {"options.encoder_rate": 0.25, "minimax.learning_rate_action": 2e-3, "minimax.learning_rate_privacy": 3e-3}
    players = bdq.players_of(at("bdq", values))
    assert [group["lr"] for group in players.serving_optimizer.param_groups] == [0.25, 2e-3]
    assert [group["lr"] for group in players.privacy_optimizer.param_groups] == [3e-3]


def test_f_b_is_shown_one_frame_of_the_clips_and_the_same_in_both_steps(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    context = at("bdq", {"options.encoder_rate": 0.0, "minimax.epochs": 2, "minimax.batch_size": 8})
    given: list[tuple[int, Tensor, Tensor]] = []  # the frame, the view, and what f_B sees of it

    def recorded(step: Any) -> Any:
        def run(players: bdq.BdqPlayers, view: Tensor, labels: Tensor, frame: int, context: StageContext) -> Any:
            seen: list[Tensor] = []
            hook = players.privacy.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
            found = step(players, view, labels, frame, context)
            hook.remove()
            with torch.no_grad():
                assert torch.allclose(seen[0], players.anonymizer.clips(view)[:, frame], atol=1e-6)
            given.append((frame, view, seen[0]))
            return found

        return run

    for name in ("step_serving", "step_privacy"):
        monkeypatch.setattr(bdq, name, recorded(getattr(bdq, name)))
    bdq.run(context)
    first = [frame for frame, *_ in given[::2]]
    assert len(first) == 6, "two epochs of three batches"
    assert set(first) <= {1, 2, 3}, "the first frame of a clip shows nothing"
    assert len(set(first)) > 1, "drawn anew for every step"
    for (frame, view, seen), (again, view_again, seen_again) in zip(given[::2], given[1::2], strict=True):
        assert frame == again
        assert view is view_again
        assert torch.allclose(seen, seen_again, atol=1e-6)


def test_a_step_too_far_is_brought_back(at: At) -> None:
    context = at("bdq", {"options.encoder_rate": 100.0})
    players = bdq.players_of(context)
    clips, labels, _ = batch_of(context)
    bdq.step_serving(players, clips, labels, 2, context)
    assert 0.1 - 1e-6 <= players.anonymizer.sigma.item() <= 103.1
    assert set(players.anonymizer.thresholds.tolist()) <= {0.0, 15.0}, "Adam moves each by its rate"


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([(1.0, 0.0, 0.0), (0.0, 0.0, 1.0)], True),
        ([(1.0, 0.0), (1.0, 1.0)], False),
        ([(1.0, 0.0), (0.0, 0.0)], False),
        ([(1.0,), (1.0,)], False),
    ],
)
def test_people_exclude_each_other_and_other_attributes_do_not(labels: list[tuple[float, ...]], expected: bool) -> None:
    assert bdq.one_of_several(labels) is expected


def test_entropy_and_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0, 0.0]])
    labels = torch.tensor([[0.0, 1.0, 0.0]])
    # one of three: 3/5, 1/5, 1/5
    assert bdq.entropy(logits, True).item() == pytest.approx(-(0.6 * math.log(0.6) + 0.4 * math.log(0.2)), rel=1e-5)
    assert bdq.cross_entropy(logits, labels, True).item() == pytest.approx(math.log(5), rel=1e-5)
    # yes or no: 3/4, 1/2, 1/2
    first = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert bdq.entropy(logits, False).item() == pytest.approx(first + 2 * math.log(2), rel=1e-5)
    assert bdq.cross_entropy(logits, labels, False).item() == pytest.approx(math.log(4) + 2 * math.log(2), rel=1e-5)


@pytest.mark.parametrize("one_of", [True, False])
def test_an_f_b_that_is_sure_leaves_numbers(one_of: bool) -> None:
    logits = torch.tensor([[400.0, -400.0, 0.0]], requires_grad=True)
    bdq.entropy(logits, one_of).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_people_are_told_apart_as_classes(at: At) -> None:
    context = at("bdq")
    assert not bdq.players_of(context).one_of
    train = context.data.action.train
    people = tuple(
        replace(video, attributes=tuple(float(n == number % 6) for n in range(6))) for number, video in enumerate(train)
    )
    known = replace(context.data.action, train=people)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrialData, "action", property(lambda _: known))
        assert bdq.players_of(context).one_of


def test_a_trial_from_end_to_end(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    """With fewer levels, so that every stage has to build the encoder by its options."""
    once = {f"{stage}.epochs": 1 for stage in ("reconstruct", "warm_up", "minimax", "evaluate_action", "evaluate_privacy")}
    config = with_values(tiny_config, {"method": "bdq", **once, "options.levels": 4, "evaluate_privacy.clip_frames": 4})
    runtime = Runtime(data_root=str(tiny_data), storage=str(tmp_path), device="cpu")
    record, outcomes = run_trial(config, runtime, SilentReporter())
    assert {"top1", "clip_leakage", "rms_distortion"} <= record.metrics.keys()
    start, learned = (outcomes[stage].state["anonymizer"] for stage in ("reconstruct", "bdq"))
    assert start["sigma"].item() == 3.0, "no reconstruction"
    assert start["thresholds"].tolist() == [0.5, 1.5, 2.5]
    assert not torch.equal(start["thresholds"], learned["thresholds"])
    [epoch] = outcomes["bdq"].history
    assert epoch.keys() == {"loss_anonymizer", "loss_action", "entropy", "loss_privacy", "sigma"}
    assert record.metrics["cmap"] == pytest.approx(record.metrics["chance_cmap"], abs=1e-6), "nothing is read of single images"


def test_clips_without_labels_are_refused_before_anything_is_trained(files: Files) -> None:
    config = with_values(TrialConfig(), {"method": "bdq"})
    plan_trial(config, TrialData(config, files.root))
    files.changes[""] = lambda splits: replace(splits, attributes=()) if hasattr(splits, "classes") else splits
    with pytest.raises(DataError, match=r"no attributes of its clips, from which bdq learns what to hide; label them") as error:
        plan_trial(config, TrialData(config, files.root))
    assert "\n" not in str(error.value)
    plan_trial(with_values(config, {"method": "raw"}), TrialData(config, files.root))


@pytest.mark.parametrize("method", ["bdq", "grey_difference", "moving_pixels"])
@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"clip.frames": 1}, "clip.frames = 1: {} shows how frames of a clip differ; give 2 or more"),
        ({"departures.scrambled_frames": True}, "departures.scrambled_frames: {} shows how frames of a clip differ"),
    ],
)
def test_frames_without_one_before_them_are_refused(method: str, values: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says.format(method))):
        resolved(with_values(TrialConfig(), {"method": method, **values}))
