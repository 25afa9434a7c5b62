"""A choice as a reader reads it: which setting, why, what it gives up, and how sure that is. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from analysis import text
from analysis.deploy.exportable import named
from analysis.deploy.select import Choice, row_of
from analysis.measure.settings import bounds, change_by_seed, of
from analysis.measure.unanswered import CANNOT, HELP
from analysis.read.trials import FRONT_METRICS
from trainables.schema import FINAL_METRICS
from trainables.statistics import Estimate

_LITTLE = 0.5  # of the utility of raw video beyond guessing: less is remarked on


def choice_text(choice: Choice) -> str:
    """The choice for a reader: which setting, why, what it gives up, how sure that is, and its trials."""
    row, study = choice.setting, choice.study
    lines = [f"{study.name}: {row['label']}"]
    if choice.doubts:
        lines.append(f"  FORCED     {CANNOT} {' '.join(choice.doubts)} {HELP}")
    lines.append(f"  why        {_why(choice)}")
    shown = dict.fromkeys((*FRONT_METRICS, *(c.metric for c in choice.rule.constraints), choice.rule.judged_by))
    if choice.rule.chosen_on == "test":
        lines.append("  chosen on  test data: the figures that chose the setting are those reported, so they flatter it")
    else:
        lines.append(f"  chosen on  validation data: {_figures(row, {name: choice.rule.by(name) for name in shown})}")
    lines.append(f"  measured   test data: {_figures(row, {name: name for name in shown})}")
    lines += [f"  {word:<10} {sentence}" for word, sentence in _given_up(choice)]
    lines += [f"  how sure   {sentence}" for sentence in _sureness(choice)]
    for run_id, trial in choice.trials.iterrows():
        figures = ", ".join(f"{name} {text.metric_value(name, float(trial[name]), space=' ')}" for name in shown)
        lines.append(f"  trial      {run_id}  seed {trial['seed']}: {figures}")
    if str(row["label"]) in choice.invalid:
        lines.append("  INVALID    controls of its attacks missed their level: their figures say nothing of this setting")
    if choice.unknown:
        lines.append(f"  left out   {text.listed(choice.unknown)}: no {choice.rule.chosen_on} figures to choose by")
    if choice.kept_out:
        lines.append(f"  left out   {named(choice.kept_out)}")
    others = [label for label in choice.invalid if label != row["label"] and label not in set(choice.candidates["label"])]
    if others:
        lines.append(
            f"  left out   {text.listed(others)}: controls of their attacks missed their level (--allow-invalid takes them)"
        )
    if study.profile == "generated":
        lines.append("  note       measured on generated data: it says nothing about real video")
    return "\n".join(lines)


def _why(choice: Choice) -> str:
    rules = " and ".join(constraint.words() for constraint in choice.rule.constraints)
    pool = f"the {choice.meeting} of {len(choice.candidates)} settings" if rules else f"all {len(choice.candidates)} settings"
    among = f"{pool} with {rules}" if rules else pool
    on = f", on {choice.rule.chosen_on} data"
    if choice.rule.prefer is None:
        return f"the knee of the front of {among}{on}: from there, less of the one buys least of the other"
    metric = FINAL_METRICS[choice.rule.prefer]
    if choice.meeting == 1 and rules:
        return f"the only one of {len(choice.candidates)} settings with {rules}{on}"
    best = "highest" if metric.better == "higher" else "lowest"
    tied = f"; as good there: {text.listed(choice.tied)}, and this one is the better in the rest" if choice.tied else ""
    return f"the {best} {metric.label} of {among}{on}{tied}"


def _given_up(choice: Choice) -> list[tuple[str, str]]:
    """What the choice loses, or gains, on test data against the best in each metric of the front, and what it changes against
    raw: in one or two words, and a sentence.

    Which setting is the best one in a metric is decided by what the choice was made by.
    """
    found = []
    for name in FRONT_METRICS:
        metric, by = FINAL_METRICS[name], choice.rule.by(name)
        values = choice.candidates[by]
        best = row_of(choice.candidates, str(values.idxmax() if metric.better == "higher" else values.idxmin()))
        word = f"the {'highest' if metric.better == 'higher' else 'lowest'} on {choice.rule.chosen_on} data"
        if best[by] == choice.setting[by]:
            found.append(("gives up", f"nothing in {metric.label}: it has {word}"))
            continue
        others = choice.pool[choice.pool["setting"] == best.name]
        changed, paired = change_by_seed(choice.trials, others, name)
        gains = changed.mean > 0 if metric.better == "higher" else changed.mean < 0
        sentence = f"{_difference(changed, paired)} {metric.label} against {best['label']}, {word}"
        found.append(("gains" if gains else "gives up", sentence))
    if choice.setting["baseline"]:
        parts = (
            f"{_difference(of(choice.setting, f'change_{n}'), choice.setting[f'change_{n}_paired'])} {FINAL_METRICS[n].label}"
            for n in FRONT_METRICS
        )
        found.append(("changes", f"{' and '.join(parts)} against raw"))
        found += [("remark", remark)] if (remark := _little_left(choice)) else []
    return found


def _little_left(choice: Choice) -> str:
    """A sentence where less than half of what raw video is good for, beyond guessing, is left; else nothing."""
    chance = float(choice.trials["chance_top1"].mean()) if "chance_top1" in choice.trials else 0.0
    now = of(choice.setting, "top1").mean
    raw = now - of(choice.setting, "change_top1").mean
    kept = (now - chance) / (raw - chance) if raw > chance else math.nan
    if not kept < _LITTLE:
        return ""
    return (
        f"of what raw video is good for beyond guessing {text.percent(max(0.0, kept), 0, space=' ')} is left"
        f" ({FINAL_METRICS['top1'].label} {text.percent(now, space=' ')}, raw {text.percent(raw, space=' ')},"
        f" guessing {text.percent(chance, space=' ')}): see that it is enough, or bound it with --min top1=VALUE"
    )


def _sureness(choice: Choice) -> list[str]:
    found = []
    for constraint in choice.rule.constraints:
        values = choice.trials[constraint.metric].dropna()
        met = int((values.map(constraint.miss) <= 0).sum())
        value = of(choice.setting, constraint.metric)
        sentence = f"{constraint.words()}: on test data met by {met} of {len(values)} seeds"
        if constraint.miss(value.mean) > 0:
            broken = text.points(constraint.metric, constraint.miss(value.mean))
            sentence += f", and missed by their mean, by {broken}"
        if value.n == 1:
            over = text.over_items(constraint.metric, bounds(choice.setting, constraint.metric), space=" ")
            found.append(f"{sentence}{over}; one seed has no interval over seeds, it may be chance")
            continue
        edge = value.mean + value.half_width * (1 if constraint.at_most else -1)
        where = "and stays within it" if constraint.miss(edge) <= 0 else "beyond it: unsure"
        found.append(f"{sentence}; the 95 % interval reaches {text.metric_value(constraint.metric, edge, space=' ')}, {where}")
    same = [seed for seed, label in choice.by_seed.items() if label == choice.setting["label"]]
    others = [f"seed {seed}: {label or 'nothing'}" for seed, label in choice.by_seed.items() if seed not in same]
    if choice.by_seed:
        chosen = f"each seed alone chooses it in {len(same)} of {len(choice.by_seed)} cases"
        found.append(chosen + (f" ({', '.join(others)})" if others else ""))
    return found


def _difference(value: Estimate, paired: bool) -> str:
    if value.n == 1:
        return f"{text.mean(value, signed=True, count=False)} points (n = 1: it may be chance)"
    unsure = ", may be none" if abs(value.mean) <= value.half_width else ""
    return f"{text.mean(value, signed=True)} points (n = {value.n}, {'paired by seed' if paired else 'Welch'}{unsure})"


def _figures(row: pd.Series, by: Mapping[str, str]) -> str:
    """The means of metrics, each read from another column (`by`) of a settings table."""
    means = {name: text.metric_mean_with_n(name, of(row, column), space=" ") for name, column in by.items()}
    return ", ".join(f"{FINAL_METRICS[name].label} {mean}" for name, mean in means.items())
