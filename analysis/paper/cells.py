"""Our cells beside the paper's: every line of every table, run or not, and the ways in which the two differ."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis.measure.settings import NEAR_CHANCE, of
from analysis.paper.published import CHANCE_CMAP, SCRATCH, VARIED_CLASSIFIER, Network, PaperRow, Printed, Role, printed_cells
from analysis.read.trials import PARAM, RAW
from analysis.text import listed
from search_spaces.plan import plan_study
from search_spaces.profiles import PROFILES
from search_spaces.protocols import Protocol
from search_spaces.registry import Space, load_spaces
from trainables.config import ConfigError, TrialConfig, flatten
from trainables.methods import METHODS
from trainables.statistics import Estimate, above_chance

METRICS = ("top1", "cmap", "f1")
ROLE_OF: Mapping[str, Role] = {"top1": "action", "cmap": "privacy", "f1": "privacy"}
SYMBOL: Mapping[Role, str] = {"action": "f_T'", "privacy": "f_B'"}

_MOST_NAMED = 3  # changed parameters named in a difference
_PARAM_LENGTH = 500  # MLflow may hold no more of a parameter
_ROW_KEYS = {"method", "minimax.distortion_budget", "minimax.penalty_weight"}
# Which of our figures stands beside a printed one, and its chance, by what the protocol measures leakage on.
_OURS = {
    "cmap": {"top1": "top1", "cmap": "cmap", "f1": "macro_f1"},
    "clip_cmap": {"top1": "top1", "cmap": "clip_cmap", "f1": "clip_macro_f1"},
}
_CHANCE = {
    "cmap": {"top1": "chance_top1", "cmap": "chance_cmap"},
    "clip_cmap": {"top1": "chance_top1", "cmap": "clip_chance_cmap"},
}
_NONE = Estimate(math.nan, math.nan, 0)


@dataclass(frozen=True)
class Cell:
    """A number of ours (n = 0: not run) beside the paper's (None: not printed), as fractions.

    `differs`: the ways in which ours was measured differently. `notes`: what else to know of either number.
    """

    metric: str
    ours: Estimate = _NONE
    chance: Estimate = _NONE
    printed: Printed | None = None
    classifier: Network = field(default_factory=Network)
    differs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def difference(self) -> float | None:
        return None if self.printed is None or not self.ours.n else self.ours.mean - self.printed.value


@dataclass(frozen=True)
class Line:
    """One line of a block. `ours`: its row of the settings table, None where it was not run.

    `planned`: whether the space has it in the profile that is shown.
    """

    name: str
    row: PaperRow
    cells: Mapping[str, Cell]
    ours: pd.Series | None = None
    planned: bool = True

    @property
    def lacking(self) -> tuple[str, ...]:
        return tuple(metric for metric, cell in self.cells.items() if not cell.ours.n)


@dataclass(frozen=True)
class Block:
    """The lines of a table under one protocol and, in the tables of backbones, one classifier."""

    table: int
    space: str
    protocol: Protocol
    metrics: tuple[str, ...]
    lines: tuple[Line, ...]
    classifier: Network | None = None

    @property
    def is_printed(self) -> bool:
        """Whether the paper prints any cell of the block; a classifier that only we have gets a block as well."""
        return any(cell.printed for line in self.lines for cell in line.cells.values())

    @property
    def chance_of_paper(self) -> float | None:
        return CHANCE_CMAP.get(measured_on(self.protocol, "cmap"))


def measured_on(protocol: Protocol, metric: str) -> str:
    """The name, as in the paper's tables, of the data on which a protocol measures a metric."""
    if metric == "top1":
        return protocol.action or ""
    return protocol.privacy or str(protocol.values.get("data.test_privacy.name", ""))


def spaces_of(table: int) -> dict[str, Space]:
    """The spaces of a table by name, in the order of its columns."""
    spaces = load_spaces()
    found = {name: spaces[name] for name in spaces if spaces[name].table == table}
    columns = list(dict.fromkeys(cell.evaluated_on for cell in printed_cells(table)))

    def place(name: str) -> int:
        names = (found[name].protocols[0].action, found[name].protocols[0].privacy)
        return min((columns.index(data) for data in names if data in columns), default=len(columns))

    return {name: found[name] for name in sorted(found, key=place)}


