"""The section on how a study was measured: data, software, devices, hours, and parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis import text
from analysis.measure.plane import Plane
from analysis.measure.settings import common, varying
from analysis.read.artifacts import read_records
from analysis.read.store import shown_uri
from analysis.read.study import RecordedStudy
from analysis.read.trials import PARAM
from analysis.report.page import Section, Table
from analysis.report.selection import of_interest
from trainables.methods import METHODS, missing_weights
from trainables.schema import CPU_HOURS, GPU_HOURS

_IDLE = {"starting": "starting workers", "waiting": "waiting for stages of other trials", "unused": "held by no trial"}

_STARTED = ("action_classifier", "privacy_encoder")  # networks for which the paper states starting weights
_MOST_RECORDS = 24  # settings whose records are read, a download each
_MOST_VALUES = 12  # of a parameter that varies


def section(study: RecordedStudy, settings: pd.DataFrame, plane: Plane) -> Section:
    """With what and on what the study was measured, and the parameters in which its trials differ."""
    differing = {name: text.values(found, _MOST_VALUES) for name, found in varying(study.trials).items()}
    parameters = _parameters("Parameters that differ between trials.", differing)
    return Section("How it was measured", tables=[_table(study, settings, plane), *_approximate(study.trials), *parameters])


def missing_weights_of(trials: pd.DataFrame) -> list[str]:
    """Which networks of the paper's recipe start from scratch although the paper starts them from weights; a sentence each."""
    columns = [PARAM + f"{group}.{field}" for group in _STARTED for field in ("name", "weights")]
    if not {"method", *columns} <= set(trials.columns):
        return []
    said: dict[str, None] = {}
    for row in trials[["method", *columns]].drop_duplicates().astype(str).itertuples(index=False):
        method, *values = row
        pairs = zip(values[::2], values[1::2], strict=True)
        networks = dict(zip(_STARTED, ((name, None if weights == "None" else weights) for name, weights in pairs), strict=True))
        said |= dict.fromkeys(missing_weights(method, networks))
    return list(said)


def _approximate(trials: pd.DataFrame) -> list[Table]:
    """What the methods of the trials that are approximate do otherwise than what was published, or choose where nothing was."""
    methods = sorted(set(trials["method"].dropna()) & set(METHODS)) if "method" in trials else []
    rows = [[name, METHODS[name].approximate] for name in methods if METHODS[name].approximate]
    return [Table("Methods that are approximate, and in what.", ("method", "differs, or is chosen here"), rows)] if rows else []


def common_parameters(trials: pd.DataFrame) -> Table | None:
    """The parameters that all trials share; None for a study without trials."""
    return next(iter(_parameters("Parameters that all finished trials share.", common(trials))), None)


def _table(study: RecordedStudy, settings: pd.DataFrame, plane: Plane) -> Table:
    """Where the records are, and the data, software, devices and hours that the records of the shown settings name."""
    trials = study.trials
    shown = of_interest(settings, _MOST_RECORDS, plane).index
    records = read_records(study, trials[trials["setting"].isin(shown)].drop_duplicates("setting").index)
    seeds = text.listed(sorted(trials["seed"].dropna().unique())) or "none"
    rows = [["records", f"experiment {study.name} in {shown_uri(study.tracking_uri)}"], ["seeds", seeds]]
    for what, key in (("data, fingerprint", "fingerprints"), ("software, version", "versions")):
        told: dict[str, set[str]] = {}
        for record in records:
            for name, value in dict(record.get(key) or {}).items():
                told.setdefault(str(name), set()).add(str(value))
        named = (f"{text.words(name)} {' or '.join(sorted(values))}" for name, values in sorted(told.items()))
        rows.append([what, text.listed(named) or "not recorded"])
    devices = sorted({str(device) for record in records for device in _devices(record)})
    rows.append(["device", text.listed(devices) or "not recorded"])
    rows.append(["time", _hours(trials, records)])
    rows += [[f"{what} of the study", told] for what, told in _held(study.hours)]
    of = f", from the records of {len(records)} of {len(trials)} trials" if len(records) < len(trials) else ""
    return Table(f"With what and on what{of}.", ("what", "measured"), rows)


def _devices(record: dict[str, object]) -> list[object]:
    found = record.get("devices") or []
    return list(found.values()) if isinstance(found, dict) else list(found) if isinstance(found, list) else [found]


def _hours(trials: pd.DataFrame, records: Sequence[dict[str, Any]]) -> str:
    hours = trials[["seconds", "pipeline_seconds"]].sum() / 3600
    on_gpu = _share_on_gpus(records)
    kind = {1.0: "GPU hours", 0.0: "hours on CPUs"}.get(on_gpu, "hours")
    told = f"{hours['seconds']:.2f} {kind} of computed stages"
    if 0 < on_gpu < 1:
        about = "about " if len(records) < len(trials) else ""
        told += f" ({about}{on_gpu * hours['seconds']:.2f} of them on GPUs)"
    if hours["pipeline_seconds"] > 0:
        told += f"; {hours['pipeline_seconds']:.2f} had each trial computed all of its own"
    return told


def _held(hours: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """For how many hours the GPUs, or cores, were busy and idle over all launches of a study, where its run recorded it."""
    for prefix, what in ((GPU_HOURS, "GPU hours"), (CPU_HOURS, "CPU core hours")):
        known = {name.removeprefix(prefix): value for name, value in hours.items() if name.startswith(prefix)}
        if known:
            idle = {told: known.get(name, 0.0) for name, told in _IDLE.items()}
            parts = ", ".join(f"{value:.2f} {told}" for told, value in idle.items())
            yield what, f"{known.get('busy', 0.0):.2f} busy, {sum(idle.values()):.2f} idle ({parts})"


def _share_on_gpus(records: Sequence[dict[str, Any]]) -> float:
    """The share of the time of computed stages that was spent on GPUs; NaN where no record names a device."""
    known = [
        (record["stage_seconds"][stage], device)
        for record in records
        if isinstance(devices := record.get("devices"), dict)
        for stage, device in devices.items()
        if stage in record.get("computed", ()) and stage in record.get("stage_seconds", {})
    ]
    total = sum(seconds for seconds, _ in known)
    return sum(seconds for seconds, device in known if device != "CPU") / total if total else math.nan


def _parameters(caption: str, values: dict[str, str]) -> list[Table]:
    rows = [[name.removeprefix(PARAM), value] for name, value in values.items()]
    return [Table(caption, ("parameter", "value"), rows)] if rows else []
