"""The penalty method, started from a neighbour: f_A and its opponents go on from where they ended at a smaller budget.

Budgets stand on a path, `options.start` and then every `options.step`. The first is a trial of the method `penalty`, trained
for `options.first` times `minimax.epochs`; every later one goes on from the one before it for `minimax.epochs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from trainables.config import ConfigError, TrialConfig
from trainables.methods import METHODS, Count, Method, MethodOptions, Weight
from trainables.methods.penalty import MINIMAX
from trainables.stages import BEFORE, RECONSTRUCT, TRAINING_DATA, WARM_UP, Stage

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome

_DIGITS = 9  # of a budget: 0.1 + 0.2 is 0.3


class ContinuedOptions(MethodOptions):
    """The path of budgets, and how many times `minimax.epochs` its first is trained."""

    start: Weight = 0.0
    step: Annotated[float, Field(gt=0.0)] = 0.1
    first: Count = 2


def before(config: TrialConfig) -> TrialConfig:
    """The trial from which this one starts. Raises ConfigError for a budget that is not on its path, or the first there."""
    options, budget = ContinuedOptions.of(config), config.minimax.distortion_budget
    count = round((budget - options.start) / options.step)
    if count < 1 or round(options.start + count * options.step - budget, _DIGITS):
        raise ConfigError(
            f"minimax.distortion_budget = {budget:g}: the method continued goes from options.start = {options.start:g} in steps"
            f" of options.step = {options.step:g}; give a later one of these budgets (the first is a trial of method penalty)"
        )
    values: dict[str, object] = {"distortion_budget": round(options.start + (count - 1) * options.step, _DIGITS)}
    if count > 1:
        return config.model_copy(update={"minimax": config.minimax.model_copy(update=values)})
    values["epochs"] = options.first * config.minimax.epochs
    first = {"method": "penalty", "options": {}, "minimax": config.minimax.model_copy(update=values)}
    return config.model_copy(update=first)


def _run(context: StageContext) -> Outcome:
    from trainables.methods.continued.training import run

    return run(context)


CONTINUED = Stage("continued", _run, MINIMAX.fields, TRAINING_DATA, (BEFORE,), trains="minimax", parallel=True)

METHODS.register("continued")(
    Method(
        source="none: this paper's minimax (arXiv 2504.14301), from one budget to the next",
        stages=(RECONSTRUCT, WARM_UP, CONTINUED),
        anonymizer=CONTINUED.name,
        options=ContinuedOptions,
        continues=before,
    )
)
