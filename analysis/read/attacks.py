"""What attackers learned from a trial's anonymized data: read from its artifacts, and set side by side over a study."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from mlflow import MlflowClient

from analysis.measure import settings as tables
from analysis.read.records import RAW, AnalysisError
from analysis.report import figures
from analysis.report.page import Section, Table, picture
from trainables import statistics
from trainables.schema import (
    ARTIFACT_ATTACKS,
    ATTACK,
    ATTACK_HIGH,
    ATTACK_LOW,
    ATTACK_NULL,
    ATTACK_RAW,
    ATTACK_VALID,
    FINAL_METRICS,
)
from trainables.statistics import Answers

RISKS = ("singling out", "linkability", "inference")  # of the EU's opinion on anonymisation, WP216
WORST, VALID = "worst_leakage", "controls_valid"
JUDGES = {"leakage": "f_B' on images", "clip_leakage": "f_B' on clips"}  # the trial's own, that count among the attackers
_PICTURES = (".png", ".jpg", ".jpeg")
_ENDS = (ATTACK_LOW, ATTACK_HIGH)
_DRAWN = (
    "Leakage by attack: raw, then the settings that leak least to their strongest attacker. Lines: 95 % intervals, over seeds"
    " or, with one seed, over test videos."
)


@dataclass(frozen=True)
class Control:
    """The same attack where its outcome is known: on `what`; `must` says in words what it must reach."""

    what: str
    leakage: float
    must: str
    holds: bool
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Attack:
    """One attack on one trial. Leakages are above chance, 1 = perfect; `low` and `high` bound the 95 % interval over test
    items. `effort`: what the attacker spent, by name; `curve`: (effort, leakage) in `effort_unit`; `items`: answers by test
    item; `worst`: names of those read most surely; `pictures`: files fetched beside the record, of what `caption` says.
    """

    name: str
    title: str
    question: str
    risk: str
    measure: str
    chance: float
    score: float
    leakage: float
    low: float
    high: float
    positive: Control
    negative: Control
    effort: Mapping[str, float] = field(default_factory=dict)
    effort_unit: str = "epochs"
    others: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[tuple[float, float], ...] = ()
    attributes: tuple[str, ...] = ()
    items: tuple[Mapping[str, Any], ...] = ()
    worst: tuple[str, ...] = ()
    pictures: tuple[Path, ...] = ()
    caption: str = ""
    notes: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether both controls landed where they must: otherwise the figures of the attack say nothing."""
        return self.positive.holds and self.negative.holds


def read_attacks(client: MlflowClient, run_id: str, folder: str | Path) -> list[Attack]:
    """The attacks of a trial, the strongest first; their files come into `folder`. None were made: an empty list.

    Raises AnalysisError for a record that cannot be read.
    """
    if not any(item.path == ARTIFACT_ATTACKS for item in client.list_artifacts(run_id)):
        return []
    there = Path(client.download_artifacts(run_id, ARTIFACT_ATTACKS, str(folder)))
    found = [_read(path) for path in sorted(there.glob("*.json"))]
    return sorted(found, key=lambda attack: -attack.leakage)


def answers_of(attack: Attack, sources: Mapping[str, str] | None = None) -> Answers | None:
    """The answers by test item, for a bootstrap; None where the record has none that make up its leakage.

    `sources`: what items were cut from, by name; an item that is not there stands for itself.
    """
    items = attack.items
    names = tuple(str(item["id"]) for item in items)
    groups = tuple(str(item.get("group") or (sources or {}).get(item["id"], item["id"])) for item in items)
    if not items:
        return None
    if all("labels" in item and "answers" in item for item in items):
        probabilities, labels = (np.array([item[key] for item in items], dtype=float) for key in ("answers", "labels"))
        return Answers(names, groups, statistics.leakage(probabilities, labels))
    scores, chances = (
        [float(item.get(key, other)) for item in items] for key, other in (("score", math.nan), ("chance", attack.chance))
    )
    figure = statistics.above_chance(statistics.mean(scores), statistics.mean(chances))
    # a score that does not add up to the leakage in the record would be bootstrapped into another figure
    if abs(float(figure(np.ones((1, len(items))))[0]) - attack.leakage) < 1e-3:
        return Answers(names, groups, figure)
    return None


