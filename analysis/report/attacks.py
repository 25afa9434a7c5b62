"""What attackers learned from the anonymized data of a study: the section of the report, its figure, tables and warnings."""

from __future__ import annotations

import math
from collections import Counter

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import text
from analysis.measure.settings import of
from analysis.read.attacks import WORST, attacker_words, declared_assets, invalid, names_of, strongest_of
from analysis.read.study import RecordedStudy
from analysis.read.trials import RAW
from analysis.report.drawing import GREY, LABEL_LENGTH, MARKERS, PALETTE, PANEL, STYLE, canvas, distinct_part, legend_below
from analysis.report.page import Section, Table, picture
from trainables.attacks.shared.assets import ASSETS
from trainables.schema import (
    ATTACK,
    ATTACK_CONVERGED,
    ATTACK_HIGH,
    ATTACK_LOW,
    ATTACK_NULL,
    ATTACK_PERMUTED,
    ATTACK_RAW,
    ATTACK_VALID,
    VALIDATION,
)

_DRAWN = (
    "Leakage by attack: raw, then the settings that leak least to their strongest attacker. Lines: 95 % intervals, over seeds"
    " or, with one seed, over test videos."
)


def section(study: RecordedStudy, settings: pd.DataFrame) -> Section | None:
    """The section; None where no trial was attacked."""
    trials = study.trials
    if not names_of(trials):
        return None
    what = (
        "Each attack tries in its own way to learn from anonymized data what they must not show. Leakage is what it reads above"
        " chance. Effort, controls, curves and frames of one anonymizer: python -m analysis evidence --trial RUN_ID --out DIR."
    )
    drawn = picture(_figure(trials, settings), "attacks", "Leakage by attack; the numbers are in the table below", _DRAWN)
    shown = (table(trials, settings), controls_table(trials), attackers_table(trials))
    return Section("What attackers learn", (what, *summary(trials, settings)), (drawn,), shown)


def warnings_of(trials: pd.DataFrame) -> list[str]:
    """Warns of the settings whose attacks missed a control, and of attacks that had not converged."""
    lines = []
    rising = [name for name in names_of(trials) if ATTACK_CONVERGED + name in trials]
    counts = {name: int((trials[ATTACK_CONVERGED + name] == 0).sum()) for name in rising}
    if any(counts.values()):
        told = text.listed(f"{text.words(name)} in {count} of {len(trials)} trials" for name, count in counts.items() if count)
        lines.append(
            f"Not converged: {told}. Leakage still rose in the last quarter of the attacker's effort, or was measured too"
            " seldom to tell: with more effort (attacks.epochs) these attacks may read more."
        )
    broken = trials[invalid(trials)]
    if broken.empty:
        return lines
    names = text.listed(dict.fromkeys(broken["label"]))
    return [
        *lines,
        f"INVALID: controls of attacks missed their level in {len(broken)} of {len(trials)} trials ({names}). What these"
        " attacks read says nothing there, and the strongest attacker is not known.",
    ]


def table(trials: pd.DataFrame, settings: pd.DataFrame) -> Table:
    """One row a setting, one column an attack, with intervals and whether controls held."""
    names = names_of(trials)
    columns = ["setting", "n", "strongest attacker %", "which", "controls", *(f"{text.words(name)} %" for name in names)]
    rows = []
    for setting, row in settings.iterrows():
        of_setting = trials[trials["setting"] == setting]
        if of_setting[[ATTACK + name for name in names]].isna().all(axis=None):
            continue
        broken = int(invalid(of_setting).sum())
        held = "hold" if not broken else f"INVALID in {broken} of {len(of_setting)}"
        cells = [_cell(of_setting, row, name) for name in names]
        worst = of(row, WORST)
        strongest = _strongest(of_setting) if worst.n else text.DASH
        rows.append([str(row["label"]), str(row["n"]), text.mean(worst), strongest, held, *cells])
    caption = (
        "Leakage above chance by attack: mean over seeds ± half of the 95 % t interval; with n = 1, in brackets, the"
        " 95 % interval over the sources or people of that seed's test videos (what other videos would give, not"
        " what another training would)."
        " The strongest attacker is the one that reads most of attributes in validation items, among those whose controls hold."
        " Its leakage here is of test items, so that others may lie above it. Compare settings attack by attack: the searches"
        " for people are on a scale of their own. A cell marked INVALID is of an attack that missed the level of a control and"
        " says nothing."
    )
    return Table(caption, columns, rows)


def controls_table(trials: pd.DataFrame) -> Table:
    """The leakage that each attack reads from raw data, and where there is nothing to read."""
    rows = []
    for name in names_of(trials):
        made = trials[trials[ATTACK + name].notna()]
        valid = made[ATTACK_VALID + name] if ATTACK_VALID + name in made else pd.Series(math.nan, index=made.index)
        cells = [_range(made, prefix + name) for prefix in (ATTACK_RAW, ATTACK_NULL, ATTACK_PERMUTED)]
        cells.append(f"{int((valid == 1).sum())} of {len(made)}")
        rows.append([text.words(name), *cells])
    caption = (
        "Controls of each attack, leakage in percent over all trials: on raw data it must read what is there; on blank frames,"
        " and of labels that sources have exchanged, it must read nothing. A weak attack is so told from a good anonymizer, and"
        " a test that gives its answers away from a strong attack."
    )
    columns = ["attack", "on raw data %", "on blank frames %", "with exchanged labels %", "controls hold in trials"]
    return Table(caption, columns, rows)


