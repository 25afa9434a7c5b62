"""The weight of VITA's ensemble against its utility loss: 0.5 is its paper's, the default is that for each of six attributes.

Another one is chosen from here, by validation figures:

    python -m analysis select --space vita_gamma --min top1=90% --prefer leakage
"""

from search_spaces.registry import RAW, SPACES, Space
from search_spaces.shared_rows import SMALL_DATA, SMALL_STUDY

SPACES.register("vita_gamma")(
    Space(
        source="none: VITA's paper gives the weight of one attribute",
        question="How much must VITA's ensemble count for an attacker to be kept from the attributes?",
        settings=(RAW, *({"method": "vita", "options.gamma": gamma} for gamma in (0.5, 1.0, 3.0, 10.0))),
        generated_defaults={**SMALL_STUDY, "evaluate_action.epochs": 10},
        generated=SMALL_DATA,
    )
)
