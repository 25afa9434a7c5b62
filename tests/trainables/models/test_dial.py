"""How a network takes a dial, and how a dial travels with frames."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainables.config import AnonymizerConfig
from trainables.models.anonymizers import EncoderDecoder, build_anonymizer
from trainables.models.dial import Modulation, apart, as_plane, dialled, undialled

NARROW = AnonymizerConfig(encoder="narrow", depth=2, decoder_channels=(8, 4), decoder_norm="identity")
DIALS = ("blend", "film", "plane")


def built(**values: object) -> EncoderDecoder:
    torch.manual_seed(0)
    anonymizer = build_anonymizer(NARROW.model_copy(update=values)).eval()
    assert isinstance(anonymizer, EncoderDecoder)
    return anonymizer


def stirred(**values: object) -> EncoderDecoder:
    """A network with weights that let everything matter."""
    anonymizer = built(**values)
    for parameter in anonymizer.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(parameter.numel()))
    return anonymizer


@pytest.fixture
def clips() -> Tensor:
    return torch.rand(2, 3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_a_dial_travels_with_the_frames_of_its_clip(clips: Tensor) -> None:
    together = dialled(clips, torch.tensor([0.25, 1.0]))
    assert together.shape == (2, 3, 4, 16, 16)
    back, dial = apart(together)
    assert torch.equal(back, clips)
    assert torch.equal(undialled(together), clips)
    assert torch.equal(undialled(clips), clips)
    assert dial is not None
    assert dial.tolist() == [0.25, 0.25, 0.25, 1.0, 1.0, 1.0]
    assert apart(clips)[1] is None
    assert as_plane(torch.tensor([0.5, 0.0]), clips[:, 0]).tolist() == [[[[0.5] * 16] * 16], [[[0.0] * 16] * 16]]


def test_modulation_by_hand() -> None:
    """One channel and two: scales first, then shifts."""
    modulation = Modulation([1, 2])
    features = [torch.ones(2, 1, 2, 2), torch.ones(2, 2, 1, 1)]
    assert all(map(torch.equal, modulation(features, torch.tensor([0.0, 1.0])), features)), "it begins as the identity"
    torch.nn.init.ones_(modulation.layers[0].weight)
    torch.nn.init.zeros_(modulation.layers[0].bias)
    with torch.no_grad():  # the hidden layer repeats the dial 32 times
        modulation.layers[-1].weight.copy_(torch.tensor([1.0, 2.0, 3.0, 10.0, 20.0, 30.0])[:, None].expand(-1, 32) / 32)
    first, second = modulation(features, torch.tensor([0.0, 0.5]))
    assert torch.allclose(first[0], torch.ones(1, 2, 2))
    assert torch.allclose(first[1], torch.full((1, 2, 2), 1.5 + 5))
    assert torch.allclose(second[1].flatten(), torch.tensor([2.0 + 10, 2.5 + 15]))


@pytest.mark.parametrize("dial", DIALS)
@pytest.mark.parametrize("name", ["unetpp", "unet"])
@pytest.mark.parametrize("encoder", ["narrow", "resnet18"])
@pytest.mark.parametrize("window", [1, 2])
def test_it_begins_as_the_network_without_one_or_as_so_much_of_it(
    dial: str, name: str, encoder: str, window: int, clips: Tensor
) -> None:
    plain, turned = (built(name=name, encoder=encoder, window=window, dial=kind) for kind in ("none", dial))
    own, state = plain.state_dict(), turned.state_dict()
    same = {key: value for key, value in own.items() if state[key].shape == value.shape}
    wider = {key: torch.cat([own[key], torch.zeros_like(own[key][:, :1])], 1) for key in own if key not in same}
    assert len(wider) == (dial == "plane"), "the first convolution"
    turned.load_state_dict({**state, **same, **wider})
    made = plain.clips(clips)
    for value in (0.0, 0.3, 1.0):
        wanted = (1 - value) * clips + value * made if dial == "blend" else made
        assert torch.allclose(turned.clips(dialled(clips, torch.full((2,), value))), wanted, atol=1e-5)


@pytest.mark.parametrize("dial", DIALS)
@pytest.mark.parametrize("window", [1, 2])
def test_each_clip_is_shown_by_its_own_dial(dial: str, window: int, clips: Tensor) -> None:
    anonymizer = stirred(dial=dial, window=window)
    both = anonymizer.clips(dialled(clips, torch.tensor([0.2, 0.9])))
    for number, value in enumerate((0.2, 0.9)):
        alone = dialled(clips[number : number + 1], torch.tensor([value]))
        assert torch.allclose(anonymizer.clips(alone)[0], both[number], atol=1e-5)
        other = dialled(clips[number : number + 1], torch.tensor([0.5]))
        assert not torch.allclose(anonymizer.clips(other)[0], both[number], atol=1e-3)


@pytest.mark.parametrize("dial", DIALS)
def test_without_a_dial_beside_the_frames_it_is_the_one_of_the_options(dial: str, clips: Tensor) -> None:
    anonymizer = stirred(dial=dial)
    for value in (0.0, 0.7):
        anonymizer.configure({"at": value, "budget_to": 0.4})
        wanted = anonymizer.clips(dialled(clips, torch.full((2,), value)))
        assert torch.allclose(anonymizer.clips(clips), wanted, atol=1e-6)
        assert torch.allclose(anonymizer(clips[0]), wanted[0], atol=1e-6)
        assert torch.allclose(anonymizer(clips[0], torch.full((3,), value)), wanted[0], atol=1e-6)


def test_a_network_without_one_is_what_it_was(clips: Tensor) -> None:
    """Nothing of its state, its random numbers or its output is another one."""
    names = set(built().state_dict())
    assert not any("modulation" in name for name in names)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    build_anonymizer(NARROW)
    assert torch.equal(torch.rand(1), drawn)
