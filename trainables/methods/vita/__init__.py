"""VITA, privacy-preserving adversarial learning with labels (arXiv 1906.05675): L_A = L_T + gamma max over f_B of -H(f_B).

`vita` has the networks of the penalty method and is evaluated as every method is, so that rows of a table can be compared.
`vita_published` has its own networks and is evaluated as in its paper, by ten attackers of which the worst one counts.
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
    # 0.5 for each of six attributes, as the loss is their mean: with 0.5 for all of them a retrained attacker read nearly as
    # much of the generated data as of raw frames (cMAP 81 % and 87 %; 63 % with 3)
    gamma: Weight = 3.0
    restart_every: CountOrNone = 200  # iterations between two restarts of the ensemble; 0: none
    retrain_steps: CountOrNone = 200  # steps of a fresh ensemble before it counts
    privacy_steps: Count = 5  # steps of the ensemble in an iteration
    action_target: Weight = 0.7  # f_T learns until it knows this share of a batch,
    action_steps: Count = 5  # or for this many steps


class VitaPublishedOptions(VitaOptions):
    gamma: Weight = 0.5


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
        source="Wu et al., arXiv 1906.05675: residual f_A, C3D, ten attackers",
        stages=(RECONSTRUCT, WARM_UP, VITA),
        anonymizer=VITA.name,
        fixed=_NO_PENALTY,
        recipe={
            "anonymizer.name": "residual",
            "anonymizer.encoder_weights": None,
            "clip.size": 112,
            "clip.decode_size": 140,
            "action_classifier.name": "c3d",
            "action_classifier.weights": None,
            "evaluate_action.classifier.name": "c3d",
            "evaluate_action.classifier.weights": None,
            "evaluate_privacy.attackers": 10,
            "minimax.learning_rate_anonymizer": 1e-4,
            "minimax.learning_rate_action": 1e-5,
            "minimax.learning_rate_privacy": 1e-4,
        },
        options=VitaPublishedOptions,
    )
)
