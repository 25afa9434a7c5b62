"""Action classifiers f_T: clips (B, T, C, H, W), float RGB in [0, 1] -> logits (B, classes)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from trainables.config import ClipConfig, ConfigError, NetworkConfig
from trainables.models.axes import channels_first
from trainables.models.classifier import IMAGENET_MEAN, IMAGENET_STD, RGB, Backbone, Classifier, standardised
from trainables.models.mobilenet import MobileNetClips
from trainables.models.weights import initialise
from trainables.registry import Registry

ACTION_CLASSIFIERS: Registry[Callable[[ClipConfig], Backbone]] = Registry("action classifier")

# Mean and deviation that the Kinetics-400 weights were trained with: torchvision's video ResNets; pytorchvideo and MViT.
RESNET_MEAN: RGB = (0.43216, 0.394666, 0.37645)
RESNET_STD: RGB = (0.22803, 0.22145, 0.216989)
GREY_MEAN: RGB = (0.45, 0.45, 0.45)
GREY_STD: RGB = (0.225, 0.225, 0.225)


class ActionClassifier(Classifier):
    def features(self, clips: Tensor) -> Tensor:
        """(B, T, C, H, W) -> (B, F): the input of the last linear layer."""
        return self.backbone(channels_first(self.normalize(clips)))


def build_action_classifier(network: NetworkConfig, classes: int, clip: ClipConfig) -> ActionClassifier:
    """The classifier `network.name` for clips as `clip` makes them, with its starting weights.

    Raises ConfigError for an unknown name, a size the network cannot take, and weights that are absent or do not fit.
    """
    model = ActionClassifier(ACTION_CLASSIFIERS[network.name](clip), classes)
    initialise(model, network)
    return model


@ACTION_CLASSIFIERS.register("i3d_r50")
def _i3d_r50(clip: ClipConfig) -> Backbone:
    """I3D on ResNet-50, https://arxiv.org/abs/1705.07750, of pytorchvideo; the head pools whatever size arrives."""
    with warnings.catch_warnings():  # pytorchvideo compiles helpers with torch.jit.script when imported
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.script", category=Warning)
        from pytorchvideo.models.hub import i3d_r50

    # `head_pool` takes any module type; its default averages windows of 4 x 7 x 7 and fails on smaller inputs.
    network = i3d_r50(model_num_class=1, head_pool=_GlobalPool)
    return Backbone(network, "blocks.6.proj", GREY_MEAN, GREY_STD)


class _GlobalPool(nn.AdaptiveAvgPool3d):
    """A global average pool that accepts, and ignores, the window that pytorchvideo's head builder passes."""

    def __init__(self, kernel_size: object = None, stride: object = None, padding: object = None) -> None:
        super().__init__(1)


def _video_resnet(builder: str, clip: ClipConfig) -> Backbone:
    """https://arxiv.org/abs/1711.11248, of torchvision."""
    from torchvision.models import get_model

    return Backbone(get_model(builder, weights=None), "fc", RESNET_MEAN, RESNET_STD)


for _name in ("r3d_18", "r2plus1d_18"):
    ACTION_CLASSIFIERS.register(_name)(partial(_video_resnet, _name))


@ACTION_CLASSIFIERS.register("mvit_v2_s")
def _mvit_v2_s(clip: ClipConfig) -> Backbone:
    """MViTv2-S, https://arxiv.org/abs/2112.01526, torchvision's configuration at the size of the clips."""
    if clip.size % 32 or clip.frames % 2:
        raise ConfigError(
            f"mvit_v2_s cannot take clips of {clip.frames} frames at {clip.size} pixels;"
            " give an even clip.frames and a clip.size divisible by 32"
        )
    from torchvision.models.video.mvit import MSBlockConfig, MViT

    # (blocks, heads, channels) of the four stages: each starts by halving height and width (the first excepted) and
    # widens to its channels; keys and values are pooled so that every stage attends to a grid of the first one's size / 8.
    stages = ((1, 1, 96), (2, 2, 192), (11, 4, 384), (2, 8, 768))
    blocks: list[MSBlockConfig] = []
    channels = 96
    for stage, (count, heads, width) in enumerate(stages):
        for block in range(count):
            query = 2 if stage and not block else 1
            key = 8 >> stage
            blocks.append(MSBlockConfig(heads, channels, width, [3] * 3, [3] * 3, [1, query, query], [1, key, key]))
            channels = width
    network = MViT(
        (clip.size, clip.size),
        clip.frames,
        blocks,
        residual_pool=True,
        residual_with_cls_embed=False,
        rel_pos_embed=True,
        proj_after_attn=True,
        stochastic_depth_prob=0.2,
    )
    return Backbone(network, "head.1", GREY_MEAN, GREY_STD)


