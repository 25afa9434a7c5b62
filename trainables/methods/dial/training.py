"""The minimax of the penalty method, at an operating point that is drawn anew for every clip."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from trainables.execution.context import StageContext
from trainables.execution.loop import Epoch
from trainables.methods.dial import DialOptions
from trainables.methods.penalty import training as minimax
from trainables.methods.penalty.training import OperatingPoint
from trainables.models.dial import dialled
from trainables.store import Outcome


def run(context: StageContext) -> Outcome:
    options, seed = DialOptions.of(context.config), context.seed("dial")

    def turn(now: Epoch, clips: Tensor, views: list[Tensor]) -> tuple[Tensor, list[Tensor], OperatingPoint]:
        chance = np.random.default_rng((seed, now.number, now.done))  # no state to save, and the same on every rank
        own = torch.from_numpy(spread(len(clips), chance)).to(clips)
        # NT-Xent compares all views of a batch with each other: at different dials f_B would tell them by the distortion alone
        of_pairs = float(chance.random())
        shown = [dialled(view, view.new_full(view.shape[:1], of_pairs)) for view in views]
        return dialled(clips, own), shown, point_of(options, own, of_pairs)

    return minimax.run(context, turn)


def spread(count: int, chance: np.random.Generator) -> np.ndarray:
    """`count` numbers in [0, 1], one from each of as many equal parts, in random order: a small batch has all of the range."""
    return chance.permutation((np.arange(count) + chance.random(count)) / count)


def point_of(options: DialOptions, of_clips: Tensor, of_pairs: float) -> OperatingPoint:
    """The budget for each clip, (B,), and the weight of L_B, on the straight line between the ends of the range."""
    budget = torch.lerp(of_clips.new_tensor(options.budget_from), of_clips.new_tensor(options.budget_to), of_clips)
    return OperatingPoint(budget, options.privacy_from + of_pairs * (options.privacy_to - options.privacy_from))
