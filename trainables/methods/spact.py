"""SPACT, self-supervised privacy-preserving action recognition (arXiv 2203.15205): L_A = L_T - L_B.

`spact` has the networks and the recipe of the penalty method, so that rows of a table can be compared; that is the penalty
with lambda = 0, stage for stage. `spact_published` has its own: a UNet with a sigmoid on 112x112 frames, and R3D-18.
"""

from trainables.methods import METHODS, Method
from trainables.methods.penalty import MINIMAX
from trainables.stages import RECONSTRUCT, WARM_UP

_STAGES = (RECONSTRUCT, WARM_UP, MINIMAX)
_NO_PENALTY = {"minimax.penalty_weight": 0.0}

METHODS.register("spact")(
    Method(source="Dave et al., arXiv 2203.15205, Eq. 4", stages=_STAGES, anonymizer=MINIMAX.name, fixed=_NO_PENALTY)
)
METHODS.register("spact_published")(
    Method(
        source="Dave et al., arXiv 2203.15205, section 4 and the released code",
        stages=_STAGES,
        anonymizer=MINIMAX.name,
        fixed=_NO_PENALTY,
        recipe={
            "anonymizer.name": "unet",
            "anonymizer.encoder_weights": None,
            "anonymizer.output": "sigmoid",
            "clip.size": 112,
            "clip.decode_size": 140,
            "action_classifier.name": "r3d_18",
            "evaluate_action.classifier.name": "r3d_18",
            "evaluate_action.classifier.weights": None,  # its 62 % on raw UCF101 are those of a network from scratch
            "minimax.temperature": 0.1,
        },
    )
)
