"""Epochs that are left at any step: what is random goes on as if nothing had happened, and so does the clock."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.support.stages import stage_context
from trainables.config import TrialConfig
from trainables.execution import loop
from trainables.execution.context import StageContext
from trainables.execution.loop import Best, Epoch, run_epochs
from trainables.failures import Stopped
from trainables.store import Outcome, StageStore


@pytest.fixture
def context(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> StageContext:
    return stage_context("train", tiny_config, tiny_data, tmp_path)


def train(context: StageContext, epochs: int = 2) -> Outcome:
    """Dropout, noise within a step and two kinds of steps."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.Dropout(0.5), nn.Linear(8, 1))
    clips = context.training_clips(8)
    network(torch.zeros(1, 4, 3, 16, 16))
    optimizer = torch.optim.Adam(network.parameters())

    def epoch(now: Epoch) -> dict[str, float]:
        network.train()
        for batch in now.batches(clips):
            loss = network(context.training_view(batch) + torch.rand(())).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            now.add(**({"even": loss} if now.done % 2 == 0 else {"odd": loss}))
        network.eval()
        evaluated = [network(context.test_view(batch)).mean().item() for batch in context.evaluation_batches(clips)]
        return now.means() | {"evaluated": sum(evaluated), "noise": float(torch.rand(()))}

    best = Best("evaluated", ("network",))
    history = run_epochs(context, {"network": network, "optimizer": optimizer}, epochs, epoch, best)
    return Outcome({"best": best.value}, history, network.state_dict())


def same(one: Outcome, other: Outcome) -> bool:
    equal = all(torch.equal(value, other.state[name]) for name, value in one.state.items())
    return equal and one.history == other.history and one.metrics == other.metrics


def test_left_at_every_step_it_ends_bit_for_bit_the_same(context: StageContext, tmp_path: Path) -> None:
    asked = count(1)
    whole = train(replace(context, stop=lambda: next(asked) < 0))
    for patience in range(1, next(asked)):
        asked = count(1)
        work = StageStore(tmp_path).work("train", f"at {patience}")
        with pytest.raises(Stopped):
            train(replace(context, work=work, stop=lambda asked=asked, last=patience: next(asked) >= last))  # type: ignore[misc]
        assert same(train(replace(context, work=work)), whole), patience


def test_killed_within_an_epoch_it_has_lost_what_came_after_the_last_save(
    context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", -1.0)
    whole = train(replace(context, work=context.work.part("whole")))
    steps, asked = len(context.training_clips(8)), count(1)

    def die() -> bool:
        if next(asked) == 2 * steps + 1 + 2:
            raise KeyboardInterrupt  # in the second epoch, after its second step
        return False

    with pytest.raises(KeyboardInterrupt):
        train(replace(context, stop=die))
    before = torch.load(io.BytesIO(context.work.read() or b""), weights_only=True)
    assert (before["epoch"]["number"], before["epoch"]["done"]) == (1, 1)
    assert same(train(context), whole)


def test_a_stage_has_taken_what_all_its_workers_took(context: StageContext, tmp_path: Path) -> None:
    first, second = (StageStore(tmp_path).work("train", "long") for _ in range(2))
    first.progress.load_state_dict({"seconds": 1000.0, "notes": ["slow"]})
    with pytest.raises(Stopped):
        train(replace(context, work=first, stop=lambda: True))
    train(replace(context, work=second))
    assert 1000.0 < second.progress.seconds < 2000.0
    assert second.progress.notes == ["slow"]
