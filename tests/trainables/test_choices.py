"""What is chosen, by what, and what becomes of it: the epoch that counts, its weights, the figures of the test items."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.recording import ITEMS, Ran, attributes_of, label_of, picture, ran
from trainables.evaluation import action, learning
from trainables.execution import loop
from trainables.store import Outcome

ONLY = {"method": "raw", "evaluate_action__epochs": 3, "evaluate_privacy__epochs": 3}
EVALUATORS = {
    "evaluate_action": ("f_T'", "top1"),
    "evaluate_privacy": ("f_B'", "cmap"),
    "evaluate_clip_privacy": ("f_B'", "cmap"),
}
FAST = {"evaluate_action__learning_rate": 0.5, "evaluate_privacy__learning_rate": 0.5, "evaluate_privacy__warm_up_epochs": 0}


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[float]], None]:
    """Lets every evaluator measure these values on its validation items, epoch by epoch."""

    def script(values: Sequence[float]) -> None:
        honest = loop.run_epochs

        def run_epochs(context: Any, parts: Any, epochs: int, run_epoch: Any, best: Any = None) -> Any:
            def told(epoch: loop.Epoch) -> dict[str, float]:
                row = run_epoch(epoch)
                return row if best is None else {**row, best.metric: values[epoch.number]}

            return honest(context, parts, epochs, told, best)

        for module in (action, learning):
            monkeypatch.setattr(module, "run_epochs", run_epochs)

    return script


def weights_left(found: Ran, role: str) -> tuple[float, ...]:
    return tuple(found.outcomes[role].state["classifier"]["backbone.scale"].tolist())


@pytest.mark.parametrize(
    ("selection", "values", "counts"),
    [
        ("validation", (0.2, 0.9, 0.4), 1),
        ("validation", (0.5, 0.9, 0.9), 1),  # the first of equals
        ("validation", (0.9, 0.2, 0.4), 0),
        ("test", (0.2, 0.9, 0.4), 1),
        ("last", (0.2, 0.9, 0.4), 2),
    ],
)
def test_the_weights_of_the_epoch_that_counts_are_tested_and_kept(
    scripted: Callable[[Sequence[float]], None],
    numbered: Path,
    tmp_path: Path,
    selection: str,
    values: Sequence[float],
    counts: int,
) -> None:
    scripted(values)
    found = ran(numbered, tmp_path, **ONLY, selection=selection)
    for role, (network, metric) in EVALUATORS.items():
        choosing = "test" if selection == "test" else "validation"
        looks = [look for look in found.log.roles[role] if look.doing == "tested"]
        chosen_by = {look.clips[0][0].split for look in looks}
        assert chosen_by == ({"test"} if selection == "test" else {"validation", "test"}), role
        # one pass over the items an epoch is chosen by for each epoch, then one over the test items
        by_epoch = found.log.weights(role, network, "tested", choosing)[:3]
        assert len(by_epoch) == 3, role
        assert looks[-1].weights == by_epoch[counts] == weights_left(found, role), role
        if selection != "test":
            assert found.log.weights(role, network, "tested", "test") == [by_epoch[counts]], role
        recorded = [value for name, value in found.outcomes[role].metrics.items() if "validation" in name and metric in name]
        assert recorded == [values[counts]], role
    assert found.record.metrics["best_epoch"] == counts


@pytest.fixture(scope="module")
def learned(numbered: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Evaluators that learn fast, two of f_B', and attackers."""
    return ran(numbered, tmp_path_factory.mktemp("learned"), **ONLY, **FAST, evaluate_privacy__attackers=2)


def test_labels_of_test_items_change_no_choice(learned: Ran, numbered: Path, tmp_path: Path) -> None:
    names = {f"data__{name}__name": "numbered_permuted" for name in ("evaluate_action", "evaluate_privacy", "clip_privacy")}
    other = ran(numbered, tmp_path, **ONLY, **FAST, **names, evaluate_privacy__attackers=2)
    for role in EVALUATORS:
        ours, theirs = learned.outcomes[role], other.outcomes[role]
        assert ours.state["test"]["labels"].tolist() != theirs.state["test"]["labels"].tolist()
        assert ours.history == theirs.history
        for own, same in zip(states_of(ours), states_of(theirs), strict=True):
            assert all(torch.equal(tensor, same[name]) for name, tensor in own.items()), role
        chosen = [name for name in ours.metrics if "validation" in name or "best" in name]
        assert chosen
        assert {name: ours.metrics[name] for name in chosen} == {name: theirs.metrics[name] for name in chosen}


def states_of(outcome: Outcome) -> list[dict[str, Tensor]]:
    found: list[dict[str, Tensor]] = outcome.state.get("attackers", [outcome.state["classifier"]])
    return found


