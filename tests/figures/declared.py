"""The measured tables and pictures of the READMEs: the commands that measure each, and how it is made of what they leave."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from trainables.config import DATA_ROOT_VARIABLE
from trainables.methods import METHODS
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
    needs: an environment variable without which it is left out; it says where data lie that the commands do not make.
    """

    name: str
    page: str
    commands: tuple[str, ...]
    minutes: int
    table: Callable[[Path, str], str]
    pictures: Mapping[str, str] = field(default_factory=dict)
    needs: str = ""


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
    lines, trials = [of_study("dial", ("top1", *_LEAKAGE, "rms_distortion"), "dial.db")(storage, output)], study.trials
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


def _people(space: str, *options: str) -> str:
    return " ".join(["study/run.py", "--space", space, "--profile", "small", "--storage", STORAGE, *options])


def _study(space: str, *options: str) -> str:
    return " ".join(["study/run.py", "--space", space, "--profile", "generated", "--storage", STORAGE, *options])


_IMAGENET = (
    *("action_classifier.name=mobilenet_v2", "action_classifier.weights=package"),
    *("privacy_encoder.name=mobilenet_v2", "privacy_encoder.weights=package"),
)
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
                f"-m tests.figures.screens {_DEMO}",
            ),
            7,
            of_study("demo", ("top1", *_LEAKAGE), "demo.db"),
            {
                "analysis/pictures/front.png": "demo/front.png",
                "analysis/pictures/frames.png": "demo/frames_demo.generated.png",
                "analysis/pictures/mlflow.png": "demo/mlflow.png",
                "analysis/pictures/report.png": "demo/report.png",
            },
        ),
        Figure(
            "identity",
            "README.md",
            (
                _people("identity", "--seeds", "3", "--attacks", "linkage,pretrained_probe,pretrained_neighbour"),
                f"-m analysis report --space identity --profile small --privacy clip_leakage --out {STORAGE}/identity"
                f" --tracking-uri sqlite:///{STORAGE}/mlflow.db",
            ),
            60,
            of_people("identity"),
            {"analysis/pictures/identity.png": "identity/front.png"},
            needs=DATA_ROOT_VARIABLE,
        ),
        Figure(
            "opponents",
            "trainables/methods/README.md",
            (_people("opponents", "--seeds", "3", "--attacks", "pretrained_probe,pretrained_neighbour"),),
            45,
            of_people("opponents", True, ("rms_distortion",), {" ".join(_IMAGENET): "opponents from ImageNet"}),
            needs=DATA_ROOT_VARIABLE,
        ),
        Figure(
            "window",
            "trainables/models/README.md",
            (_people("window", "--attacks", "pretrained_probe,pretrained_summed,pretrained_neighbour"),),
            40,
            of_people("window", False),
            needs=DATA_ROOT_VARIABLE,
        ),
        Figure(
            "codec",
            "trainables/evaluation/README.md",
            (_people("codec", "--attacks", "none"),),
            8,
            of_people("codec", False),
            needs=DATA_ROOT_VARIABLE,
        ),
        Figure(
            "refit",
            "trainables/data/README.md",
            (_people("refit", "--seeds", "3"),),
            20,
            of_people("refit", False),
            needs=DATA_ROOT_VARIABLE,
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
        Figure(
            "penalty_space",
            "trainables/methods/README.md",
            (_people("penalty_space", "--attacks", "none"),),
            10,
            of_people("penalty_space", False, ("rms_distortion",)),
            needs=DATA_ROOT_VARIABLE,
        ),
        Figure(
            "dial",
            "trainables/methods/README.md",
            (_study("dial", "--tracking-uri", f"sqlite:///{STORAGE}/dial.db"),),
            25,
            of_dial,
        ),
        Figure("size_of_use", "analysis/USING.md", (_study("size_of_use"),), 25, of_sizes("size_of_use")),
        Figure("attacks", "trainables/attacks/README.md", (_study("attacks"),), 30, of_attacks("attacks")),
        Figure("people", "trainables/attacks/README.md", (_study("people"),), 10, of_risks("people")),
        Figure("effort", "trainables/attacks/README.md", (_study("effort"),), 30, of_effort),
        Figure(
            "search",
            _BENCHMARKS,
            (f"tests/benchmarks/search.py --storage {STORAGE}/search --picture {STORAGE}/search.png",),
            150,
            from_table,
            {"analysis/pictures/search.png": "search.png"},
        ),
        Figure("programme", "study/RUNNING.md", ("-m tests.benchmarks.programme",), 20, from_table),
        Figure("bench", _BENCHMARKS, (f"-m tests.benchmarks.speed --out {STORAGE}/bench.json",), 8, printed),
        Figure("beside_deface", _BENCHMARKS, ("-m tests.benchmarks.beside_deface",), 6, printed),
        Figure("gpu", _BENCHMARKS, ("-m tests.benchmarks.gpu --table",), 1, printed),
        Figure(
            "paper_size",
            _BENCHMARKS,
            (f"-m tests.benchmarks.paper_size --storage {STORAGE}/paper_size",),
            60,
            printed,
        ),
        Figure(
            "scale",
            _BENCHMARKS,
            (f"tests/benchmarks/scale.py --folder {STORAGE}/scale --out {STORAGE}/scale.json",),
            12,
            of_json("scale.json"),
        ),
        Figure("requests", _BENCHMARKS, ("-m tests.benchmarks.requests_s3",), 3, printed),
        Figure(
            "own_data",
            "trainables/data/README.md",
            ("-m tests.benchmarks.own_data",),
            15,
            printed,
            needs=DATA_ROOT_VARIABLE,
        ),
        Figure("contents", "trainables/data/README.md", ("-m tests.benchmarks.contents",), 2, printed),
        Figure("attackers", "trainables/attacks/README.md", ("-m tests.benchmarks.attackers",), 30, printed),
        Figure("coverage", "trainables/attacks/README.md", ("-m tests.benchmarks.coverage",), 4, printed),
        Figure("mutants", "tests/mutants/README.md", (f"-m tests.mutants --storage {STORAGE}/mutants --jobs 2",), 90, printed),
        Figure("chaos", "tests/chaos/README.md", ("tests/chaos",), 35, printed),
        Figure("chaos_early", "tests/chaos/README.md", ("tests/chaos --stop-early",), 45, printed),
        Figure("chaos_archive", "tests/chaos/README.md", ("tests/chaos --archive",), 30, printed),
    )
}