def blocks_of(table: int, name: str, space: Space, profile: str | None, settings: pd.DataFrame) -> list[Block]:
    """The blocks of a space: every line that the table prints under its protocols, that it plans, or that was run.

    `settings`: the table of `measure.settings.settings_table`, empty where nothing was run; then `profile` is None.
    """
    planned = _planned_parameters(name, profile) if profile else {}
    return [
        block
        for protocol in space.protocols
        for classifier in _classifiers(table, space, protocol, profile, settings)
        if (block := _block(table, name, space, protocol, classifier, profile, settings, planned)).lines
    ]


def report_blocks(name: str, profile: str, settings: pd.DataFrame) -> list[Block]:
    """The blocks that the report of one study shows: those of the table its space belongs to.

    A space without a table, such as the sweep of Figure 3, is set beside Table 1 if it varies only what distinguishes the
    rows of that table, and has one of its anonymized rows. Spaces that are not registered have no blocks.
    """
    spaces = load_spaces()
    if name not in spaces:
        return []
    space = spaces[name]
    if space.table is None and not all(_ROW_KEYS.issuperset(values) for values in space.settings):
        return []
    blocks = blocks_of(space.table or 1, name, space, profile, settings)
    common = [line for block in blocks for line in block.lines if line.row.method != RAW and in_both(line)]
    return blocks if space.table or common else []


def in_both(line: Line) -> bool:
    """Whether at least one cell of the line is both printed and run."""
    return any(cell.difference is not None for cell in line.cells.values())


def row_of(values: Mapping[str, Any]) -> PaperRow:
    """The line of a setting, from dotted keys of TrialConfig."""
    method = str(values.get("method", "penalty"))
    if method != "penalty":
        return PaperRow(method)
    default = TrialConfig().minimax
    budget = values.get("minimax.distortion_budget", default.distortion_budget)
    return PaperRow(method, _number(budget), _number(values.get("minimax.penalty_weight", default.penalty_weight)))


def classifier_of(values: Mapping[str, Any], role: Role) -> Network:
    """The classifier of a setting, from dotted keys of TrialConfig."""
    weights = str(values.get(f"evaluate_{role}.classifier.weights"))
    name = values.get(f"evaluate_{role}.classifier.name")
    return Network("" if name is None else str(name), SCRATCH if weights in ("None", "nan") else weights)


def parameters(ours: pd.Series) -> dict[str, Any]:
    """The configuration of a row of the settings table, by dotted key; missing values are left out."""
    values = {str(key).removeprefix(PARAM): value for key, value in ours.items() if str(key).startswith(PARAM)}
    return {key: value for key, value in values.items() if not pd.isna(value)} | {"method": ours["method"]}


def approximate(method: str) -> str:
    """What is unknown of a method that was never fully published; empty for other methods."""
    return METHODS[method].approximate if method in METHODS else ""


