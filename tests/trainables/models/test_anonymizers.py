import pickle

import pytest
import torch
from torch import nn

from trainables.config import AnonymizerConfig, ConfigError
from trainables.models.anonymizers import build_anonymizer
from trainables.models.base import ANONYMIZERS, Anonymizer, anonymize_clips

NARROW = AnonymizerConfig(encoder="narrow", depth=2, decoder_channels=(16, 8))


def build(**changes: object) -> Anonymizer:
    torch.manual_seed(0)
    return build_anonymizer(NARROW.model_copy(update=changes)).eval()


@pytest.mark.parametrize(
    ("encoder", "depth", "channels"),
    [
        ("narrow", 2, (16, 8)),
        ("narrow", 3, (16, 16, 8)),
        ("narrow", 4, (16, 16, 16, 8)),
        ("narrow", 5, (16, 16, 16, 16, 8)),
        ("resnet18", 4, (256, 128, 64, 32)),
        ("tu-mobilenetv3_small_050", 3, (16, 16, 8)),
    ],
)
@pytest.mark.parametrize("size", [(32, 32), (31, 45)])
def test_frames_come_back_in_their_size(encoder: str, depth: int, channels: tuple[int, ...], size: tuple[int, int]) -> None:
    anonymizer = build(encoder=encoder, depth=depth, decoder_channels=channels)
    with torch.no_grad():
        assert anonymizer(torch.rand(2, 3, *size)).shape == (2, 3, *size)


def test_padding_repeats_the_border_and_is_cut_off_again() -> None:
    anonymizer = build()
    frames = torch.rand(1, 3, 30, 32)
    padded = torch.cat((frames, frames[:, :, -1:].expand(-1, -1, 2, -1)), dim=2)
    with torch.no_grad():
        assert torch.allclose(anonymizer(frames), anonymizer(padded)[:, :, :30], atol=1e-6)


def scale_output(anonymizer: Anonymizer, factor: float) -> None:
    with torch.no_grad():
        head = next(layer for layer in anonymizer.network.segmentation_head if isinstance(layer, nn.Conv2d))
        head.weight *= factor


def test_sigmoid_output_is_bounded_and_linear_output_is_not() -> None:
    frames = torch.rand(4, 3, 32, 32)
    for output, bounded in (("sigmoid", True), ("linear", False)):
        anonymizer = build(output=output)
        scale_output(anonymizer, 100.0)
        with torch.no_grad():
            values = anonymizer(frames)
        assert (values.min() >= 0 and values.max() <= 1) == bounded
        if not bounded:
            assert values.min() < -1
            assert values.max() > 2


def test_output_is_float32_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert build()(torch.rand(1, 3, 32, 32)).dtype == torch.float32


def test_identity_returns_its_input_and_has_nothing_to_learn() -> None:
    identity = build_anonymizer(AnonymizerConfig(name="identity"))
    frames = torch.rand(2, 3, 9, 7)
    assert identity(frames) is frames
    assert not list(identity.parameters())
    clips = torch.rand(2, 4, 3, 9, 7)
    assert torch.equal(anonymize_clips(identity, clips), clips)


def test_clips_are_anonymized_frame_by_frame() -> None:
    anonymizer, clips = build(), torch.rand(2, 3, 3, 32, 32)
    with torch.no_grad():
        anonymized = anonymize_clips(anonymizer, clips)
        for clip in range(2):
            for time in range(3):
                alone = anonymizer(clips[clip, time][None])[0]
                assert torch.allclose(anonymized[clip, time], alone, atol=1e-5)


def test_the_network_sees_normalised_rgb_frames() -> None:
    anonymizer, seen = build(), []
    anonymizer.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    clips = torch.zeros(1, 2, 3, 32, 32)
    clips[0, 1, 0] = 1.0  # the second frame is red
    with torch.no_grad():
        anonymize_clips(anonymizer, clips)
    expected = (torch.tensor([1.0, 0.0, 0.0]) - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    assert torch.allclose(seen[0][1].mean((1, 2)), expected, atol=1e-5)
    assert not any(key.startswith("normalize") for key in anonymizer.state_dict())


def test_every_parameter_of_narrow_unetpp_learns() -> None:
    anonymizer = build().train()
    anonymizer(torch.rand(2, 3, 32, 32)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in anonymizer.parameters())


def test_a_seed_fixes_the_weights_and_models_can_be_pickled() -> None:
    first, second, frames = build(), build(), torch.rand(1, 3, 32, 32)
    assert torch.equal(first(frames), second(frames))
    assert torch.equal(pickle.loads(pickle.dumps(first))(frames), first(frames))


def test_wrong_names_are_answered_with_right_ones() -> None:
    with pytest.raises(ConfigError, match=r"no anonymizer named 'unetp' \(nearest: unetpp\); there are: .*identity, "):
        build_anonymizer(AnonymizerConfig(name="unetp"))
    for encoder in ("resnet19", "tu-nothing", "mit_b0"):
        with pytest.raises(ConfigError, match=rf"^anonymizer\.encoder = '{encoder}'.*narrow[^\n]*$"):
            build(encoder=encoder)
    with pytest.raises(ValueError, match="registered twice"):
        ANONYMIZERS.register("identity")(ANONYMIZERS["identity"])
