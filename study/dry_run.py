"""What a study would do and cost: trials, stages needed, shared and stored, GPU hours and money. Starts nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from analysis.terminal import show_table
from search_spaces.plan import StudyPlan
from study.schedule.costs import Costs, Prices
from study.schedule.estimates import Estimates, StepCost
from study.schedule.gpus import GIB, GPUS, MEASURED_SHARE
from study.schedule.resources import Resources
from study.study import Study
from trainables.config import ConfigError, with_values
from trainables.data.trial_data import TrialData
from trainables.plan import PlannedStage, TrialPlan, plan_trial


def dry_run(study: Study) -> int:
    """Prints the trials, what each varies, the resources, the stages and what they would cost.

    In the profile `paper`, steps that nobody has measured are traced, and what they take is printed.
    """
    plan, resources, prices = study.plan, study.resources, study.options.prices
    if study.options.retry_failed:
        raise ConfigError("--retry-failed: a dry run does not ask MLflow what has failed; --status does")
    asked = [
        pair for pair in zip(plan.trials, study.trial_plans, strict=True) if study.only is None or pair[0].name in study.only
    ]
    gpus = "a part of a GPU that is measured at the start" if study.options.pack else f"{resources.gpus:g} GPUs"
    print(f"{plan.experiment}: {len(asked)} trials, each on {resources.cpus_per_gpu:g} CPUs and {gpus}")
    varied = [(trial.name, "  ".join(f"{key}={value}" for key, value in trial.varied.items())) for trial, _ in asked]
    show_table(("trial", "varies"), varied, indent=2)
    needed = [stage for _, trial in asked for stage in trial.stages]
    different = {stage.key: stage for stage in needed}
    new = [stage for stage in different.values() if stage.key not in study.stored]
    count_different = len(different)
    searches = plan.search is not None and study.only is None
    if plan.search is not None and searches:
        axes = ", ".join(f"{key} {axis.low:g}..{axis.high:g}" for key, axis in plan.search.axes.items())
        further, point = further_points(study)
        own = [stage for stage in point.stages if stage.key not in different]
        print(f"then {plan.search.trials} points in all, proposed by {plan.search.sampler}, over {axes}")
        print(f"{further} of them are beyond these trials; each is priced as one whose values on these axes are its own")
        needed, new = needed + [*point.stages] * further, new + own * further
        count_different += further * len(own)
    if unknown := sorted(prices.seconds_per_step.keys() - {stage.name for stage in needed}):
        raise ConfigError(f"--seconds-per-step: no stage {unknown[0]!r} here; there are {', '.join(_names(needed))}")
    shared, stored = len(needed) - count_different, count_different - len(new)
    print(f"stages: {len(needed)} needed, {shared} of them shared, {stored} stored, {len(new)} to compute")
    costs, estimates = Costs(study.store, _names(needed)), Estimates()
    traces = plan.profile == "paper"
    data = data_of(plan, study.trial_plans, study.data)
    if searches:
        data |= {stage.key: study.data[stage.config.data.model_dump_json()] for stage in own}
    traced = (
        traced_steps({stage.key: stage for stage in (*different.values(), *new)}.values(), data, estimates) if traces else {}
    )
    known_hours, unknown_names, rows = 0.0, [], []
    for name in _names(needed):
        todo = [stage for stage in new if stage.name == name]
        there = sum(stage.name == name for key, stage in different.items() if key in study.stored)
        hours, how = hours_of(name, todo, costs, prices, traced)
        count = sum(stage.name == name for stage in needed)
        steps = sum(stage.steps for stage in todo)
        rate = "" if hours is None or not steps else f"{hours * 3600 / steps:.3g}"
        counts = (count, count - there - len(todo), there, len(todo))
        rows.append((name, *map(str, counts), f"{steps:,}", rate, "unknown" if hours is None else f"{hours:.2f}", how))
        if hours is None:
            unknown_names.append(name)
        else:
            known_hours += hours
    numbers = ("needed", "shared", "stored", "compute", "steps", "s/step", "hours")
    show_table(("stage", *numbers, ""), rows, right=numbers, indent=2)
    _print_total(known_hours, unknown_names, resources, prices, study.options.stop_early)
    if traces:
        _print_steps(different.values(), traced, estimates, prices)
    return 0


def _different(stages: Iterable[PlannedStage]) -> Iterable[PlannedStage]:
    return {stage.key: stage for stage in stages}.values()


def further_points(study: Study) -> tuple[int, TrialPlan]:
    """How many points of the study's search are none of its trials, and the stages of such a point, whose values on the axes
    no trial has.
    """
    search = study.plan.search
    assert search is not None
    varied = [trial for trial in study.plan.trials if trial.config.method == "penalty"]
    first = varied[0].config
    tried = sum(trial.config.seed == first.seed for trial in varied)
    values = {key: axis.low + (axis.high - axis.low) / math.pi for key, axis in search.axes.items()}
    config = with_values(first, values)
    return max(0, search.trials - tried), plan_trial(config, study.data[config.data.model_dump_json()])


def data_of(plan: StudyPlan, plans: Sequence[TrialPlan], data: Mapping[str, TrialData]) -> dict[str, TrialData]:
    """The data of every stage, by its key."""
    return {
        stage.key: data[trial.config.data.model_dump_json()]
        for trial, planned in zip(plan.trials, plans, strict=True)
        for stage in planned.stages
    }


def traced_steps(
    stages: Iterable[PlannedStage], data: Mapping[str, TrialData], estimates: Estimates
) -> dict[str, StepCost | None]:
    """What a step of each stage takes, by the key of the stage."""
    return {stage.key: estimates.step(stage, data[stage.key]) for stage in stages}


def hours_of(
    name: str, todo: Sequence[PlannedStage], costs: Costs, prices: Prices, traced: Mapping[str, StepCost | None]
) -> tuple[float | None, str]:
    """Hours for all of `todo`, and where the figure is from: given, measured, or traced. None if one of them is neither.

    Stages without steps of their own count as nothing once the others are traced.
    """
    if not todo:
        return 0.0, ""
    if name in prices.seconds_per_step:
        return sum(stage.steps for stage in todo) * prices.seconds_per_step[name] / 3600, "as given"
    seconds, how = 0.0, dict[str, None]()
    for stage in todo:
        measured, step = costs.measured(stage), traced.get(stage.key)
        if measured is not None:
            seconds += measured
            how[f"measured here on {', '.join(sorted(costs.devices[name]))}"] = None
        elif step is not None:
            seconds += stage.steps * prices.expected.seconds(step.trace.flops)
            how[f"traced, on an {prices.expected.gpu.name}"] = None
        elif traced and not stage.steps:
            how["no steps; not counted"] = None
        else:
            return None, ""
    return seconds / 3600, ", ".join(how)


def _print_total(hours: float, unknown: Sequence[str], resources: Resources, prices: Prices, stop_early: bool) -> None:
    unit, count = ("GPU hours", resources.gpus) if resources.gpus else ("CPU-core hours", resources.cpus_per_gpu)
    money = f", {hours * count * prices.gpu_hour:,.2f} at {prices.gpu_hour:g} each" if prices.gpu_hour is not None else ""
    if unknown and not hours:
        print(f"estimate: unknown {unit}")
    else:
        print(f"estimate: {hours * count:.2f} {unit}{money}" + (", without what is unknown" if unknown else ""))
    if unknown:
        print(f"  never measured in this storage: {', '.join(unknown)}; give --seconds-per-step {unknown[0]}=SECONDS")
    if stop_early:
        print("  at most: every trial is priced to its end, and --stop-early ends some before it")


def _print_steps(
    stages: Iterable[PlannedStage], traced: Mapping[str, StepCost | None], estimates: Estimates, prices: Prices
) -> None:
    """What a step of each kind of stage takes, the largest batch that fits each GPU, and seconds a step there."""
    rows: dict[str, tuple[str, ...]] = {}
    for stage in stages:
        if (step := traced.get(stage.key)) is None:
            continue
        fits = [step.largest_batch(gpu) for gpu in GPUS.values()]
        seconds = [f"{prices.expected.seconds(step.trace.flops, gpu):.2f}" for gpu in GPUS.values()]
        figures = (f"{step.trace.peak / GIB:.1f}", f"{step.trace.flops / 1e12:.2f}")
        rows.setdefault(estimates.kind(stage), (title(stage), str(step.batch), *figures, *map(_fit, fits), *seconds))
    columns = ("batch", "GiB", "TFLOP", *(f"fits {name}" for name in GPUS), *(f"s {name}" for name in GPUS))
    print("a step in bfloat16, traced on fake tensors:")
    show_table(("stage", *columns), dict.fromkeys(rows.values()), right=columns, indent=2)
    print(
        f"  fits: the largest batch, with a tenth of the memory left free. s: seconds at {prices.expected.share:g} of the peak"
        f" (--share-of-peak); {MEASURED_SHARE:g} is what the minimax reached on an H200, elsewhere an assumption."
        " Loading, and passes over validation and test data, are not in them."
    )
    for name, reason in estimates.reasons.items():
        print(f"  {name}: cannot be traced: {reason}")


def title(stage: PlannedStage) -> str:
    """A stage with what its step costs most by: the anonymizer it trains, or the classifier that it trains on one."""
    config, name = stage.config, stage.name
    if stage.stage.evaluator:
        return f"{name} ({getattr(config, stage.stage.trains).classifier.name})"
    return f"{name} ({config.anonymizer.name})" if stage.stage.trains and not stage.attack else name


def _fit(batch: int) -> str:
    return str(batch) if batch else "none"


def _names(stages: Iterable[PlannedStage]) -> list[str]:
    return list(dict.fromkeys(stage.name for stage in stages))
