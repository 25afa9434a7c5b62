"""The losses of the paper (arXiv 2504.14301). Clips are (B, T, C, H, W), frames ((B T), C, H, W), both in [0, 1]."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.shapes import Clips, Projections, Rows, Scalar

Scope = Literal["clip", "frame", "batch"]
Norm = Literal["absolute", "relative"]

# A clip of one flat colour has no deviation to be relative to; below one grey level out of 255 it counts as flat.
_FLAT = 1.0 / 255.0
_NOTHING = 1e-6  # of features that are all 0 nothing can be a share


def reconstruction_loss(anonymized: Clips, original: Clips) -> Scalar:
    """Eq. 5: mean absolute difference; f_A starts as the identity. Returns a scalar."""
    return F.l1_loss(anonymized, original)


def rms_distortion(clips: Clips, anonymized: Clips, scope: Scope = "clip", norm: Norm = "absolute") -> Rows:
    """The RMS of X - f_A(X) in Eq. 4.

    clips, anonymized: (B, T, C, H, W). Returns (B,) for scope clip, (B T,) for frame, (1,) for batch; in units of the
    pixel range [0, 1] for norm absolute, in standard deviations of the same clip (frame, batch) for relative: 1.0 is
    as far away as a flat picture of the mean colour.
    """
    first = {"clip": 1, "frame": 2, "batch": 0}[scope]
    difference = _rows(clips - anonymized, first)
    # vector_norm has gradient 0 at 0, where sqrt(mean(x^2)) has none: the anonymizer starts at the identity
    rms = torch.linalg.vector_norm(difference, dim=1) / difference.shape[1] ** 0.5
    if norm == "absolute":
        return rms
    pixels = clips.float()
    # per colour: the flat picture of the mean colour, not of the mean grey
    mean = pixels.mean(dim=tuple(d for d in range(first, 5) if d != 2), keepdim=True)
    deviation = torch.linalg.vector_norm(_rows(pixels - mean, first), dim=1) / difference.shape[1] ** 0.5
    return rms / deviation.clamp_min(_FLAT)


def feature_distortion(original: Tensor, anonymized: Tensor, norm: Norm = "absolute") -> Rows:
    """The RMS of phi(X) - phi(f_A(X)), the other reading of the penalty (section 3.2, L_P(theta_A, theta_T) of Algorithm 1).

    original, anonymized: (B, F), what f_T makes of each clip. Returns (B,): in units of the features for norm absolute, in
    shares of the RMS of phi(X) for relative: 1.0 is as far away as no features at all. The first gets no gradient.
    """
    first, second = original.detach().float(), anonymized.float()
    distance = torch.linalg.vector_norm(first - second, dim=1)
    size = first.shape[1] ** 0.5 if norm == "absolute" else torch.linalg.vector_norm(first, dim=1).clamp_min(_NOTHING)
    return distance / size


def distortion_penalty(rms: Rows, budget: float | Rows) -> Scalar:
    """Eq. 4: max(0, rms - B), mean over the rows of `rms` (clips by default). A scalar that keeps its gradient.

    budget: B, one for all rows or one for each.
    """
    return F.relu(rms - budget).mean()


def nt_xent(first: Projections, second: Projections, temperature: float) -> Scalar:
    """Eq. 6, NT-Xent (SimCLR, arXiv 2002.05709, Eq. 1): the N pairs (first[i], second[i]) against the other 2N - 2.

    first, second: (N, D) projections, normalised here. Returns the mean over all 2N anchors.
    """
    points = F.normalize(torch.cat([first, second]).float(), dim=1)
    count = first.shape[0]
    similarity = products(points, points) / temperature
    similarity = similarity.masked_fill(torch.eye(2 * count, dtype=torch.bool, device=points.device), float("-inf"))
    partner = torch.arange(2 * count, device=points.device).roll(count)
    return F.cross_entropy(similarity, partner)


def products(first: Tensor, second: Tensor) -> Tensor:
    """The dot products of the rows of (N, D) and (M, D): (N, M) in float32, whatever autocast does.

    Autocast would multiply in bfloat16. A contrastive loss divides what comes of it by a temperature of 0.1 or less, so that
    the rounding of a product near 1, up to 0.004, becomes an error of several per cent in its exponential.
    """
    with torch.autocast(first.device.type, enabled=False):
        return first.float() @ second.float().T


def anonymizer_loss(
    action_loss: Scalar, privacy_loss: Scalar, penalty: Scalar, penalty_weight: float, privacy_weight: float = 1.0
) -> Scalar:
    """Eq. 3: L_A = L_T - L_B + lambda * L_pen (privacy_weight = 1 is the paper's)."""
    return action_loss - privacy_weight * privacy_loss + penalty_weight * penalty


def _rows(values: Tensor, first: int) -> Tensor:
    """(B, T, C, H, W) -> one row for each clip (first = 1), frame (2) or the whole batch (0), in float32."""
    values = values.float()
    return values.flatten().unsqueeze(0) if first == 0 else values.flatten(0, first - 1).flatten(1)