def worst_answers(
    attacks: Sequence[Attack], judges: Sequence[Answers] = (), sources: Mapping[str, str] | None = None
) -> Answers | None:
    """Those of the strongest attacker, found anew in every draw of the bootstrap; the `judges` of the trial count as well.

    None unless every attack that counts has answers.
    """
    found = [answers_of(attack, sources) for attack in attacks if attack.valid]
    known = [answers for answers in found if answers is not None]
    return statistics.largest([*known, *judges]) if known and len(known) == len(found) else None


def names_of(trials: pd.DataFrame) -> list[str]:
    """Attacks that any of the trials has a figure of."""
    return sorted(str(n).removeprefix(ATTACK) for n in trials if str(n).startswith(ATTACK) and trials[n].notna().any())


def invalid(trials: pd.DataFrame) -> pd.Series:
    """Trials whose controls missed their level: their figures do not count. A trial that was not attacked is none of them."""
    return (trials[VALID] == 0).astype(bool) if VALID in trials else pd.Series(False, index=trials.index)


def section(trials: pd.DataFrame, settings: pd.DataFrame) -> Section | None:
    """What a report says of the attacks; None where none was made."""
    if not names_of(trials):
        return None
    what = (
        "Each attack tries in its own way to learn from anonymized data what they must not show. Leakage is what it reads above"
        " chance. Effort, controls, curves and frames of one anonymizer: python -m analysis evidence --trial RUN_ID --out DIR."
    )
    drawn = picture(_figure(trials, settings), "attacks", "Leakage by attack; the numbers are in the table below", _DRAWN)
    shown = (table(trials, settings), controls_table(trials))
    return Section("What attackers learn", (what, *summary(trials, settings)), (drawn,), shown)


def warnings_of(trials: pd.DataFrame) -> list[str]:
    """What a reader must know before any figure: whose controls missed their level."""
    broken = trials[invalid(trials)]
    if broken.empty:
        return []
    names = ", ".join(dict.fromkeys(map(str, broken["label"])))
    return [
        f"INVALID: controls of attacks missed their level in {len(broken)} of {len(trials)} trials ({names}). What these"
        " attacks read says nothing there, and the strongest attacker is not known."
    ]


def table(trials: pd.DataFrame, settings: pd.DataFrame) -> Table:
    """Settings x attacks, with intervals and whether controls held."""
    names = names_of(trials)
    columns = ["setting", "n", "strongest attacker %", "which", "controls", *(f"{_words(name)} %" for name in names)]
    rows = []
    for setting, row in settings.iterrows():
        of_setting = trials[trials["setting"] == setting]
        if of_setting[[ATTACK + name for name in names]].isna().all(axis=None):
            continue
        broken = int(invalid(of_setting).sum())
        held = "hold" if not broken else f"INVALID in {broken} of {len(of_setting)}"
        cells = [_cell(of_setting, row, name) for name in names]
        worst = tables.of(row, WORST)
        strongest = _strongest(of_setting, names) if worst.n else "–"
        rows.append([str(row["label"]), str(row["n"]), worst.text(), strongest, held, *cells])
    caption = (
        "Leakage above chance by attack: mean over seeds ± half of the 95 % t interval; with n = 1 the 95 % interval over test"
        " videos of that seed (what other videos would give, not what another training would). The strongest attacker is the"
        " one with the largest leakage among those whose controls hold. A cell marked INVALID is of an attack that missed the"
        " level of a control and says nothing."
    )
    return Table(caption, columns, rows)


def controls_table(trials: pd.DataFrame) -> Table:
    """What each attack reads in raw data, and where there is nothing to read."""
    rows = []
    for name in names_of(trials):
        made = trials[trials[ATTACK + name].notna()]
        valid = made[ATTACK_VALID + name] if ATTACK_VALID + name in made else pd.Series(math.nan, index=made.index)
        cells = [_range(made, ATTACK_RAW + name), _range(made, ATTACK_NULL + name), f"{int((valid == 1).sum())} of {len(made)}"]
        rows.append([_words(name), *cells])
    caption = (
        "Controls of each attack, leakage in percent over all trials: on raw data it must read what is there, where there is"
        " nothing to read it must land at chance. A weak attack is so told from a good anonymizer."
    )
    return Table(caption, ["attack", "on raw data %", "with nothing to read %", "controls hold in trials"], rows)


