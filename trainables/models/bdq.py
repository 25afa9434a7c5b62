"""The encoder of BDQ (Kumawat & Nagahara, arXiv 2208.02459), for f_A: a learned blur, a difference, a learned quantization."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainables.config import AnonymizerConfig
from trainables.methods.bdq import LEAST_SIGMA, NETWORK_OPTIONS, BdqOptions
from trainables.models.axes import changes_of, clips_of, frames_of
from trainables.models.base import ANONYMIZERS, Anonymizer, Options
from trainables.models.obfuscation import gaussian_blur

_PUBLISHED_SIDE = 224  # of the frames of the released code, in whose pixels `sigma` and `kernel` are


@ANONYMIZERS.register("bdq")
class BlurDifferenceQuantization(Anonymizer):
    """The difference of each blurred frame from the blurred frame before it, in a few soft levels. It is causal.

    Mid-grey is no change as long as nothing has been learned. The first frame of a clip, and so every single image, is shown as
    one without any change. Each colour is treated by itself, and all alike.

    sigma: (), of the blur; thresholds: (levels - 1,), between the levels. They are learned. Options of the method: what both
    start from, the `kernel` of the blur, the `hardness` of the levels, and the `reach`, the largest difference that is shown.
    """

    window = 2  # frames that it needs to show the last of them

    def __init__(self, config: AnonymizerConfig) -> None:
        super().__init__()
        self.configure({})

    def configure(self, options: Options) -> None:
        start = BdqOptions.model_validate({name: options[name] for name in NETWORK_OPTIONS if name in options})
        self.kernel, self.levels, self.hardness, self.reach = start.kernel, start.levels, start.hardness, start.reach
        self.sigma = nn.Parameter(torch.tensor(start.sigma))
        # half-way between neighbouring levels, as rounding would have them
        self.thresholds = nn.Parameter(torch.arange(start.levels - 1, dtype=torch.float32) + 0.5)

    def forward(self, frames: Tensor) -> Tensor:
        return self.clips(frames.unsqueeze(1)).squeeze(1)

    def clips(self, clips: Tensor) -> Tensor:
        blurred = clips_of(self.blurred(frames_of(clips.float())), batch=clips.shape[0])
        return self.quantized(changes_of(blurred))

    def blurred(self, frames: Tensor) -> Tensor:
        """(F, C, H, W) -> the same shape. The blur is as strong in shares of the shorter side as in a frame of 224 pixels."""
        scale = min(frames.shape[-2:]) / _PUBLISHED_SIDE
        reach = max(1, round((self.kernel * scale - 1) / 2))
        return gaussian_blur(frames, 2 * reach + 1, self.sigma * scale)

    def quantized(self, change: Tensor) -> Tensor:
        """Differences in [-1, 1] -> what is shown of them, in [0, 1], any shape: sums of sigmoids, one for each threshold.

        On the scale of the thresholds a difference of -`reach` is at 0 and one of +`reach` at `levels` - 1; larger ones are cut
        off. With growing `hardness` the sum becomes the number of thresholds below.
        """
        last = self.levels - 1
        place = (change.clamp(-self.reach, self.reach) / self.reach + 1.0) * (last / 2)
        shown = torch.zeros_like(place)
        for threshold in self.thresholds:
            shown = shown + torch.sigmoid(self.hardness * (place - threshold))
        return shown / last

    @torch.no_grad()
    def hold(self) -> None:
        """Brings what a step has moved too far back: sigma to what still blurs, the thresholds into their range."""
        self.sigma.clamp_(min=LEAST_SIGMA)
        self.thresholds.clamp_(0.0, self.levels - 1.0)