class C3D(nn.Module):
    """C3D, Tran et al. 2015, https://arxiv.org/abs/1412.0767; layers are named as in the published Sports-1M weights.

    For 16 x 112 x 112 the last pool yields the 1 x 4 x 4 of the paper; here it is adaptive, so that any size goes in.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _c3d_conv(3, 64)
        self.conv2 = _c3d_conv(64, 128)
        self.conv3a, self.conv3b = _c3d_conv(128, 256), _c3d_conv(256, 256)
        self.conv4a, self.conv4b = _c3d_conv(256, 512), _c3d_conv(512, 512)
        self.conv5a, self.conv5b = _c3d_conv(512, 512), _c3d_conv(512, 512)
        # ceil_mode changes nothing at 16 x 112 x 112 and lets one frame or one pixel through at small sizes.
        self.pool1 = nn.MaxPool3d((1, 2, 2), ceil_mode=True)
        self.pool = nn.MaxPool3d(2, ceil_mode=True)
        self.pool5 = nn.AdaptiveMaxPool3d((1, 4, 4))
        self.fc6 = nn.Linear(512 * 16, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.conv1(x).relu())
        x = self.pool(self.conv2(x).relu())
        x = self.pool(self.conv3b(self.conv3a(x).relu()).relu())
        x = self.pool(self.conv4b(self.conv4a(x).relu()).relu())
        x = self.pool5(self.conv5b(self.conv5a(x).relu()).relu())
        x = self.dropout(self.fc6(x.flatten(1)).relu())
        x = self.dropout(self.fc7(x).relu())
        return self.fc8(x)


def _c3d_conv(inputs: int, outputs: int) -> nn.Conv3d:
    conv = nn.Conv3d(inputs, outputs, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")  # without batch norm the default fades out over eight layers
    return conv


@ACTION_CLASSIFIERS.register("c3d")
def _c3d(clip: ClipConfig) -> Backbone:
    return Backbone(C3D(), "fc8", GREY_MEAN, GREY_STD)


class Narrow3d(nn.Module):
    """Three convolutions over 3 frames each, for small clips on a CPU.

    Each clip is standardised by its own mean and deviation, colour by colour: an anonymizer may leave little contrast, and
    without this the network needs several times as many steps to find it, or never does. The first convolution spans time
    before the picture shrinks: motion of a pixel or two is gone after it. Features are pooled by their maximum over the
    frame, then by their mean over time: a small moving figure is lost in a mean over the frame.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            _conv3d(3, 16, kernel=(3, 5, 5), stride=(1, 4, 4)),
            _conv3d(16, 32, kernel=(3, 3, 3), stride=(1, 1, 1)),
            _conv3d(32, 64, kernel=(3, 3, 3), stride=(2, 2, 2)),
        )
        self.fc = nn.Linear(64, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.stages(standardised(x)).amax((3, 4)).mean(2))


class Narrow2Plus1d(Narrow3d):
    """`Narrow3d` with each convolution split into one over space and one over time, as in R(2+1)D."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            _conv3d(3, 16, kernel=(1, 5, 5), stride=(1, 4, 4)),
            _conv3d(16, 32, kernel=(3, 1, 1), stride=(1, 1, 1)),
            _conv3d(32, 32, kernel=(1, 3, 3), stride=(1, 1, 1)),
            _conv3d(32, 64, kernel=(3, 1, 1), stride=(1, 1, 1)),
            _conv3d(64, 64, kernel=(3, 3, 3), stride=(2, 2, 2)),
        )


def _conv3d(inputs: int, outputs: int, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    conv = nn.Conv3d(inputs, outputs, kernel, stride, padding, bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(outputs), nn.ReLU(inplace=True))


@ACTION_CLASSIFIERS.register("narrow3d")
def _narrow3d(clip: ClipConfig) -> Backbone:
    return Backbone(Narrow3d(), "fc", GREY_MEAN, GREY_STD)


@ACTION_CLASSIFIERS.register("narrow2plus1d")
def _narrow2plus1d(clip: ClipConfig) -> Backbone:
    return Backbone(Narrow2Plus1d(), "fc", GREY_MEAN, GREY_STD)


@ACTION_CLASSIFIERS.register("mobilenet_v2")
def _mobilenet_v2(clip: ClipConfig) -> Backbone:
    """MobileNetV2 on every frame, features pooled over time (see `trainables.models.mobilenet`)."""
    return Backbone(MobileNetClips(), "classifier.1", IMAGENET_MEAN, IMAGENET_STD)


@ACTION_CLASSIFIERS.register("frozen_mobilenet_v2")
def _frozen_mobilenet_v2(clip: ClipConfig) -> Backbone:
    """The same, of which only the head learns: with ImageNet's weights a linear probe."""
    return Backbone(MobileNetClips(frozen=True), "classifier.1", IMAGENET_MEAN, IMAGENET_STD)
