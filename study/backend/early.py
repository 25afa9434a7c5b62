"""Early stopping through Ray Tune: a scheduler that hears what trials report, and decides which of them end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from study.schedule.early import Rungs
from trainables.early import EarlyStopping, Figures, Place, Watched
from trainables.one_line import reason
from trainables.store.files import Files

_WATCHED = "watched/"  # Tune hands results of several levels to a scheduler with the names of the levels joined


class EarlyStoppingScheduler(FIFOScheduler):
    """Decides when a trial reports figures of its anonymizer. Tune itself stops nobody: it would end the worker in the middle
    of its record. `tune.report` returns only after the scheduler has been asked, so that the trial finds the decision in the
    storage, and ends by itself.
    """

    def __init__(self, rules: EarlyStopping, storage: str) -> None:
        super().__init__()
        self._rules, self._storage = rules, storage

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        watched = watched_of(result)
        if watched is not None:
            try:
                Rungs(self._rules, Files(self._storage)).hear(watched, str(trial))
            except Exception as error:  # each storage has errors of its own; who is not told to stop goes on
                print(f"{trial}: nothing was decided at epoch {watched.epoch} ({reason(error)}); it goes on", flush=True)
        return str(TrialScheduler.CONTINUE)

    def debug_string(self) -> str:
        return "Trials that cannot win stop early."


def watched_of(result: Mapping[str, Any]) -> Watched | None:
    """What a trial reports of its anonymizer, from Tune's flat result; None where it reports something else."""
    if f"{_WATCHED}epoch" not in result:
        return None
    place = Place(*(result[f"{_WATCHED}place/{name}"] for name in ("anonymizer", "group", "epochs")))
    figures = Figures(*(result[f"{_WATCHED}figures/{field.name}"] for field in fields(Figures)))
    return Watched(place, result[f"{_WATCHED}epoch"], figures)
