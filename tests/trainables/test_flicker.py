"""Temporal flicker: by hand, as the video writer measures it, of trials with a known truth, and as an axis of the front."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.deploy.flicker import Flicker
from analysis.measure.plane import Plane, corner
from tests.support.stages import stage_context
from trainables.config import TrialConfig, with_values
from trainables.evaluation.action import flicker, run
from trainables.methods import resolved
from trainables.schema import FINAL_METRICS
from trainables.stages import EVALUATE_ACTION


def test_by_hand() -> None:
    """A clip whose grey goes 0, 0.5, 0.25, one that stands still, and one that leaves what a video can hold."""
    grey = torch.tensor([[0.0, 0.5, 0.25], [0.7, 0.7, 0.7], [-1.0, 2.0, 0.5]])
    clips = grey[:, :, None, None, None].expand(3, 3, 3, 4, 5)
    assert flicker(clips).tolist() == pytest.approx([(0.5 + 0.25) / 2, 0.0, (1.0 + 0.5) / 2])
    half = clips.clone()
    half[0, 1, :, :, 1:] = 0.0  # one column of five goes to 0.5 and then to 0.25; the others go to 0 and to 0.25
    assert flicker(half)[0].item() == pytest.approx((0.5 / 5 + 0.25) / 2)


def test_it_is_what_is_measured_of_written_videos() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
    written = Flicker()
    for frame in frames:
        written.add(frame, frame)
    clip = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float() / 255
    assert flicker(clip).item() == pytest.approx(written.means()[0], rel=1e-5)


def test_clips_of_one_frame_have_none() -> None:
    assert flicker(torch.zeros(2, 1, 3, 4, 4)).isnan().all()


def test_a_trial_has_it_and_what_it_is_chosen_by(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    found = {}
    for method in ("raw", "blank"):
        config = resolved(with_values(tiny_config, {"method": method, "evaluate_action.epochs": 1}))
        found[method] = run(stage_context(EVALUATE_ACTION.name, config, tiny_data, tmp_path, key=method)).metrics
    assert found["blank"]["flicker"] == found["blank"]["validation_flicker"] == 0.0
    assert 0.0 < found["raw"]["flicker"] < 0.5
    assert found["raw"]["validation_flicker"] == pytest.approx(found["raw"]["flicker"], rel=0.5), "of clips of the same kind"


def test_it_can_be_an_axis_of_the_front() -> None:
    plane = Plane(privacy="flicker")
    assert (plane.choosing[0], plane.directions[0]) == ("validation_flicker", "lower")
    settings = pd.DataFrame({"method": ["raw", "penalty"], "flicker": [0.2, 0.1], "top1": [0.9, 0.8], "chance_top1": 0.1})
    assert corner(plane, settings).reference == (0.2, 0.1)
    assert Plane(utility="flicker").directions[1] == "lower"
    assert not FINAL_METRICS["flicker"].percent
