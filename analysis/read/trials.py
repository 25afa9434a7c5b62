"""From the runs of an experiment to typed tables: the finished trials, and the runs without a usable result."""

from __future__ import annotations

import ast
import math
import re
from typing import Any

import numpy as np
import pandas as pd

from analysis.read.runs import Runs
from trainables.schema import (
    FINAL_METRICS,
    TAG_CONFIG,
    TAG_EARLY,
    TAG_METHOD,
    TAG_PROTOCOL,
    TAG_REASON,
    TAG_SEED,
    TAG_SETTING,
    TAG_STAGES_REUSED,
    TAG_TRIAL_KEY,
    VALIDATION,
    config_of_tag,
)

# A finished trial without these has no place on the privacy-utility front.
FRONT_METRICS = ("top1", "leakage")
EARLY = "stopped early"  # the state of runs that ended because others were better
REPLACED = ("superseded", "outdated")  # states of runs in whose place the study has, or plans, a newer one
RAW = "raw"  # the method tag of the trial that leaves the data as they are
GIVEN = ("given", "given_videos")  # the methods of what was anonymized, or trained to, elsewhere
PARAM = "params."  # prefix of the columns that hold a trial's configuration
_INFINITE = 1e300  # MLflow stores inf as 1.8e308
_UNFINISHED_COLUMNS = ("state", "reason", "name", "method", "setting", "label", "seed", "trial_key", "run_id", "started")
_NO_REASON = {
    "failed": "no reason recorded",
    "killed": "stopped from outside; no reason recorded",
    "running": "running now, or its process ended without saying so",
    "scheduled": "not started",
}


