"""The stages of the methods: who moves in each step, what restarts, and that an interruption changes nothing."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support.stages import SilentReporter, stage_context
from trainables.config import Runtime, TrialConfig, with_values
from trainables.data.loader import Batch, TwoTimes
from trainables.data.trial_data import TrialData
from trainables.evaluation import privacy as evaluate_privacy
from trainables.execution.context import StageContext
from trainables.failures import Stopped
from trainables.methods.mass import training as mass
from trainables.methods.penalty import training as minimax
from trainables.methods.stprivacy import training as stprivacy
from trainables.methods.tedspad import training as tedspad
from trainables.methods.vita import training as vita
from trainables.models.tubelets import Tubelets
from trainables.pipeline import run_trial
from trainables.plan import plan_trial
from trainables.store import Outcome
from trainables.training import reconstruct, supervised
from trainables.training.pairs import pair_loader, pair_views

At = Callable[..., StageContext]
LEARNED = ("tedspad", "vita", "mass", "stprivacy", "bdq")


def snapshot(*modules: nn.Module) -> list[dict[str, Tensor]]:
    return [copy.deepcopy(module.state_dict()) for module in modules]


def equal(a: object, b: object) -> bool:
    """Tensors bit for bit, whatever they are nested in."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(equal, a, b))
    return a == b


def moved(before: list[dict[str, Tensor]], after: list[dict[str, Tensor]]) -> list[bool]:
    return [not equal(a, b) for a, b in zip(before, after, strict=True)]


def first_batches(context: StageContext) -> tuple[Batch, Batch]:
    clips = next(context.training_clips(4).epoch(0))
    return clips, next(supervised.labelled_images(context, 4).epoch(0))


def of_both(seen: supervised.PlayersView) -> dict[str, Tensor]:
    return {"loss_anonymizer": seen.action_loss + vita.worst_sureness(seen.privacy_logits)}


def test_tedspad_moves_f_a_then_both_judges(at: At) -> None:
    context = at("tedspad")
    players = minimax.players_of(context, 1e-3)
    samples = TwoTimes(context.data.action.train, context.config.clip, 0)
    batch = next(context.loader(samples, 4, shuffle=True).epoch(0))
    views = pair_views(context, next(pair_loader(context, 4).epoch(0)))
    networks = (players.anonymizer, players.action, players.privacy)
    start = snapshot(*networks)
    tedspad.step_anonymizer(players, batch, views, context)
    middle = snapshot(*networks)
    assert moved(start, middle) == [True, False, False]
    found = tedspad.step_opponents(players, batch, views, context)
    assert moved(middle, snapshot(*networks)) == [False, True, True]
    assert found["loss_triplet"] > 0


def test_tedspad_scales_the_learning_rate_of_f_a(at: At) -> None:
    context = at("tedspad", {"minimax.learning_rate_action": 1e-2, "minimax.epochs": 0})
    rate = context.config.options["anonymizer_rate"] * 1e-2  # type: ignore[operator]
    players = minimax.players_of(context, rate)
    assert [group["lr"] for group in players.anonymizer_optimizer.param_groups] == [pytest.approx(4e-3)]


@pytest.mark.parametrize("statistics", ["batch", "running"])
@pytest.mark.parametrize("method", ["vita", "stprivacy"])
def test_each_supervised_step_moves_exactly_its_own_networks(at: At, method: str, statistics: str) -> None:
    context = at(method, {"minimax.judge_statistics": statistics})
    players = supervised.prepare(context, supervised.Rules(members=2))
    clips, images = first_batches(context)
    networks = (players.anonymizer, players.action, *players.ensemble.networks)
    start = snapshot(*networks)
    supervised.step_anonymizer(players, clips, images, of_both, context)
    middle = snapshot(*networks)
    assert moved(start, middle) == [True, False, False, False]
    supervised.step_action(players, clips, context)
    later = snapshot(*networks)
    assert moved(middle, later) == [False, True, False, False]
    supervised.step_privacy(players, images, context)
    assert moved(later, snapshot(*networks)) == [False, False, True, True]


def test_with_joint_the_step_of_f_t_moves_f_a_as_well_and_nobody_else(at: At) -> None:
    context = at("vita", {"options.joint": True})
    players = supervised.prepare(context, supervised.Rules(members=2, joint=True))
    networks = (players.anonymizer, players.action, *players.ensemble.networks)
    clips, _ = first_batches(context)
    before = snapshot(*networks)
    supervised.step_action(players, clips, context, joint=True)
    assert moved(before, snapshot(*networks)) == [True, True, False, False]