def test_attackers_of_one_trial_start_from_other_weights_and_each_learns_on(learned: Ran) -> None:
    states = learned.outcomes["evaluate_privacy"].state["attackers"]
    assert len(states) == 2
    assert not torch.equal(states[0]["head.weight"], states[1]["head.weight"])
    started = learned.log.weights("evaluate_privacy", "f_B'", "learns")
    assert started[0] not in started[len(started) // 2 :]


def test_each_f_b_of_a_trial_sees_the_items_in_orders_of_its_own(learned: Ran) -> None:
    seen = [clip[0].item for clip in learned.log.of("evaluate_privacy", "f_B'", "learns")]
    epochs = [tuple(seen[first : first + ITEMS["train"]]) for first in range(0, len(seen), ITEMS["train"])]
    assert len(epochs) == len(set(epochs)) == 2 * 3


def test_every_f_b_of_a_trial_is_tested_on_the_other_images(learned: Ran) -> None:
    trained = [tuple(state["backbone.scale"].tolist()) for state in learned.outcomes["evaluate_privacy"].state["attackers"]]
    assert learned.log.weights("test_privacy", "f_B'", "tested") == trained


def test_evaluators_descend_cross_entropy_of_what_they_are_shown(numbered: Path, tmp_path: Path) -> None:
    """The loss of an epoch in which the weights hardly move, by hand from the pictures: of classes, and of attributes."""
    slow = {f"{name}__learning_rate": 1e-12 for name in ("evaluate_action", "evaluate_privacy")}
    once = {f"{name}__epochs": 1 for name in ("evaluate_action", "evaluate_privacy")}
    found = ran(numbered, tmp_path, method="raw", **once, **slow)
    for role, (network, _) in EVALUATORS.items():
        state = found.outcomes[role].state["classifier"]
        losses = []
        for clip in found.log.of(role, network, "learns"):
            colours = np.mean([picture(seen.data, seen.split, seen.item, seen.frame).mean((0, 1)) / 255 for seen in clip], 0)
            features = torch.tensor(colours, dtype=torch.float32) * state["backbone.scale"]
            logits = features @ state["head.weight"].T + state["head.bias"]
            if network == "f_T'":
                losses.append(float(-logits.log_softmax(0)[label_of(clip[0].item)]))
            else:
                signs = 2 * torch.tensor(attributes_of(clip[0].item)) - 1
                losses.append(float(-(signs * logits).sigmoid().log().mean()))
        assert found.outcomes[role].history[0]["loss"] == pytest.approx(float(np.mean(losses)), abs=1e-5), role


def closed_form(found: Ran, role: str, shown: Sequence[Sequence[int]], data: str, squash: Callable[[Tensor], Tensor]) -> Tensor:
    """The probabilities (N, K) of a recording network of raw frames: of its head on the mean colour of each clip, averaged."""
    state = found.outcomes[role].state["classifier"]
    rows = []
    for item in range(ITEMS["test"]):
        clips = [np.mean([picture(data, "test", item, frame).mean((0, 1)) / 255 for frame in clip], axis=0) for clip in shown]
        features = torch.tensor(np.stack(clips), dtype=torch.float32) * state["backbone.scale"]
        rows.append(squash(features @ state["head.weight"].T + state["head.bias"]).mean(0))
    return torch.stack(rows)


def test_probabilities_of_a_video_are_the_mean_over_its_clips(learned: Ran) -> None:
    wanted = closed_form(learned, "evaluate_action", [[0, 2, 4], [3, 5, 7]], "evaluate_action", lambda x: x.softmax(1))
    found = learned.outcomes["evaluate_action"].state["test"]["probabilities"]
    assert torch.allclose(found.float(), wanted, atol=1e-5)
    one_clip = closed_form(learned, "evaluate_action", [[0, 2, 4]], "evaluate_action", lambda x: x.softmax(1))
    assert not torch.allclose(found.float(), one_clip, atol=1e-4), "the two clips are told apart"


@pytest.mark.parametrize(
    ("role", "data", "shown"),
    [("evaluate_privacy", "evaluate_privacy", [[0]]), ("evaluate_clip_privacy", "clip_privacy", [[0], [3], [4], [7]])],
)
def test_probabilities_of_attributes_are_the_mean_over_frames_and_clips(
    learned: Ran, role: str, data: str, shown: Sequence[Sequence[int]]
) -> None:
    wanted = closed_form(learned, role, shown, data, torch.sigmoid)
    assert torch.allclose(learned.outcomes[role].state["test"]["probabilities"].float(), wanted, atol=1e-5)


def test_labels_and_names_go_with_their_items(learned: Ran) -> None:
    number = range(ITEMS["test"])
    assert learned.outcomes["evaluate_action"].state["test"]["labels"].tolist() == [label_of(n) for n in number]
    for role, suffix in (("evaluate_privacy", "png"), ("evaluate_clip_privacy", "mkv")):
        kept = json.loads(learned.outcomes[role].files[f"answers/{role}.json"])
        assert kept["labels"] == [list(map(int, attributes_of(n))) for n in number]
        assert [name.rpartition("/")[2] for name in kept["items"]] == [f"{n}.{suffix}" for n in number]
        assert kept["groups"] == [f"test {n // 2}" for n in number]


def test_the_figures_are_those_of_the_predictions_kept(learned: Ran) -> None:
    test = learned.outcomes["evaluate_action"].state["test"]
    right = (test["probabilities"].argmax(1) == test["labels"]).double().mean()
    metrics = learned.record.metrics
    assert (metrics["top1"], metrics["top5"], metrics["chance_top1"]) == (float(right), 1.0, 0.5)
    assert (metrics["rms_distortion"], metrics["rms_relative"]) == (0.0, 0.0)


def test_only_what_is_learned_from_is_augmented(numbered: Path, tmp_path: Path) -> None:
    found = ran(numbered, tmp_path, **ONLY, augment__flip=1.0)
    for role, (network, _) in EVALUATORS.items():
        doing: Mapping[str, set[str]] = {
            does: {frame.view for clip in found.log.of(role, network, does) for frame in clip} for does in ("learns", "tested")
        }
        assert doing == {"learns": {"raw flipped"}, "tested": {"raw"}}, role


def test_another_seed_is_another_start_and_another_order(learned: Ran, numbered: Path, tmp_path: Path) -> None:
    other = ran(numbered, tmp_path, **ONLY, **FAST, evaluate_privacy__attackers=2, seed=1)
    for role, (network, _) in EVALUATORS.items():
        ours, theirs = ([clip[0].item for clip in trial.log.of(role, network, "learns")] for trial in (learned, other))
        assert sorted(ours) == sorted(theirs)
        assert ours != theirs, role
        first = [trial.log.weights(role, network, "learns")[0] for trial in (learned, other)]
        assert first[0] != first[1], role


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_is_read_of_blank_frames(numbered: Path, tmp_path: Path, seed: int) -> None:
    """Predictions are all alike: top-1 is exactly at chance, where classes are equally frequent, and leakage exactly 0."""
    values = {**FAST, "method": "blank", "attacks__names": "all", "test_deployed": True, "evaluate_privacy__attackers": 2}
    metrics = ran(numbered, tmp_path, seed=seed, **values).record.metrics
    assert metrics["top1"] == metrics["deployed_top1"] == metrics["chance_top1"] == 0.5
    leakages = [name for name in metrics if name.endswith("leakage") and not name.startswith("strongest.")]
    # of a search some candidates are ordinary clips; `reverse` shows raw frames to networks that learned from blank ones
    leakages += [name for name in metrics if name.startswith("attack.") and name not in ("attack.linkage", "attack.reverse")]
    assert "validation_attack.reverse" not in metrics, "who has learned nothing is never the strongest"
    assert not metrics.get("strongest.attack.reverse")
    assert {name: metrics[name] for name in leakages} == dict.fromkeys(leakages, 0.0)
    assert len(leakages) >= 8


def test_a_refit_learns_from_validation_items_too_for_the_chosen_number_of_epochs(
    scripted: Callable[[Sequence[float]], None], numbered: Path, tmp_path: Path
) -> None:
    scripted((0.2, 0.9, 0.4))
    found, plain = (ran(numbered, tmp_path / str(refit), **ONLY, **FAST, refit=refit) for refit in (True, False))
    for role, (network, _) in EVALUATORS.items():
        one_epoch = len(plain.log.of(role, network, "learns")) / 3  # frames, or clips, of all training items
        per_item = one_epoch / ITEMS["train"]
        learned = [len(found.log.of(role, network, "learns", split)) / per_item for split in ("train", "validation", "test")]
        assert learned == [(3 + 2) * ITEMS["train"], 2 * ITEMS["validation"], 0], role
        starts = [found.log.weights(role, network, "learns", split)[0] for split in ("train", "validation")]
        assert starts[0] == plain.log.weights(role, network, "learns")[0]
        steps = [look.weights for look in found.log.roles[role] if (look.network, look.doing) == (network, "learns")]
        assert steps.count(starts[0]) == 2, "both trainings begin with the same weights"
        tested = [look for look in found.log.roles[role] if look.doing == "tested" and look.clips[0][0].split == "test"]
        assert {look.weights for look in tested} == {weights_left(found, role)}, "the second training is tested"
        assert weights_left(found, role) != weights_left(plain, role)
        chosen = [name for name in plain.outcomes[role].metrics if "validation" in name or name == "best_epoch"]
        for name in chosen:
            assert found.outcomes[role].metrics[name] == plain.outcomes[role].metrics[name]
        assert found.outcomes[role].history == plain.outcomes[role].history, "of the training that was validated"
