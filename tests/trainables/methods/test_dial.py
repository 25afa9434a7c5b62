"""One anonymizer for a whole front: what each step trains it for, and what its stages depend on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.stages import SilentReporter, minimax_context, stage_context
from trainables.config import ConfigError, Runtime, TrialConfig, with_values
from trainables.data.trial_data import TrialData
from trainables.losses import rms_distortion
from trainables.methods import resolved
from trainables.methods.dial import DialOptions
from trainables.methods.dial import training as dial
from trainables.methods.penalty import training as minimax
from trainables.methods.penalty.training import OperatingPoint
from trainables.models.dial import dialled
from trainables.pipeline import run_trial
from trainables.plan import plan_trial

DIALLED = {"method": "dial", "anonymizer.dial": "film"}
SHORT = {f"{stage}.epochs": 1 for stage in ("reconstruct", "warm_up", "minimax", "evaluate_action", "evaluate_privacy")}


def dial_config(config: TrialConfig, **options: float) -> TrialConfig:
    return resolved(with_values(config, {**DIALLED, **SHORT, **{f"options.{name}": value for name, value in options.items()}}))


def test_a_batch_has_all_of_the_range_in_random_order() -> None:
    drawn = [dial.spread(4, np.random.default_rng((1, 0, step))) for step in range(200)]
    assert all([int(4 * value) for value in sorted(numbers)] == [0, 1, 2, 3] for numbers in drawn)
    assert np.mean([numbers[0] for numbers in drawn]) == pytest.approx(0.5, abs=0.06)
    assert np.mean([numbers for numbers in drawn]) == pytest.approx(0.5, abs=0.01)


def test_the_operating_point_by_hand() -> None:
    options = DialOptions(budget_from=0.1, budget_to=0.5, privacy_from=1.0, privacy_to=0.0)
    point = dial.point_of(options, torch.tensor([0.0, 0.25, 1.0]), 0.75)
    assert isinstance(point.budget, Tensor)
    assert point.budget.tolist() == pytest.approx([0.1, 0.2, 0.5])
    assert point.privacy_weight == 0.25


def test_each_clip_has_its_own_budget(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    """The penalty by hand; the same loss as the method `penalty` where all clips have one budget."""
    config = dial_config(tiny_config)
    context = minimax_context(config, tiny_data, tmp_path, "dial")
    clips = torch.rand(3, 4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    views = [*torch.rand(2, 2, 1, 3, 16, 16, generator=torch.Generator().manual_seed(1))]
    turned = dialled(clips, torch.tensor([0.1, 0.5, 0.9]))

    def step(point: OperatingPoint | None) -> dict[str, Tensor]:
        players = minimax.players_of(context, 1e-3)
        with torch.no_grad():
            rms.append(rms_distortion(clips, players.anonymizer.train().clips(turned)))
        labels, settings = torch.tensor([0, 1, 2]), context.config.minimax
        return minimax.step_anonymizer(players, turned, labels, views, settings, context, point)

    rms: list[Tensor] = []
    found = step(OperatingPoint(torch.tensor([0.0, 10.0, 0.01]), 1.0))
    expected = (rms[0][0] + (rms[0][2] - 0.01).clamp_min(0)) / 3
    assert found["penalty"].item() == pytest.approx(expected.item(), rel=1e-5)
    same = [step(point)["loss_anonymizer"].item() for point in (None, OperatingPoint(torch.zeros(3), 1.0))]
    assert same[0] == pytest.approx(same[1], rel=1e-6)
    unweighted = step(OperatingPoint(torch.zeros(3), 0.0))["loss_anonymizer"].item()
    assert unweighted != pytest.approx(same[0], rel=1e-3), "the weight of L_B"


def test_what_the_steps_are_given(
    tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clips at dials of their own, all views of a batch at one, both steps alike; the same again after an interruption."""
    config = dial_config(tiny_config, budget_to=0.8, privacy_to=3.0)
    context = minimax_context(config, tiny_data, tmp_path, "dial")
    given: list[tuple[str, Any, Any, OperatingPoint]] = []

    def recorded(name: str, step: Any) -> Any:
        def run(players: Any, clips: Tensor, labels: Tensor, views: list[Tensor], *rest: Any) -> Any:
            given.append((name, clips, views, rest[-1]))
            return step(players, clips, labels, views, *rest)

        return run

    for name in ("step_anonymizer", "step_opponents"):
        monkeypatch.setattr(minimax, name, recorded(name, getattr(minimax, name)))
    dial.run(context)
    assert len(given) >= 4
    seen: list[float] = []
    for (first, clips, views, point), (second, clips_again, views_again, _) in zip(given[::2], given[1::2], strict=True):
        assert (first, second) == ("step_anonymizer", "step_opponents")
        assert clips is clips_again
        assert views is views_again
        own, of_pairs = clips[:, :, 3].flatten(1), torch.stack(views)[:, :, :, 3].flatten()
        assert (own == own[:, :1]).all()
        assert (of_pairs == of_pairs[0]).all()
        assert torch.allclose(torch.as_tensor(point.budget), 0.8 * own[:, 0])
        assert point.privacy_weight == pytest.approx(1 + 2 * of_pairs[0].item(), rel=1e-5)
        seen += own[:, 0].tolist()
    assert len({round(value, 4) for value in seen}) == len(seen), "drawn anew for every clip"


