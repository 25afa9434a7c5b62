"""SPACT, self-supervised privacy-preserving action recognition (arXiv 2203.15205): L_A = L_T - L_B.

`spact` has the networks and the recipe of the penalty method, so that rows of a table can be compared; that is the penalty
with lambda = 0, stage for stage. `spact_published` has its own: a UNet with a sigmoid on 112x112 frames, R3D-18, and the values
of anonymization_training/parameters_SSL.py and train_ssl_minimax2.py of its released code.
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
            "clip.skip": 2,
            "augment.erase": 0.25,
            "augment.erasures": 1,
            "action_classifier.name": "r3d_18",
            "action_classifier.weights": None,  # its own checkpoint: learned with labels on reconstructions, as in the warm-up
            "privacy_encoder.weights": None,  # likewise, by NT-Xent
            "reconstruct.epochs": 20,  # of the checkpoint it goes on from
            "warm_up.epochs": 50,  # of its checkpoint of f_T
            "minimax.epochs": 300,
            "minimax.batch_size": 24,
            "minimax.pair_batch_size": 64,
            "minimax.learning_rate_anonymizer": 1e-4,
            "minimax.learning_rate_action": 1e-4,
            "minimax.learning_rate_privacy": 1e-4,
            "minimax.alternate": "batches",
            "minimax.judge_statistics": "running",
            "evaluate_action.classifier.name": "r3d_18",
            "evaluate_action.classifier.weights": None,  # its 62 % on raw UCF101 are those of a network from scratch
            "minimax.temperature": 0.1,
        },
        approximate=(
            "f_A is a UNet with a ResNet-18 encoder, not one of plain double convolutions; the last stage of R3D-18 halves time"
            " (there it does not, and is dilated); f_B learns on reconstructions for the 50 epochs of f_T (160); an epoch is a"
            " pass over the clips (over the images, 150 batches); an erasure is 2 to 33 % of the frame (a square of 9 to 18"
            " pixels); how its f_T' and f_B' were trained was never released: as in this paper, but from scratch"
        ),
    )
)