def summary(trials: pd.DataFrame, settings: pd.DataFrame) -> list[str]:
    """What the attacks amount to, a sentence each."""
    names = names_of(trials)
    if not names:
        return []
    lines = warnings_of(trials)
    broken = trials[invalid(trials)]
    sound = settings[~settings.index.isin(broken["setting"])]
    known = sound[(sound["method"] != RAW)].dropna(subset=[WORST]) if WORST in sound else sound.iloc[:0]
    if len(known):
        best = known.sort_values(WORST).iloc[0]
        raw = settings[settings["method"] == RAW]
        strongest = _strongest(trials[trials["setting"] == best.name], names)
        lines.append(
            f"Against the strongest of {len(names)} attackers {best['label']} leaks least,"
            f" {_percent(best, WORST)} (by: {strongest})"
            + (f"; raw data {_percent(raw.iloc[0], WORST)}" if len(raw) and tables.of(raw.iloc[0], WORST).n else "")
            + f". The one retrained classifier of the field's habit reads {_percent(best, 'leakage')} there."
        )
    made = trials[[ATTACK + name for name in names]].notna().any(axis=1)
    never = sorted(set(map(str, settings["label"])) - set(map(str, trials.loc[made, "label"])))
    if never:
        lines.append(f"Not attacked: {', '.join(never)}.")
    return lines


def _figure(trials: pd.DataFrame, settings: pd.DataFrame) -> Figure:
    """A line an attack, a mark a setting: raw, then those that leak least to their strongest attacker."""
    names = names_of(trials)
    known = settings.dropna(subset=[ATTACK + name for name in names], how="all")
    known = known.assign(first=(known["method"] != RAW).astype(int)).sort_values(["first", WORST]).iloc[: len(figures.PALETTE)]
    labels = figures.distinct_part([str(label) for label in known["label"]])
    with matplotlib.rc_context(figures.STYLE):
        figure = figures.canvas((figures.PANEL[0], 1.2 + 0.4 * len(names)))
        axes = figure.subplots()
        for number, (setting, row) in enumerate(known.iterrows()):
            of_setting = trials[trials["setting"] == setting]
            points = [(line, *_reach(of_setting, row, name)) for line, name in enumerate(names)]
            at, value, low, high = np.array([point for point in points if not math.isnan(point[1])]).reshape(-1, 4).T
            across = (number - (len(known) - 1) / 2) * 0.6 / len(known)
            axes.errorbar(
                100 * value,
                at + across,
                xerr=100 * np.maximum(0, [value - low, high - value]),
                fmt=figures.MARKERS[number],
                color=figures.PALETTE[number],
                ms=4,
                lw=1,
                label=figures.short(labels[str(row["label"])]),
            )
        axes.axvline(0, color=figures.GREY, ls=":", lw=1)
        axes.set(xlabel="leakage above chance %", yticks=range(len(names)), yticklabels=[_words(name) for name in names])
        axes.invert_yaxis()
        figures.legend_below(figure, 3)
        return figure


def _reach(trials: pd.DataFrame, row: pd.Series, name: str) -> tuple[float, float, float]:
    """Leakage of a setting and the ends of its interval: over seeds, with one seed over test videos. NaN if invalid."""
    if _missed(trials, name):
        return math.nan, math.nan, math.nan
    value = tables.of(row, ATTACK + name)
    if value.n > 1:
        return value.mean, value.mean - value.half_width, value.mean + value.half_width
    low, high = (float(trials[prefix + name].mean()) if prefix + name in trials else math.nan for prefix in _ENDS)
    return value.mean, low, high


def not_recorded(trials: pd.DataFrame, metric: str) -> str:
    """What to do about a figure of the attacks that no trial has; empty where one has it, and for all other metrics."""
    if metric not in (WORST, VALID) or (metric in trials and trials[metric].notna().any()):
        return ""
    return f"no trial has {FINAL_METRICS[metric].label} ({metric}): run the study with --attacks standard"


