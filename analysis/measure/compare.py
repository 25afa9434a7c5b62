"""Two trials on the same test items: their difference with its interval, and the seeds it would take to find it."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from analysis.read import attacks
from analysis.read.store import AnalysisError, open_store
from analysis.read.study import RecordedStudy
from analysis.text import interval, mean, words
from trainables import statistics
from trainables.one_line import reason
from trainables.schema import ARTIFACT_ANSWERS, ATTACK, FINAL_METRICS
from trainables.statistics import FEW_GROUPS, LEAST_GROUPS, Comparison, ItemMetric, compare, estimate

Record = Mapping[str, Any]
_ACTION, _DEPLOYED, _CLIPS = ("evaluate_action",), ("test_deployed",), ("evaluate_clip_privacy",)
_IMAGES = ("test_privacy", "evaluate_privacy")  # the first is there where an attacker trained elsewhere was tested


def _accuracy(k: int, record: Record) -> ItemMetric:
    return statistics.mean(record["items"], record["groups"], np.asarray(record["rank"]) <= k)


def _attributes(figure: Callable[..., ItemMetric], record: Record) -> ItemMetric:
    probabilities, labels = (np.asarray(record[name], dtype=float) for name in ("probabilities", "labels"))
    return figure(record["items"], record["groups"], probabilities, labels)


# Metric -> the stages whose predictions it is computed from (the first that the trial has), and how.
_FIGURES: dict[str, tuple[tuple[str, ...], Callable[[Record], ItemMetric]]] = {
    "top1": (_ACTION, partial(_accuracy, 1)),
    "top5": (_ACTION, partial(_accuracy, 5)),
    "deployed_top1": (_DEPLOYED, partial(_accuracy, 1)),
    "leakage": (_IMAGES, partial(_attributes, statistics.leakage)),
    "cmap": (_IMAGES, partial(_attributes, statistics.cmap)),
    "clip_leakage": (_CLIPS, partial(_attributes, statistics.leakage)),
    "clip_cmap": (_CLIPS, partial(_attributes, statistics.cmap)),
}
_SHOWN = ("top1", "leakage", "clip_leakage", attacks.WORST)  # and all attacks, where no metric is named


@dataclass(frozen=True)
class Compared:
    """One metric of two trials: over the test items of the two, and over the seeds that their settings have in common.

    `by_items` is None, and `lacking` says why, where predictions were not kept. `by_seed`: first setting minus second.
    """

    metric: str
    by_items: Comparison | None
    lacking: str
    by_seed: Mapping[int, float]


def read_answers(client: MlflowClient, run_id: str, folder: str | Path) -> dict[str, Record]:
    """The predictions of a trial's evaluators for every test item, by the stage that made them; files come into `folder`."""
    there = {item.path for item in client.list_artifacts(run_id)}
    path = Path(client.download_artifacts(run_id, ARTIFACT_ANSWERS, str(folder))) if ARTIFACT_ANSWERS in there else None
    return {} if path is None else {file.stem: _record(file) for file in sorted(path.glob("*.json"))}


def read_item_metrics(client: MlflowClient, run_id: str, folder: str | Path) -> dict[str, ItemMetric]:
    """Every metric of a trial whose predictions were kept, attacks included, by name; files come into `folder`."""
    return item_metrics(read_answers(client, run_id, folder), attacks.read_attacks(client, run_id, folder))


def item_metrics(records: Mapping[str, Record], made: Sequence[attacks.AttackRecord]) -> dict[str, ItemMetric]:
    """The same, of predictions by stage and of records of attacks."""
    found: dict[str, ItemMetric] = {}
    for metric, (stages, figure) in _FIGURES.items():
        record = next((records[stage] for stage in stages if stage in records), None)
        if record is not None:
            found[metric] = figure(record)
    sources = sources_of(records)
    return found | {ATTACK + attack.name: each for attack in made if (each := attacks.item_metric(attack, sources)) is not None}


