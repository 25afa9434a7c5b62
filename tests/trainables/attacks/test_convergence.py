"""Whether an attacker has learned all it can, and which clips the probe learns from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.support.stages import SilentReporter
from trainables.attacks.probe import training, unseen
from trainables.attacks.shared.convergence import RISE, Curve, flattened
from trainables.config import Runtime, TrialConfig, with_values
from trainables.data.items import Video, VideoSplits
from trainables.data.loader import Loader
from trainables.data.trial_data import TrialData
from trainables.execution.context import StageContext
from trainables.pipeline import run_trial
from trainables.plan import plan_trial


def curve(leakages: list[float]) -> Curve:
    return [{"effort": float(epoch), "leakage": value} for epoch, value in enumerate(leakages, start=1)]


def learned(epochs: int, half: float) -> list[float]:
    """Leakage that goes to 0.6, and is half way there after `half` epochs."""
    return [0.6 * (1.0 - 0.5 ** (epoch / half)) for epoch in range(1, epochs + 1)]


@pytest.mark.parametrize(
    ("leakages", "expected"),
    [
        ([0.1, 0.3, 0.5, 0.5], True),  # the third and the fourth quarter
        ([0.1, 0.3, 0.5, 0.5 + RISE / 2], True),
        ([0.1, 0.3, 0.5, 0.6], False),
        ([0.0, 0.0, 0.0, 0.0], True),  # blank frames
        ([0.5, 0.6, 0.6, 0.4], True),  # it reads less again: more effort gains nothing
        ([0.01 * epoch for epoch in range(1, 101)], False),  # a straight line rises, whatever its own scatter
        (learned(100, half=10.0), True),  # 98 % of the way after 60 of 100 epochs
        (learned(100, half=60.0), False),  # 69 %
        (learned(30, half=25.0), False),  # stopped at a third of the time
        # quarters of five points: 0.5, then 0.7 three times and 0.5 twice, which is a rise of 0.12, or the same before
        ([0.2] * 10 + [0.5] * 5 + [0.7, 0.7, 0.7, 0.5, 0.5], False),
        ([0.2] * 10 + [0.7, 0.7, 0.7, 0.5, 0.5] + [0.5] * 5, True),
        ([], None),
        ([0.3], None),
        ([0.3, 0.3], None),  # the second quarter has no point
    ],
)
def test_leakage_has_flattened_or_not(leakages: list[float], expected: bool | None) -> None:
    assert flattened(curve(leakages)) is expected


def test_the_effort_is_on_its_own_scale() -> None:
    """A probe has few points, at shares of its items: the last quarter is that of the items."""
    items = (6.0, 15.0, 30.0, 45.0, 60.0)
    rising, flat = (0.1, 0.2, 0.3, 0.4, 0.5), (0.1, 0.2, 0.3, 0.4, 0.4)
    assert flattened([{"effort": e, "leakage": v} for e, v in zip(items, rising, strict=True)]) is False
    assert flattened([{"effort": e, "leakage": v} for e, v in zip(items, flat, strict=True)]) is True


@pytest.mark.parametrize(("rise", "low", "high"), [(0.0, 0.0, 0.06), (0.15, 0.94, 1.0)])
def test_noise_is_no_rise_and_hides_none(rise: float, low: float, high: float) -> None:
    """Leakage of 60 validation items scatters by about 5 points from epoch to epoch; `rise` is that of the last quarter."""
    generator = np.random.default_rng(0)
    ends = []
    for _ in range(400):
        values = np.full(60, 0.3) + generator.normal(0.0, 0.05, 60)
        values[45:] += rise
        ends.append(flattened(curve(values.tolist())) is False)
    assert low <= np.mean(ends) <= high


# The probe ------------------------------------------------------------------------------------------------------------


def clips(*names: str) -> tuple[Video, ...]:
    return tuple(Video(name, Path(name), 0, name, (1.0,)) for name in names)


class Data:
    """The clips that trained and chose f_T', and those that carry labels."""

    attacked = "clips_with_attributes"

    def __init__(self, evaluated: VideoSplits, labelled: VideoSplits) -> None:
        self.action_evaluation, self.clips_with_attributes = evaluated, labelled


UCF = VideoSplits("ucf101", ("a",), ("x",), clips("a", "b", "c"), clips("d", "e"), clips("f"))
OTHER = VideoSplits("vp_hmdb51", ("a",), ("x",), clips("u", "v"), clips("w"), clips("z"))


def names(config: TrialConfig, labelled: VideoSplits) -> list[list[str]]:
    """The training and the validation clips with labels that an f_T' of UCF was not trained on."""
    data: Any = Data(UCF, labelled)
    return [[item.name for item in unseen(list(items), config, data)] for items in (labelled.train, labelled.validation)]


def test_clips_that_f_t_was_not_trained_on(tiny_config: TrialConfig) -> None:
    assert names(tiny_config, UCF) == [[], ["d", "e"]]
    assert names(tiny_config, OTHER) == [["u", "v"], ["w"]]
    assert names(tiny_config, replace(OTHER, train=clips("c", "u"))) == [["u"], ["w"]]
    assert names(tiny_config.model_copy(update={"refit": True}), UCF) == [[], []]


def test_the_probe_learns_from_no_clip_that_f_t_was_trained_on(
    tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features of the clips that f_T' was trained on say the opposite of those of others: who learns from one reads nothing."""
    config = with_values(tiny_config, {"method": "raw", "attacks.names": "probe", "evaluate_privacy.clips": False})
    splits = TrialData(config, tiny_data).clips_with_attributes
    asked: list[set[Path]] = []

    def memorised(context: StageContext, classifier: nn.Module, loader: Loader, clips: int) -> tuple[Tensor, Tensor]:
        """The labels where f_T' was not trained on the items, and their opposites where it was."""
        items = loader.samples.items
        labels = torch.tensor([item.attributes for item in items], dtype=torch.float64)
        seen = {item.path for item in splits.train}
        signs = torch.tensor([-1.0 if item.path in seen else 1.0 for item in items], dtype=torch.float64)
        asked.append({item.path for item in items})
        return (labels - 0.5) * signs[:, None], labels

    monkeypatch.setattr(training, "_features", memorised)
    monkeypatch.setattr(training, "cut_validation", lambda items, *_: (items[::2], items[1::2]))
    runtime = Runtime(data_root=str(tiny_data), storage=str(tmp_path), device="cpu")
    record, outcomes = run_trial(config, runtime, SilentReporter())
    found = json.loads(outcomes["attacks"].files["attacks/probe.json"])
    learned, known, tested = asked[:3]
    validation = {item.path for item in splits.validation}
    assert learned | known == validation
    assert not learned & known
    assert tested == {item.path for item in splits.test}
    assert found["attackers"] == ["linear"]
    assert found["leakage"] > 0.9
    assert found["effort"]["items"] == len(validation)
    assert record.metrics["attack_converged.probe"] == float(found["converged"] is True)
    assert found["convergence"] == "converged" or any(note.endswith(found["convergence"]) for note in record.notes)


def test_where_f_t_was_trained_on_every_clip_the_probe_is_not_tried(tiny_config: TrialConfig, tiny_data: Path) -> None:
    config = with_values(tiny_config, {"method": "raw", "attacks.names": "probe"})
    for refit, tried in ((False, True), (True, False)):
        asked = config.model_copy(update={"refit": refit})
        plan = plan_trial(asked, TrialData(asked, tiny_data))
        assert ("attack_probe" in {stage.name for stage in plan.stages}) is tried
