"""A real study in which a trial that cannot win stops early: real Ray, real (small) videos, figures that are planted."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.options import read_options
from study.run import main
from study.study import Study
from tests.integration.test_study import SMALL, recorded, runs_of
from tests.support.plugin_files import loaded
from tests.support.serial_backend import SerialBackend
from trainables.execution import watch
from trainables.schema import TAG_EARLY, TAG_REASON

# What is measured is measured, and then replaced: networks as small as these have no sure order.
SPACE = """
from dataclasses import replace

from search_spaces.registry import SPACES, Space, grid
from trainables.execution import watch

if "stops_early" not in SPACES:
    SPACES.register("stops_early")(Space("none", "?", grid({"minimax.distortion_budget": (0.1, 0.2, 0.9)})))
    measured = watch.Measure.__call__

    def planted(self, anonymizer, action):
        found = measured(self, anonymizer, action)
        assert 0 <= found.top1 <= 1 and 0 <= found.leakage <= 1
        top1 = 0.25 if self.config.minimax.distortion_budget == 0.9 else 0.75
        return replace(found, top1=top1, leakage=1.0 - top1)

    watch.Measure.__call__ = planted
"""
QUICK = "evaluate_action.epochs=1", "evaluate_privacy.epochs=1", "evaluate_privacy.clips=false"
BAD, GOOD = "B=0.9", ("B=0.1", "B=0.2")


def command(storage: Path, data: Path, plugin: Path, *more: str) -> list[str]:
    settings = [part for value in (*SMALL, *QUICK) for part in ("--set", value)]
    where = ["--profile", "small", "--data-root", str(data), "--storage", str(storage), "--plugin", str(plugin)]
    order = ["--max-concurrent", "1", "--first", ",".join(GOOD)]
    return ["--space", "stops_early", *where, *settings, *order, *more]


@pytest.mark.timeout(1200)  # more than a busy machine takes
def test_who_cannot_win_stops_and_the_others_have_the_same_numbers(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(
        watch.Measure, "__call__", watch.Measure.__call__
    )  # what the plug-in does to it here ends with the test
    plugin, storage, whole = tmp_path / "stops_early_space.py", tmp_path / "storage", tmp_path / "whole"
    plugin.write_text(SPACE)
    with loaded(plugin):
        assert main(command(storage, tiny_data, plugin, "--stop-early")) == 0
        said = capsys.readouterr().out
        assert "2 done, 0 failed, 0 lost, 1 stopped early" in said
        assert "1 trial stopped early, which do not count" in said
        runs = {run.data.tags["setting"]: run for run in runs_of(storage, "stops_early.small")}
        assert {name: run.info.status for name, run in runs.items()} == dict.fromkeys(GOOD, "FINISHED") | {BAD: "KILLED"}
        assert {name: run.data.tags[TAG_EARLY] for name, run in runs.items()} == dict.fromkeys(GOOD, "") | {BAD: "true"}
        reason = runs[BAD].data.tags[TAG_REASON]
        assert reason.startswith("stopped early at epoch 1 of 2: dominated by B=0.2 seed=0 (validation top-1 75.0 %")
        page = (storage / "reports" / "stops_early.small" / "report.html").read_text()
        assert "Stopped early" in page
        assert reason in page

        assert main(command(storage, tiny_data, plugin, "--stop-early")) == 0
        assert "3 trials, 2 done before, 1 stopped early, 0 to run" in capsys.readouterr().out

        assert Study(read_options(command(storage, tiny_data, plugin)), SerialBackend()).run() == 0
        assert "3 trials, 2 done before, 1 to run" in capsys.readouterr().out
        assert Study(read_options(command(whole, tiny_data, plugin)), SerialBackend()).run() == 0
    went_on = recorded(storage, "stops_early.small")
    assert {status for status, _, _ in went_on.values()} == {"FINISHED"}
    assert went_on == recorded(whole, "stops_early.small")
