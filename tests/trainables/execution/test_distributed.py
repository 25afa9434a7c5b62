"""Two processes that share every batch of a trial do what one does with the whole of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.support.stages import stage_context
from trainables.config import ConfigError, Runtime, TrialConfig, with_values
from trainables.data.items import DataError
from trainables.data.trial_data import TrialData
from trainables.execution.context import StageContext
from trainables.execution.distributed import Distributed, Processes
from trainables.execution.loop import Epoch, run_epochs
from trainables.failures import Lost, Stopped
from trainables.plan import PlannedStage, plan_trial
from trainables.stages import Stage
from trainables.store import Outcome

RUNS = ("reconstruct", "warm_up", "minimax", "evaluate_action")


@pytest.fixture
def config(tiny_config: TrialConfig) -> TrialConfig:
    """Batches of 5 and of 23 out of 24 clips and 32 images: shares of 2 and 3 rows, and a last batch of one row.

    Adam makes a step of the learning rate of the smallest gradient: with a large one, the noise of sums would be all there is.
    """
    rates = {f"minimax.learning_rate_{name}": 1e-6 for name in ("anonymizer", "action", "privacy")}
    rates |= {f"{stage}.learning_rate": 1e-6 for stage in ("reconstruct", "warm_up", "evaluate_action")}
    sizes = {"reconstruct.batch_size": 5, "warm_up.batch_size": 23, "minimax.batch_size": 5, "evaluate_action.batch_size": 23}
    epochs = {"reconstruct.epochs": 1, "warm_up.epochs": 1, "minimax.epochs": 2, "evaluate_action.epochs": 1}
    return with_values(tiny_config, {**rates, **sizes, **epochs, "minimax.distortion_budget": 0.1})


class Trial:
    """The stages of a trial one after another, over as many ranks as asked for."""

    def __init__(self, config: TrialConfig, data: Path, storage: Path, ranks: int) -> None:
        self._runtime = Runtime(data_root=str(data), storage=str(storage), device="cpu", ranks=ranks)
        self._planned = {stage.name: stage for stage in plan_trial(config, TrialData(config, data)).stages}
        self._config, self._root, self._storage = config, data, storage
        self.outcomes: dict[str, Outcome] = {}

    def run(self, group: Processes, name: str, stop: Callable[[], bool] = lambda: False) -> Outcome:
        planned = self._planned[name]
        inputs = {name: self.outcomes[role] for name, role in planned.inputs.items()}
        self.outcomes[name] = group.run(planned, self.context(planned, inputs, stop))
        return self.outcomes[name]

    def group(self) -> Processes:
        return Processes(self._config, self._runtime)

    def context(self, planned: PlannedStage, inputs: dict[str, Outcome], stop: Callable[[], bool]) -> StageContext:
        context = stage_context(
            planned.name, planned.config, self._root, self._storage, inputs, planned.key, ranks=self._runtime.ranks
        )
        return replace(context, stop=stop)


def numbers(value: Any, where: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Every number of an outcome, by its place."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from numbers(part, f"{where}/{key}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from numbers(part, f"{where}/{index}")
    elif isinstance(value, float | torch.Tensor):
        yield where, torch.as_tensor(value).double()


def distances(ours: Outcome, theirs: Outcome) -> dict[str, float]:
    first, second = (dict(numbers([outcome.history, dict(outcome.state)])) for outcome in (ours, theirs))
    assert first.keys() == second.keys()
    return {where: float(((first[where] - second[where]).abs() / second[where].abs().clamp_min(1.0)).max()) for where in first}


def normalises(context: StageContext) -> Outcome:
    """A stage whose network has batch norm and an unused parameter, and is called twice a step.

    In double precision, where the order of sums does not show.
    """
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).double()
    network.register_parameter("unused", nn.Parameter(torch.zeros(1)))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    context.data_parallel(network)
    whole = torch.rand(7, 6, generator=torch.Generator().manual_seed(1)).double()
    for _ in range(2):
        optimizer.zero_grad()
        losses = []
        for rows in ([0, 1, 2, 3, 4], [5, 6]):
            own = whole[context.execution.share(rows)]
            logits = context.gathered(context.through(network, network, own))
            losses.append(F.cross_entropy(logits, torch.tensor(rows) % 3))
        sum(losses, torch.tensor(0.0)).backward()
        optimizer.step()
    return Outcome({}, [], network.state_dict())


def drops(context: StageContext) -> Outcome:
    """A stage whose network has dropout: every rank draws masks of its own."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(4 * 3 * 16 * 16, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4)
    context.data_parallel(network)
    clips = context.training_clips(5)

    def epoch(now: Epoch) -> dict[str, float]:
        for batch in now.batches(clips):
            view = context.training_view(batch)
            loss = context.mean(context.through(network, network, view).square().mean(), len(view))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            now.add(len(view), loss=loss)
        return now.means()

    history = run_epochs(context, {"network": network, "optimizer": optimizer}, 2, epoch)
    return Outcome({}, history, network.state_dict())


