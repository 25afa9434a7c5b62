"""Choosing a setting by a rule: what may not be exceeded, what is preferred, or the knee of the front. No torch.

Settings are compared by the means over seeds of their validation figures; test figures are read for the one that was chosen.
Only settings measured by one protocol are compared, and raw is never chosen.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import text
from analysis.deploy.exportable import named, not_exportable
from analysis.measure.pareto import knee, non_dominated
from analysis.measure.plane import Plane
from analysis.measure.settings import OF_IMAGES, PROTOCOL, of, setting_means, settings_table, shown_by_no_image
from analysis.measure.unanswered import CANNOT, HELP, reasons
from analysis.measure.validation import ChosenOn, chosen_by, not_validated, without_test_figures
from analysis.read.attacks import invalid, not_recorded
from analysis.read.store import AnalysisError
from analysis.read.study import RecordedStudy
from analysis.read.trials import FRONT_METRICS, PARAM, RAW
from trainables.schema import CLIP, FINAL_METRICS, Metric


@dataclass(frozen=True)
class Constraint:
    """A bound on a final metric, in its own unit (fractions for shares)."""

    metric: str
    at_most: bool
    value: float

    def miss(self, value: float) -> float:
        """Returns by how much `value` breaks the bound: 0 or less where it is met, NaN for NaN."""
        return round(value - self.value if self.at_most else self.value - value, 9)  # a mean of 0.1 may be 0.1 + 1e-17

    def words(self) -> str:
        """The bound as a reader reads it: `leakage above chance at most 20.0 %`."""
        bound = text.metric_value(self.metric, self.value, space=" ")
        return f"{FINAL_METRICS[self.metric].label} {'at most' if self.at_most else 'at least'} {bound}"


@dataclass(frozen=True)
class Rule:
    """What to choose: among the settings that meet every constraint the best in `prefer`, or the knee for `prefer` None.

    `chosen_on`: the data whose figures decide; constraints and preference name the metrics of test data all the same.
    """

    constraints: tuple[Constraint, ...] = ()
    prefer: str | None = None
    chosen_on: ChosenOn = "validation"

    @property
    def judged_by(self) -> str:
        """The metric that orders the trials of the chosen setting."""
        return self.prefer or "leakage"

    @property
    def front(self) -> list[str]:
        """The metrics of the front, leakage first, that settings are chosen by."""
        return [self.by(name) for name in reversed(FRONT_METRICS)]

    def by(self, metric: str) -> str:
        """The metric that decides where `metric` is named."""
        return chosen_by(metric, self.chosen_on)


@dataclass(frozen=True)
class Choice:
    """The chosen row of `settings_table`, with what it was chosen from.

    `candidates`: the anonymized settings of one protocol; `meeting` of them meet the constraints; `tied` are the labels of
    those as good in what is preferred; `invalid` of those with a trial whose attacks missed a control: none of these is a
    candidate unless that was asked for; `unknown` of those without figures to choose by; `kept_out` says of those that cannot
    be exported why, and they are no candidates. `trials`: the runs of the setting.
    `by_seed`: seed -> what the rule chooses from that seed's trials alone, "" where nothing meets the constraints. `doubts`:
    why the study cannot answer, where the choice was forced.
    """

    study: RecordedStudy
    rule: Rule
    setting: pd.Series
    trials: pd.DataFrame
    candidates: pd.DataFrame
    pool: pd.DataFrame
    meeting: int
    tied: tuple[str, ...]
    invalid: tuple[str, ...]
    unknown: tuple[str, ...]
    kept_out: Mapping[str, str]
    by_seed: dict[int, str]
    doubts: tuple[str, ...]


def metric_of(name: str, option: str) -> Metric:
    """A final metric by its name. Raises AnalysisError with the nearest for a wrong one."""
    if name not in FINAL_METRICS:
        near = difflib.get_close_matches(name, FINAL_METRICS, n=1)
        hint = f" (nearest: {near[0]})" if near else ""
        raise AnalysisError(f"{option}: no metric named {name!r}{hint}; there are: {', '.join(FINAL_METRICS)}")
    return FINAL_METRICS[name]


def parse_constraint(given: str, at_most: bool) -> Constraint:
    """`leakage=0.2` or `leakage=20%`. Raises AnalysisError for a wrong name or value."""
    option = "--max" if at_most else "--min"
    name, sign, value = (part.strip() for part in given.partition("="))
    if not sign:
        raise AnalysisError(f"{option} {given}: give METRIC=VALUE, such as leakage=0.2 or top1=70%")
    metric = metric_of(name, option)
    try:
        number = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise AnalysisError(f"{option} {given}: {value!r} is no number; give {name}=0.2 or {name}=20%")
    if metric.percent and abs(number) > 1:
        whole = value.endswith("%") or abs(number) > 100
        hint = "a share is 100 % at most" if whole else f"it is a share of 1; for {value} per cent give {name}={value}%"
        raise AnalysisError(f"{option} {given}: {name} cannot be {'more' if number > 0 else 'less'} than that: {hint}")
    return Constraint(name, at_most, number)


def parse_rule(
    at_most: Sequence[str],
    at_least: Sequence[str],
    prefer: str | None,
    at_knee: bool,
    chosen_on: ChosenOn = "validation",
) -> Rule:
    """The rule of a command line. Raises AnalysisError unless it says in one way what to choose."""
    bounds = [*(parse_constraint(bound, True) for bound in at_most), *(parse_constraint(bound, False) for bound in at_least)]
    if at_knee == (prefer is not None):
        raise AnalysisError("say what to choose by one of --prefer METRIC and --knee, e.g. --max leakage=0.2 --prefer top1")
    if prefer is not None and metric_of(prefer, "--prefer").better == "neither":
        raise AnalysisError(f"--prefer {prefer}: of it neither more nor less is better; prefer top1 or leakage")
    return Rule(tuple(bounds), prefer, chosen_on)


def choose(
    study: RecordedStudy,
    rule: Rule,
    protocol: str | None = None,
    where: Sequence[str] = (),
    allow_invalid: bool = False,
    force: bool = False,
) -> Choice:
    """Applies a rule to a study, to its trials of one protocol tag and with parameters `where` ("field=value") if given.

    Settings with a trial whose controls missed their level are passed over, unless `allow_invalid`, and so are those whose
    anonymizer `export` must refuse.

    Raises AnalysisError when there is nothing to choose from or by, when no setting meets the constraints (with the nearest),
    and, unless `force`, when raw data are not surely above chance.
    """
    trials = _wanted(study, protocol, where)
    seen = trials if rule.chosen_on == "test" else without_test_figures(trials)
    candidates, unknown = _candidates(seen, rule, study)
    kept_out = _shown_by_no_image(candidates, rule) | not_exportable(candidates)
    candidates = candidates[~candidates["label"].astype(str).isin(list(kept_out))]
    if candidates.empty:
        raise AnalysisError(f"{study.name}: no setting can be chosen and exported ({named(kept_out)})")
    missed = candidates.index.isin(seen.loc[invalid(seen), "setting"])
    unsound = tuple(map(str, candidates.loc[missed, "label"]))
    if not allow_invalid:
        candidates = candidates[~missed]
        if candidates.empty:
            raise AnalysisError(
                f"{study.name}: controls of attacks missed their level in every setting ({text.listed(unsound)}), so no figure"
                " of theirs counts; repair the attacks, or give --allow-invalid"
            )
    meeting = _meeting(candidates, rule)
    if meeting.empty:
        raise AnalysisError(_nearest(candidates, rule, study))
    chosen = _best(meeting, rule)
    if chosen is None:
        front = meeting[non_dominated(meeting[rule.front])]
        raise AnalysisError(
            f"the front of {study.name} has no knee: {text.listed(front['label'])};"
            " give --prefer METRIC with --max or --min instead"
        )
    by_seed = _by_seed(seen[seen["setting"].isin(candidates.index)], rule)

    # The choice is made; only now are test figures read.
    settings = settings_table(trials, Plane(chosen_on=rule.chosen_on))
    row = row_of(settings, chosen)
    doubts = reasons(settings[settings["protocol"] == row["protocol"]])
    if doubts and not force:
        raise AnalysisError(f"{study.name}: {CANNOT} {' '.join(doubts)} {HELP} --force chooses all the same.")
    tied = meeting.iloc[:0]
    if rule.prefer:
        by = rule.by(rule.prefer)
        tied = meeting[np.isclose(meeting[by], row_of(meeting, chosen)[by], rtol=0, atol=1e-9)]
    return Choice(
        study=study,
        rule=rule,
        setting=row,
        trials=trials[trials["setting"] == chosen],
        candidates=settings.loc[candidates.index],
        pool=trials,
        meeting=len(meeting),
        tied=tuple(str(label) for label in tied["label"] if label != row["label"]),
        invalid=unsound,
        unknown=unknown,
        kept_out=kept_out,
        by_seed=by_seed,
        doubts=tuple(doubts),
    )


def median_trial(choice: Choice) -> str:
    """Run id of the trial in the middle, by the preferred metric (leakage for a knee); of two in the middle the worse one."""
    metric, by = choice.rule.judged_by, choice.rule.by(choice.rule.judged_by)
    sign = 1 if FINAL_METRICS[metric].better == "higher" else -1
    known = choice.trials.dropna(subset=[by])
    order = (known[by] * sign).sort_values(kind="stable").index
    return str(order[(len(order) - 1) // 2])


def row_of(table: pd.DataFrame, index: str) -> pd.Series:
    """One row of a table whose index has no duplicates."""
    return table.loc[[index]].iloc[0]


def _wanted(study: RecordedStudy, protocol: str | None, where: Sequence[str]) -> pd.DataFrame:
    trials = study.trials
    if protocol is not None:
        trials = trials[trials["protocol_tag"] == protocol]
        if trials.empty:
            there = text.listed(sorted(set(study.trials["protocol_tag"]) - {""})) or "none by name"
            raise AnalysisError(f"--protocol {protocol}: no trial of {study.name} was measured so; there are: {there}")
    for given in where:
        name, sign, value = given.partition("=")
        fields = [str(column).removeprefix(PARAM) for column in trials if str(column).startswith(PARAM)]
        if not sign or name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            hint = f", such as {name}={trials[PARAM + name].iloc[0]}" if name in fields else ""
            hint = hint or (f" (nearest field: {near[0]})" if near else f"; there are {text.listed(sorted(fields), 8)}")
            raise AnalysisError(f"--where {given}: give FIELD=VALUE{hint}")
        values = trials[PARAM + name].astype(str)
        alike = (values == value.strip()) | (values.map(_number) == _number(value))
        if not alike.any():
            raise AnalysisError(f"--where {given}: no trial has that; there are: {text.listed(sorted(values.unique()))}")
        trials = trials[alike]
    return trials


def _number(value: str) -> float:
    """NaN, which is equal to nothing, for what is no number."""
    try:
        return float(value)
    except ValueError:
        return math.nan


def _candidates(seen: pd.DataFrame, rule: Rule, study: RecordedStudy) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The anonymized settings of one protocol that have the figures to choose by, and the labels of those that have not.

    `seen`: the trials, without what the choice may not read.
    """
    anonymized = seen[seen["method"] != RAW]
    for metric in dict.fromkeys((*(constraint.metric for constraint in rule.constraints), rule.judged_by, *FRONT_METRICS)):
        if lacking := not_validated(anonymized, [metric], rule.chosen_on):
            raise AnalysisError(f"{study.name}: {not_recorded(study.trials, metric) or lacking}")
    settings = setting_means(anonymized, Plane(chosen_on=rule.chosen_on))
    known = settings.dropna(subset=rule.front)
    return _one_protocol(known, study), tuple(map(str, settings.loc[~settings.index.isin(known.index), "label"]))


