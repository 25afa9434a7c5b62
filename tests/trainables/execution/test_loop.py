"""Epochs that are left at any step: what is random goes on as if nothing had happened, and so does the clock."""

from __future__ import annotations

import io
import math
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
from trainables.execution.loop import Best, Diverged, Epoch, run_epochs
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
            now.add(len(batch["clips"]), **({"even": loss} if now.done % 2 == 0 else {"odd": loss}))
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


class Number:
    """A part of a training whose state is the number of the last epoch."""

    def __init__(self) -> None:
        self.now = -1

    def state_dict(self) -> int:
        return self.now

    def load_state_dict(self, state: int) -> None:
        self.now = state


def scripted(context: StageContext, values: list[float], last: bool = False) -> tuple[Best, Number]:
    """Runs an epoch for each of `values`, which are what it measures."""
    part, best = Number(), Best("measured", ("part",), last)

    def epoch(now: Epoch) -> dict[str, float]:
        part.now = now.number
        return {"measured": values[now.number]}

    run_epochs(context, {"part": part}, len(values), epoch, best)
    return best, part


@pytest.mark.parametrize(
    ("values", "number"),
    [
        ([0.1, 0.4, 0.4, 0.2], 1),
        ([math.nan, 0.3, math.nan], 1),
        ([-math.inf, math.nan], 0),
    ],
)
def test_the_best_epoch_is_the_first_with_the_largest_number_and_its_state_is_put_back(
    context: StageContext, values: list[float], number: int
) -> None:
    best, part = scripted(context, values)
    assert (best.epoch, best.value, part.now) == (number, values[number], number)


def test_with_last_the_last_epoch_counts_whatever_it_measured(context: StageContext) -> None:
    best, part = scripted(context, [0.9, 0.1], last=True)
    assert (best.epoch, best.value, part.now) == (1, 0.1, 1)


def test_where_no_epoch_measures_a_number_none_is_chosen(context: StageContext) -> None:
    with pytest.raises(Diverged, match="train: measured is not a number after any of 2 epochs"):
        scripted(context, [math.nan, math.nan])


def test_a_partial_batch_counts_by_its_rows(context: StageContext) -> None:
    """Three batches of 4, 4 and 1 rows with losses 1, 2 and 30: the mean over the 9 rows is 42 / 9, and not 11."""
    history: list[dict[str, float]] = []

    def epoch(now: Epoch) -> dict[str, float]:
        for rows, loss in ((4, 1.0), (4, 2.0), (1, 30.0)):
            now.add(rows, loss=torch.tensor(loss))
            now.add(1, other=torch.tensor(loss))
        history.append(now.means())
        return history[-1]

    run_epochs(context, {}, 1, epoch)
    assert history == [{"loss": pytest.approx(42 / 9), "other": pytest.approx(11.0)}]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_stage_and_says_where(context: StageContext, value: float) -> None:
    epoch = Epoch(context, 3, lambda _: None)
    epoch.add(4, action=torch.tensor(1.0), privacy=torch.tensor(2.0))
    epoch.add(4, action=torch.tensor(1.0), privacy=torch.tensor(value))
    with pytest.raises(Diverged, match=rf"train: privacy = {value} at step 1 of epoch 3; lower the learning rate"):
        epoch.means()
