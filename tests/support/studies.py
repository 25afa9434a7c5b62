"""Studies without a command line: of a plan that a test makes, and trials for the backends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_spaces.plan import StudyPlan
from study.backend.base import Backend
from study.options import Options
from study.study import Study


def study_of(plan: StudyPlan, data_root: Path, storage: Path, backend: Backend | None = None, **options: Any) -> Study:
    """A study of the profile `small` that runs `plan` instead of a space's trials."""
    study = Study(Options(space="demo", profile="small", data_root=str(data_root), storage=str(storage), **options), backend)
    study.plan = plan
    return study


@dataclass(frozen=True)
class NoRecorder:
    """A `trainables.trial.Recorder` for jobs that record nothing."""

    leases: str = "trials/none"

    def label(self, proposed: Mapping[str, Any]) -> str:
        """All points have the same name."""
        return "point"

    def open(self, job: Any, lease: Any) -> Any:
        """Is not called."""
        raise NotImplementedError
