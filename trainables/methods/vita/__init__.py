"""VITA, privacy-preserving adversarial learning with labels (arXiv 1906.05675): L_A = L_T + gamma max over f_B of -H(f_B).

`vita` has the networks of the penalty method and is evaluated as every method is, so that rows of a table can be compared.
`vita_published` has its own networks, the values of PA-HMDB51-VISPR-exp/adversarial_training/adv_training of its released code,
and is evaluated as in its paper, by ten attackers of which the worst one counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods import METHODS, Count, CountOrNone, Method, MethodOptions, Weight
from trainables.stages import MINIMAX_FIELDS, RECONSTRUCT, TRAINING_DATA, WARM_UP, Stage

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome


class VitaOptions(MethodOptions):
    """How often the ensemble and f_T learn, and the weight of the ensemble in the loss of f_A."""

    ensemble: Count = 4  # M, privacy classifiers
    # 0.5 for each of six attributes, as the loss is their mean. Another value is chosen from the space `vita_gamma`, by
    # validation figures.
    gamma: Weight = 3.0
    restart_every: CountOrNone = 200  # iterations between two restarts of the ensemble; 0: none
    retrain_steps: CountOrNone = 200  # steps of a fresh ensemble before it counts
    privacy_steps: Count = 5  # steps of the ensemble in an iteration
    action_target: Weight = 0.7  # f_T learns until it knows this share of a batch,
    action_steps: Count = 5  # or for this many steps
    by_clip: bool = False  # the ensemble sees all frames of the clips, and its surest member counts for each clip by itself
    joint: bool = False  # the steps of f_T move f_A as well
    on_validation: bool = False  # what f_T knows is its accuracy on validation clips, and not of the last batch
    architectures: str = ""  # of the members, by turns, separated by commas; empty: all as `privacy_encoder`


class VitaPublishedOptions(VitaOptions):
    gamma: Weight = 0.5
    by_clip: bool = True
    joint: bool = True
    on_validation: bool = True
    architectures: str = "resnet50,resnet34,resnet18,mobilenet_v2"


def _run(context: StageContext) -> Outcome:
    from trainables.methods.vita.training import run

    return run(context)


VITA = Stage("vita", _run, MINIMAX_FIELDS, TRAINING_DATA, ("reconstruct", "warm_up"), trains="minimax", version=2)

_NO_PENALTY = {"minimax.penalty_weight": 0.0}
METHODS.register("vita")(
    Method(
        source="Wu et al., arXiv 1906.05675, and the released code for PA-HMDB51",
        stages=(RECONSTRUCT, WARM_UP, VITA),
        anonymizer=VITA.name,
        fixed=_NO_PENALTY,
        options=VitaOptions,
    )
)
METHODS.register("vita_published")(
    Method(
        source="Wu et al., arXiv 1906.05675, section 4 and the released code for PA-HMDB51: residual f_A, C3D, ten attackers",
        stages=(RECONSTRUCT, WARM_UP, VITA),
        anonymizer=VITA.name,
        fixed=_NO_PENALTY,
        recipe={
            "anonymizer.name": "residual",
            "anonymizer.encoder_weights": None,
            "anonymizer.decoder_norm": "instancenorm",
            "privacy_encoder.weights": "imagenet",
            "clip.size": 112,
            "clip.decode_size": 140,
            "action_classifier.name": "c3d",
            "action_classifier.weights": None,
            "evaluate_action.classifier.name": "c3d",
            "evaluate_action.classifier.weights": None,
            "evaluate_privacy.attackers": 10,
            "minimax.epochs": 36,  # of HMDB51, whose clips its 800 steps of 160 see as often
            "minimax.learning_rate_anonymizer": 1e-4,
            "minimax.learning_rate_action": 1e-5,
            "minimax.learning_rate_privacy": 1e-4,
        },
        options=VitaPublishedOptions,
        approximate=(
            "the ensemble is pushed to be unsure, as in its paper (in the released code, to find every attribute present); its"
            " members are ResNet-50, 34, 18 and MobileNet-v2 (ResNet-50 v1 and v2, MobileNet-v1 at two widths) and restart, as"
            " in its paper (off in the released flags); steps of 8 clips and 8 images (160 and 640, accumulated); f_T learns"
            " for 5 batches a step at most (until it knows 70 % of 160 validation clips); no weight decay; f_A enlarges by"
            " repeating pixels (by transposed convolutions); C3D starts from scratch (from Sports-1M)"
        ),
    )
)