@pytest.mark.parametrize("by_clip", [False, True])
def test_vita_pushes_the_surest_member_to_not_knowing(at: At, monkeypatch: pytest.MonkeyPatch, by_clip: bool) -> None:
    """The loss of f_A by hand: that of f_T, and gamma times the negative entropy of the member that answers 3, not 0."""
    losses: list[Callable[[Any], dict[str, Tensor]]] = []
    monkeypatch.setattr(vita, "prepare", lambda *_: None)
    monkeypatch.setattr(vita, "train", lambda context, players, found, rules: losses.append(found))
    vita.run(at("vita", {"options.by_clip": by_clip, "options.gamma": 0.5}))
    ensemble = SimpleNamespace(logits=lambda frames: [torch.full((len(frames), 2), 3.0), torch.zeros(len(frames), 2)])
    found = losses[0](
        SimpleNamespace(
            players=SimpleNamespace(ensemble=ensemble),
            anonymized=torch.zeros(2, 4, 3, 8, 8),
            anonymized_images=torch.zeros(3, 1, 3, 8, 8),
            action_loss=torch.tensor(1.0),
        )
    )
    yes = 1 / (1 + math.exp(-3))
    sureness = yes * math.log(yes) + (1 - yes) * math.log(1 - yes)
    assert found["worst_sureness"].item() == pytest.approx(sureness, abs=1e-5)
    assert found["loss_anonymizer"].item() == pytest.approx(1 + 0.5 * sureness, abs=1e-5)


