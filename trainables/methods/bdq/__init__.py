"""BDQ, motion difference quantization (Kumawat & Nagahara, ECCV 2022, arXiv 2208.02459). Approximate.

f_A has three steps and few parameters: it blurs frames, subtracts the frame before, and shows the difference in a few soft
levels. With f_T it descends L_T - alpha H(f_B), and f_B learns who it is from one frame of what it makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from trainables.methods import METHODS, Count, Method, MethodOptions, Weight
from trainables.stages import MINIMAX_FIELDS, RECONSTRUCT, TRAINING_DATA, WARM_UP, Stage

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome


LEAST_SIGMA = 0.1  # pixels; a Gaussian that is narrower blurs nothing
NETWORK_OPTIONS = ("sigma", "kernel", "levels", "hardness", "reach")  # those that the encoder takes itself


class BdqOptions(MethodOptions):
    """What the encoder starts from, and how it is trained; the values of the released code where it has them."""

    sigma: Annotated[float, Field(ge=LEAST_SIGMA)] = 3.0  # of the blur, in pixels of a frame of 224
    kernel: Count = 5  # of the blur, in the same pixels
    levels: Annotated[int, Field(ge=2)] = 16  # 4 bits, so that 15 thresholds are learned
    hardness: Annotated[float, Field(gt=0.0)] = 5.0  # of the sigmoids whose sum is the level
    reach: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5  # the largest difference that is shown, of pixels in [0, 1]
    entropy_weight: Weight = 2.0  # alpha, of the entropy of f_B
    encoder_rate: Weight = 0.01  # of Adam, of sigma in pixels and of the thresholds in levels


def _run(context: StageContext) -> Outcome:
    from trainables.methods.bdq.training import run

    return run(context)


BDQ = Stage("bdq", _run, MINIMAX_FIELDS, TRAINING_DATA, ("reconstruct", "warm_up"), trains="minimax")

METHODS.register("bdq")(
    Method(
        source="Kumawat & Nagahara, ECCV 2022, arXiv 2208.02459, and the released code",
        stages=(RECONSTRUCT, WARM_UP, BDQ),
        anonymizer=BDQ.name,
        fixed={
            "anonymizer.name": "bdq",
            "anonymizer.encoder_weights": None,
            "reconstruct.epochs": 0,  # it is no identity, and starts as published
            "minimax.penalty_weight": 0.0,
        },
        options=BdqOptions,
        anonymizer_options=NETWORK_OPTIONS,
        over_time=True,
        clip_labels=True,
        approximate=(
            "f_T, f_B, their weights and the recipe are those of the penalty method, with Adam at constant rates and one of its"
            " own for f_A (SGD with one rate, by a cosine); sigma is learned, as in the paper (fixed in the released code), and"
            " the blur is as strong in shares of the frame as in 224 pixels; differences are cut off at a fixed reach"
            " (stretched from the least to the largest of a batch, so that what is shown of a clip depends on others), and no"
            " change is shown as mid-grey; the first frame of a clip is shown as one without change (left out); where clips do"
            " not have exactly one attribute each, as they have one person, f_B tells each by yes or no, and its losses are"
            " summed (one of several classes)"
        ),
    )
)
