"""The measured tables and pictures of the READMEs: the commands that measure each, and how it is made of what they leave."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.measure.settings import of, settings_table
from analysis.read.study import read_study
from analysis.text import metric_mean
from trainables.schema import ATTACK, ATTACK_HIGH, ATTACK_LOW, FINAL_METRICS, METRIC_FAMILIES

STORAGE = "{storage}"  # in commands: the folder that holds what figures leave


@dataclass(frozen=True)
class Figure:
    """One table of a README.

    page: the README, from the root of the repository; the table stands there between `<!-- figure NAME -->` and `<!-- end -->`.
    commands: arguments of Python, in order. Each continues what it finds in STORAGE, so that it can be run again.
    table: the Markdown, of the folder and of what the last command printed.
    pictures: files of the repository, each with the file in STORAGE that becomes it.
    minutes: about how long it takes on 2 cores.
    """

    name: str
    page: str
    commands: tuple[str, ...]
    minutes: int
    table: Callable[[Path, str], str]
    pictures: Mapping[str, str] = field(default_factory=dict)


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


def of_attacks(space: str) -> Callable[[Path, str], str]:
    """A row for each trial of a study, with the leakage of each attack and its interval over the groups of test items."""

    def table(storage: Path, _: str) -> str:
        trials = read_study(space, "generated", f"sqlite:///{storage / 'mlflow.db'}").trials
        names = [str(name).removeprefix(ATTACK) for name in trials if str(name).startswith(ATTACK)]
        rows = [
            [
                str(trial["label"]),
                *(_bounded(*(trial[part + name] for part in (ATTACK, ATTACK_LOW, ATTACK_HIGH))) for name in names),
            ]
            for _, trial in trials.sort_values("label").iterrows()
        ]
        return markdown(["leakage % by", *(f"`{name}`" for name in names)], rows)

    return table


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


def _study(space: str, *options: str) -> str:
    return " ".join(["study/run.py", "--space", space, "--profile", "generated", "--storage", STORAGE, *options])


_DEMO = f"--space demo --tracking-uri sqlite:///{STORAGE}/demo.db --out {STORAGE}/demo"
_UTILITY, _LEAKAGE = ("top1", "deployed_top1"), ("cmap", "leakage", "clip_leakage")
_CHOICES, _BENCHMARKS = "trainables/CHOICES.md", "tests/benchmarks/README.md"

FIGURES = {
    figure.name: figure
    for figure in (
        Figure(
            "demo",
            "README.md",
            (
                _study("demo", "--tracking-uri", f"sqlite:///{STORAGE}/demo.db"),
                f"-m analysis report {_DEMO}",
                f"-m analysis figures --figure frames {_DEMO}",
            ),
            6,
            of_study("demo", ("top1", *_LEAKAGE), "demo.db"),
            {"analysis/pictures/front.png": "demo/front.png", "analysis/pictures/frames.png": "demo/frames.png"},
        ),
        Figure(
            "tradeoff",
            _CHOICES,
            (_study("tradeoff", "--seeds", "3"),),
            60,
            of_study("tradeoff", (*_UTILITY, *_LEAKAGE, "worst_leakage", "rms_distortion")),
        ),
        Figure(
            "output_range",
            _CHOICES,
            (_study("output_range"),),
            15,
            of_study("output_range", ("top1", "cmap", "leakage", "rms_distortion", "penalty_active")),
        ),
        Figure(
            "departures",
            _CHOICES,
            (_study("released_code_departures"),),
            6,
            of_study("released_code_departures", ("top1", "cmap", "macro_f1", "rms_distortion")),
        ),
        Figure(
            "methods",
            "trainables/methods/README.md",
            (_study("methods"),),
            30,
            of_study("methods", ("top1", "cmap", "leakage", "clip_leakage", "rms_distortion")),
        ),
        Figure("attacks", "trainables/attacks/README.md", (_study("attacks"),), 30, of_attacks("attacks")),
        Figure(
            "search",
            _BENCHMARKS,
            (f"tests/benchmarks/search.py --storage {STORAGE}/search --picture {STORAGE}/search.png",),
            40,
            printed,
            {"analysis/pictures/search.png": "search.png"},
        ),
        Figure("bench", _BENCHMARKS, (f"-m tests.benchmarks.speed --out {STORAGE}/bench.json",), 8, printed),
        Figure(
            "scale",
            _BENCHMARKS,
            (f"tests/benchmarks/scale.py --folder {STORAGE}/scale --out {STORAGE}/scale.json",),
            12,
            of_json("scale.json"),
        ),
        Figure("coverage", "trainables/attacks/README.md", ("-m tests.benchmarks.coverage",), 4, printed),
        Figure("mutants", "tests/mutants/README.md", (f"-m tests.mutants --storage {STORAGE}/mutants --jobs 2",), 90, printed),
        Figure("chaos", "tests/chaos/README.md", ("tests/chaos",), 35, printed),
    )
}
