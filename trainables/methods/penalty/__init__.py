"""The paper's method (arXiv 2504.14301): a minimax with a penalty on the distortion of action clips beyond a budget."""

from trainables.methods import METHODS, Method
from trainables.stages import MINIMAX, RECONSTRUCT, WARM_UP

METHODS.register("penalty")(
    Method(
        source="Aslam & Nasrollahi, arXiv 2504.14301, Eq. 3-6 and Algorithm 1",
        stages=(RECONSTRUCT, WARM_UP, MINIMAX),
        anonymizer=MINIMAX.name,
    )
)