def _shown_by_no_image(candidates: pd.DataFrame, rule: Rule) -> dict[str, str]:
    """Label -> why a setting cannot be chosen by these figures, for those of which images show nothing."""
    found = {}
    for metric in {rule.judged_by, *(constraint.metric for constraint in rule.constraints)} & {*OF_IMAGES}:
        for label in candidates.loc[shown_by_no_image(candidates, Plane(privacy=metric)), "label"]:
            found[str(label)] = f"show nothing in a single image, which {metric} is of (choose by {CLIP}{metric})"
    return found


def _one_protocol(candidates: pd.DataFrame, study: RecordedStudy) -> pd.DataFrame:
    if candidates.empty:
        raise AnalysisError(f"{study.name}: no finished trial of an anonymized setting carries {' and '.join(FRONT_METRICS)}")
    if candidates["protocol"].nunique() == 1:
        return candidates
    columns = [str(name) for name in candidates if str(name).startswith(tuple(PARAM + part for part in PROTOCOL))]
    differing = [name for name in columns if candidates[name].astype(str).nunique() > 1]
    tags = sorted(set(candidates["protocol_tag"]) - {""})
    if len(tags) == candidates["protocol"].nunique():
        raise AnalysisError(f"{study.name} was measured by {len(tags)} protocols; choose one: --protocol {' | '.join(tags)}")
    values = [
        f"--where {name.removeprefix(PARAM)}={' | '.join(sorted(candidates[name].astype(str).unique()))}"
        for name in differing[:3]
    ]
    raise AnalysisError(f"{study.name}: its settings were not measured alike; choose with {' and '.join(values)}")


