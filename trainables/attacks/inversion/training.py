"""A decoder that undoes the anonymization, learned from pairs (raw, anonymized) that the attacker makes."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.attacks.retrained import RETRAINED
from trainables.attacks.shared.learning import (
    attack_attributes,
    attacked_data,
    contact_sheet,
    frame_classifiers,
    member_names,
)
from trainables.data.loader import Batch
from trainables.data.sampling import evenly
from trainables.evaluation.learning import LabelledData
from trainables.execution.context import StageContext
from trainables.models.axes import clips_of, frames_of
from trainables.models.base import Anonymizer
from trainables.models.obfuscation import gaussian_blur
from trainables.stages import part_name
from trainables.store import Outcome

_PICTURED = 6
_DILATIONS = (1, 2, 4, 8, 1)
_FILTER = 11  # pixels


class Decoder(nn.Module):
    """Frames (N, C, H, W) -> the same shape: adds a correction, made by a linear filter and by dilated convolutions.

    Both see the frame at its full size, where a blur can be undone, and start at nothing: what is still to be seen need not
    be learned.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, dilation in enumerate(_DILATIONS):
            conv = nn.Conv2d(width if number else 3, width, 3, padding=dilation, dilation=dilation, bias=False)
            layers += [conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        last = nn.Conv2d(width, 3, 1)
        self.layers = nn.Sequential(*layers, last)
        self.filter = nn.Conv2d(3, 3, _FILTER, padding=_FILTER // 2, padding_mode="replicate")
        for parameter in (*self.filter.parameters(), *last.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, frames: Tensor) -> Tensor:
        return frames + self.filter(frames) + self.layers(frames)


def run(context: StageContext) -> Outcome:
    """Trains the decoder, then reads attributes from restored frames with the classifiers that were trained on raw frames."""
    data = attacked_data(context, learned_in=RETRAINED.name)
    anonymizer = context.anonymizer("anonymizer")
    trained = context.inputs[part_name(RETRAINED.name, "raw")].state
    readers = frame_classifiers(context, data, trained["network"]).eval().requires_grad_(False)
    torch.manual_seed(context.seed("decoder"))
    decoder = context.placed(Decoder(context.config.attacks.decoder_width))

    def restore(anonymized: Tensor) -> Tensor:
        return clips_of(decoder(frames_of(anonymized)), batch=anonymized.shape[0])

    def losses(batch: Batch) -> dict[str, Tensor]:
        view, anonymized = context.anonymized_view(anonymizer, batch, training=True)
        return {"loss": F.mse_loss(context.through(decoder, restore, anonymized), view)}

    def read(anonymized: Tensor) -> Tensor:
        return readers(restore(anonymized).clamp(0.0, 1.0))

    result, history = attack_attributes(context, data, anonymizer, decoder, losses, read, member_names(context))
    others, picture = _likeness(context, anonymizer, restore, data)
    shown = {"others": {**result.others, **others}, "picture": picture, "caption": "raw, anonymized, restored"}
    return Outcome({}, history, {"evidence": {**result.state(), **shown}})


@torch.no_grad()
def _likeness(
    context: StageContext, anonymizer: Anonymizer, restore: Callable[[Tensor], Tensor], data: LabelledData
) -> tuple[dict[str, float], Tensor]:
    """Returns PSNR and SSIM of restored and of anonymized test frames against raw frames, and a picture of some of them."""
    found: dict[str, list[Tensor]] = {"psnr": [], "ssim": [], "psnr_anonymized": [], "ssim_anonymized": []}
    rows: list[Tensor] = []
    for batch in context.evaluation_batches(data.test):
        view, anonymized = context.anonymized_view(anonymizer, batch, clips=data.clips)
        with context.autocast():
            restored = restore(anonymized)
        frames = [frames_of(clips.float().clamp(0.0, 1.0)) for clips in (view, anonymized, restored)]
        for name, other in (("", frames[2]), ("_anonymized", frames[1])):
            found["psnr" + name].append(psnr(frames[0], other).cpu())
            found["ssim" + name].append(ssim(frames[0], other).cpu())
        if not rows:
            chosen = evenly(len(frames[0]), _PICTURED)
            rows = [row[chosen] for row in frames]
    return {name: float(torch.cat(values).mean()) for name, values in found.items()}, contact_sheet(rows)


def psnr(first: Tensor, second: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of (N, C, H, W) in [0, 1], in decibels, at most 100: (N,)."""
    error = (first - second).square().flatten(1).mean(dim=1)
    return -10.0 * error.clamp_min(1e-10).log10()


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Structural similarity (Wang et al., 2004; a Gaussian window of 11 pixels, sigma 1.5) of (N, C, H, W) in [0, 1]: (N,)."""

    def blurred(pixels: Tensor) -> Tensor:
        return gaussian_blur(pixels, 11, 1.5)

    stable_mean, stable_deviation = 0.01**2, 0.03**2
    mean_1, mean_2 = blurred(first), blurred(second)
    variance_1, variance_2 = blurred(first * first) - mean_1**2, blurred(second * second) - mean_2**2
    together = blurred(first * second) - mean_1 * mean_2
    luminance = (2 * mean_1 * mean_2 + stable_mean) / (mean_1**2 + mean_2**2 + stable_mean)
    structure = (2 * together + stable_deviation) / (variance_1 + variance_2 + stable_deviation)
    return (luminance * structure).flatten(1).mean(dim=1)
