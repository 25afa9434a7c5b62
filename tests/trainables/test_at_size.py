"""An anonymizer that was trained at one size, evaluated and attacked where it works at another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from study.backend.packing import step_size
from tests.support.fake_data import Files
from tests.support.stages import SilentReporter
from trainables.config import AttacksConfig, ConfigError, Runtime, TrialConfig, with_values
from trainables.data.trial_data import TrialData
from trainables.execution.context import StageContext
from trainables.methods import METHODS, Method, resolved
from trainables.models.check import check_weights
from trainables.pipeline import run_trial
from trainables.plan import TrialPlan, plan_trial
from trainables.stages import Stage
from trainables.store import Outcome

TRAINING = ("reconstruct", "warm_up", "minimax")
SHORT = {f"{name}.epochs": 1 for name in (*TRAINING, "evaluate_action", "evaluate_privacy")}


def test_the_same_anonymizer_is_read_at_another_size_by_everybody_anew(
    tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training is shared with the trial at its own size, and sees that one; f_T' and f_B', and f_A for them, see the other.
    What attacks see is in `test_keys`.
    """
    sides: dict[str, set[tuple[int, ...]]] = defaultdict(set)
    through = StageContext.through

    def noted(self: StageContext, network: nn.Module, compute: Callable[..., Any], values: Tensor, rows_at: int = 0) -> Any:
        sides[self.stage].add(tuple(values.shape[-2:]))
        return through(self, network, compute, values, rows_at)

    monkeypatch.setattr(StageContext, "through", noted)
    runtime = Runtime(data_root=str(tiny_data), storage=str(tmp_path), device="cpu")
    config = with_values(tiny_config, {**SHORT, "clip.test_clips": 1, "evaluate_privacy.clips": False})
    first, _ = run_trial(config, runtime, SilentReporter())
    enlarged = "evaluated at 24 pixels, and the videos of ucf101 have 16 x 16: enlarged they show nobody more"
    assert {side for found in sides.values() for side in found} == {(16, 16)}
    sides.clear()

    other, _ = run_trial(with_values(config, {"evaluate_at": 24}), runtime, SilentReporter())
    assert [sum(note.startswith(enlarged) for note in each.notes) for each in (first, other)] == [0, 1]
    assert other.reused == TRAINING
    assert {name: first.stage_keys[name] for name in TRAINING} == {name: other.stage_keys[name] for name in TRAINING}
    assert set(sides) == {"evaluate_action", "evaluate_privacy"}
    assert {side for found in sides.values() for side in found} == {(24, 24)}
    assert other.key != first.key
    assert other.metrics.keys() == first.metrics.keys()


def keys_of(plan: TrialPlan) -> dict[str, str]:
    return {stage.role: stage.key for stage in plan.stages}


def test_who_reads_an_anonymizer_at_another_size_has_the_keys_of_that_size(files: Files) -> None:
    """Raw clips at a size are those of a trial of that size, whatever trained at which, and so are all controls."""
    config = resolved(
        TrialConfig(test_deployed=True, attacks=AttacksConfig(names=("retrained", "inversion", "temporal", "probe")))
    )
    data, smaller = TrialData(config, files.root), {"clip.size": 112, "clip.decode_size": 140}

    def planned(**values: Any) -> TrialPlan:
        return plan_trial(resolved(with_values(config, {"options": {}, **values})), data)

    before, at = planned(), planned(evaluate_at=112)
    assert keys_of(before).keys() == keys_of(at).keys()
    assert {role for role, key in keys_of(before).items() if key == keys_of(at)[role]} == {*TRAINING, "without_video"}
    assert at.anonymizer_key == before.anonymizer_key
    assert planned(method="raw", evaluate_at=112).key == planned(method="raw", **smaller).key
    controls = {stage.role: stage.key for stage in planned(**smaller).stages if stage.control}
    assert len(controls) > 5
    assert controls == {role: keys_of(at)[role] for role in controls}
    for stage in at.stages:
        if stage.role not in ("attacks", "without_video"):  # they read no clips
            assert stage.visible.clip.size == (224 if stage.role in TRAINING else 112), stage.role


def test_what_a_method_of_ones_own_does_after_the_training_is_of_the_other_size(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stages that declare no fields depend on the whole config, and those that train not on the size of use."""
    mine, measured = (Stage(name, lambda _: Outcome({}), data=("action",)) for name in ("mine", "measured"))
    monkeypatch.setitem(METHODS._entries, "own", Method("mine", (mine, measured), "mine"))
    config = TrialConfig(method="own")
    data = TrialData(config, files.root)
    before, at = (plan_trial(resolved(with_values(config, {"evaluate_at": size})), data) for size in (None, 112))
    assert {role for role, key in keys_of(before).items() if key == keys_of(at)[role]} == {"mine"}
    assert {stage.role: stage.visible.clip.size for stage in at.stages} == {
        **dict.fromkeys(("measured", "evaluate_action", "evaluate_privacy", "evaluate_clip_privacy"), 112),
        "mine": 224,
    }


def test_the_other_size_shows_the_same_part_of_a_frame() -> None:
    """Of 280 pixels the middle 224 at test time; of 160 the middle 128."""
    config = TrialConfig(evaluate_at=128)
    assert (config.clip.size, config.clip.decode_size) == (224, 280)
    assert (config.as_evaluated.clip.size, config.as_evaluated.clip.decode_size) == (128, 160)
    changed = {name for name, value in config.as_evaluated if value != getattr(config, name)}
    assert changed == {"clip", "evaluate_at"}
    assert config.as_evaluated.as_evaluated == config.as_evaluated
    assert TrialConfig().as_evaluated == TrialConfig()


def test_networks_are_checked_and_counted_at_the_size_they_will_see(tiny_config: TrialConfig) -> None:
    mvit = {"evaluate_action.classifier": {"name": "mvit_v2_s", "weights": "kinetics400"}, "clip.frames": 16}
    wide = with_values(tiny_config, {**mvit, "clip.size": 224, "clip.decode_size": 224, "evaluate_at": 112})
    with pytest.raises(
        ConfigError, match=r"evaluate_action.classifier.weights = .*made for 16 frames at 224 pixels, not 16 at 112"
    ):
        check_weights(wide)
    pixels = 16 * 4 * 16**2  # of a batch of f_T'
    assert step_size(tiny_config)[0] == pixels
    assert step_size(with_values(tiny_config, {"evaluate_at": 32}))[0] == 4 * pixels
