"""MaSS: bounds on what may be known of each attribute and unknown of the action (arXiv 2405.14981).

With H(Y | X') estimated by the cross-entropy of a classifier that is trained on X' = f_A(X), f_A descends the sum of
  suppression of attribute s:  over(H(S) - H(S | X') - m), that is I(X'; S) beyond m,
  preservation of the action:  over(H(U | X') - n),
  what has no labels:          weight x InfoNCE of features of clips as they are and anonymized,
where over(v) = linear x max(0, v) + quadratic x max(0, v)^2, as in the released code. H(S) is the entropy of the labels in
the training set.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.execution.context import StageContext
from trainables.losses import products
from trainables.methods.mass import MassOptions
from trainables.methods.penalty.training import trained_action_classifier
from trainables.store import Outcome
from trainables.training.supervised import PlayersView, Rules, prepare, train


def run(context: StageContext) -> Outcome:
    options = MassOptions.of(context.config)
    torch.manual_seed(context.seed("training"))
    labels = torch.tensor([item.attributes for item in context.data.privacy.train], device=context.device)
    entropies = binary_entropy(labels.mean(dim=0))
    reference = trained_action_classifier(context).eval().requires_grad_(False)

    def losses(seen: PlayersView) -> dict[str, Tensor]:
        [logits] = seen.privacy_logits
        known = information(logits, seen.attributes, entropies)
        suppression = over(known - options.suppression_bound, options).sum()
        preservation = over(seen.action_loss - options.preservation_bound, options)
        original, anonymized = (
            context.through(reference, reference.features, clips) for clips in (seen.clips, seen.anonymized)
        )
        contrast = info_nce(original, anonymized, options.temperature)
        loss = suppression + preservation + options.contrast_weight * contrast
        return {"loss_anonymizer": loss, "suppression": suppression, "preservation": preservation, "contrast": contrast}

    rules = Rules(privacy_steps=options.privacy_steps)
    return train(context, prepare(context, rules), losses, rules)


def binary_entropy(shares: Tensor) -> Tensor:
    """H(S) in nats of attributes that are positive in these shares, any shape."""
    return torch.special.entr(shares) + torch.special.entr(1.0 - shares)


def information(logits: Tensor, attributes: Tensor, entropies: Tensor) -> Tensor:
    """H(S) - H(S | X') of each attribute in nats, (A,); logits and labels (N, A), entropies (A,)."""
    conditional = F.binary_cross_entropy_with_logits(logits.float(), attributes, reduction="none").mean(dim=0)
    return entropies - conditional


def over(excess: Tensor, options: MassOptions) -> Tensor:
    """linear x max(0, excess) + quadratic x max(0, excess)^2, any shape."""
    beyond = F.relu(excess)
    return options.linear_weight * beyond + options.quadratic_weight * beyond.square()


def info_nce(original: Tensor, anonymized: Tensor, temperature: float) -> Tensor:
    """InfoNCE (arXiv 1807.03748) of features (B, F), by cosine: each anonymized clip is to find its original among B."""
    first, second = F.normalize(original.float(), dim=1), F.normalize(anonymized.float(), dim=1)
    return F.cross_entropy(products(second, first) / temperature, torch.arange(len(first), device=first.device))