def _block(
    table: int,
    name: str,
    space: Space,
    protocol: Protocol,
    classifier: Network | None,
    profile: str | None,
    settings: pd.DataFrame,
    planned: Mapping[Any, Mapping[str, Any]],
) -> Block:
    role = VARIED_CLASSIFIER.get(table)
    printed = [
        cell
        for cell in printed_cells(table)
        if belongs(cell, protocol) and (classifier is None or _same_classifier(cell.classifier, classifier))
    ]
    metrics = _metrics(protocol, [cell for cell in printed_cells(table) if belongs(cell, protocol)])
    own = [
        row_of(values)
        for values in space.settings_for(profile or "paper")
        if classifier is None or role is None or _same_classifier(classifier, classifier_of(values, role))
    ]
    run: dict[PaperRow, list[tuple[tuple[str, ...], pd.Series]]] = {}
    for _, ours in _under(settings, space, protocol):
        values = parameters(ours)
        if classifier is not None and role is not None and not _same_classifier(classifier, classifier_of(values, role)):
            continue
        row = row_of(values)
        plan = planned.get((protocol.name, row, classifier_of(values, role) if role else None))
        run.setdefault(row, []).append((_changed(values, plan) if plan else (), ours))
    own_and_run = own + list(run) if space.table == table else [row for row in run if any(row == cell.row for cell in printed)]
    lines = []
    order = list(dict.fromkeys(cell.row for cell in printed_cells(table)))  # of all columns: none prints every row
    rows = dict.fromkeys([cell.row for cell in printed] + own_and_run)
    for row in sorted(rows, key=lambda row: order.index(row) if row in order else len(order)):
        here = {cell.metric: cell for cell in printed if cell.row == row}
        # The setting nearest to the plan, then the one with most seeds, stands beside the paper; variants follow.
        candidates = sorted(run.get(row, []), key=lambda candidate: (len(candidate[0]), -int(candidate[1]["n"])))
        for number, (changed, ours) in enumerate(candidates):
            label = _line_name(row) + (f" [{ours['label']}]" if number else "")
            cells = {metric: _cell(metric, here.get(metric), protocol, ours, profile, changed) for metric in metrics}
            lines.append(Line(label, row, cells, ours, row in own))
        if not candidates:
            cells = {metric: Cell(metric, printed=here.get(metric), notes=_notes(here.get(metric))) for metric in metrics}
            lines.append(Line(_line_name(row), row, cells, planned=row in own))
    return Block(table, name, protocol, metrics, tuple(lines), classifier)


def _cell(
    metric: str, printed: Printed | None, protocol: Protocol, ours: pd.Series, profile: str | None, changed: tuple[str, ...]
) -> Cell:
    role = ROLE_OF[metric]
    classifier = classifier_of(parameters(ours), role)
    value = of(ours, _OURS[protocol.privacy_metric][metric])
    chance_name = _CHANCE[protocol.privacy_metric].get(metric)
    chance = of(ours, chance_name) if chance_name else _NONE
    differs: list[str] = []
    if value.n:
        differs += [_profile_differs(profile)] if profile and profile != "paper" else []
        differs += _classifier_differs(role, classifier, printed.classifier) if printed else []
        if printed and printed.trained_on != protocol.trained_on:
            differs.append(f"trained on {protocol.trained_on}; the paper: {printed.trained_on}")
        differs += changed
    notes = [*_notes(printed)]
    if metric == "cmap" and value.n and chance.n:
        notes += _near_chance("our", value.mean, chance.mean)
    return Cell(metric, value, chance, printed, classifier, tuple(differs), tuple(notes))


def _notes(printed: Printed | None) -> tuple[str, ...]:
    if printed is None:
        return ()
    near = _near_chance("the paper's", printed.value, printed.chance) if printed.chance is not None else []
    return (*printed.notes, *near)


def _near_chance(whose: str, cmap: float, chance: float) -> list[str]:
    leakage = above_chance(cmap, chance) if chance < 1 else 0.0
    if leakage < 0:
        return [f"{whose} cMAP is below chance: it measures the attacker, not the anonymizer"]
    return [f"{whose} cMAP is near chance (leakage under {100 * NEAR_CHANCE:.0f} %)"] if leakage < NEAR_CHANCE else []


def _profile_differs(profile: str) -> str:
    if profile not in PROFILES:
        return f"profile {profile}"
    what = "generated data" if PROFILES[profile].generated else "smaller networks and clips"
    return f"{what} (profile {profile}: {PROFILES[profile].meaning})"


def _classifier_differs(role: Role, ours: Network, theirs: Network) -> list[str]:
    if not theirs.name:
        return [f"{SYMBOL[role]} {ours.text}; the paper does not name its own"]
    if ours.is_other_than(theirs):
        return [f"{SYMBOL[role]} {ours.text}; the paper: {theirs.text}"]
    return [] if theirs.weights else [f"{SYMBOL[role]} {ours.text}; the paper does not say from which weights"]


