"""The numbers that the paper prints, as typed cells read from `published_results.csv`, with notes on how to read them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from analysis.read.trials import RAW
from trainables.statistics import above_chance

Role = Literal["action", "privacy"]

TABLES: Mapping[int, str] = {
    1: "trained and tested on the same sets",
    2: "evaluated on data that the anonymizer never saw",
    3: "the penalty weight lambda at B = 0.3",
    5: "one anonymizer, several action classifiers f_T'",
    6: "an attacker f_B' who learned from raw images only",
    7: "several privacy classifiers f_B' from scratch",
    8: "several privacy classifiers f_B' from ImageNet weights",
}
# Tables that evaluate one anonymizer with several classifiers, and the role of these.
VARIED_CLASSIFIER: Mapping[int, Role] = {5: "action", 7: "privacy", 8: "privacy"}
# Mean prevalence of the attributes in the test data, near what a guesser is expected to have of many items.
# The paper prints none; VISPR2's is not known.
CHANCE_CMAP: Mapping[str, float] = {"vispr1": 0.248, "pa_hmdb51": 0.691, "vp_hmdb51": 0.584, "vp_ucf101": 0.582}

SCRATCH, UNKNOWN = "scratch", ""

_FILE = Path(__file__).with_name("published_results.csv")
_PENALTY = "penalty"


@dataclass(frozen=True)
class PaperRow:
    """The line of a table: the method and, for the penalty method, B and lambda."""

    method: str
    budget: float | None = None
    weight: float | None = None

    @property
    def name(self) -> str:
        if self.method != _PENALTY:
            return self.method.replace("_", " ")
        return f"ours B={self.budget:g} lambda={self.weight:g}"


@dataclass(frozen=True)
class Network:
    """A classifier used in evaluation. `weights` is `scratch`, a name or a file; either is empty where not known."""

    name: str = UNKNOWN
    weights: str = UNKNOWN

    @property
    def text(self) -> str:
        if not self.name:
            return "a network that is not named"
        return f"{self.name} ({f'from {self.weights}' if self.weights else 'weights not stated'})"

    def is_other_than(self, other: Network) -> bool:
        """Whether both are known well enough to say that they differ."""
        names = bool(self.name and other.name) and self.name != other.name
        return names or bool(self.weights and other.weights and self.weights != other.weights)


@dataclass(frozen=True)
class Printed:
    """One number of a table, as the fraction it is. `classifier`: what it was measured with, as far as known."""

    table: int
    row: PaperRow
    trained_on: str
    evaluated_on: str
    role: Role
    classifier: Network
    metric: str
    value: float
    notes: tuple[str, ...] = ()

    @property
    def chance(self) -> float | None:
        return CHANCE_CMAP.get(self.evaluated_on) if self.metric == "cmap" else None

    @property
    def leakage(self) -> float | None:
        """Leakage above chance, computed from cMAP and CHANCE_CMAP."""
        return None if self.chance is None else above_chance(self.value, self.chance)


@cache
def printed_cells(table: int) -> tuple[Printed, ...]:
    """Every number of a table, from top to bottom. Table 3 borrows the raw row of Table 1, with a note."""
    cells = [cell for cell in _every_cell() if cell.table == table]
    if table == 3:
        note = "the raw row is Table 1's; Table 3 prints none"
        raw = [cell for cell in _every_cell() if cell.table == 1 and cell.row.method == RAW]
        here = {(cell.trained_on, cell.evaluated_on) for cell in cells}
        cells = [
            replace(cell, table=3, notes=(*cell.notes, note)) for cell in raw if (cell.trained_on, cell.evaluated_on) in here
        ] + cells
    return tuple(_with_named_classifier(cell) for cell in cells)


@cache
def _every_cell() -> tuple[Printed, ...]:
    with _FILE.open(encoding="utf-8", newline="") as file:
        return tuple(_cell(line) for line in csv.DictReader(file))


def _cell(line: Mapping[str, str]) -> Printed:
    table, metric, method = int(line["table"]), line["metric"], line["method"]
    role: Role = "action" if line["role"] == "action" else "privacy"
    value = float(line["value"])
    numbers = (float(line["B"]), float(line["penalty_weight"])) if method == _PENALTY else (None, None)
    return Printed(
        table=table,
        row=PaperRow(method, *numbers),
        trained_on=line["trained_on"],
        evaluated_on=line["evaluated_on"],
        role=role,
        classifier=Network(line["classifier"], _weights(table, role, line["classifier"], line["pretrained"])),
        metric=metric,
        value=value if metric == "f1" else value / 100,
        notes=tuple(filter(None, [line["note"]])),
    )


def _weights(table: int, role: Role, classifier: str, stated: str) -> str:
    """What the column `pretrained` says, and where it is silent what the rest of the paper says."""
    if stated == "unstated":
        return UNKNOWN
    if stated:
        return SCRATCH if stated == "none" else stated
    if role == "privacy":
        return SCRATCH  # Table 7 prints the ResNet-50 row of Table 1 among those from scratch
    if not classifier:
        return UNKNOWN
    return SCRATCH if table == 5 else "kinetics400"  # Table 5 names Kinetics where it is used; I3D there is 20 points lower


def _with_named_classifier(cell: Printed) -> Printed:
    """Fills in a classifier that the table does not name from another table with the same number for the same thing.

    So SPACT in Table 1 was evaluated with R3D-18, the rows of the paper's own method beside it with I3D.
    """
    if cell.classifier.name:
        return cell
    place = (cell.trained_on, cell.evaluated_on, cell.metric)
    for other in _every_cell():
        same = other.row == cell.row and (other.trained_on, other.evaluated_on, other.metric) == place
        if not (other.classifier.name and same and other.value == cell.value):
            continue
        note = f"evaluated with {other.classifier.text}: Table {other.table} prints the same figure and names its classifier"
        for ours in _every_cell():
            beside = ours.table == cell.table and ours.row.method == _PENALTY
            there = (ours.trained_on, ours.evaluated_on, ours.metric) == place
            if beside and there and other.classifier.is_other_than(ours.classifier):
                note += f"; the paper's own rows beside it were evaluated with {ours.classifier.text}, so do not compare them"
                break
        return replace(cell, classifier=other.classifier, notes=(*cell.notes, note))
    return cell
