"""How the tables of the READMEs are made of what a study or a command leaves. Each is a function of the folder in which figures
leave their records, and of what the last command printed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from mlflow import MlflowClient

from analysis.measure.effort import EPOCHS, effort_curves
from analysis.measure.fronts import fronts_compared
from analysis.measure.plane import Plane
from analysis.measure.settings import bounds, of, settings_table
from analysis.read.artifacts import read_records
from analysis.read.attacks import read_attacks
from analysis.read.study import RecordedStudy, read_study
from analysis.read.trials import PARAM, RAW
from analysis.report.evidence.people import risk_curves
from analysis.text import interval, metric_mean
from trainables.attacks.shared.people_at_risk import Risk, chance_of
from trainables.methods import METHODS
from trainables.schema import ATTACK, ATTACK_HIGH, ATTACK_LOW, ATTACK_VALID, FINAL_METRICS, METRIC_FAMILIES


def printed(_: Path, output: str) -> str:
    """The first Markdown table that the command printed."""
    lines = output.splitlines()
    first = next((number for number, line in enumerate(lines) if line.startswith("|")), len(lines))
    rows = []
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        rows.append(line)
    if not rows:
        raise ValueError("the command printed no table")
    return "\n".join(rows)


def from_table(_: Path, output: str) -> str:
    """The first Markdown table that the command printed, and all that it printed after it."""
    table = printed(_, output)
    return output[output.index(table) :].strip()


def of_study(space: str, metrics: Sequence[str], database: str = "mlflow.db") -> Callable[[Path, str], str]:
    """A row for each setting of a study on generated data, with the mean and the t interval over seeds of each metric."""

    def table(storage: Path, _: str) -> str:
        study = read_study(space, "generated", f"sqlite:///{storage / database}")
        settings = settings_table(study.trials)
        rows = [
            [str(row["label"]), *(metric_mean(name, of(row, name), count=False) for name in metrics)]
            for _, row in settings.iterrows()
        ]
        return markdown(["setting", *(heading(name, settings) for name in metrics)], rows)

    return table


# What an attack on people says, in the table of a space on data where everybody is known.
_READERS = {
    "clip_leakage": "person, f_B'",
    ATTACK + "linkage": "person, linkage",
    "pretrained_top1": "action, ImageNet",
    ATTACK + "pretrained_probe": "person, ImageNet",
    ATTACK + "pretrained_summed": "person, ImageNet, summed up",
    ATTACK + "pretrained_neighbour": "person, nearest clip by ImageNet",
}
_PEOPLE_PLANE = Plane("top1", "clip_leakage")


def of_people(
    space: str, fronts: bool = True, also: Sequence[str] = (), words: Mapping[str, str] | None = None
) -> Callable[[Path, str], str]:
    """A row for each setting of a study on given data: the mean over seeds, and the interval over groups of test items, of the
    action and of all who look for the person, and the mean of the metrics `also`; below, with `fronts`, what trained and
    untrained settings cover of the plane. `words` stand for parts of a setting's label.
    """

    def named(label: str) -> str:
        for part, word in (words or {}).items():
            label = label.replace(part, word)
        return label.partition(" (attacks.names")[0]

    def table(storage: Path, _: str) -> str:
        study = read_study(space, "small", f"sqlite:///{storage / 'mlflow.db'}")
        settings = settings_table(study.trials, _PEOPLE_PLANE)
        shown = {
            name: title
            for name, title in {"top1": "action, f_T'", **_READERS}.items()
            if name in settings and settings[name].notna().any()
        }
        rows = [
            [
                named(str(row["label"])),
                str(row["n"]),
                *(_bounded(row[name], *bounds(row, name)) for name in shown),
                *(metric_mean(name, of(row, name), count=False) for name in also),
            ]
            for _, row in settings.iterrows()
        ]
        further = [heading(name, settings) for name in also]
        found = markdown(["setting", "seeds", *(f"{title} %" for title in shown.values()), *further], rows)
        methods = [name for name in study.trials["method"].unique() if name != RAW]
        trained = [name for name in methods if METHODS[name].anonymizer is not None]
        untrained = [name for name in methods if name not in trained]
        covered = {"the trained settings": trained, "those that nobody trained": untrained}
        return f"{found}\n\n{_covered(study, covered)}" if fronts else found

    return table


def _covered(study: RecordedStudy, kinds: Mapping[str, Sequence[str]]) -> str:
    """A sentence on the hypervolumes of two kinds of methods, each with its words, and on their difference."""
    (first, second), compared = kinds, fronts_compared(study, *kinds.values(), _PEOPLE_PLANE)
    of_first, of_second = interval(compared.first), interval(compared.second)
    return (
        f"Of the plane between chance and raw data {first} cover {of_first} %, {second} {of_second} %;"
        f" the difference is {interval(compared.difference, signed=True)} (hypervolume of what"
        f" {' and '.join(_PEOPLE_PLANE.names)} of validation clips chose; 95 % over groups of test clips)."
    )


def of_dial(storage: Path, output: str) -> str:
    """The table of the space `dial`, and what one anonymizer with a dial covers of what five for themselves do."""
    study = read_study("dial", "generated", f"sqlite:///{storage / 'dial.db'}")
    shown = ("top1", "cmap", "leakage", "clip_leakage", "rms_distortion")
    lines, trials = [of_study("dial", shown, "dial.db")(storage, output)], study.trials
    for kind in ("blend", "plane"):
        others = trials[(trials["method"] != "dial") | (trials[f"{PARAM}anonymizer.dial"] == kind)]
        kinds = {f"four points of one dial ({kind})": ("dial",), "five anonymizers": ("penalty",)}
        lines.append(_covered(replace(study, trials=others), kinds))
    return "\n\n".join(lines)


def of_sizes(space: str) -> Callable[[Path, str], str]:
    """A row for each anonymizer of a study and each size at which it works: what is read, with intervals over test items."""

    def table(storage: Path, _: str) -> str:
        settings = settings_table(read_study(space, "generated", f"sqlite:///{storage / 'mlflow.db'}").trials)
        shown = {"top1": "action, f_T'", "leakage": "pictures, f_B'", "clip_leakage": "clips, f_B'"}
        shown |= {ATTACK + "retrained": "clips, retrained classifiers"}
        trained, used = (settings[PARAM + field].astype(str) for field in ("clip.size", "evaluate_at"))
        sizes = used.where(used != "None", trained)
        rows = [(str(row["label"]).partition(" at size=")[0], int(sizes[setting]), row) for setting, row in settings.iterrows()]
        order = list(dict.fromkeys(name for name, _, _ in rows))
        return markdown(
            ["anonymizer", "works at", *(f"{title} %" for title in shown.values())],
            [
                [name, f"{size} x {size}", *(_bounded(row[metric], *bounds(row, metric)) for metric in shown)]
                for name, size, row in sorted(rows, key=lambda one: (order.index(one[0]), one[1]))
            ],
        )

    return table


def of_attacks(space: str) -> Callable[[Path, str], str]:
    """A row for each trial of a study, with the leakage of each attack and its interval over the groups of test items; who
    missed the level of a control is called invalid.
    """

    def cell(trial: pd.Series, name: str) -> str:
        found = _bounded(*(trial[part + name] for part in (ATTACK, ATTACK_LOW, ATTACK_HIGH)))
        return f"{found} invalid" if trial.get(ATTACK_VALID + name) == 0 else found

    def table(storage: Path, _: str) -> str:
        trials = read_study(space, "generated", f"sqlite:///{storage / 'mlflow.db'}").trials
        names = [str(name).removeprefix(ATTACK) for name in trials if str(name).startswith(ATTACK)]
        rows = [
            [str(trial["label"]), *(cell(trial, name) for name in names)] for _, trial in trials.sort_values("label").iterrows()
        ]
        return markdown(["leakage % by", *(f"`{name}`" for name in names)], rows)

    return table


def of_risks(space: str) -> Callable[[Path, str], str]:
    """A row for each setting of a study and each risk to one of N people, by `linkage` from one clip of each, against N."""

    def table(storage: Path, _: str) -> str:
        study = read_study(space, "generated", f"sqlite:///{storage / 'mlflow.db'}")
        client, rows, among = MlflowClient(study.tracking_uri), [], (10, 20, 50, 100)
        for run_id, trial in study.trials.iterrows():
            [attack] = read_attacks(client, str(run_id), storage / space / str(run_id))
            for curve in risk_curves([attack]):
                if (curve.video, curve.clips) == ("anonymized", 1):
                    points = {point.among: point for point in curve.points}
                    found = [_bounded(points[each].value, points[each].low, points[each].high) for each in among]
                    rows.append([curve.risk, str(trial["label"]), *found])
        for risk in get_args(Risk):
            rows.append([risk, "without knowledge", *(f"{100 * chance_of(risk, each):.0f}" for each in among)])
        rows.sort(key=lambda row: row[0], reverse=True)
        return markdown(["risk, %", "clips", *(f"N = {each}" for each in among)], rows)

    return table


def of_effort(storage: Path, _: str) -> str:
    """A row for each attack: its leakage after each number of epochs, what the last step added, and whether it has stopped."""
    study = read_study("effort", "generated", f"sqlite:///{storage / 'mlflow.db'}")
    swept = study.trials[study.trials["method"] != RAW]
    trial = swept.loc[swept[PARAM + EPOCHS].astype(float).idxmax()]
    [record] = read_records(study, [trial.name])
    curves = effort_curves(study, trial, record)
    epochs = sorted({point.epochs for curve in curves for point in curve.points})
    stopped = {True: "has stopped", False: "**still growing**", None: "not known"}
    rows = []
    for curve in curves:
        found = {point.epochs: point for point in curve.points}
        cells = [
            _bounded(found[each].sure.value, found[each].sure.low, found[each].sure.high)
            + ("" if found[each].valid else " INVALID")
            if each in found
            else ""
            for each in epochs
        ]
        gained = interval(curve.gained, signed=True) if curve.gained else ""
        rows.append([f"`{curve.attack}`", *cells, gained, stopped[curve.stopped]])
    return markdown(["leakage % by", *(f"{each} epochs" for each in epochs), "the last step added", ""], rows)


def of_json(file: str) -> Callable[[Path, str], str]:
    """A row for each entry of a flat JSON file."""

    def table(storage: Path, _: str) -> str:
        found: dict[str, Any] = json.loads((storage / file).read_text())
        return markdown(["", ""], [[name, _number(value)] for name, value in found.items()])

    return table


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def heading(metric: str, settings: pd.DataFrame) -> str:
    """The label of a metric with its unit and, where it is one level for all settings, its chance."""
    known = FINAL_METRICS.get(metric)
    label = known.label if known else METRIC_FAMILIES.get(metric, metric)
    unit = " %" if known and known.percent else ""
    chance = known.chance if known else None
    if isinstance(chance, str) and chance in settings and settings[chance].round(4).nunique() == 1:
        return f"{label}{unit} (chance {100 * settings[chance].iloc[0]:.1f})"
    return label + unit


def _bounded(value: float, low: float, high: float) -> str:
    if pd.isna(value):
        return ""
    middle = f"{100 * value:.0f}"
    return middle if pd.isna(low) else f"{middle} [{100 * low:.0f}, {100 * high:.0f}]"


def _number(value: float) -> str:
    return f"{value:,.3g}" if isinstance(value, float) else f"{value:,}"
