"""`microbatch`: gradients of a batch that is computed in parts are those of the whole batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support.stages import stage_context
from trainables.config import ConfigError, Runtime, TrialConfig, with_values
from trainables.data.trial_data import TrialData
from trainables.execution.context import Network
from trainables.execution.distributed import Processes
from trainables.execution.tracing import Steady, StepTaken, one_step
from trainables.plan import PlannedStage, plan_trial

CLIP = 4  # frames; of a batch of 5 clips, two are computed at once
MICROBATCH = 2 * CLIP + 1
FEW_STEPS = {"options.ensemble": 2, "options.retrain_steps": 1, "options.action_steps": 1, "options.privacy_steps": 1}
OTHER_METHODS: dict[str, dict[str, Any]] = {"tedspad": {}, "vita": FEW_STEPS, "mass": {}, "bdq": {}}


@dataclass
class Step:
    """Gradients of the optimizers of a stage in its first step, in turn, and how many frames each network was given at once."""

    gradients: list[Tensor] = field(default_factory=list)
    frames: set[int] = field(default_factory=set)


class ByItem(nn.GroupNorm):
    """In place of batch norm: each item is normalised by itself."""

    def __init__(self, channels: int, *_: object, **__: object) -> None:
        super().__init__(1, channels)


@pytest.fixture
def without_batch_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that have no batch norm."""
    import segmentation_models_pytorch  # noqa: F401  (it derives classes from those that are replaced here)

    for name in ("BatchNorm2d", "BatchNorm3d"):
        monkeypatch.setattr(nn, name, ByItem)


@pytest.fixture
def config(tiny_config: TrialConfig) -> TrialConfig:
    sizes = {f"{group}.batch_size": 5 for group in ("reconstruct", "warm_up", "minimax", "evaluate_action")}
    sizes |= {f"{group}.batch_size": 24 for group in ("evaluate_privacy", "attacks")}
    epochs = {f"{group}.epochs": 1 for group in ("reconstruct", "warm_up", "minimax", "evaluate_action", "evaluate_privacy")}
    narrow = {
        "anonymizer.decoder_norm": "identity",
        "attacks.ensemble": ("narrow2d", "residual2d"),
        "attacks.encoder": "narrow2d",
        "attacks.weights": None,
        "attacks.clip_network.name": "narrow3d",
        "attacks.clip_network.weights": None,
        "attacks.decoder_width": 8,
        "attacks.frames": 2,
        "minimax.distortion_budget": 0.0,
        "seed": 1,
    }
    return with_values(tiny_config, {**sizes, **epochs, **narrow})


def first_step(planned: PlannedStage, runtime: Runtime, data: TrialData) -> Step:
    """The first step of a stage, on noise."""
    found = Step()

    class Recorded(Steady):
        def step(self, optimizer: torch.optim.Adam) -> None:
            for group in optimizer.param_groups:
                found.gradients += [value.grad.double().clone() for value in group["params"] if value.grad is not None]

        def placed(self, network: Network) -> Network:
            for layer in network.modules():
                if isinstance(layer, nn.Conv2d | nn.Conv3d):
                    layer.register_forward_pre_hook(count)
            return super().placed(network)

    def count(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if torch.is_grad_enabled():
            found.frames.add(len(inputs[0]) * (inputs[0].shape[2] if inputs[0].dim() == 5 else 1))

    torch.manual_seed(0)
    with pytest.raises(StepTaken):
        one_step(planned, runtime, data, Recorded)
    return found


@pytest.mark.usefixtures("without_batch_norm")
def test_gradients_are_those_of_the_whole_batch(config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    """Of every stage that trains, of every method whose batches can be divided and of every attack."""
    runtime = Runtime(data_root=str(tiny_data), storage=str(tmp_path), device="cpu")
    compared = set()
    for method in ("penalty", *OTHER_METHODS):
        values = {"method": method, **OTHER_METHODS.get(method, {"attacks.names": ("all",)})}
        trial = with_values(config, values)
        data = TrialData(trial, tiny_data)
        plans = [plan_trial(one, data).stages for one in (trial, with_values(trial, {"microbatch": MICROBATCH}))]
        for whole, divided in zip(*plans, strict=True):
            role = whole.role
            if not whole.stage.trains or "." in role or role in compared | {"attack_pretrained_tuned"}:
                continue  # of that attack rounding decides: features that hardly change in a clip have a spread near 0
            wanted, got = first_step(whole, runtime, data), first_step(divided, runtime, data)
            assert len(got.gradients) == len(wanted.gradients) > 0, role
            assert max(float(value.abs().max()) for value in wanted.gradients) > 1e-3, role
            for one, other in zip(got.gradients, wanted.gradients, strict=True):
                torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5, msg=lambda text, role=role: f"{role}: {text}")
            assert max(got.frames) <= MICROBATCH < max(wanted.frames), role
            compared.add(role)
    assert compared == {
        *("reconstruct", "warm_up", "minimax", *OTHER_METHODS, "evaluate_action", "raw_action"),
        *("evaluate_privacy", "evaluate_clip_privacy", "attack_retrained", "attack_temporal", "attack_inversion"),
        *("attack_linkage", "attack_adaptive", "adaptive_restorer"),
    }


def test_batch_norm_sees_the_rows_of_a_part_and_learns_its_statistics_once(
    tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    """The mean of a part is not that of the batch, and what is computed a second time leaves no trace."""
    layer = nn.BatchNorm2d(3, momentum=0.5)
    config = with_values(tiny_config, {"microbatch": 2})
    context = stage_context("a stage of a test", config, tiny_data, tmp_path)
    frames = torch.rand(4, 3, 2, 2, requires_grad=True)
    normed = context.through(layer, layer, frames)
    expected = torch.cat([nn.BatchNorm2d(3)(part) for part in frames.detach().split(2)])
    torch.testing.assert_close(normed, expected)
    normed.square().sum().backward()
    first, second = (part.detach().mean((0, 2, 3)) for part in frames.split(2))
    torch.testing.assert_close(layer.running_mean, 0.25 * first + 0.5 * second)


def test_it_is_in_the_keys_of_what_trains_and_only_where_it_is_set(tiny_config: TrialConfig, tiny_data: Path) -> None:
    def values(config: TrialConfig) -> dict[str, bool]:
        stages = plan_trial(config, TrialData(config, tiny_data)).stages
        return {stage.role: "microbatch" in stage.depends_on["config"] for stage in stages}

    config = with_values(tiny_config, {"test_deployed": True})
    assert not any(values(config).values())
    set_to_8 = values(with_values(config, {"microbatch": 8}))
    assert not set_to_8.pop("test_deployed")
    assert all(set_to_8.values())


def _of_ranks(config: TrialConfig, data: Path) -> object:
    return Processes(config, Runtime(data_root=str(data), storage=str(data), device="cpu", ranks=2))


def _of_tubelets(config: TrialConfig, data: Path) -> object:
    config = with_values(config, {"method": "stprivacy"})
    return plan_trial(config, TrialData(config, data))


@pytest.mark.parametrize("use", [_of_ranks, _of_tubelets])
def test_where_it_cannot_be_is_one_line(
    use: Callable[[TrialConfig, Path], object], tiny_config: TrialConfig, tiny_data: Path
) -> None:
    with pytest.raises(ConfigError, match=r"microbatch = 8: not .* leave it out"):
        use(with_values(tiny_config, {"microbatch": 8}), tiny_data)