def _line_name(row: PaperRow) -> str:
    return row.name + (" (approximate)" if approximate(row.method) else "")


def _metrics(protocol: Protocol, printed: Iterable[Printed]) -> tuple[str, ...]:
    """The metrics the table prints, and the leakage where the protocol measures it although the table does not print it."""
    there = {cell.metric for cell in printed}
    if protocol.privacy is None and "data.test_privacy.name" in protocol.values:
        there |= {"cmap", "f1"}
    return tuple(metric for metric in METRICS if metric in there)


def belongs(cell: Printed, protocol: Protocol) -> bool:
    """Whether a printed cell was measured under a protocol. STPrivacy trains on clips only and belongs all the same."""
    trained = cell.trained_on == protocol.trained_on or protocol.trained_on.startswith(f"{cell.trained_on}+")
    return trained and cell.evaluated_on == (protocol.action if cell.role == "action" else protocol.privacy)


def _classifiers(
    table: int, space: Space, protocol: Protocol, profile: str | None, settings: pd.DataFrame
) -> Sequence[Network | None]:
    """The classifiers that get blocks: printed ones first, then those of the space in this profile, then those of runs."""
    role = VARIED_CLASSIFIER.get(table)
    if role is None:
        return [None]
    found = list(dict.fromkeys(cell.classifier for cell in printed_cells(table) if belongs(cell, protocol)))
    values = [*space.settings_for(profile or "paper"), *(parameters(ours) for _, ours in _under(settings, space, protocol))]
    for classifier in (classifier_of(value, role) for value in values):
        if not any(_same_classifier(other, classifier) for other in found):
            found.append(classifier)
    return found


def _same_classifier(one: Network, other: Network) -> bool:
    """Whether name and weights are equal; weights that the paper does not state count as equal to ours."""
    return one.name == other.name and not one.is_other_than(other)


def _under(settings: pd.DataFrame, space: Space, protocol: Protocol) -> Iterator[tuple[Any, pd.Series]]:
    """The settings measured under a protocol. Runs without the tag are older than it; their space had one protocol only."""
    tags = {protocol.name, ""} if len(space.protocols) == 1 else {protocol.name}
    for setting, ours in settings.iterrows():
        if ours["protocol_tag"] in tags:
            yield setting, ours


def _planned_parameters(name: str, profile: str) -> dict[Any, dict[str, Any]]:
    """The full configuration of every planned trial; empty where the space cannot be planned (a method is missing)."""
    role = VARIED_CLASSIFIER.get(load_spaces()[name].table or 0)
    try:
        trials = plan_study(name, profile, (0,), {}).trials
    except ConfigError:
        return {}
    return {
        (trial.protocol, row_of(trial.varied), classifier_of(flat, role) if role else None): flat
        for trial in trials
        if (flat := flatten(trial.config))
    }


def _changed(values: Mapping[str, Any], planned: Mapping[str, Any]) -> tuple[str, ...]:
    """The parameters in which a run differs from its space as it is now: set on the command line, or the space changed."""
    if values["method"] == RAW:  # it trains no anonymizer
        planned = {key: value for key, value in planned.items() if not key.startswith(("reconstruct.", "warm_up.", "minimax."))}
    irrelevant = ("seed", "attacks.")  # these change no cell of a table
    other = [
        key for key in planned if key in values and not key.startswith(irrelevant) and not _equal(values[key], planned[key])
    ]
    if not other:
        return ()
    named = listed((f"{key}={values[key]} ({planned[key]})" for key in other), most=_MOST_NAMED)
    return (f"run otherwise than the space says (in brackets): {named}",)


def _equal(one: Any, other: Any) -> bool:
    if str(one) == str(other)[:_PARAM_LENGTH]:
        return True
    try:
        return float(one) == float(other)
    except (TypeError, ValueError):
        return False


def _number(value: Any) -> float:
    try:
        return round(float(value), 6)
    except (TypeError, ValueError):
        return math.nan
