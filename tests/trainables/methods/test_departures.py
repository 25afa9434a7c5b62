"""Each departure of the released code does what its name says, and is off by default."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from search_spaces.released_code_departures import DEPARTURES
from tests.support.stages import SilentReporter, stage_context
from trainables.config import Departures, Runtime, TrialConfig, with_values
from trainables.data.loader import Loader, Stills, TrainingClips
from trainables.data.trial_data import TrialData
from trainables.metrics import leakage_of
from trainables.models.base import Anonymizer
from trainables.pipeline import run_trial
from trainables.plan import plan_trial


class Planes(Anonymizer):
    """Remembers what it was given."""

    def forward(self, frames: Tensor) -> Tensor:
        self.seen = frames
        return frames + 1


def test_every_departure_is_off_and_every_switch_is_in_the_space(tiny_config: TrialConfig) -> None:
    assert not any(Departures().model_dump().values())
    named = {key for values in DEPARTURES.values() for key in values}
    assert {f"departures.{name}" for name in Departures.model_fields} <= named
    for values in DEPARTURES.values():
        with_values(tiny_config, {key: value for key, value in values.items() if key != "clip.skip"})


def test_a_detached_penalty_makes_b_and_lambda_inert(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    def weights(**values: object) -> dict[str, Tensor]:
        config = with_values(tiny_config, {"minimax.epochs": 1, **{k.replace("__", "."): v for k, v in values.items()}})
        _, outcomes = run_trial(
            config, Runtime(data_root=str(tiny_data), storage=str(tmp_path), device="cpu"), SilentReporter()
        )
        return outcomes["minimax"].state["anonymizer"]

    detached = {"departures__detached_penalty": True}
    strict = {"minimax__distortion_budget": 0.0, "minimax__penalty_weight": 100.0}
    loose = {"minimax__distortion_budget": 0.5, "minimax__penalty_weight": 0.1}
    without = weights(minimax__penalty_weight=0.0)
    for settings in (strict, loose):
        assert all(torch.equal(value, without[name]) for name, value in weights(**settings, **detached).items())
    assert not all(torch.equal(value, without[name]) for name, value in weights(**strict).items())


def test_scrambled_frames_are_one_colour_at_three_times(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    clips = torch.rand(2, 6, 3, 4, 4)
    f_a = Planes()
    right = stage_context("test", tiny_config, tiny_data, tmp_path).anonymize(f_a, clips)
    assert torch.equal(f_a.seen[0], clips[0, 0])
    wrong_config = with_values(tiny_config, {"departures.scrambled_frames": True})
    wrong = stage_context("test", wrong_config, tiny_data, tmp_path).anonymize(f_a, clips)
    assert torch.equal(f_a.seen[0], clips[0, :3, 0])  # red at times 0, 1, 2
    assert torch.equal(wrong, right)  # the inverse hides it where f_A treats all planes alike


def test_clips_in_bgr_images_in_rgb(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    bgr = with_values(tiny_config, {"departures.bgr_clips": True})
    contexts = [stage_context("test", config, tiny_data, tmp_path) for config in (tiny_config, bgr)]
    data = contexts[0].data
    clips = next(Loader(TrainingClips(data.action.train, tiny_config.clip, 0), 2, False).epoch(0))
    images = next(Loader(Stills(data.privacy.train, tiny_config.clip, 0), 2, False).epoch(0))
    right, wrong = (context.test_view(clips) for context in contexts)
    assert torch.equal(wrong, right.flip(2))
    assert not torch.equal(wrong, right)
    assert torch.equal(*(context.test_view(images) for context in contexts))


def test_f1_at_logit_one_half() -> None:
    groups = ["a", "b", "c"]
    probabilities, labels = np.array([[0.6], [0.7], [0.1]]), np.array([[1.0], [1.0], [0.0]])
    assert leakage_of(probabilities, labels, ("a",), groups).macro_f1 == 1.0
    assert leakage_of(probabilities, labels, ("a",), groups, 1 / (1 + np.exp(-0.5))).macro_f1 == pytest.approx(2 / 3)


def test_partial_batches(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    whole = stage_context("test", tiny_config, tiny_data, tmp_path)
    items = whole.data.action.train[:11]
    cut = replace(whole, config=with_values(tiny_config, {"departures.drop_last": True}))
    sizes = [
        [len(batch["label"]) for batch in context.loader(TrainingClips(items, tiny_config.clip, 0), 4, shuffle).epoch(0)]
        for context, shuffle in ((whole, True), (cut, True), (cut, False))
    ]
    assert sizes == [[4, 4, 3], [4, 4], [4, 4, 3]]


def test_an_epoch_chosen_on_the_test_set_looks_best_there(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    runtime = Runtime(data_root=str(tiny_data), storage=str(tmp_path), device="cpu")
    found = {}
    for selection in ("validation", "test", "last"):
        settings = {"method": "raw", "selection": selection, "clip.test_clips": 1, "evaluate_action.epochs": 4}
        record, outcomes = run_trial(with_values(tiny_config, settings), runtime, SilentReporter())
        found[selection] = record.metrics["top1"]
        if selection == "last":
            assert outcomes["evaluate_action"].metrics["best_epoch"] == 3
    assert found["test"] >= max(found["validation"], found["last"])


def test_keys_change_only_for_the_stages_that_a_departure_touches(tiny_config: TrialConfig, tiny_data: Path) -> None:
    data = TrialData(tiny_config, tiny_data)
    plain = {stage.role: stage.key for stage in plan_trial(tiny_config, data).stages}

    def changed(**values: bool) -> set[str]:
        config = with_values(tiny_config, {f"departures.{name}": value for name, value in values.items()})
        return {stage.role for stage in plan_trial(config, data).stages if plain[stage.role] != stage.key}

    judged = {"evaluate_action", "evaluate_privacy", "evaluate_clip_privacy"}
    assert changed(detached_penalty=True) == {"minimax", *judged}
    assert changed(logit_threshold=True) == {"evaluate_privacy", "evaluate_clip_privacy"}
    assert changed(bgr_clips=True) == set(plain)
