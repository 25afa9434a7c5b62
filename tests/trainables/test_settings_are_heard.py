"""Every setting reaches what it is for: another value changes what its stage learns, or measures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support.recording import ATTRIBUTES, ITEMS, Ran, ran
from trainables.config import TrialConfig, with_values
from trainables.evaluation import privacy
from trainables.execution.context import frozen
from trainables.methods import METHODS, resolved
from trainables.methods.penalty import training as minimax
from trainables.store import Outcome

Run = Callable[..., Ran]
# One epoch, and whole sets in a batch: a stage is a single step, in which each network moves once.
STAGES = ("reconstruct", "warm_up", "minimax", "evaluate_action", "evaluate_privacy")
ONE_STEP: dict[str, Any] = {f"{name}__epochs": 1 for name in STAGES} | {f"{name}__batch_size": 12 for name in STAGES}
ATTACKED = {"attacks__names": "retrained", "attacks__epochs": 1}

# field -> another value, and a stage that it changes
HEARD: dict[str, tuple[Any, str]] = {
    "seed": (1, "warm_up"),
    "clip.frames": (2, "warm_up"),
    "clip.skip": (1, "warm_up"),
    "clip.test_clips": (1, "evaluate_action"),
    "augment.brightness": (0.5, "warm_up"),
    "augment.contrast": (0.9, "warm_up"),
    "augment.saturation": (0.9, "warm_up"),
    "augment.hue": (0.4, "warm_up"),
    "augment.grey": (1.0, "warm_up"),
    "augment.erase": (1.0, "warm_up"),
    "augment.crop_min": (0.5, "warm_up"),
    "augment.test_crop": (0.5, "evaluate_action"),
    "reconstruct.epochs": (2, "reconstruct"),
    "reconstruct.batch_size": (2, "reconstruct"),
    "reconstruct.learning_rate": (0.1, "reconstruct"),
    "warm_up.epochs": (2, "warm_up"),
    "warm_up.batch_size": (2, "warm_up"),
    "warm_up.learning_rate": (0.1, "warm_up"),
    "minimax.temperature": (0.5, "warm_up"),
    "minimax.pair": ("frames", "warm_up"),
    "minimax.epochs": (2, "minimax"),
    "minimax.batch_size": (2, "minimax"),
    "minimax.learning_rate_anonymizer": (0.1, "minimax"),
    "minimax.learning_rate_action": (0.1, "minimax"),
    "minimax.learning_rate_privacy": (0.1, "minimax"),
    "minimax.distortion_budget": (0.1, "minimax"),
    "minimax.penalty_weight": (7.0, "minimax"),
    "minimax.penalty_norm": ("relative", "minimax"),
    "minimax.penalty_space": ("features", "minimax"),
    "minimax.privacy_weight": (0.5, "minimax"),
    "minimax.alternate": ("batches", "minimax"),
    "departures.detached_penalty": (True, "minimax"),
    "departures.scrambled_frames": (True, "reconstruct"),
    "departures.bgr_clips": (True, "reconstruct"),
    "departures.drop_last": (True, "reconstruct"),
    "codec": ("h264_crf35", "evaluate_action"),
    "evaluate_action.epochs": (2, "evaluate_action"),
    "evaluate_action.batch_size": (2, "evaluate_action"),
    "evaluate_action.learning_rate": (0.1, "evaluate_action"),
    "evaluate_privacy.epochs": (2, "evaluate_privacy"),
    "evaluate_privacy.batch_size": (2, "evaluate_privacy"),
    "evaluate_privacy.learning_rate": (0.1, "evaluate_privacy"),
    "evaluate_privacy.warm_up_epochs": (0, "evaluate_privacy"),
    "evaluate_privacy.clip_frames": (1, "evaluate_clip_privacy"),
    "evaluate_privacy.attackers": (2, "evaluate_privacy"),
    "attacks.epochs": (2, "attack_retrained"),
    "attacks.batch_size": (4, "attack_retrained"),
    "attacks.learning_rate": (0.1, "attack_retrained"),
    "attacks.frames": (1, "attack_retrained"),
    "attacks.ensemble": (("attacker_2",), "attack_retrained"),
}
BESIDE = {"departures.drop_last": {"reconstruct__batch_size": 4}}  # a partial batch to be left out


@pytest.fixture(scope="module")
def run(numbered: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    storage = tmp_path_factory.mktemp("heard")
    return lambda **values: ran(numbered, storage, **{**ONE_STEP, **values})


@pytest.fixture(scope="module")
def base(run: Run) -> Ran:
    return run()


def content(outcome: Outcome) -> list[Any]:
    """All numbers of an outcome, in an order of their own."""

    def numbers(value: Any) -> list[Any]:
        if isinstance(value, Tensor):
            return value.flatten().tolist()
        if isinstance(value, Mapping):
            return [each for name in value for each in numbers(value[name])]
        if isinstance(value, list | tuple):
            return [each for item in value for each in numbers(item)]
        return [value]

    return [repr(numbers(part)) for part in (outcome.metrics, outcome.history, outcome.state)]


@pytest.mark.parametrize("field", HEARD)
def test_another_value_changes_its_key_and_its_numbers(field: str, run: Run, base: Ran) -> None:
    value, role = HEARD[field]
    beside = BESIDE.get(field, {}) | (ATTACKED if field.startswith("attacks.") else {})
    first, other = run(**beside) if beside else base, run(**{**beside, field.replace(".", "__"): value})
    assert first.record.stage_keys[role] != other.record.stage_keys[role]
    assert content(first.outcomes[role]) != content(other.outcomes[role])


@pytest.mark.parametrize(
    ("field", "moves"),
    [
        ("learning_rate_anonymizer", {"anonymizer"}),
        ("learning_rate_action", {"action_classifier"}),
        ("learning_rate_privacy", {"privacy_encoder"}),
    ],
)
def test_each_network_of_the_minimax_learns_at_its_own_rate(field: str, moves: set[str], run: Run, base: Ran) -> None:
    """In a single step with Adam every weight moves by the rate, or less."""
    rates = {"learning_rate_anonymizer": 4e-5, "learning_rate_action": 1e-4, "learning_rate_privacy": 1e-4, field: 0.03125}
    found = run(**{f"minimax__{name}": rate for name, rate in rates.items()})
    before = found.outcomes["reconstruct"].state | found.outcomes["warm_up"].state
    after = found.outcomes["minimax"].state
    for name in ("anonymizer", "action_classifier", "privacy_encoder"):
        step = max(float((after[name][key] - before[name][key]).abs().max()) for key in after[name])
        assert (step > 0.01) is (name in moves), (name, step)
        assert step <= 0.0313


def test_scope_and_norm_of_the_penalty_reach_the_distortion(
    numbered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []
    honest = minimax.rms_distortion

    def rms_distortion(clips: Tensor, anonymized: Tensor, *how: Any) -> Tensor:
        asked.append(how)
        return honest(clips, anonymized, *how)

    monkeypatch.setattr(minimax, "rms_distortion", rms_distortion)
    for scope, norm in (("frame", "relative"), ("batch", "absolute")):
        values = {**ONE_STEP, "minimax__penalty_scope": scope, "minimax__penalty_norm": norm}
        ran(numbered, tmp_path, **values)
        assert set(asked) == {(scope, norm)}
        asked.clear()


def test_the_share_of_steps_with_a_penalty_is_the_mean_over_epochs(
    numbered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"penalty_active": share} for share in (1.0, 0.25, 0.25)]
    monkeypatch.setattr(minimax, "run_epochs", lambda *_: rows)
    assert ran(numbered, tmp_path, **ONE_STEP).record.metrics["penalty_active"] == 0.5
    assert "penalty_active" not in ran(numbered, tmp_path, **ONE_STEP, minimax__penalty_weight=0.0).record.metrics


def test_the_two_views_of_an_image_are_augmented_each_for_itself(numbered: Path, tmp_path: Path) -> None:
    found = ran(numbered, tmp_path, **{**ONE_STEP, "warm_up__epochs": 4}, augment__flip=0.5)
    looks = [look for look in found.log.roles["warm_up"] if look.network == "f_A" and look.clips[0][0].data == "privacy"]
    views = [[(clip[0].item, clip[0].view) for clip in look.clips] for look in looks]
    assert len(views) == 8
    for first, second in zip(views[::2], views[1::2], strict=True):
        assert [item for item, _ in first] == [item for item, _ in second]
    assert sum(first != second for first, second in zip(views[::2], views[1::2], strict=True)) >= 3
    assert {view for each in views for _, view in each} == {"raw", "raw flipped"}


def test_only_the_paper_s_method_its_dial_and_its_continuation_have_a_penalty() -> None:
    trained = [name for name in METHODS if METHODS[name].anonymizer]
    configs = {name: with_values(TrialConfig(), {"method": name, **METHODS[name].recipe}) for name in trained}
    weights = {name: resolved(config).minimax.penalty_weight for name, config in configs.items()}
    assert weights == {name: 1.0 if name in ("penalty", "dial", "continued") else 0.0 for name in weights}
    assert len(weights) >= 8


def test_frozen_networks_take_no_gradients_keep_their_statistics_and_come_back_as_they_were() -> None:
    for statistics in (False, True):
        network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Dropout(0.5)).train()
        network[0].bias.requires_grad_(False)
        means = network[1].running_mean.clone()
        with frozen(network, batch_statistics=statistics):
            assert not any(parameter.requires_grad for parameter in network.parameters())
            assert [layer.training for layer in network] == [False, statistics, False]
            values = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0)) + 3.0
            found = network(values.requires_grad_())
            assert (abs(float(found.detach().mean())) < 1e-5) is statistics, "normalised by the batch, or by what was learned"
            found.square().sum().backward()
            assert values.grad is not None
        assert torch.equal(network[1].running_mean, means)
        assert [layer.training for layer in network] == [True] * 3
        assert [parameter.requires_grad for parameter in network.parameters()] == [True, False, True, True]
        assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(("logits", "threshold"), [(False, 0.5), (True, 1 / (1 + math.exp(-0.5)))])
def test_f1_is_taken_at_one_half_of_the_probability_or_of_the_logit(
    numbered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logits: bool, threshold: float
) -> None:
    asked: list[float] = []
    honest = privacy.leakage_of

    def leakage_of(*arguments: Any) -> Any:
        asked.append(arguments[-1])
        return honest(*arguments)

    monkeypatch.setattr(privacy, "leakage_of", leakage_of)
    ran(numbered, tmp_path, **ONE_STEP, method="raw", departures__logit_threshold=logits)
    assert asked == pytest.approx([threshold] * len(asked))
    assert asked


def test_attackers_of_one_trial_start_from_other_weights(numbered: Path, tmp_path: Path) -> None:
    found = ran(numbered, tmp_path, **ONE_STEP, method="raw", evaluate_privacy__attackers=3)
    for role in ("evaluate_privacy", "evaluate_clip_privacy"):
        learning = [look.weights for look in found.log.roles[role] if look.doing == "learns"]
        assert len(set(learning)) == len(learning) == 3, "one step each, seen before it"


def test_the_head_has_an_output_for_each_class_or_attribute(base: Ran) -> None:
    assert len(base.outcomes["evaluate_action"].state["classifier"]["head.bias"]) == 2
    for role in ("evaluate_privacy", "evaluate_clip_privacy"):
        assert len(base.outcomes[role].state["classifier"]["head.bias"]) == len(ATTRIBUTES)
    assert len(base.outcomes["evaluate_action"].state["test"]["labels"]) == ITEMS["test"]
