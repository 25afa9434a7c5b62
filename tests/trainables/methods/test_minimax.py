"""Who moves in each step, and where the penalty's gradient goes."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.support.stages import minimax_context
from trainables.config import TrialConfig
from trainables.execution.context import StageContext
from trainables.losses import distortion_penalty, nt_xent, rms_distortion
from trainables.methods.penalty import training as minimax
from trainables.models.base import anonymize_clips
from trainables.store import StageStore


@pytest.fixture
def context(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> StageContext:
    """The minimax stage of a trial whose networks have not been trained."""
    config = tiny_config.model_copy(
        update={
            "reconstruct": tiny_config.reconstruct.model_copy(update={"epochs": 0}),
            "warm_up": tiny_config.warm_up.model_copy(update={"epochs": 0}),
        }
    )

    return minimax_context(config, tiny_data, tmp_path)


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, list[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    clips = torch.rand(4, 4, 3, 16, 16, generator=generator)
    views = [torch.rand(4, 1, 3, 16, 16, generator=generator) for _ in range(2)]
    return clips, torch.tensor([0, 1, 2, 3]), views


def snapshot(*modules: nn.Module) -> list[dict[str, Tensor]]:
    return [copy.deepcopy(module.state_dict()) for module in modules]


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_each_step_moves_exactly_its_own_networks(
    context: StageContext, batch: tuple[Tensor, Tensor, list[Tensor]], statistics: str
) -> None:
    """Weights and batch-norm statistics alike."""
    settings = context.config.minimax.model_copy(update={"judge_statistics": statistics})
    players = minimax.players_of(context, context.config.minimax.learning_rate_anonymizer)
    networks = (players.anonymizer, players.action, players.privacy)
    start = snapshot(*networks)
    minimax.step_anonymizer(players, *batch, settings, context)
    middle = snapshot(*networks)
    assert [equal(a, b) for a, b in zip(start, middle, strict=True)] == [False, True, True]
    minimax.step_opponents(players, *batch, settings, context)
    end = snapshot(*networks)
    assert [equal(a, b) for a, b in zip(middle, end, strict=True)] == [True, False, False]
    assert all(p.requires_grad for network in networks for p in network.parameters())


def test_the_steps_descend_what_they_should(context: StageContext, batch: tuple[Tensor, Tensor, list[Tensor]]) -> None:
    """f_A ascends L_B while f_B descends it."""
    settings = context.config.minimax.model_copy(
        update={
            "penalty_weight": 0.0,
            "learning_rate_anonymizer": 1e-3,
            "learning_rate_privacy": 1e-3,
            "learning_rate_action": 1e-3,
        }
    )
    players = minimax.players_of(
        context.__class__(**{**vars(context), "config": context.config.model_copy(update={"minimax": settings})}), 1e-3
    )
    first = [minimax.step_anonymizer(players, *batch, settings, context)["loss_anonymizer"].item() for _ in range(12)]
    assert first[-1] < first[0]
    second = [minimax.step_opponents(players, *batch, settings, context) for _ in range(12)]
    assert second[-1]["loss_action"] < second[0]["loss_action"]
    assert second[-1]["loss_privacy"] < second[0]["loss_privacy"]


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_the_loss_of_f_b_is_nt_xent_of_two_anonymized_views_at_the_temperature_that_is_set(
    context: StageContext, batch: tuple[Tensor, Tensor, list[Tensor]], temperature: float
) -> None:
    settings = context.config.minimax.model_copy(update={"temperature": temperature})
    players = minimax.players_of(context, 1e-3)
    players.anonymizer.eval()
    players.privacy.eval()
    first, second = (players.privacy(players.anonymizer(view[:, 0])) for view in batch[2])
    found = minimax.pair_loss(players, batch[2], settings, context)
    assert found.item() == pytest.approx(nt_xent(first, second, temperature).item(), rel=1e-5)


@pytest.mark.parametrize(("budget", "reaches"), [(0.0, True), (100.0, False)])
def test_the_penalty_reaches_the_anonymizer_alone_and_only_above_the_budget(
    context: StageContext, batch: tuple[Tensor, Tensor, list[Tensor]], budget: float, reaches: bool
) -> None:
    players = minimax.players_of(context, context.config.minimax.learning_rate_anonymizer)
    clips, _, _ = batch
    anonymized = anonymize_clips(players.anonymizer, clips)
    players.action(anonymized)
    distortion_penalty(rms_distortion(clips, anonymized), budget).backward()
    moved = [p.grad is not None and bool((p.grad != 0).any()) for p in players.anonymizer.parameters()]
    assert any(moved) is reaches
    assert all(p.grad is None for network in (players.action, players.privacy) for p in network.parameters())


def test_the_penalty_weight_changes_what_f_a_learns(context: StageContext, batch: tuple[Tensor, Tensor, list[Tensor]]) -> None:
    """In the released code it does not: the penalty is taken out of the graph there."""
    states = []
    for weight in (0.0, 100.0):
        settings = context.config.minimax.model_copy(update={"penalty_weight": weight, "distortion_budget": 0.0})
        players = minimax.players_of(context, context.config.minimax.learning_rate_anonymizer)
        minimax.step_anonymizer(players, *batch, settings, context)
        states.append(snapshot(players.anonymizer)[0])
    assert not equal(*states)


def test_alternating_batches_train_each_side_on_half_of_them(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {"step_anonymizer": 0, "step_opponents": 0}
    for name in calls:
        original = getattr(minimax, name)

        def counted(*arguments: object, name: str = name, original: object = original) -> dict[str, Tensor]:
            calls[name] += 1
            return original(*arguments)  # type: ignore[operator]

        monkeypatch.setattr(minimax, name, counted)
    for alternate, expected in (("steps", (5, 5)), ("batches", (3, 2))):
        calls.update(step_anonymizer=0, step_opponents=0)
        settings = context.config.minimax.model_copy(update={"alternate": alternate, "epochs": 1, "batch_size": 5})
        config = context.config.model_copy(update={"minimax": settings})
        assert len(context.data.action.train) == 24, "five batches of five, the last one smaller"
        minimax.run(replace(context, config=config, work=StageStore(context.runtime.storage).work("minimax", alternate)))
        assert (calls["step_anonymizer"], calls["step_opponents"]) == expected


@pytest.mark.parametrize("option", ["checkpointing", "compile"])
def test_what_saves_memory_or_time_leaves_the_steps_as_they_are(
    context: StageContext, batch: tuple[Tensor, Tensor, list[Tensor]], option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses, weights and batch-norm statistics, over two rounds of both steps."""
    compiled: list[nn.Module] = []

    def note(network: nn.Module) -> None:  # a compiler takes minutes, and adds in an order of its own
        compiled.append(network)

    monkeypatch.setattr(nn.Module, "compile", note)
    found = []
    for wanted in (False, True):
        changed = replace(context, runtime=context.runtime.model_copy(update={option: wanted}))
        players = minimax.players_of(changed, 1e-3)
        losses = [
            step(players, *batch, changed.config.minimax, changed)
            for _ in range(2)
            for step in (minimax.step_anonymizer, minimax.step_opponents)
        ]
        rows = [{name: value.item() for name, value in step.items()} for step in losses]
        found.append((rows, snapshot(players.anonymizer, players.action, players.privacy)))
    assert found[0][0] == found[1][0]
    assert all(equal(one, other) for one, other in zip(found[0][1], found[1][1], strict=True))
    assert len(compiled) == (3 if option == "compile" else 0)