def sources_of(records: Mapping[str, Record]) -> dict[str, str]:
    """The source or person of every test item of the evaluators, by the name of the item."""
    return {item: group for record in records.values() for item, group in zip(record["items"], record["groups"], strict=True)}


def compare_trials(study: RecordedStudy, first: str, second: str, metrics: Sequence[str] = ()) -> list[Compared]:
    """Compares two trials of a study, given by their run ids, in `metrics`, or in those both have predictions for.

    Raises AnalysisError for a trial that is not there, a metric nobody has, and trials tested on other items.
    """
    chosen = [trial_of(study, name, option) for name, option in ((first, "--trial"), (second, "second --trial"))]
    if chosen[0].name == chosen[1].name:
        raise AnalysisError(f"--trial {chosen[0].name}: given twice; give two trials")
    with open_store(study.tracking_uri) as client:
        known = [_item_metrics(client, str(trial.name)) for trial in chosen]
    either = [name for name in dict.fromkeys((*_SHOWN, *sorted({*known[0], *known[1]}))) if _known(study, name)]
    shown = [name for name in either if name in _SHOWN or name.startswith(ATTACK)]
    for name in metrics:
        if not _known(study, name):
            raise AnalysisError(f"--metric {name}: no trial of {study.name} has it; there are: {', '.join(either)}")
    return [_compared(study, chosen, known, name) for name in metrics or shown]


def trial_of(study: RecordedStudy, name: str, option: str = "--trial") -> pd.Series:
    """The finished trial with this run id, or the only one whose id begins so. Raises AnalysisError."""
    found = [str(run_id) for run_id in study.trials.index if str(run_id).startswith(name)] if name else []
    if len(found) != 1:
        what = "several trials begin so" if found else "no finished trial has that run id"
        raise AnalysisError(f"{option} {name}: {what} in {study.name}; trials.csv of a report and `select` name them")
    return study.trials.loc[[found[0]]].iloc[0]


def text(study: RecordedStudy, first: str, second: str, compared: Sequence[Compared]) -> str:
    """The comparison as text for a terminal."""
    a, b = trial_of(study, first), trial_of(study, second)
    lines = [f"{study.name}", f"  A  {a['name']}  run {a.name}", f"  B  {b['name']}  run {b.name}"]
    for trial, letter in ((a, "A"), (b, "B")):
        if trial[attacks.VALID] == 0:
            lines.append(f"  INVALID: controls of {letter}'s attacks missed their level; its leakage figures do not count")
    if a["seed"] != b["seed"]:
        lines.append(f"  A and B have other seeds ({a['seed']}, {b['seed']}): what differs between them may be that alone")
    for each in compared:
        lines += ["", *_lines(each, same_setting=a["setting"] == b["setting"])]
    if any(each.by_items for each in compared):
        lines += [
            "",
            "Intervals: 95 %, from a jackknife over groups of test items of one source or person, item by item for A - B. They",
            "say what other test items would give, and nothing about another training: that is what seeds are for.",
        ]
        if len(compared) > 1:
            lines.append(
                f"p is that of one question asked beforehand; here are {len(compared)}, and some p are small by chance."
            )
    return "\n".join(lines)


def _item_metrics(client: MlflowClient, run_id: str) -> dict[str, ItemMetric]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return read_item_metrics(client, run_id, folder)
        except (MlflowException, OSError, KeyError, TypeError) as error:
            raise AnalysisError(f"predictions of run {run_id} cannot be read: {reason(error)}") from None


def _record(path: Path) -> Record:
    try:
        found: Record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AnalysisError(f"{ARTIFACT_ANSWERS}/{path.name} is no JSON ({error})") from None
    return found


def _known(study: RecordedStudy, metric: str) -> bool:
    return metric in study.trials and bool(study.trials[metric].notna().any())