def test_two_ranks_learn_what_one_learns_and_go_on_where_they_were_stopped(
    config: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    """NT-Xent over all pairs, batch norm over all rows, shares of unequal size, a last batch with too few rows."""
    alone, both, stopped = (Trial(config, tiny_data, tmp_path / name, n) for name, n in (("1", 1), ("2", 2), ("3", 2)))
    with alone.group() as one, both.group() as two:
        for name in RUNS:
            distance = distances(alone.run(one, name), both.run(two, name))
            assert max(distance.values()) < 1e-5, {where: d for where, d in distance.items() if d >= 1e-5}
        planned = on_ranks(normalises, config)
        found = [group.run(planned, trial.context(planned, {}, bool)) for group, trial in ((one, alone), (two, both))]
        assert max(distances(*found).values()) < 1e-12
    stopped.outcomes = {name: both.outcomes[name] for name in ("reconstruct", "warm_up")}
    steps = iter(range(3))
    with stopped.group() as three:
        with pytest.raises(Stopped):
            stopped.run(three, "minimax", stop=lambda: next(steps, None) is None)
        resumed = stopped.run(three, "minimax")
    assert set(distances(resumed, both.outcomes["minimax"]).values()) == {0.0}


def test_two_ranks_with_dropout_go_on_where_they_were_stopped(config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    """A checkpoint has the random generators of both ranks: their masks, for shares of 2 and 3 rows, differ."""
    whole, stopped = (Trial(config, tiny_data, tmp_path / name, 2) for name in ("whole", "stopped"))
    planned, steps = on_ranks(drops, config), iter(range(3))
    with whole.group() as group:
        dropped = group.run(planned, whole.context(planned, {}, lambda: False))
        with pytest.raises(Stopped):
            group.run(planned, stopped.context(planned, {}, lambda: next(steps, None) is None))
        assert group.started == []
        resumed = group.run(planned, stopped.context(planned, {}, lambda: False))
    assert set(distances(resumed, dropped).values()) == {0.0}


def on_ranks(run: Callable[[StageContext], Outcome], config: TrialConfig) -> PlannedStage:
    return PlannedStage(run.__name__, Stage(run.__name__, run, data=("action",), parallel=True), "key", {}, {}, config, 1)


def fails_on_the_second(context: StageContext) -> Outcome:
    """A stage whose second rank fails, while the first waits for it."""
    assert isinstance(context.execution, Distributed)
    if context.execution.rank == 1:
        if context.config.seed == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        raise DataError("video 7: damaged; replace it")
    context.gathered(torch.zeros(1))
    return Outcome({})


@pytest.mark.parametrize(("seed", "error"), [(0, DataError), (1, Lost)])
def test_a_rank_that_fails_ends_all_with_its_reason(
    config: TrialConfig, tiny_data: Path, tmp_path: Path, seed: int, error: type[Exception]
) -> None:
    config = with_values(config, {"seed": seed})
    trial = Trial(config, tiny_data, tmp_path, 2)
    planned = on_ranks(fails_on_the_second, config)
    with trial.group() as group:
        start = time.monotonic()
        with pytest.raises(error, match=r"video 7|exit code -9"):
            group.run(planned, trial.context(planned, {}, lambda: False))
        assert time.monotonic() - start < 120, "not the patience of a collective"
        assert group.started == []


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_shares_make_up_the_batch(count: int) -> None:
    for rows in range(1, 20):
        shares = [Distributed(number, count).share(list(range(rows))) for number in range(count)]
        real = [share for share in shares if len(share) <= 2 * min(map(len, shares))]
        assert [item for share in real for item in share] == list(range(rows))
        assert all(len(share) == 3 for share in shares if share not in real)


def test_a_penalty_of_the_whole_batch_is_refused(config: TrialConfig, tmp_path: Path) -> None:
    runtime = Runtime(data_root="", storage=str(tmp_path), ranks=2)
    with pytest.raises(ConfigError, match="penalty_scope"):
        Processes(with_values(config, {"minimax.penalty_scope": "batch"}), runtime)