def test_f_a_is_reconstructed_from_images_too(
    tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With other images of as many people it is another network."""

    def learned(folder: str) -> Mapping[str, Tensor]:
        config = with_values(tiny_config, {"reconstruct.epochs": 1})
        context = stage_context("reconstruct", config, tiny_data, tmp_path / folder)
        state: Mapping[str, Tensor] = reconstruct.run(context).state["anonymizer"]
        return {name: values for name, values in state.items() if "running" not in name}

    before, again = learned("before"), learned("again")
    assert equal(before, again)
    own = reconstruct.Stills
    monkeypatch.setattr(reconstruct, "Stills", lambda items, *rest: own(items[:1] * len(items), *rest))
    assert not equal(before, learned("others"))


def test_pairs_have_a_batch_size_of_their_own(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def views(context: StageContext, batch: Batch) -> list[Tensor]:
        sizes.append(len(batch["clips"]))
        return pair_views(context, batch)

    monkeypatch.setattr(minimax, "pair_views", views)
    minimax.run(at("spact", {"minimax.batch_size": 12, "minimax.pair_batch_size": 7, "minimax.epochs": 1}))
    assert sizes[0] == 7


def test_members_have_their_architectures_by_turns(at: At) -> None:
    context = at("vita")
    rules = supervised.Rules(members=3, architectures=("narrow2d", "residual2d"))
    players = supervised.prepare(context, rules)
    assert [type(network.backbone).__name__ for network in players.ensemble.networks] == ["Narrow2d", "Residual2d", "Narrow2d"]
    players.ensemble.restart()
    assert [one.name for one in supervised.Rules(members=2).networks(context.config.privacy_encoder)] == ["narrow2d"] * 2


def test_f_t_learns_until_it_knows_enough_of_the_validation_clips(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at before each of its batches; the released code's order."""
    shares = iter([0.9, 0.1, 0.2, 0.8, 0.0, 0.0, 0.0, 1.0, 1.0])
    steps: list[int] = []
    looked: list[list[int]] = []

    def share_known(_: object, batches: Iterator[Batch], __: object) -> float:
        looked.append([int(index) for batch in batches for index in batch["index"]])
        return next(shares)

    def step_action(*_: object) -> tuple[Tensor, Tensor]:
        steps.append(len(looked))
        return torch.tensor(1.0), torch.tensor(1.0)

    monkeypatch.setattr(supervised, "share_known", share_known)
    monkeypatch.setattr(supervised, "step_action", step_action)
    options = {"options.on_validation": True, "options.action_steps": 3, "options.privacy_steps": 1, "options.retrain_steps": 1}
    context = at("vita", {**options, "minimax.epochs": 1, "minimax.batch_size": 5})
    vita.run(context)
    assert steps == [2, 3, 5, 6, 7], "none, then two, then three at most, then none"
    assert all(set(items) == set(range(len(context.data.action.validation))) for items in looked)


def test_the_share_that_f_t_knows_is_that_of_the_clips_it_is_shown(at: At) -> None:
    context = at("vita")
    players = supervised.prepare(context, supervised.Rules(members=1))
    loader = supervised.validation_clips(context, 4)
    players.action.head.weight.data.zero_()
    players.action.head.bias.data = torch.arange(len(context.data.action.classes), dtype=torch.float32)  # always the last class
    labels = [item.label for item in context.data.action.validation]
    expected = labels.count(len(context.data.action.classes) - 1) / len(labels)
    assert supervised.share_known(players, loader.epoch(0), context) == pytest.approx(expected)


def test_restarting_makes_every_member_new_and_differs_by_member_and_restart(at: At) -> None:
    context = at("vita")
    players = supervised.prepare(context, supervised.Rules(members=2))
    _, images = first_batches(context)
    untouched = torch.get_rng_state()
    fresh = snapshot(*players.ensemble.networks)
    for _ in range(2):
        supervised.step_privacy(players, images, context)
    assert players.ensemble.optimizer.state_dict()["state"]
    players.ensemble.restart()
    again = snapshot(*players.ensemble.networks)
    assert not players.ensemble.optimizer.state_dict()["state"], "the optimizer remembers nothing"
    assert all(int(value) == 0 for state in again for name, value in state.items() if name.endswith("num_batches_tracked"))
    weights = [state["head.weight"] for state in (*fresh, *again)]
    assert all(not torch.equal(a, b) for i, a in enumerate(weights) for b in weights[:i])
    assert torch.equal(untouched, torch.get_rng_state()), "the stage's own random numbers go on"
    other = supervised.prepare(context, supervised.Rules(members=2))
    other.ensemble.restart()
    assert equal(snapshot(*other.ensemble.networks), again), "the same restart is the same everywhere"


def test_the_images_of_an_iteration_follow_those_of_the_one_before() -> None:
    rules = supervised.Rules(members=2, privacy_steps=3, retrain_steps=7, restart_every=4)
    for iteration in range(20):
        used = sum(rules.image_batches(i) for i in range(iteration))
        assert rules.first_image_batch(iteration) == used
    assert [i for i in range(10) if rules.restarts(i)] == [4, 8]
    assert supervised.Rules().first_image_batch(5) == 10


def test_vita_restarts_and_f_t_learns_until_it_knows_enough(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {"step_action": 0, "step_privacy": 0, "restart": 0}
    known = iter([0.0, 1.0] * 100)  # knows nothing at its first step of an iteration, all at its second

    def step_action(*_: object) -> tuple[Tensor, Tensor]:
        calls["step_action"] += 1
        return torch.tensor(1.0), torch.tensor(next(known))

    def counted(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: object) -> Any:
            calls[name] += 1
            return original(*arguments)

        return call

    monkeypatch.setattr(supervised, "step_action", step_action)
    monkeypatch.setattr(supervised, "step_privacy", counted("step_privacy", supervised.step_privacy))
    monkeypatch.setattr(supervised.PrivacyEnsemble, "restart", counted("restart", supervised.PrivacyEnsemble.restart))
    options = {"options.restart_every": 2, "options.retrain_steps": 3, "options.privacy_steps": 2, "options.action_steps": 4}
    context = at("vita", {**options, "minimax.epochs": 1, "minimax.batch_size": 5})
    vita.run(context)
    assert len(context.data.action.train) == 24, "five batches of five, the last one smaller"
    assert calls == {"step_action": 10, "step_privacy": 5 * 2 + 3 * 3, "restart": 2}


def test_mass_suppresses_down_to_the_bound_and_no_further(at: At) -> None:
    """With bounds that nothing exceeds and no contrast there is no loss at all."""
    free = {"options.suppression_bound": 10.0, "options.preservation_bound": 10.0, "options.contrast_weight": 0.0}
    context = at("mass", {**free, "minimax.epochs": 1})
    history = mass.run(context).history
    assert history[0]["suppression"] == history[0]["preservation"] == history[0]["loss_anonymizer"] == 0.0


def test_stprivacy_hands_its_share_of_tubelets_on(at: At) -> None:
    context = at("stprivacy", {"options.keep": 0.25, "minimax.epochs": 1})
    outcome = stprivacy.run(context)
    assert 0.0 < outcome.history[0]["kept"] < 1.0
    trained = replace(context, stage="evaluate_action", inputs={"anonymizer": outcome}).anonymizer("anonymizer")
    assert isinstance(trained, Tubelets)
    assert float(trained.keep) == 0.25
    black = (trained.clips(torch.rand(2, 4, 3, 16, 16)) == 0).float().mean()
    assert black == pytest.approx(0.75, abs=1e-3)


@pytest.mark.parametrize("method", LEARNED)
def test_an_interrupted_trial_ends_in_the_same_numbers_bit_for_bit(
    method: str, short: dict[str, dict[str, Any]], tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    values = {
        **short[method],
        "reconstruct.epochs": 1,
        "warm_up.epochs": 1,
        "evaluate_action.epochs": 1,
        "evaluate_privacy.epochs": 2,
        "evaluate_privacy.clips": False,
        "evaluate_privacy.attackers": 2 if method == "vita" else 1,
    }
    config = with_values(tiny_config.model_copy(update={"method": method}), values)
    whole, outcomes, stops = until_done(config, tiny_data, tmp_path / "whole", patience=[10**6])
    assert stops == 0
    again, found, stops = until_done(config, tiny_data, tmp_path / "parts", patience=[1, 3, 2, 5, 1, 4, 30])
    assert stops >= 6
    assert again == whole
    for name, outcome in outcomes.items():
        assert equal(outcome.state, found[name].state), name
        assert outcome.history == found[name].history
    if method == "vita":
        judged = outcomes["evaluate_privacy"]
        assert len(judged.state["attackers"]) == 2
        assert len(judged.history) == 4, "both attackers' epochs"
        assert any("of 2 attackers the one that reads most in validation items counts" in note for note in judged.notes)


def until_done(
    config: TrialConfig, data: Path, storage: Path, patience: list[int]
) -> tuple[dict[str, float], dict[str, Outcome], int]:
    """Runs a trial that is stopped when it has asked so often, by turns; returns its figures, its outcomes and the stops."""
    runtime = Runtime(data_root=str(data), storage=str(storage), device="cpu")
    for stops in range(40):
        left = count(patience[stops % len(patience)] - 1, -1)
        try:
            record, outcomes = run_trial(config, runtime, SilentReporter(), lambda left=left: next(left) <= 0)  # type: ignore[misc]
        except Stopped:
            continue
        return dict(record.metrics), dict(outcomes), stops
    raise AssertionError("it never ends")


def test_methods_with_the_same_networks_share_reconstruction_and_warm_up(tiny_config: TrialConfig, tiny_data: Path) -> None:
    data = TrialData(tiny_config, tiny_data)
    plans = {
        method: {stage.name: stage.key for stage in plan_trial(tiny_config.model_copy(update={"method": method}), data).stages}
        for method in ("penalty", "spact", *LEARNED)
    }
    for method in ("spact", "tedspad", "vita", "mass"):
        assert plans[method]["reconstruct"] == plans["penalty"]["reconstruct"]
        assert plans[method]["warm_up"] == plans["penalty"]["warm_up"]
    assert plans["stprivacy"]["reconstruct"] != plans["penalty"]["reconstruct"]
    assert len({plan["evaluate_action"] for plan in plans.values()}) == len(plans)


def test_the_budget_is_no_part_of_a_method_without_a_penalty(tiny_config: TrialConfig, tiny_data: Path) -> None:
    data = TrialData(tiny_config, tiny_data)
    for method in LEARNED:
        config = tiny_config.model_copy(update={"method": method})
        other = with_values(config, {"minimax.distortion_budget": 0.9, "minimax.penalty_weight": 5.0})
        assert plan_trial(config, data).key == plan_trial(other, data).key


def test_of_several_attackers_the_one_that_reads_most_in_validation_counts() -> None:
    tested = [Outcome({"leakage": value, "ap.face": value / 2}, [], {"classifier": {}}) for value in (0.2, 0.6, 0.4)]
    strongest = evaluate_privacy._strongest(tested, (0.1, 0.2, 0.5), "vispr", prefix="")
    assert strongest.metrics == {"leakage": 0.4, "ap.face": 0.2}
    assert strongest.notes == (
        "vispr: of 3 attackers the one that reads most in validation items counts; their leakage in test is 0.200 to 0.600",
    )
    assert evaluate_privacy._strongest(tested[:1], (0.1,), "vispr", prefix="").notes == ()