def _meeting(candidates: pd.DataFrame, rule: Rule) -> pd.DataFrame:
    """The settings whose means meet every constraint and that have the preferred metric; NaN meets nothing."""
    met = candidates
    for constraint in rule.constraints:
        met = met[met[rule.by(constraint.metric)].map(constraint.miss) <= 0]
    return met.dropna(subset=[rule.by(rule.prefer)]) if rule.prefer else met


def _best(meeting: pd.DataFrame, rule: Rule) -> str | None:
    """The index of the best; equal ones are parted by the front's metrics, then by the table's order. None without a knee."""
    if rule.prefer is None:
        place = knee(meeting[rule.front])
        return None if place is None else str(meeting.index[place])
    keys = {rule.by(name): FINAL_METRICS[name].better == "lower" for name in dict.fromkeys((rule.prefer, *FRONT_METRICS))}
    ordered = meeting[list(keys)].round(9).sort_values(list(keys), ascending=list(keys.values()), kind="stable")
    return str(ordered.index[0])


def _nearest(candidates: pd.DataFrame, rule: Rule, study: RecordedStudy) -> str:
    """A line that says which setting comes nearest and by how much it misses; misses are compared in units of the range of
    their metric."""
    rules = " and ".join(constraint.words() for constraint in rule.constraints) or f"a known {rule.prefer}"
    rules += f" on {rule.chosen_on} data"
    needed = {rule.by(c.metric) for c in rule.constraints} | ({rule.by(rule.prefer)} if rule.prefer else set())
    known = candidates.dropna(subset=list(needed))
    if known.empty:
        return f"no setting of {study.name} meets {rules}: not measured for any of {len(candidates)}"

    def worst(row: pd.Series) -> float:
        return max(
            max(0.0, c.miss(row[rule.by(c.metric)])) / (_spread(known[rule.by(c.metric)]) or 1.0) for c in rule.constraints
        )

    near = known.iloc[int(known.apply(worst, axis=1).to_numpy().argmin())]
    broken = [(c, c.miss(near[rule.by(c.metric)])) for c in rule.constraints if c.miss(near[rule.by(c.metric)]) > 0]
    misses = [
        f"{text.metric_mean_with_n(c.metric, of(near, rule.by(c.metric)), space=' ')},"
        f" {text.points(c.metric, miss)} too {'much' if c.at_most else 'little'}"
        for c, miss in broken
    ]
    return f"no setting of {study.name} meets {rules}: nearest is {near['label']} with {'; '.join(misses)}"


def _by_seed(trials: pd.DataFrame, rule: Rule) -> dict[int, str]:
    """Seed -> what the same rule chooses from the trials of that seed alone; empty where nothing meets it."""
    found = {}
    for seed in sorted(trials["seed"].dropna().unique()):
        alone = trials[trials["seed"] == seed].dropna(subset=rule.front).set_index("setting", drop=False)
        meeting = _meeting(alone, rule)
        chosen = None if meeting.empty else _best(meeting, rule)
        found[int(seed)] = "" if chosen is None else str(alone.loc[chosen, "label"])
    return found


def _spread(values: pd.Series) -> float:
    return float(values.max() - values.min())
