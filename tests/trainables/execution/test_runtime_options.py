"""What a GPU runs otherwise, as far as a CPU can stand in for it: the gradients of a step stay what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from trainables.config import Runtime, TrialConfig, with_values
from trainables.data.trial_data import TrialData
from trainables.execution.context import Network, channels_last
from trainables.execution.tracing import Steady, StepTaken, one_step
from trainables.plan import plan_trial


class ChannelsLast(Steady):
    def placed(self, network: Network) -> Network:
        channels_last(network)
        return super().placed(network)


@pytest.fixture
def gradients(tiny_config: TrialConfig, tiny_data: Path) -> Callable[..., list[Tensor]]:
    """Of all networks in a step of the minimax on noise, with options of the runtime and a kind of context."""
    config = with_values(tiny_config, {"minimax.distortion_budget": 0.0})
    data = TrialData(config, tiny_data)
    stage = next(stage for stage in plan_trial(config, data).stages if stage.role == "minimax")

    def found(context: type[Steady] = Steady, **options: Any) -> list[Tensor]:
        seen: list[Tensor] = []

        class Recorded(context):  # type: ignore[valid-type,misc]
            def step(self, optimizer: torch.optim.Adam) -> None:
                seen.extend(value.grad.double().flatten() for group in optimizer.param_groups for value in group["params"])

        torch.manual_seed(0)
        with pytest.raises(StepTaken):
            one_step(stage, Runtime(**{"data_root": "", "storage": "memory://", "device": "cpu", **options}), data, Recorded)
        return seen

    return found


@pytest.mark.parametrize(("context", "options"), [(ChannelsLast, {}), (Steady, {"checkpointing": True})])
def test_layout_and_checkpointing_change_nothing(
    gradients: Callable[..., list[Tensor]], context: type[Steady], options: dict[str, Any]
) -> None:
    for one, other in zip(gradients(context, **options), gradients(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_bfloat16_points_the_same_way(gradients: Callable[..., list[Tensor]], checkpointing: bool) -> None:
    """The rounding of bfloat16 is 0.4 % of a value; gradients of whole networks differ by some per cent, not in direction."""
    rounded = torch.cat(gradients(precision="bfloat16", checkpointing=checkpointing))
    exact = torch.cat(gradients(precision="float32"))
    assert torch.cosine_similarity(rounded, exact, dim=0) > 0.98
    assert not torch.equal(rounded, exact)