def tables_of(runs: Runs, plan: pd.DataFrame | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables `trials` and `unfinished` of `RecordedStudy`, given the runs and the last plan (None where there is none).

    A setting and seed that ran twice counts once, with its newest finished run.
    """
    records = _records(runs)
    finished = records["status"] == "FINISHED"
    seed = records["seed"].astype("string")
    outdated = _outdated(records, seed, plan)
    for rows in (records[~outdated], records[outdated]):  # what does not count does not change the names of what does
        setting = _distinct_settings(rows)
        records.loc[rows.index, "setting"] = setting
        records.loc[rows.index, "label"] = _distinct_labels(rows.assign(setting=setting))
    # Two results of one setting and seed (a run made twice, or again after data or code changed) are no repetition:
    # counted as one they would make the interval too small. Runs without a seed cannot repeat one another.
    seed = seed.fillna(records.index.to_series())
    repeated = pd.DataFrame({"setting": records["setting"], "seed": seed}).where(finished & ~outdated).duplicated()
    superseded = finished & ~outdated & repeated
    usable = finished & ~superseded & ~outdated
    incomplete = usable & records[list(FRONT_METRICS)].isna().any(axis=1)

    early = (records["status"] == "KILLED") & (records["early"] != "")
    state = records["status"].str.lower().mask(early, EARLY).mask(superseded, "superseded").mask(incomplete, "incomplete")
    records["state"] = state.mask(outdated, "outdated")
    reason = records["reason"].mask(records["reason"] == "", records["state"].map(_NO_REASON).fillna(""))
    reason = reason.mask(superseded, "this setting and seed finished again later; the newer run counts")
    reason = reason.mask(outdated, "planned anew since code, data or recipe changed; this run was " + state)
    reason.loc[incomplete] = [_lacking(row) for _, row in records[incomplete].iterrows()]
    records["reason"] = reason
    trials = records[usable].drop(columns=["state", "setting_tag", "early"]).sort_values(["label", "seed", "name"])
    unfinished = records[~usable | incomplete].reset_index()[list(_UNFINISHED_COLUMNS)]
    missing = _missing(records, plan)
    if len(missing):
        unfinished = pd.concat([unfinished, missing], ignore_index=True) if len(unfinished) else missing
    return trials, unfinished.sort_values(["state", "name"], ignore_index=True)


def _outdated(records: pd.DataFrame, seed: pd.Series, plan: pd.DataFrame | None) -> pd.Series:
    """Whether the last plan has a run's setting and seed under another key.

    A run whose seed is not in the plan is not outdated: a study may be run seed by seed, and a search plans as it goes.
    """
    if plan is None or plan.empty:
        return pd.Series(False, index=records.index)
    places = pd.MultiIndex.from_arrays([plan["setting"].astype(str), plan["seed"].astype(str)])
    here = pd.MultiIndex.from_arrays([records["setting_tag"].astype(str), seed.fillna("")])
    return pd.Series(here.isin(places), index=records.index) & ~records["trial_key"].isin(plan["key"])


def _missing(records: pd.DataFrame, plan: pd.DataFrame | None) -> pd.DataFrame:
    """Planned trials without any run, as rows of the unfinished."""
    if plan is None:
        return pd.DataFrame(columns=list(_UNFINISHED_COLUMNS))
    rows = plan[~plan["key"].isin(records["trial_key"])]
    known = records.drop_duplicates("setting_tag").set_index("setting_tag")[["label", "method", "setting"]].astype(object)

    def recorded(column: str) -> pd.Series:
        return rows["setting"].map(known[column]).astype(object)

    return pd.DataFrame(
        {
            "state": "missing",
            "reason": "planned, and no run was ever started",
            "name": rows["name"],
            "method": recorded("method").fillna(""),
            "setting": recorded("setting").fillna(rows["setting"]),
            "label": recorded("label").fillna(rows["name"].map(_without_seed)),
            "seed": pd.to_numeric(rows["seed"], errors="coerce").astype("Int64"),
            "trial_key": rows["key"],
            "run_id": "",
            "started": pd.Series(pd.NaT, index=rows.index, dtype="datetime64[ns, UTC]"),
        },
        columns=list(_UNFINISHED_COLUMNS),
    )


def _lacking(row: pd.Series) -> str:
    lacking = " and ".join(name for name in FRONT_METRICS if pd.isna(row[name]))
    return f"finished without {lacking}" + (f": {row['reason']}" if row["reason"] else "")


def _records(runs: Runs) -> pd.DataFrame:
    """A typed row per run, the newest first; `setting` and `label` are as they were recorded."""
    info = runs.info.sort_values("start_time", ascending=False, kind="stable", na_position="last")
    if info.empty:
        info = info.reindex(columns=["name", "status", "start_time"])
    tags, params = runs.tags.reindex(info.index), _configs(runs).reindex(info.index)

    def text(frame: pd.DataFrame, name: str) -> pd.Series:
        found = frame[name] if name in frame else pd.Series(None, index=info.index, dtype=object)
        return found.astype(object).where(found.notna(), "")

    method = _first_of(text(tags, TAG_METHOD), text(params, "method"))
    run_id = info.index.to_series().astype(object)
    name = _first_of(info["name"].astype(object).fillna(""), run_id)
    label = _first_of(info["name"].astype(object).fillna("").map(_without_seed), method, run_id)
    seed = _first_of(text(tags, TAG_SEED), text(params, "seed"))
    setting = _first_of(text(tags, TAG_SETTING), label)
    frame = pd.DataFrame(
        {
            "name": name,
            "label": label,
            "method": method,
            "setting": setting,
            "setting_tag": setting,
            "seed": pd.to_numeric(seed, errors="coerce").astype("Int64"),
            "trial_key": text(tags, TAG_TRIAL_KEY),
            "status": info["status"].astype(object),
            "reason": text(tags, TAG_REASON),
            "early": text(tags, TAG_EARLY),
            "stages_reused": text(tags, TAG_STAGES_REUSED),
            "protocol_tag": text(tags, TAG_PROTOCOL),
            "started": pd.to_datetime(info["start_time"].fillna(0).astype("int64"), unit="ms", utc=True),
        },
        index=info.index,
    )
    metrics = runs.metrics.reindex(info.index).astype("float64")
    metrics = metrics.mask(metrics.abs() >= _INFINITE)
    absent = pd.DataFrame(math.nan, index=info.index, columns=[name for name in FINAL_METRICS if name not in metrics])
    typed = pd.DataFrame({PARAM + str(name): _typed_param(params[name]) for name in params}, index=info.index)
    frame = pd.concat([frame, metrics, absent, typed], axis=1)
    # The strongest attacker is not known where an attack failed a control.
    for worst in ("worst_leakage", VALIDATION + "worst_leakage"):
        if worst in frame:
            frame[worst] = frame[worst].mask(frame["controls_valid"] == 0)
    frame.index.name = "run_id"
    return frame


def _configs(runs: Runs) -> pd.DataFrame:
    """The configuration of every run as text, by dotted key; runs without TAG_CONFIG have it in their parameters."""
    if TAG_CONFIG not in runs.tags:
        return runs.params
    configs = {run_id: config for run_id, text in runs.tags[TAG_CONFIG].dropna().items() if (config := _config(text))}
    names = dict.fromkeys(name for config in configs.values() for name in config)
    columns = {name: [config.get(name) for config in configs.values()] for name in names}
    index = pd.Index(list(configs), dtype=runs.info.index.dtype)
    return pd.concat([pd.DataFrame(columns, index=index, dtype=object), runs.params.drop(index=index)])


def _config(text: str) -> dict[str, str]:
    try:
        return config_of_tag(text)
    except ValueError:  # somebody edited the tag; the parameters hold what the study varies
        return {}


def _first_of(*columns: pd.Series) -> pd.Series:
    """The first of several texts that is not empty, elementwise."""
    found = columns[0]
    for column in columns[1:]:
        found = found.mask(found == "", column)
    return found


def _without_seed(name: str) -> str:
    return re.sub(r"\s*\bseed=\d+\b", "", name).strip()


def _distinct_settings(frame: pd.DataFrame) -> pd.Series:
    """The setting tag, with the parameters appended in which runs of one tag differ.

    A user's own changes to a profile are not in the tag, and runs of different parameters are no repetitions.
    """
    setting = frame["setting"].copy()
    params = frame[[name for name in map(str, frame) if name.startswith(PARAM) and name != PARAM + "seed"]]
    params = params[[name for name in params if params[name].nunique(dropna=False) > 1]].astype(str)
    differs = params.groupby(setting).nunique() > 1
    for tag in differs.index[differs.any(axis=1)]:
        keys = differs.columns[differs.loc[tag]]
        for run_id, values in params.loc[setting == tag, keys].iterrows():
            setting[run_id] = f"{tag} ({' '.join(f'{key.removeprefix(PARAM)}={value}' for key, value in values.items())})"
    return setting


def _distinct_labels(frame: pd.DataFrame) -> pd.Series:
    """One label per setting; settings that share a label get the start of their setting tag appended."""
    label = frame.groupby("setting", sort=False)["label"].transform("first")
    shared = frame["setting"].groupby(label).transform("nunique") > 1
    told_apart = [
        setting if setting.startswith(text) else f"{text} [{setting[:12]}]"
        for setting, text in zip(frame["setting"], label, strict=True)
    ]
    return label.mask(shared, pd.Series(told_apart, index=frame.index, dtype=object))


def _typed_param(texts: pd.Series) -> pd.Series:
    """Parameters, which MLflow stores as text, as booleans or numbers where every run has one."""
    codes, different = pd.factorize(texts)
    literals = [_literal(text) for text in different]
    if literals and (codes >= 0).all():
        kinds = {type(value) for value in literals}
        kind = "bool" if kinds == {bool} else "int64" if kinds == {int} else "float64" if kinds <= {int, float} else ""
        if kind:
            return pd.Series(np.array(literals, dtype=kind)[codes], index=texts.index)
    return texts.astype(object).where(texts.notna(), None)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def finite(value: float) -> float:
    return value if abs(value) < _INFINITE else float("nan")
