"""What a study would do and cost: trials, stages needed, shared and stored, GPU hours and money. Starts nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from analysis.terminal import show_table
from study.schedule.costs import Costs, Prices
from study.schedule.resources import Resources
from study.study import Study
from trainables.config import ConfigError
from trainables.plan import PlannedStage


def dry_run(study: Study) -> int:
    """Prints the trials, what each varies, the resources, the stages and what they would cost."""
    plan, resources, prices = study.plan, study.resources, study.options.prices
    gpus = "a part of a GPU that is measured at the start" if study.options.pack else f"{resources.gpus:g} GPUs"
    print(f"{plan.experiment}: {len(plan.trials)} trials, each on {resources.cpus_per_gpu:g} CPUs and {gpus}")
    varied = ["  ".join(f"{key}={value}" for key, value in trial.varied.items()) for trial in plan.trials]
    show_table(("trial", "varies"), zip([trial.name for trial in plan.trials], varied, strict=True), indent=2)
    if plan.search is not None:
        axes = ", ".join(f"{key} {axis.low:g}..{axis.high:g}" for key, axis in plan.search.axes.items())
        print(f"then {plan.search.trials} points in all, proposed by {plan.search.sampler}, over {axes}")
    needed, different = [stage for trial in study.trial_plans for stage in trial.stages], study.stages
    new = [stage for stage in different.values() if stage.key not in study.stored]
    if unknown := sorted(prices.seconds_per_step.keys() - {stage.name for stage in needed}):
        raise ConfigError(f"--seconds-per-step: no stage {unknown[0]!r} here; there are {', '.join(_names(needed))}")
    shared, stored = len(needed) - len(different), len(different) - len(new)
    print(f"stages: {len(needed)} needed, {shared} of them shared, {stored} stored, {len(new)} to compute")
    known_hours, unknown_names, rows = 0.0, [], []
    costs = Costs(study.store, _names(needed))
    for name in _names(needed):
        mine = [stage for stage in different.values() if stage.name == name]
        todo = [stage for stage in new if stage.name == name]
        hours, how = _hours(name, todo, costs, prices)
        count = sum(stage.name == name for stage in needed)
        steps = sum(stage.steps for stage in todo)
        rate = "" if hours is None or not steps else f"{hours * 3600 / steps:.3g}"
        counts = (count, count - len(mine), len(mine) - len(todo), len(todo))
        rows.append((name, *map(str, counts), f"{steps:,}", rate, "unknown" if hours is None else f"{hours:.2f}", how))
        if hours is None:
            unknown_names.append(name)
        else:
            known_hours += hours
    numbers = ("needed", "shared", "stored", "compute", "steps", "s/step", "hours")
    show_table(("stage", *numbers, ""), rows, right=numbers, indent=2)
    _print_total(known_hours, unknown_names, resources, prices)
    return 0


def _print_total(hours: float, unknown: Sequence[str], resources: Resources, prices: Prices) -> None:
    unit, count = ("GPU hours", resources.gpus) if resources.gpus else ("CPU-core hours", resources.cpus_per_gpu)
    money = f", {hours * count * prices.gpu_hour:,.2f} at {prices.gpu_hour:g} each" if prices.gpu_hour is not None else ""
    print(f"estimate: {hours * count:.2f} {unit}{money}" + (", without what is unknown" if unknown else ""))
    if unknown:
        print(f"  never measured in this storage: {', '.join(unknown)}; give --seconds-per-step {unknown[0]}=SECONDS")


def _hours(name: str, todo: Sequence[PlannedStage], costs: Costs, prices: Prices) -> tuple[float | None, str]:
    """Hours for all of `todo`, and where the figure is from; None if one of them is neither given nor measured."""
    if not todo:
        return 0.0, ""
    if name in prices.seconds_per_step:
        return sum(stage.steps for stage in todo) * prices.seconds_per_step[name] / 3600, "as given"
    seconds = 0.0
    for stage in todo:
        measured = costs.measured(stage)
        if measured is None:
            return None, ""
        seconds += measured
    return seconds / 3600, f"measured here on {', '.join(sorted(costs.devices[name]))}"


def _names(stages: Iterable[PlannedStage]) -> list[str]:
    return list(dict.fromkeys(stage.name for stage in stages))
