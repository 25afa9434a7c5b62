import pickle

import pytest
import torch
from torch import nn
from torchvision.models.video import mvit_v2_s

from trainables.config import ClipConfig, ConfigError, NetworkConfig
from trainables.models.action import ACTION_CLASSIFIERS, C3D, ActionClassifier, build_action_classifier

SMALL = ClipConfig(frames=8, size=32)
WIDTHS = {
    "i3d_r50": 2048,
    "r3d_18": 512,
    "r2plus1d_18": 512,
    "mvit_v2_s": 768,
    "c3d": 4096,
    "narrow3d": 64,
    "narrow2plus1d": 64,
    "mobilenet_v2": 2560,
    "frozen_mobilenet_v2": 2560,
}


def build(name: str, classes: int = 5, clip: ClipConfig = SMALL) -> ActionClassifier:
    torch.manual_seed(0)
    return build_action_classifier(NetworkConfig(name=name), classes, clip).eval()


def test_every_registered_name_is_tested() -> None:
    assert set(ACTION_CLASSIFIERS) == set(WIDTHS)


@pytest.mark.parametrize("name", WIDTHS)
def test_shapes(name: str) -> None:
    model, clips = build(name), torch.rand(2, 8, 3, 32, 32)
    with torch.no_grad():
        features, logits = model.features(clips), model(clips)
    assert features.shape == (2, WIDTHS[name])
    assert logits.shape == (2, 5)
    assert torch.allclose(model.head(features), logits, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "frames", "size"), [("narrow3d", 5, 23), ("r3d_18", 3, 17), ("c3d", 3, 20), ("i3d_r50", 4, 40)]
)
def test_convolutions_take_any_size(name: str, frames: int, size: int) -> None:
    with torch.no_grad():
        assert build(name)(torch.rand(1, frames, 3, size, size)).shape == (1, 5)


def test_c3d_pools_to_the_size_of_the_paper() -> None:
    with torch.device("meta"):
        network = C3D()
        assert network(torch.rand(1, 3, 16, 112, 112)).shape == (1, 1)
    assert network.fc6.in_features == 8192


def test_mvit_is_torchvisions_at_its_size() -> None:
    with torch.device("meta"):
        ours = build("mvit_v2_s", clip=ClipConfig()).backbone
        theirs = mvit_v2_s(num_classes=5)
    shapes = {key: value.shape for key, value in theirs.state_dict().items() if not key.startswith("head")}
    assert {key: value.shape for key, value in ours.state_dict().items()} == shapes
    pools = [
        [(m.kernel_size, m.stride, m.padding) for m in net.modules() if isinstance(m, nn.Conv3d | nn.MaxPool3d)]
        for net in (ours, theirs)
    ]
    assert pools[0] == pools[1]
    heads = [[block.attn.num_heads for block in net.blocks] for net in (ours, theirs)]
    assert heads[0] == heads[1]


@pytest.mark.parametrize("clip", [ClipConfig(frames=8, size=48), ClipConfig(frames=7, size=32)])
def test_mvit_says_which_sizes_it_takes(clip: ClipConfig) -> None:
    with pytest.raises(ConfigError, match=r"even clip\.frames and a clip\.size divisible by 32"):
        build("mvit_v2_s", clip=clip)


def test_the_order_of_frames_matters() -> None:
    model, clips = build("narrow3d"), torch.rand(2, 8, 3, 32, 32)
    with torch.no_grad():
        assert not torch.allclose(model(clips), model(clips.flip(1)), atol=1e-4)


def test_the_backbone_gets_normalised_rgb_planes() -> None:
    model, seen = build("r3d_18"), []
    model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    clips = torch.zeros(1, 8, 3, 32, 32)
    clips[:, 2, 0] = 1.0  # red at time 2
    with torch.no_grad():
        model(clips)
    black_red, black_blue, red = (0 - 0.43216) / 0.22803, (0 - 0.37645) / 0.216989, (1 - 0.43216) / 0.22803
    assert seen[0].shape == (1, 3, 8, 32, 32)
    assert seen[0][0, 0, 2].unique().tolist() == pytest.approx([red], rel=1e-5)
    assert seen[0][0, 0, 3].unique().tolist() == pytest.approx([black_red], rel=1e-5)
    assert seen[0][0, 2].unique().tolist() == pytest.approx([black_blue], rel=1e-5)


def test_statistics_move_with_the_model_but_are_not_saved() -> None:
    model = build("narrow3d")
    assert {name for name, _ in model.normalize.named_buffers()} == {"mean", "std"}
    assert not any(key.startswith("normalize") for key in model.state_dict())
    assert model.double().normalize.mean.dtype == torch.float64


def moving_squares(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A square anywhere that moves up (0) or down (1) by a pixel a frame, around the edges: no frame tells which."""
    clips, labels = torch.full((count, 8, 3, 32, 32), 0.2), torch.arange(count) % 2
    for clip, label, column, row in zip(clips, labels, torch.randint(24, (count,)), torch.randint(32, (count,)), strict=True):
        for time in range(8):
            rows = (row + torch.arange(8) + (2 * label - 1) * time) % 32
            clip[time, :, rows, column : column + 8] = 0.8
    return clips, labels


@pytest.mark.parametrize("name", ["narrow3d", "narrow2plus1d"])
def test_narrow_classifiers_learn_motion(name: str) -> None:
    torch.manual_seed(0)
    clips, labels = moving_squares(64)
    model = build(name, classes=2).train()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(40):
        batch = slice(step % 4 * 16, step % 4 * 16 + 16)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(clips[batch]), labels[batch]).backward()
        optimizer.step()
    test_clips, test_labels = moving_squares(64)
    with torch.no_grad():
        accuracy = (model.eval()(test_clips).argmax(1) == test_labels).float().mean()
    assert accuracy > 0.9


def test_a_seed_fixes_the_weights_and_models_can_be_pickled() -> None:
    first, second = build("narrow3d"), build("narrow3d")
    clips = torch.rand(1, 8, 3, 32, 32)
    assert torch.equal(first(clips), second(clips))
    assert torch.equal(pickle.loads(pickle.dumps(first))(clips), first(clips))


def test_a_wrong_name_is_answered_with_the_right_ones() -> None:
    with pytest.raises(ConfigError, match=r"no action classifier named 'i3d' \(nearest.*r2plus1d_18, r3d_18"):
        build("i3d")
    with pytest.raises(ValueError, match="'c3d' is registered twice"):
        ACTION_CLASSIFIERS.register("c3d")(ACTION_CLASSIFIERS["c3d"])
