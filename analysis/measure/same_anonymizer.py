"""Other trials of a study that tested one and the same trained anonymizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.read.artifacts import read_records
from analysis.read.study import RecordedStudy
from analysis.read.trials import PARAM
from trainables.methods import METHODS


def tests_of_the_same(
    study: RecordedStudy, trial: pd.Series, record: Mapping[str, Any], free: tuple[str, ...]
) -> list[pd.Series]:
    """The trial, then all others of its study that tested the same anonymizer, the newest first.

    It is the same where all of the configuration is but what begins with one of `free`, and where one and the same stage has
    trained it, as the records of both say (`record`: that of the trial). Costs a download for each trial of an equal
    configuration.
    """
    left_out = tuple(PARAM + name for name in free)
    columns = [str(name) for name in study.trials if str(name).startswith(PARAM) and not str(name).startswith(left_out)]
    others = study.alike(trial, columns).drop(index=trial.name).sort_values("started", ascending=False)
    return [trial, *(row for _, row in others.iterrows() if _same_stage(study, trial, record, row))]


def _same_stage(study: RecordedStudy, trial: pd.Series, record: Mapping[str, Any], other: pd.Series) -> bool:
    method = METHODS[str(trial["method"])] if trial["method"] in METHODS else None
    if method is not None and method.anonymizer is None:
        return True
    source = method.anonymizer if method else None
    keys = [each.get("stage_keys", {}).get(source) for each in (record, *read_records(study, [other.name]))]
    return len(keys) == 2 and keys[0] is not None and keys[0] == keys[1]
