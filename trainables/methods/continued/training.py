"""The minimax of the penalty method, from the networks that the trial before this one ended with."""

from __future__ import annotations

from dataclasses import replace

from trainables.execution.context import StageContext
from trainables.methods.penalty import training as minimax
from trainables.stages import BEFORE
from trainables.store import Outcome


def run(context: StageContext) -> Outcome:
    before = context.inputs[BEFORE]
    return minimax.run(replace(context, inputs={"reconstruct": before, "warm_up": before}))
