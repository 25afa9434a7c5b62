"""Plug-in of the chaos runs: their space, and a journal of what the workers compute.

Seven settings: four that share stages, one on a set of videos of its own (which a fault may damage), one whose loss becomes
NaN and one with a corrupt video among its data; the test in short has four of them. With --stop-early six budgets and weights
take the place of three and of the corrupt video, and what is measured of them while they are trained is set here: a larger
budget or weight is worse in both figures, so that some cannot win. Where CHAOS_JOURNAL names a file, every process that runs a
trial appends a line to it for each epoch it has computed and each stage it has stored.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search_spaces.registry import RAW, SPACES, Space, grid

JOURNAL = "CHAOS_JOURNAL"
EARLY, SHORT = "chaos_early", "chaos_short"
SETTINGS = {
    "clip.size": 16,
    "clip.decode_size": 16,
    "clip.frames": 4,
    "anonymizer.decoder_channels": "[8, 4]",
    "reconstruct.epochs": 6,
    "warm_up.epochs": 6,
    "minimax.epochs": 6,
    "evaluate_action.epochs": 8,
    "evaluate_privacy.epochs": 8,
}

_QUESTION = "Is everything recorded once, whatever dies?"
_STRICT = {"minimax.distortion_budget": 0.1, "minimax.penalty_weight": 10.0}
_FREE = {"minimax.penalty_weight": 0.0}
_NAN, _SPARE = (
    {"minimax.learning_rate_anonymizer": 1e30},
    {"method": "raw", "data.action.folder": "spare", "clip.test_clips": 2},
)

if "chaos" not in SPACES:
    SPACES.register("chaos")(
        Space(
            source="none",
            question=_QUESTION,
            settings=(
                RAW,
                _STRICT,
                {**_STRICT, "minimax.distortion_budget": 0.2},
                _FREE,
                _NAN,
                {"method": "raw", "data.action.folder": "corrupt"},
                _SPARE,
            ),
        )
    )
    SPACES.register(SHORT)(Space(source="none", question=_QUESTION, settings=(RAW, _STRICT, _FREE, _NAN)))
    SPACES.register(EARLY)(
        Space(
            source="none",
            question="Are trials that stop early recorded once, whatever dies?",
            settings=(
                RAW,
                *grid({"minimax.distortion_budget": (0.0, 0.1, 0.4), "minimax.penalty_weight": (1.0, 10.0)}),
                _NAN,
                _SPARE,
            ),
        )
    )


def _rank_by_budget() -> None:
    """From now on in this process."""
    from trainables.early import Figures
    from trainables.execution.watch import Measure

    def figures(self: Measure, *networks: Any) -> Figures:
        loss = self.config.minimax
        rank = loss.distortion_budget + loss.penalty_weight / 100
        return Figures(1 - rank, rank, 10_000, 10_000)

    Measure.__call__ = figures  # type: ignore[method-assign]


def write(journal: str | Path, what: str, key: str, epoch: int = -1) -> None:
    ray = sys.modules.get("ray")  # not there in a run without it
    node = ray.get_runtime_context().get_node_id() if ray is not None and ray.is_initialized() else ""
    by = {"node": node, "host": socket.gethostname(), "process": os.getpid()}
    line = {"what": what, "key": key, "epoch": epoch, **by}
    with Path(journal).open("a") as file:  # appending a short line is one step, whoever else does
        file.write(json.dumps(line) + "\n")


class Journal:
    """A Reporter that writes down each epoch, under the key of its stage, before it tells the next one."""

    def __init__(self, path: str | Path, keys: Mapping[str, str], reporter: Any) -> None:
        self._path, self._keys, self._reporter = path, keys, reporter

    def epoch(self, stage: str, history: Sequence[Mapping[str, float]], epochs: int) -> None:
        write(self._path, "epoch", self._keys[stage], len(history) - 1)
        self._reporter.epoch(stage, history, epochs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reporter, name)


def _keep_journal(path: str) -> None:
    """From now on in this process."""
    from trainables import pipeline
    from trainables.data.trial_data import TrialData
    from trainables.plan import plan_trial
    from trainables.store import StageStore

    run, store = pipeline.run_trial, StageStore.write

    def run_trial(config: Any, runtime: Any, reporter: Any, *more: Any, **options: Any) -> Any:
        keys = {stage.role: stage.key for stage in plan_trial(config, TrialData(config, runtime.data_root)).stages}
        return run(config, runtime, Journal(path, keys, reporter), *more, **options)

    def store_stage(self: StageStore, stage: str, key: str, *more: Any, **options: Any) -> None:
        store(self, stage, key, *more, **options)
        write(path, "stage", key)

    pipeline.run_trial, StageStore.write = run_trial, store_stage  # type: ignore[assignment, method-assign]


if JOURNAL in os.environ:
    _keep_journal(os.environ[JOURNAL])
    _rank_by_budget()
