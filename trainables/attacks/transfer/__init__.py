"""Classifiers that learned from raw frames and read anonymized ones (raw_trained), and the reverse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.attacks import ATTACK_VIEW, ATTACKS, ATTRIBUTES_MEASURE, Attack, attack_stage
from trainables.attacks.retrained import RETRAINED
from trainables.stages import part_name

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome


def _raw_trained(context: StageContext) -> Outcome:
    from trainables.attacks.transfer.training import raw_trained

    return raw_trained(context)


def _reverse(context: StageContext) -> Outcome:
    from trainables.attacks.transfer.training import reverse

    return reverse(context)


_FIELDS = (*ATTACK_VIEW, "attacks.ensemble")

ATTACKS.register("raw_trained")(
    Attack(
        "Classifiers of ordinary video",
        "Who has only ever seen ordinary video, and knows nothing of the anonymizer: what can be read of a person?",
        "inference",
        ATTRIBUTES_MEASURE,
        ("ordinary", "pretrained"),
        attack_stage("raw_trained", _raw_trained, _FIELDS, (part_name(RETRAINED.name, "raw"),), trains=False),
    )
)
ATTACKS.register("reverse")(
    Attack(
        "From anonymized to ordinary video",
        "Who has learned from labelled anonymized video: what can be read of people in ordinary video?",
        "inference",
        ATTRIBUTES_MEASURE,
        ("runs", "labels", "pretrained"),
        attack_stage("reverse", _reverse, _FIELDS, (RETRAINED.name,), trains=False, version=3),
        # what networks that learned from blank frames make of raw ones is left over from their first weights: no control
        controls=("raw", "permuted"),
    )
)
