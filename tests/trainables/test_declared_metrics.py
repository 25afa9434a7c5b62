"""A metric that a stage returns is declared, or the trial ends with a line that says where to declare it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.plugin_files import example
from tests.support.stages import SilentReporter
from trainables.config import ConfigError, Runtime, TrialConfig, with_values
from trainables.pipeline import run_trial
from trainables.schema import FINAL_METRICS, Metric, check_declared, declare, is_shown

SHORT = {"reconstruct.epochs": 0, "warm_up.epochs": 0, "minimax.epochs": 1, "evaluate_privacy.clips": False}


def test_an_undeclared_metric_is_named_with_the_place_to_declare_it() -> None:
    check_declared("evaluate_action", ["top1", "best_epoch", "ap.face", "clip_ap.face", "attack_low.linkage"])
    with pytest.raises(ConfigError, match=r"stage mine returns the metric 'sharpness'.*trainables/schema\.py.*declare\(Metric"):
        check_declared("mine", ["top1", "sharpness"])


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
