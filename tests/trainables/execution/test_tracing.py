"""What a traced step is said to take is what it takes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.support.memory import bytes_taken
from trainables.config import Runtime, TrialConfig, with_values
from trainables.data.trial_data import TrialData
from trainables.execution.tracing import Spent, Steady, StepTaken, one_step, trace
from trainables.plan import PlannedStage, plan_trial


def planned(config: TrialConfig, data: TrialData, role: str) -> PlannedStage:
    return next(stage for stage in plan_trial(config, data).stages if stage.role == role)


def test_a_product_of_matrices_by_hand() -> None:
    """y = x w, of 4 x 8 by 8 x 16 numbers of 4 bytes, and the gradient of w: twice 2 x 4 x 8 x 16 operations."""
    with FakeTensorMode(), Spent() as spent:
        x, w = torch.empty(4, 8), torch.empty(8, 16, requires_grad=True)
        spent.mark()
        y = x @ w
        assert spent.now == spent.peak == 4 * (4 * 8 + 8 * 16 + 4 * 16)
        y.backward(torch.empty(4, 16))
        del y
    assert spent.still == 4 * (4 * 8 + 8 * 16)
    assert spent.flops == 2 * (2 * 4 * 8 * 16)
    assert spent.now == spent.still + 4 * 8 * 16  # the gradient
    assert spent.peak > spent.now


def test_the_memory_of_a_step_is_that_measured(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    """Within a fifth, of a step that takes enough for the rest of the process not to matter; and no video is opened."""
    sizes = {"clip.size": 96, "clip.decode_size": 96, "clip.frames": 8, "anonymizer.decoder_channels": (32, 32)}
    config = with_values(tiny_config, sizes)
    data = TrialData(config, tiny_data)
    stage = planned(config, data, "reconstruct")
    runtime = Runtime(data_root=str(tmp_path / "nowhere"), storage="memory://", device="cpu")
    traced = trace(stage, runtime, data)

    def step() -> None:
        with contextlib.suppress(StepTaken):
            one_step(stage, runtime, data)

    step()  # what is kept after a first step: imports, and kernels
    measured = min(bytes_taken(step) for _ in range(3))  # a process that has run for long may take more than it needs
    assert measured > 150 * 2**20
    assert traced.peak == pytest.approx(measured, rel=0.2)
    assert traced.still < 0.1 * traced.peak
    with_halves = trace(planned(with_values(config, {"microbatch": 8}), data, "reconstruct"), runtime, data)
    assert with_halves.peak < 0.6 * traced.peak
    assert with_halves.flops == pytest.approx(traced.flops * 4 / 3, rel=0.05)  # a forward pass more: one of three


def test_a_step_is_one_of_many(tiny_config: TrialConfig, tiny_data: Path) -> None:
    """Its optimizer has a state and its networks have gradients, as after other steps."""
    data, seen = TrialData(tiny_config, tiny_data), []

    class Looked(Steady):
        def step(self, optimizer: torch.optim.Adam) -> None:
            seen.extend(optimizer.state[value].keys() for value in optimizer.state if value.grad is not None)

    with pytest.raises(StepTaken):
        one_step(planned(tiny_config, data, "warm_up"), Runtime(data_root="", storage="memory://", device="cpu"), data, Looked)
    assert seen
    assert all(set(keys) == {"exp_avg", "exp_avg_sq"} for keys in seen)