def test_its_stages_are_those_of_all_points_of_the_range(tiny_config: TrialConfig, tiny_data: Path) -> None:
    def keys(**options: float) -> dict[str, str]:
        config = dial_config(tiny_config, **options)
        return {stage.role: stage.key for stage in plan_trial(config, TrialData(config, tiny_data)).stages}

    def differing(one: dict[str, str], other: dict[str, str]) -> set[str]:
        return {role for role in one if one[role] != other[role]}

    evaluators = {"evaluate_action", "evaluate_privacy", "evaluate_clip_privacy"} & keys().keys()
    assert differing(keys(), keys(at=0.25)) == evaluators
    assert differing(keys(), keys(budget_to=0.5)) == differing(keys(), keys(privacy_from=0.5)) == {"dial", *evaluators}


def test_two_points_train_one_anonymizer_and_are_judged_apart(
    tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    runtime = Runtime(data_root=str(tiny_data), storage=str(tmp_path), device="cpu")
    records = [run_trial(dial_config(tiny_config, at=at), runtime, SilentReporter())[0] for at in (0.0, 1.0)]
    assert "dial" in records[0].computed
    assert set(records[1].reused) == {"reconstruct", "warm_up", "dial"}
    assert records[0].metrics["rms_distortion"] != records[1].metrics["rms_distortion"]
    assert 0 <= records[0].metrics["penalty_active"] <= 1


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"method": "dial"}, "anonymizer.dial = none: dial trains a dial; give blend, film or plane"),
        ({"anonymizer.dial": "film"}, "anonymizer.dial = film: penalty turns no dial; set method=dial, or leave it out"),
        ({**DIALLED, "anonymizer.name": "residual"}, "anonymizer.dial = film: residual takes no dial, unet and unetpp do"),
        ({**DIALLED, "departures.scrambled_frames": True}, "departures.scrambled_frames would mix it with the colours"),
        ({**DIALLED, "options.at": 1.5}, "options.at = 1.5"),
        ({**DIALLED, "options.budget_from": -0.1}, "options.budget_from = -0.1: give a number of at least 0"),
    ],
)
def test_what_has_no_dial_is_refused_in_one_line(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        resolved(with_values(TrialConfig(), values))


def test_an_untrained_method_does_not_mind() -> None:
    assert resolved(with_values(TrialConfig(), {"method": "raw", "anonymizer.dial": "film"})).anonymizer.dial == "film"


def test_a_stage_that_trains_it_cannot_read_where_it_will_be_used(
    tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    context = stage_context("dial", dial_config(tiny_config, at=0.25), tiny_data, tmp_path)
    assert DialOptions.of(context.config).budget_to == 0.4
    with pytest.raises(ConfigError, match=r"options\.at"):
        _ = DialOptions.of(context.config).at