def _compared(
    study: RecordedStudy, trials: Sequence[pd.Series], known: Sequence[Mapping[str, ItemMetric]], metric: str
) -> Compared:
    of_each = [attacks.strongest_of(trial) if metric == attacks.WORST else metric for trial in trials]
    kept = [own.get(name) for own, name in zip(known, of_each, strict=True)]
    lacking = [str(trial["name"]) for trial, own in zip(trials, kept, strict=True) if own is None]
    items = None
    if kept[0] is None or kept[1] is None:
        lacking = [f"no predictions by item were kept of it in {' and '.join(lacking)}"]
    elif len(set(of_each)) > 1:
        a, b = map(attacks.attacker_words, of_each)
        lacking = [f"the strongest attacker is {a} on A and {b} on B: compare them attack by attack"]
    else:
        try:
            items = compare(kept[0], kept[1])
        except ValueError as error:
            lacking = [str(error)]
    seeds = [study.trials[study.trials["setting"] == trial["setting"]].set_index("seed")[metric].dropna() for trial in trials]
    common = seeds[0].index.dropna().intersection(seeds[1].index.dropna())
    differences = seeds[0][common] - seeds[1][common]
    return Compared(metric, items, " ".join(lacking), {int(seed): float(value) for seed, value in differences.items()})


def _lines(each: Compared, same_setting: bool) -> list[str]:
    metric = FINAL_METRICS.get(each.metric)
    label = metric.label if metric else f"leakage, attack {words(each.metric.removeprefix(ATTACK))}"
    percent = metric.percent if metric else True
    found = each.by_items
    lines = [f"{label}{' %' if percent else ''}"]
    if found is None:
        lines.append(f"  test items   not compared: {each.lacking}")
    else:
        asked = f"{found.first.items} items in {found.first.groups} groups"
        lines += [
            f"  A            {interval(found.first, share=percent)}",
            f"  B            {interval(found.second, share=percent)}",
            f"  A - B        {interval(found.difference, share=percent, signed=True)}",
            f"  how sure     {_sure(found, metric.better if metric else 'lower')} ({asked})",
        ]
        if found.left_out:
            lines.append(f"               {found.left_out} items that only one of them predicted are left out")
        if LEAST_GROUPS <= found.first.groups < FEW_GROUPS:
            lines.append(f"               only {found.first.groups} groups: such intervals may be too narrow")
    if not same_setting:
        lines.append(f"  over seeds   {_over_seeds(each.by_seed, percent)}")
    return lines


def _sure(found: Comparison, better: str) -> str:
    if math.isnan(found.p):
        return f"unknown: an interval takes {LEAST_GROUPS} groups or more that bear on the figure"
    word = "leaks more" if better == "lower" else "is higher"
    bound = "p < 0.001" if found.p < 0.001 else f"p = {found.p:.3f}"
    includes = found.difference.low <= 0 <= found.difference.high
    return f"A {word} with probability {100 * found.first_larger:.0f} %; {bound}" + (
        "; the interval includes no difference" if includes else ""
    )


def _over_seeds(by_seed: Mapping[int, float], percent: bool) -> str:
    if not by_seed:
        return "the two settings have no seed in common: run both with the same seeds"
    value = estimate(by_seed.values())
    said = mean(value, share=percent, digits=1 if percent else 3, signed=True, count=False)
    seeds = ", ".join(map(str, by_seed))
    if value.n == 1:
        return f"A - B {said} (n = 1, seed {seeds}): how training varies is not known; run at least three seeds"
    needed = statistics.seeds_needed(by_seed.values())
    if needed is None:
        takes = f"more than {statistics.MOST_SEEDS} seeds" if value.mean else "no number of seeds"
    else:
        takes = f"{needed} seeds"
    includes = "; the interval includes no difference" if abs(value.mean) <= value.half_width else ""
    return (
        f"A - B {said} (n = {value.n}, seeds {seeds}, in pairs){includes};"
        f" to find a difference of this size takes {takes} (paired t-test, 5 %, power 80 %)"
    )
