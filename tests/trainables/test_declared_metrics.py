"""A metric that a stage returns is declared, or the trial ends with a line that says where to declare it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.support.plugin_files import example
from tests.support.stages import SilentReporter
from trainables.config import ConfigError, Runtime, TrialConfig, with_values
from trainables.evaluation import action
from trainables.pipeline import run_trial
from trainables.schema import FINAL_METRICS, OUTPUT_BEYOND, Metric, check_metrics, declare, is_shown

SHORT = {"reconstruct.epochs": 0, "warm_up.epochs": 0, "minimax.epochs": 1, "evaluate_privacy.clips": False}


def test_an_undeclared_metric_is_named_with_the_place_to_declare_it() -> None:
    check_metrics(
        "evaluate_action", dict.fromkeys(["top1", "best_epoch", "ap.face", "clip_ap.face", "attack_low.linkage"], 0.5)
    )
    with pytest.raises(ConfigError, match=r"stage mine returns the metric 'sharpness'.*trainables/schema\.py.*declare\(Metric"):
        check_metrics("mine", {"top1": 0.5, "sharpness": 0.5})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_no_number_is_refused_by_name(value: float) -> None:
    with pytest.raises(ArithmeticError, match=rf"stage mine: the metric 'cmap' is {value} \(and 1 more\), which is no result"):
        check_metrics("mine", {"top1": 0.5, "cmap": value, "leakage": value})


def test_a_name_is_declared_once() -> None:
    with pytest.raises(ValueError, match="'top1' is declared twice"):
        declare(Metric("top1", "again", "higher", "%", ""))


def test_what_is_not_shown_is_not_read_by_reports() -> None:
    assert not is_shown("best_epoch")
    assert "best_epoch" not in FINAL_METRICS


def test_the_example_of_a_metric_of_ones_own(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    runtime = Runtime(data_root=str(tiny_data), storage=str(tmp_path), device="cpu")
    with example("my_metric"):
        record, _ = run_trial(with_values(tiny_config, {**SHORT, "method": "penalty_and_motion"}), runtime, SilentReporter())
        assert FINAL_METRICS["motion_kept"].percent
    assert record.metrics["motion_kept"] > 0.0


def test_an_output_beyond_the_range_of_a_video_is_noted(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    runtime = Runtime(data_root=str(tiny_data), storage=str(tmp_path), device="cpu")
    notes = {}
    for output in ("sigmoid", "linear"):
        record, _ = run_trial(with_values(tiny_config, {**SHORT, "anonymizer.output": output}), runtime, SilentReporter())
        notes[output] = [note for note in record.notes if "puts out values" in note]
        assert (OUTPUT_BEYOND in record.metrics) == (output == "linear")
    assert not notes["sigmoid"]
    assert len(notes["linear"]) == 1
    assert "what is exported and written is clipped" in notes["linear"][0]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.0, 1.0, None),
        (-0.0005, 1.0005, None),
        (-0.25, 1.0, "from -0.25 to 1;"),
        (0.0, 1.5, "from 0 to 1.5;"),
        (0.0, 254.0, "from 0 to 254, as if it counted from 0 to 255;"),
        (math.nan, math.nan, "no numbers"),
        (0.0, math.inf, "no numbers"),
    ],
)
def test_what_is_said_of_an_output(low: float, high: float, said: str | None) -> None:
    found = action._of_output("mine", low, high)
    assert len(found) == (said is not None)
    assert said is None or said in found[0]