def attackers_table(trials: pd.DataFrame) -> Table:
    """What the attacker of each attack had; a dash for an attack that is not known here."""
    rows = []
    for name in names_of(trials):
        has = declared_assets(name)
        words = text.DASH if has is None else text.listed(ASSETS[asset].name for asset in has)
        rows.append([text.words(name), words])
    caption = "What the attacker of each attack had. What it did not learn, one that has more may learn."
    return Table(caption, ("attack", "its attacker had"), rows)


def summary(trials: pd.DataFrame, settings: pd.DataFrame) -> list[str]:
    """Sentences on the setting that leaks least on validation data, the warnings, and the settings that were not attacked."""
    names = names_of(trials)
    if not names:
        return []
    lines = warnings_of(trials)
    broken = trials[invalid(trials)]
    sound = settings[~settings.index.isin(broken["setting"])]
    anonymized = sound[sound["method"] != RAW].reindex(columns=list(dict.fromkeys([*sound, VALIDATION + WORST])))
    known = anonymized.dropna(subset=[WORST, VALIDATION + WORST]) if WORST in sound else sound.iloc[:0]
    if len(known):
        best = known.sort_values(VALIDATION + WORST, kind="stable").iloc[0]
        raw = settings[settings["method"] == RAW]
        strongest = _strongest(trials[trials["setting"] == best.name])
        leaks, field = (text.metric_mean_with_n(name, of(best, name)) for name in (WORST, "leakage"))
        of_raw = text.metric_mean_with_n(WORST, of(raw.iloc[0], WORST)) if len(raw) and of(raw.iloc[0], WORST).n else ""
        lines.append(
            f"Against the strongest of {len(names)} attackers {best['label']} leaks least on validation data; on test data"
            f" {leaks} (by: {strongest})"
            + (f"; raw data {of_raw}" if of_raw else "")
            + f". The one retrained classifier of the field's habit reads {field} there."
        )
    made = trials[[ATTACK + name for name in names]].notna().any(axis=1)
    never = sorted(set(map(str, settings["label"])) - set(map(str, trials.loc[made, "label"])))
    if never:
        lines.append(f"Not attacked: {text.listed(never)}.")
    return lines


def _figure(trials: pd.DataFrame, settings: pd.DataFrame) -> Figure:
    """Draws a row for each attack with a mark for each setting: raw, then those that leak least to their strongest attacker."""
    names = names_of(trials)
    known = settings.dropna(subset=[ATTACK + name for name in names], how="all")
    known = known.assign(first=(known["method"] != RAW).astype(int)).sort_values(["first", WORST]).iloc[: len(PALETTE)]
    labels = distinct_part([str(label) for label in known["label"]])
    with matplotlib.rc_context(STYLE):
        figure = canvas((PANEL[0], 1.2 + 0.4 * len(names)))
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
                fmt=MARKERS[number],
                color=PALETTE[number],
                ms=4,
                lw=1,
                label=text.clipped(labels[str(row["label"])], LABEL_LENGTH),
            )
        axes.axvline(0, color=GREY, ls=":", lw=1)
        axes.set(xlabel="leakage above chance %", yticks=range(len(names)), yticklabels=[text.words(name) for name in names])
        axes.invert_yaxis()
        legend_below(figure, 3)
        return figure


def _reach(trials: pd.DataFrame, row: pd.Series, name: str) -> tuple[float, float, float]:
    """The leakage of a setting and the ends of its interval, over seeds or, with one seed, over test videos; NaN if invalid."""
    if _missed(trials, name):
        return math.nan, math.nan, math.nan
    value = of(row, ATTACK + name)
    if value.n > 1:
        return value.mean, value.mean - value.half_width, value.mean + value.half_width
    return (value.mean, *_ends(trials, name))


def _cell(trials: pd.DataFrame, row: pd.Series, name: str) -> str:
    value = of(row, ATTACK + name)
    found = text.brief(WORST, value, _ends(trials, name), count=True)  # as the strongest one, a leakage above chance
    if ATTACK_CONVERGED + name in trials and (trials[ATTACK_CONVERGED + name] == 0).any():
        found += " not converged"
    return f"{found} INVALID" if _missed(trials, name) else found


def _ends(trials: pd.DataFrame, name: str) -> tuple[float, float]:
    """The ends of the interval over test videos, each the mean over the trials; NaN where none was recorded."""
    low, high = (
        float(trials[prefix + name].mean()) if prefix + name in trials else math.nan for prefix in (ATTACK_LOW, ATTACK_HIGH)
    )
    return low, high


def _missed(trials: pd.DataFrame, name: str) -> bool:
    return bool(ATTACK_VALID + name in trials and (trials[ATTACK_VALID + name] == 0).any())


def _strongest(trials: pd.DataFrame) -> str:
    """The attackers that are strongest on validation data over the trials of a setting, each with the number of its trials."""
    counts = Counter(attacker_words(name) for _, trial in trials.iterrows() if (name := strongest_of(trial)))
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{name} ({count} of {counts.total()})" for name, count in counts.most_common()) or text.DASH


def _range(trials: pd.DataFrame, metric: str) -> str:
    """The least and the largest figure of all trials, in percent."""
    known = trials[metric].dropna() if metric in trials else pd.Series(dtype=float)
    if known.empty:
        return text.DASH
    ends = [text.number(100 * value) for value in (known.min(), known.max())]
    return f"{' to '.join(dict.fromkeys(ends))} (n = {len(known)})"
