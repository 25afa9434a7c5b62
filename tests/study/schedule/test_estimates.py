"""What a traced step is expected to take on a GPU, and where measured seconds take its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.dry_run import hours_of
from study.schedule.costs import Costs, Prices
from study.schedule.estimates import Estimates, StepCost
from study.schedule.gpus import GIB, Expected, GpuModel
from tests.support.stages import SilentReporter
from trainables.config import ConfigError, Runtime, TrialConfig, with_values
from trainables.data.trial_data import TrialData
from trainables.execution.tracing import Trace
from trainables.pipeline import run_trial
from trainables.plan import plan_trial
from trainables.store import StageStore

SMALL_GPU = GpuModel("small", 20.0, 100.0)


def test_the_largest_batch_by_hand() -> None:
    """Of 20 GiB 18 are to be filled; 2 GiB are there without a batch, so that 16 are for rows of 1 GiB each."""
    assert StepCost(8, Trace(peak=10 * GIB, still=2 * GIB, flops=1)).largest_batch(SMALL_GPU) == 16
    assert StepCost(8, Trace(peak=34 * GIB, still=2 * GIB, flops=1)).largest_batch(SMALL_GPU) == 4
    assert StepCost(8, Trace(peak=34 * GIB, still=19 * GIB, flops=1)).largest_batch(SMALL_GPU) == 0


def test_the_seconds_of_a_step_by_hand() -> None:
    """5 TFLOP at half of 100 TFLOP/s."""
    assert Expected(SMALL_GPU, 0.5).seconds(5e12) == pytest.approx(0.1)


@pytest.mark.parametrize(("gpu", "share", "says"), [("A10", 0.1, "--gpu A10: there are A100-40"), ("H100", 8.0, "above 0")])
def test_an_unknown_gpu_or_share_is_one_line(gpu: str, share: float, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Expected.of(gpu, share)


def test_stages_of_one_kind_are_traced_once_and_measured_seconds_win(
    tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    data = TrialData(tiny_config, tiny_data)
    estimates = Estimates()
    stages = [
        next(stage for stage in plan_trial(with_values(tiny_config, values), data).stages if stage.name == "reconstruct")
        for values in ({}, {"seed": 3}, {"reconstruct.batch_size": 2})
    ]
    first, again, other = (estimates.step(stage, data) for stage in stages)
    assert first is again
    assert first is not None
    assert other is not None
    assert other.trace.peak < first.trace.peak
    assert first.batch == 8
    prices = Prices({}, None, Expected(SMALL_GPU, 0.1))
    store = StageStore(tmp_path)

    def hours() -> tuple[float | None, str]:
        todo = stages[:1]
        return hours_of("reconstruct", todo, Costs(store, ["reconstruct"]), prices, {todo[0].key: first})

    expected = stages[0].steps * first.trace.flops / 1e13 / 3600
    assert hours() == (pytest.approx(expected), "traced, on an small")
    run_trial(with_values(tiny_config, {"seed": 3}), Runtime(data_root=str(tiny_data), storage=str(tmp_path)), SilentReporter())
    measured, how = hours()
    assert how == "measured here on CPU"
    assert measured != pytest.approx(expected)
