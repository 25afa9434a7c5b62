"""Classifiers of several architectures, trained with labels on anonymized frames."""

from __future__ import annotations

from torch import Tensor

from trainables.attacks.common import (
    ask,
    attribute_evidence,
    attribute_loss,
    effort,
    ensemble_of,
    leakage,
    learn,
    member_names,
    target_of,
)
from trainables.data.loader import Batch
from trainables.stages.context import StageContext
from trainables.store import Outcome


def run(context: StageContext) -> Outcome:
    target, names = target_of(context), member_names(context)
    anonymizer = context.anonymizer("anonymizer")
    ensemble = ensemble_of(context, target)

    def losses(batch: Batch) -> dict[str, Tensor]:
        _, hidden = context.anonymized_view(anonymizer, batch, training=True)
        logits = ensemble(hidden)
        return {
            f"loss_{number}_{name}": attribute_loss(member, batch["attributes"])
            for number, (name, member) in enumerate(zip(names, logits, strict=True))
        }

    def judge() -> float | None:
        ensemble.eval()
        return leakage(*ask(context, anonymizer, ensemble, target.validation, clips=1))

    history = learn(context, ensemble, target.train, losses, judge)
    ensemble.eval()
    asked = ask(context, anonymizer, ensemble, target.test, clips=target.clips)
    spent = effort(context, ensemble, len(target.train.samples))
    evidence = attribute_evidence(target, names, asked, spent, history)
    return Outcome({}, history, {"evidence": evidence.state(), "network": ensemble.state_dict()})
