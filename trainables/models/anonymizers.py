"""Anonymizers f_A by name, and how one is built: frames ((B T), C, H, W), float RGB in [0, 1] -> frames of the same size.

Those that change people only are in `trainables.models.obfuscation`, fewer pixels and differences of frames in `untrained`,
VITA's network in `residual`, STPrivacy's in `tubelets`, BDQ's in `bdq`; `given` reads a model that was not trained here.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.config import AnonymizerConfig, ConfigError
from trainables.models import bdq, given, obfuscation, residual, tubelets, untrained  # noqa: F401  (each registers its own)
from trainables.models.axes import clips_of, frames_of, windows_of
from trainables.models.base import ANONYMIZERS, Anonymizer, Options
from trainables.models.classifier import IMAGENET_MEAN, IMAGENET_STD, Normalize
from trainables.models.dial import Modulation, apart, as_plane
from trainables.models.weights import load_encoder_weights, load_weights
from trainables.one_line import reason

TARGET_REACH = 0.5  # of grey values: the largest difference that `anonymizer.target = difference` shows


def build_anonymizer(config: AnonymizerConfig, options: Options | None = None) -> Anonymizer:
    """The anonymizer `config.name` with its starting weights, and the `options` of the trial's method.

    Raises ConfigError for an unknown name or encoder, and for weights that are absent or do not fit.
    """
    anonymizer = ANONYMIZERS[config.name](config)
    if options is not None:
        anonymizer.configure(options)
    if config.weights is not None and not anonymizer.reads_weights:
        load_weights(anonymizer, config.weights, config.name, field="anonymizer.weights")
    return anonymizer


def target_of(config: AnonymizerConfig) -> Anonymizer:
    """What a trained f_A begins as (Eq. 5) and what its distortion is measured against (Eq. 4).

    The frame itself, or its grey difference from the frame before it, as the method `grey_difference` shows it.
    """
    if config.target == "frame":
        return Identity(config)
    target = ANONYMIZERS["difference"](config)
    target.configure({"reach": TARGET_REACH})
    return target


@ANONYMIZERS.register("identity")
class Identity(Anonymizer):
    """Returns its input: the `raw` rows of every table."""

    def __init__(self, config: AnonymizerConfig) -> None:
        super().__init__()

    def forward(self, frames: Tensor) -> Tensor:
        return frames


@ANONYMIZERS.register("blank")
class Blank(Anonymizer):
    """Mid-grey frames, whatever was there: nothing can be read from them."""

    def __init__(self, config: AnonymizerConfig) -> None:
        super().__init__()

    def forward(self, frames: Tensor) -> Tensor:
        return torch.full_like(frames, 0.5)


class Downsample(Anonymizer):
    """Area-resizes by `factor` and back; a side that the factor does not divide shrinks to the next whole pixel.

    Back by bilinear interpolation: nearest would hold no more of the picture, and add the edges of its blocks to it.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, frames: Tensor) -> Tensor:
        height, width = frames.shape[-2:]
        small = functional.interpolate(frames, (-(-height // self.factor), -(-width // self.factor)), mode="area")
        return functional.interpolate(small, (height, width), mode="bilinear", align_corners=False)


@ANONYMIZERS.register("downsample_2x")
def _downsample_2x(config: AnonymizerConfig) -> Downsample:
    return Downsample(2)


@ANONYMIZERS.register("downsample_4x")
def _downsample_4x(config: AnonymizerConfig) -> Downsample:
    return Downsample(4)


class EncoderDecoder(Anonymizer):
    """An encoder-decoder of segmentation_models_pytorch, named by `architecture`.

    Sides that 2^depth does not divide are padded by repeating the border, and the result is cropped back. With a `window` it
    sees the frames before one as further channels; it begins as the same network without them, as their weights begin at 0.
    With a `dial` a number in [0, 1] tells it the operating point: where none comes with the frames, that of `configure`. It
    begins as a network that does not hear it.
    """

    architecture: str
    window: int

    def __init__(self, config: AnonymizerConfig) -> None:
        super().__init__()
        self.multiple = 2**config.depth
        self.bounded = config.output == "sigmoid"
        self.window, self.differences = config.window, config.window_input == "differences"
        self.dial, self.at = config.dial, 1.0  # where it is shown to what comes before the minimax
        self.normalize = Normalize(IMAGENET_MEAN, IMAGENET_STD)
        self.network: Any = _encoder_decoder(self.architecture, config)
        load_encoder_weights(self.network.encoder, config)
        if self.window > 1 or self.dial == "plane":
            _widen(self.network.encoder, 3 * self.window + (self.dial == "plane"))
        self.modulation = Modulation(self.network.encoder.out_channels[1:]) if self.dial in ("film", "blend") else None
        self.to(memory_format=torch.channels_last)  # twice as fast on CPUs for narrow networks; tensor cores want it too

    @property
    def sees_time(self) -> bool:
        return self.window > 1

    def configure(self, options: Options) -> None:
        self.at = float(dict(options).get("at", self.at))  # a stage that trains it does not see where it will be used

    def forward(self, frames: Tensor, dial: Tensor | None = None) -> Tensor:
        """frames: ((B T), C, H, W); dial: ((B T),) in [0, 1], or (1,) for all. Returns frames of the same shape."""
        if self.sees_time:
            return self._of_clips(frames.unsqueeze(1), dial).squeeze(1)
        return self._changed(self.normalize(frames), frames, dial)

    def clips(self, clips: Tensor) -> Tensor:
        return self._of_clips(*apart(clips))

    def last(self, windows: Tensor, dial: Tensor | None = None) -> Tensor:
        """dial: (B,) in [0, 1], or (1,) for all."""
        normalized = clips_of(self.normalize(frames_of(windows)), batch=windows.shape[0])
        seen = windows_of(normalized, self.window, self.differences)[windows.shape[1] - 1 :: windows.shape[1]]
        return self._changed(seen, windows[:, -1], dial)

    def _of_clips(self, clips: Tensor, dial: Tensor | None) -> Tensor:
        normalized = self.normalize(frames_of(clips))
        if self.sees_time:
            normalized = windows_of(clips_of(normalized, batch=clips.shape[0]), self.window, self.differences)
        return clips_of(self._changed(normalized, frames_of(clips), dial), batch=clips.shape[0])

    def _changed(self, seen: Tensor, frames: Tensor, dial: Tensor | None) -> Tensor:
        """((B T), 3 window, H, W), normalized, the present frames of it as they are, and ((B T),) -> ((B T), 3, H, W)."""
        height, width = seen.shape[-2:]
        if self.dial != "none":
            dial = (seen.new_full((1,), self.at) if dial is None else dial).expand(seen.shape[0])
        if dial is not None and self.dial == "plane":
            seen = torch.cat([seen, as_plane(dial, seen)], dim=1)
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        padded = functional.pad(seen, padding, mode="replicate") if any(padding) else seen
        padded = padded.contiguous(memory_format=torch.channels_last)
        # float32 before the sigmoid: bfloat16 would quantise pixels near 1 to steps of 1/256, and the RMS of Eq. 4 with them.
        output = self._through_network(padded, dial)[..., :height, :width].float()
        shown = output.sigmoid() if self.bounded else output
        if dial is not None and self.dial == "blend":
            return torch.lerp(frames.float(), shown, dial.float().view(-1, 1, 1, 1))
        return shown

    def _through_network(self, padded: Tensor, dial: Tensor | None) -> Tensor:
        if dial is None or self.modulation is None:
            return cast(Tensor, self.network(padded))
        first, *features = self.network.encoder(padded)  # the first is the input itself
        shown = self.network.decoder([first, *self.modulation(features, dial)])
        return cast(Tensor, self.network.segmentation_head(shown))


@ANONYMIZERS.register("unetpp")
class UnetPlusPlus(EncoderDecoder):
    """UNet++, https://arxiv.org/abs/1807.10165."""

    architecture = "UnetPlusPlus"


@ANONYMIZERS.register("unet")
class Unet(EncoderDecoder):
    """UNet, https://arxiv.org/abs/1505.04597."""

    architecture = "Unet"


def _encoder_decoder(architecture: str, config: AnonymizerConfig) -> Any:
    import segmentation_models_pytorch as smp

    smp.encoders.encoders.setdefault("narrow", NARROW)
    try:
        return getattr(smp, architecture)(
            encoder_name=config.encoder,
            encoder_depth=config.depth,
            encoder_weights=None,
            decoder_channels=config.decoder_channels,
            decoder_use_norm=config.decoder_norm,
            classes=3,
        )
    except (KeyError, RuntimeError, ValueError) as error:
        known = ", ".join(name for name in smp.encoders.encoders if name.startswith(("narrow", "resnet", "mobilenet")))
        raise ConfigError(
            f"anonymizer.encoder = {config.encoder!r} at depth {config.depth}: {reason(error, 160)};"
            f" give an encoder of segmentation_models_pytorch ({known}, ...)"
        ) from None


def _widen(encoder: Any, channels: int) -> None:
    """Lets the encoder take `channels` in place of 3. What it makes of the first 3 stays; the others count nothing at first."""
    first = next(module for module in encoder.modules() if isinstance(module, nn.Conv2d))
    weight = first.weight.detach().clone()
    encoder.set_in_channels(channels, pretrained=True)
    first = next(module for module in encoder.modules() if isinstance(module, nn.Conv2d))
    with torch.no_grad():
        first.weight.zero_()
        first.weight[:, :3] = weight


class NarrowEncoder(nn.Module):
    """An encoder for small frames on a CPU, in the form segmentation_models_pytorch expects.

    Features at strides 1 (the input itself, as in all its encoders), 2, 4, ... 2^depth.
    """

    def __init__(self, out_channels: tuple[int, ...], depth: int, output_stride: int) -> None:
        super().__init__()
        self.out_channels = out_channels[: depth + 1]
        self.output_stride = 2**depth
        pairs = zip(self.out_channels, self.out_channels[1:], strict=False)
        self.stages = nn.ModuleList(_stage(inputs, outputs) for inputs, outputs in pairs)

    def set_in_channels(self, in_channels: int, pretrained: bool = False) -> None:
        if in_channels != self.out_channels[0]:
            self.out_channels = (in_channels, *self.out_channels[1:])
            self.stages[0] = _stage(in_channels, self.out_channels[1])

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [x]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    # no batch norm: over a batch of few clips, each of one colour scheme, its statistics are mostly noise (measured: the
    # reconstruction error is a third lower without), and f_A is one and the same function in training and in use
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU(inplace=True))


NARROW = {"encoder": NarrowEncoder, "pretrained_settings": {}, "params": {"out_channels": (3, 32, 32, 64, 128, 128)}}