def _read(path: Path) -> Attack:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        low, high = record.get("interval") or (math.nan, math.nan)
        pictures = (path.parent / Path(name).name for name in record.get("pictures", ()))
        return Attack(
            name=str(record["name"]),
            title=str(record.get("title") or record["name"]),
            question=str(record.get("question", "")),
            risk=str(record.get("risk", "")),
            measure=str(record.get("measure", "")),
            chance=_number(record.get("chance")),
            score=_number(record.get("score")),
            leakage=float(record["leakage"]),
            low=_number(low),
            high=_number(high),
            positive=_control(record["controls"]["positive"], "the same attack on raw data"),
            negative=_control(record["controls"]["negative"], "the same attack where nothing is to be read"),
            effort={str(name): float(value) for name, value in record.get("effort", {}).items() if value is not None},
            effort_unit=str(record.get("curve_unit", "epochs")),
            others={str(name): float(value) for name, value in (record.get("others") or {}).items() if value is not None},
            curve=tuple((float(point["effort"]), float(point["leakage"])) for point in record.get("curve", ())),
            attributes=tuple(map(str, record.get("attributes", ()))),
            items=tuple(record.get("items", ())),
            worst=tuple(map(str, record.get("worst", ()))),
            pictures=tuple(file for file in pictures if file.suffix.lower() in _PICTURES and file.is_file()),
            caption=str(record.get("caption") or ""),
            notes=tuple(map(str, (*record.get("problems", ()), *record.get("notes", ())))),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise AnalysisError(f"{ARTIFACT_ATTACKS}/{path.name} is no record of an attack ({reason[:200]})") from None


def _control(record: Mapping[str, Any], what: str) -> Control:
    low, high = map(_number, record.get("interval") or (math.nan, math.nan))
    words = str(record.get("what") or what), str(record.get("must", ""))
    return Control(words[0], float(record["leakage"]), words[1], bool(record["holds"]), low, high)


def _number(value: object) -> float:
    return math.nan if value is None else float(value)  # type: ignore[arg-type]


def _cell(trials: pd.DataFrame, row: pd.Series, name: str) -> str:
    value = tables.of(row, ATTACK + name)
    text = value.text()
    low, high = (
        float(trials[prefix + name].mean()) if prefix + name in trials else math.nan for prefix in (ATTACK_LOW, ATTACK_HIGH)
    )
    if value.n == 1 and not math.isnan(low):
        text = f"{text.removesuffix(' (n = 1)')} (n = 1; {100 * low:z.1f} to {100 * high:z.1f})".replace("-", "−")
    return f"{text} INVALID" if _missed(trials, name) else text


def _missed(trials: pd.DataFrame, name: str) -> bool:
    return bool(ATTACK_VALID + name in trials and (trials[ATTACK_VALID + name] == 0).any())


def _strongest(trials: pd.DataFrame, names: Sequence[str]) -> str:
    """Who reads most in the mean over the trials of a setting: a judge of the trial, or an attack whose controls hold."""
    valid = {
        name: trials.loc[trials.get(ATTACK_VALID + name, pd.Series(1.0, index=trials.index)) == 1, ATTACK + name].mean()
        for name in names
    }
    judges = {label: trials[metric].mean() for metric, label in JUDGES.items() if metric in trials}
    known = {name: value for name, value in {**judges, **valid}.items() if not math.isnan(value)}
    return _words(max(known, key=known.__getitem__)) if known else "–"


def _range(trials: pd.DataFrame, metric: str) -> str:
    """The figures of all trials, from the least to the largest."""
    known = trials[metric].dropna() if metric in trials else pd.Series(dtype=float)
    if known.empty:
        return "–"
    ends = [f"{100 * value:z.1f}".replace("-", "−") for value in (known.min(), known.max())]
    return f"{' to '.join(dict.fromkeys(ends))} (n = {len(known)})"


def _percent(row: pd.Series, metric: str) -> str:
    value = tables.of(row, metric)
    return f"{value.text().removesuffix(' (n = 1)')}\N{NO-BREAK SPACE}% (n = {value.n})"


def _words(name: str) -> str:
    return name.replace("_", " ")
