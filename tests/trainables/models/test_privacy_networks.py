import pytest
import torch
from torch import nn

from trainables.config import ConfigError, NetworkConfig
from trainables.models.privacy import PRIVACY_BACKBONES, build_privacy_classifier, build_privacy_encoder

WIDTHS = {
    "resnet18": 512,
    "resnet34": 512,
    "resnet50": 2048,
    "resnet101": 2048,
    "resnet152": 2048,
    "mobilenet_v2": 1280,
    "frozen_mobilenet_v2": 1280,
    "narrow2d": 128,
    "residual2d": 96,
}


def test_every_registered_name_is_tested() -> None:
    assert set(PRIVACY_BACKBONES) == set(WIDTHS)


@pytest.mark.parametrize("name", WIDTHS)
def test_shapes(name: str) -> None:
    frames, network = torch.rand(2, 3, 33, 32), NetworkConfig(name=name)
    with torch.no_grad():
        classifier = build_privacy_classifier(network, attributes=7).eval()
        assert classifier.features(frames).shape == (2, WIDTHS[name])
        assert classifier(frames).shape == (2, 7)


@pytest.mark.parametrize("name", ["resnet50", "narrow2d"])
def test_projections_lie_on_the_unit_sphere(name: str) -> None:
    encoder = build_privacy_encoder(NetworkConfig(name=name)).eval()
    with torch.no_grad():
        projections = encoder(torch.rand(4, 3, 32, 32))
    assert projections.shape == (4, 128)
    assert torch.allclose(projections.norm(dim=1), torch.ones(4), atol=1e-5)
    layers = [layer for layer in encoder.head if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(WIDTHS[name],) * 2, (WIDTHS[name], 128)]


def test_projections_stay_float32_under_autocast() -> None:
    encoder = build_privacy_encoder(NetworkConfig(name="narrow2d"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert encoder(torch.rand(4, 3, 32, 32)).dtype == torch.float32


def test_frames_are_normalised_inside() -> None:
    model, seen = build_privacy_classifier(NetworkConfig(name="narrow2d"), 2), []
    model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(2, 3, 32, 32))
    assert seen[0].abs().max() < 1e-6
    assert not any(key.startswith("normalize") for key in model.state_dict())


def test_a_seed_fixes_the_weights() -> None:
    outputs = []
    for _ in range(2):
        torch.manual_seed(3)
        outputs.append(build_privacy_encoder(NetworkConfig(name="narrow2d")).eval()(torch.full((1, 3, 32, 32), 0.3)))
    assert torch.equal(*outputs)


def test_a_wrong_name_is_answered_with_the_right_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"no privacy network named 'resnet51'.*there are: frozen_mobilenet_v2, mobilenet_v2, narrow2d,"
    ):
        build_privacy_encoder(NetworkConfig(name="resnet51"))
    with pytest.raises(ValueError, match="registered twice"):
        PRIVACY_BACKBONES.register("resnet50")(PRIVACY_BACKBONES["resnet50"])
