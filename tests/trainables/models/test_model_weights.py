import io
import logging
import os
import pickle
import re
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
import segmentation_models_pytorch
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from trainables.config import AnonymizerConfig, ClipConfig, ConfigError, NetworkConfig, TrialConfig, with_values
from trainables.models import check, weights
from trainables.models.action import build_action_classifier
from trainables.models.anonymizers import build_anonymizer
from trainables.models.check import check_weights
from trainables.models.privacy import build_privacy_classifier, build_privacy_encoder
from trainables.models.weights import load_weights

CLIP = ClipConfig(frames=8, size=32)
NARROW = AnonymizerConfig(encoder="narrow", depth=2, decoder_channels=(16, 8))
SCRATCH = TrialConfig(
    clip=CLIP,
    anonymizer=NARROW,
    action_classifier=NetworkConfig(name="narrow3d"),
    privacy_encoder=NetworkConfig(name="narrow2d"),
    evaluate_action={"classifier": {"name": "narrow3d"}},
    evaluate_privacy={"classifier": {"name": "narrow2d"}},
)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No server answers and no cache holds anything; what earlier tests found out is forgotten."""

    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    check._check_network.cache_clear()
    check._check_anonymizer.cache_clear()


def answer(*_: object, **__: object) -> io.BytesIO:
    """A server that has what it is asked for."""
    return io.BytesIO()


def action(classes: int = 5, source: str | Path | None = None) -> nn.Module:
    network = NetworkConfig(name="narrow3d", weights=None if source is None else str(source))
    return build_action_classifier(network, classes, CLIP)


def same_backbone(first: nn.Module, second: nn.Module) -> bool:
    return all(torch.equal(first.backbone.state_dict()[key], value) for key, value in second.backbone.state_dict().items())


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model_state", "model"])
def test_a_file_gives_the_weights_back(tmp_path: Path, wrapper: str | None) -> None:
    trained, file = action(), tmp_path / "weights.pt"
    state = {f"module.{key}": value for key, value in trained.state_dict().items()}
    torch.save(state if wrapper is None else {wrapper: state, "epoch": 3}, file)
    loaded = action(source=file)
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in trained.state_dict().items())


def test_safetensors_are_read(tmp_path: Path) -> None:
    trained, file = action(), tmp_path / "weights.safetensors"
    save_file(trained.state_dict(), file)
    assert torch.equal(action(source=file).head.weight, trained.head.weight)


def test_the_librarys_own_layout_is_read(tmp_path: Path) -> None:
    theirs, file = torchvision.models.resnet18(num_classes=7), tmp_path / "resnet18.pth"
    old = {key: value for key, value in theirs.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(old, file)
    ours = build_privacy_classifier(NetworkConfig(name="resnet18", weights=str(file)), attributes=7).eval()
    frames = torch.rand(2, 3, 32, 32)
    normalised = torchvision.transforms.functional.normalize(frames, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        assert torch.allclose(ours(frames), theirs.eval()(normalised), atol=1e-5)


def test_a_head_of_other_classes_is_replaced_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained, file = action(classes=9), tmp_path / "nine.pt"
    torch.save(trained.state_dict(), file)
    model = action(classes=5)
    fresh = model.head.weight.clone()
    with caplog.at_level(logging.INFO):
        report = load_weights(model, str(file), "narrow3d")
    assert report.replaced == ("head.weight", "head.bias")
    assert "head replaced: head.weight, head.bias start from scratch" in str(report)
    assert str(report) in caplog.text
    assert same_backbone(model, trained)
    assert torch.equal(model.head.weight, fresh)


@pytest.mark.parametrize("prefix", ["", "backbone."])
@pytest.mark.parametrize("head", ["fc.weight", "projector.0.weight"])
def test_simclr_files_start_a_privacy_encoder(tmp_path: Path, prefix: str, head: str) -> None:
    network, file = NetworkConfig(name="narrow2d"), tmp_path / "simclr.pt"
    trained = build_privacy_encoder(network)
    state = {prefix + key: value for key, value in trained.backbone.state_dict().items()}
    torch.save({"state_dict": {**state, head: torch.rand(3, 3)}}, file)
    loaded = build_privacy_encoder(NetworkConfig(name="narrow2d", weights=str(file)))
    assert same_backbone(loaded, trained)


def test_simclr_projection_heads_of_equal_shape_are_loaded(tmp_path: Path) -> None:
    trained, file = build_privacy_encoder(NetworkConfig(name="narrow2d")), tmp_path / "simclr.pt"
    torch.save({key.replace("head.", "fc.").removeprefix("backbone."): v for key, v in trained.state_dict().items()}, file)
    loaded = build_privacy_encoder(NetworkConfig(name="narrow2d", weights=str(file)))
    assert torch.equal(loaded.head[2].weight, trained.head[2].weight)


def vissl(encoder: nn.Module) -> dict[str, object]:
    """A checkpoint of VISSL: the backbone and the projection head by the names they have there."""
    backbone = {f"_feature_blocks.{key}": value for key, value in encoder.backbone.state_dict().items()}
    heads = {
        f"{layer // 2}.clf.0.{name}": encoder.head[layer].state_dict()[name] for layer in (0, 2) for name in ("weight", "bias")
    }
    return {"iteration": 1, "classy_state_dict": {"base_model": {"model": {"trunk": backbone, "heads": heads}, "meta": {}}}}


def test_simclr_of_vissl_starts_backbone_and_projection_head(tmp_path: Path) -> None:
    trained, file = build_privacy_encoder(NetworkConfig(name="narrow2d")), tmp_path / "simclr.torch"
    torch.save(vissl(trained), file)
    loaded = build_privacy_encoder(NetworkConfig(name="narrow2d", weights=str(file)))
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in trained.state_dict().items())
    classifier = build_privacy_classifier(NetworkConfig(name="narrow2d", weights=str(file)), 7)
    assert same_backbone(classifier, trained)


def test_another_checkpoint_of_vissl_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.torch"
    torch.save({"classy_state_dict": {"base_model": {}}}, file)
    with pytest.raises(ConfigError, match="neither a state dict nor one under"):
        build_privacy_encoder(NetworkConfig(name="narrow2d", weights=str(file)))


def test_the_paper_s_f_b_starts_from_simclr_and_a_study_without_it_does_not_start() -> None:
    """Section 4.2: f_B was initialised with weights from SimCLR trained on ImageNet."""
    assert TrialConfig().privacy_encoder == NetworkConfig(name="resnet50", weights="simclr")
    trial = with_values(SCRATCH, {"privacy_encoder.name": "resnet50", "privacy_encoder.weights": "simclr"})
    with pytest.raises(
        ConfigError, match=r"^privacy_encoder\.weights = 'simclr': not in the cache.*privacy_encoder.weights=FILE"
    ):
        check_weights(trial)
    check_weights(with_values(trial, {"method": "raw"}))  # which trains no f_B


def test_simclr_is_looked_for_in_a_file_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All checkpoints of VISSL have one name: another one in the cache must not be taken for it."""
    cache = tmp_path / "torch_home" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    (cache / weights.SIMCLR_URL.rsplit("/", 1)[-1]).write_bytes(b"another")
    trial = with_values(SCRATCH, {"privacy_encoder.name": "resnet50", "privacy_encoder.weights": "simclr"})
    with pytest.raises(ConfigError, match="not in the cache"):
        check_weights(trial)
    torch.save(vissl(build_privacy_encoder(NetworkConfig(name="resnet50"))), cache / "simclr_rn50_800ep.torch")
    check_weights(trial)
    build_privacy_encoder(trial.privacy_encoder)


def test_another_architecture_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "privacy.pt"
    torch.save(build_privacy_encoder(NetworkConfig(name="narrow2d")).state_dict(), file)
    with pytest.raises(ConfigError) as caught:
        action(source=file)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"weights = '{file}': does not fit narrow3d: ")
    assert re.search(r"\d+ of another shape \(backbone\.stages\.0\.0\.weight, .*\)", message)
    assert message.endswith("give a file with weights=FILE, or weights=null to start from scratch")


def test_missing_and_unexpected_keys_are_counted(tmp_path: Path) -> None:
    file, state = tmp_path / "half.pt", action().state_dict()
    del state["backbone.stages.0.0.weight"]
    state["backbone.extra"] = torch.zeros(1)
    torch.save(state, file)
    with pytest.raises(ConfigError, match=r"1 missing \(backbone.stages.0.0.weight\); 1 unexpected \(backbone.extra\)"):
        action(source=file)


def test_a_trained_anonymizer_is_loaded_whole_or_not_at_all(tmp_path: Path) -> None:
    trained, file = build_anonymizer(NARROW), tmp_path / "anonymizer.pt"
    torch.save(trained.state_dict(), file)
    loaded = build_anonymizer(NARROW.model_copy(update={"weights": str(file)}))
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in trained.state_dict().items())
    with pytest.raises(ConfigError, match=r"^anonymizer\.weights = .*does not fit unetpp: .*of another shape"):
        build_anonymizer(NARROW.model_copy(update={"decoder_channels": (32, 8), "weights": str(file)}))
    with pytest.raises(ConfigError, match=r"does not fit identity: .*unexpected"):
        build_anonymizer(AnonymizerConfig(name="identity", weights=str(file)))


def test_an_encoder_starts_from_a_classifiers_file(tmp_path: Path) -> None:
    theirs, file = torchvision.models.resnet18(), tmp_path / "resnet18.pth"
    torch.save(theirs.state_dict(), file)
    config = AnonymizerConfig(encoder_weights=str(file))
    assert torch.equal(build_anonymizer(config).network.encoder.conv1.weight, theirs.conv1.weight)
    check_weights(SCRATCH.model_copy(update={"anonymizer": config}))
    with pytest.raises(ConfigError, match=r"^anonymizer\.encoder_weights = .*does not fit encoder narrow"):
        build_anonymizer(NARROW.model_copy(update={"encoder_weights": str(file)}))


class Malicious:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.proof),)


@pytest.mark.parametrize("save", [torch.save, lambda content, file: file.write_bytes(pickle.dumps(content, protocol=2))])
def test_a_file_that_would_run_code_is_refused(tmp_path: Path, save) -> None:
    file, proof = tmp_path / "weights.pt", tmp_path / "it_ran"
    save({"state_dict": Malicious(proof)}, file)
    with pytest.raises(ConfigError, match="not a file of tensors alone, and reading it further could run code"):
        action(source=file)
    assert not proof.exists()


@pytest.mark.parametrize("name", ["garbage.pt", "empty.pt", "garbage.safetensors"])
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"" if name.startswith("empty") else b"not weights at all")
    with pytest.raises(ConfigError, match=rf"^weights = '{file}': [^\n]+$"):
        action(source=file)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.zeros(1)], torch.zeros(1)])
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    file = tmp_path / "other.pt"
    torch.save(content, file)
    with pytest.raises(ConfigError, match="neither a state dict nor one under state_dict, model_state_dict"):
        action(source=file)


def test_a_name_that_is_neither_file_nor_library_name() -> None:
    with pytest.raises(ConfigError, match=r"^weights = 'imagenet': no such file nor a library name of r3d_18 \(kinetics400\)"):
        build_action_classifier(NetworkConfig(name="r3d_18", weights="imagenet"), 5, CLIP)
    with pytest.raises(ConfigError, match=r"^weights = 'kinetics400': no such file, and narrow3d has no library weights"):
        action(source="kinetics400")


# Library names -------------------------------------------------------------------------------------------------------


def test_library_weights_are_loaded_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    theirs, asked = torchvision.models.resnet18(), []

    def serve(url: str, **options: object) -> dict[str, torch.Tensor]:
        assert options["weights_only"]
        asked.append(url)
        return theirs.state_dict()

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", serve)
    ours = build_privacy_classifier(NetworkConfig(name="resnet18", weights="imagenet"), attributes=7)
    assert asked == [torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url]
    assert torch.equal(ours.backbone.conv1.weight, theirs.conv1.weight)


def test_i3d_takes_pytorchvideos_file(monkeypatch: pytest.MonkeyPatch) -> None:
    build = {"name": "i3d_r50"}
    trained = build_action_classifier(NetworkConfig(**build), 400, CLIP)
    library = {key.removeprefix("backbone.").replace("head.", "blocks.6.proj."): v for key, v in trained.state_dict().items()}
    monkeypatch.setattr(weights, "require_available", lambda *_: None)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: {"model_state": library})
    loaded = build_action_classifier(NetworkConfig(**build, weights="kinetics400"), 5, CLIP)
    assert same_backbone(loaded, trained)
    from pytorchvideo.models.hub import i3d_r50
    from pytorchvideo.models.hub.resnet import checkpoint_paths

    assert checkpoint_paths["i3d_r50"] == weights.I3D_URL
    with torch.device("meta"):
        assert i3d_r50().state_dict().keys() == library.keys()


def test_a_failing_download_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("invalid hash\nvalue")

    monkeypatch.setattr(weights, "require_available", lambda *_: None)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    with pytest.raises(ConfigError, match=r"^weights = 'imagenet': https://[^\n]* cannot be loaded \(invalid hash value\)"):
        build_privacy_encoder(NetworkConfig(name="resnet18", weights="imagenet"))


def test_library_names_say_what_to_do_when_offline() -> None:
    with pytest.raises(ConfigError) as caught:
        build_privacy_encoder(NetworkConfig(name="resnet18", weights="imagenet"))
    message = str(caught.value)
    assert "\n" not in message
    assert "not in the cache, and https://download.pytorch.org/models/resnet18-f37072fd.pth cannot be reached" in message
    assert "give a file with weights=FILE, or weights=null" in message
    with pytest.raises(
        ConfigError, match=r"^anonymizer\.encoder_weights = 'imagenet': not in the cache, and https://huggingface"
    ):
        build_anonymizer(AnonymizerConfig(encoder_weights="imagenet"))


def test_encoder_weights_come_by_way_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = segmentation_models_pytorch.encoders.get_encoder("resnet18", depth=4)
    asked = []

    def get_encoder(name: str, depth: int, weights: object) -> nn.Module:
        asked.append((name, weights))
        return encoder

    monkeypatch.setattr(weights, "require_encoder_available", lambda _: None)
    library = SimpleNamespace(get_encoder=get_encoder)
    config = AnonymizerConfig(encoder_weights="imagenet")
    with monkeypatch.context() as patch:
        patch.setattr(segmentation_models_pytorch, "encoders", library)
        assert torch.equal(weights._pretrained_encoder(config)["conv1.weight"], encoder.conv1.weight)
        weights._pretrained_encoder(config.model_copy(update={"encoder": "tu-mobilenetv3_small_100"}))
    assert asked == [("resnet18", "imagenet"), ("tu-mobilenetv3_small_100", True)]


# Before a trial ------------------------------------------------------------------------------------------------------

FIELDS = ["action_classifier", "privacy_encoder", "evaluate_action.classifier", "evaluate_privacy.classifier"]


def test_a_trial_from_scratch_needs_nothing() -> None:
    check_weights(SCRATCH)


@pytest.mark.parametrize(
    "field", [f"{field}.weights" for field in FIELDS] + ["anonymizer.weights", "anonymizer.encoder_weights"]
)
def test_a_missing_file_names_its_field(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{field} = 'nowhere.pt': no such file.*give a file with {field}=FILE[^\n]*$"):
        check_weights(with_values(SCRATCH, {field: "nowhere.pt"}))


@pytest.mark.parametrize("field", FIELDS)
def test_files_are_compared_with_their_network(tmp_path: Path, field: str) -> None:
    file = tmp_path / "weights.pt"
    is_action = "action" in field
    torch.save((action(9) if is_action else build_privacy_classifier(NetworkConfig(name="narrow2d"), 9)).state_dict(), file)
    check_weights(with_values(SCRATCH, {f"{field}.weights": str(file)}))
    other = {f"{field}.weights": str(file), f"{field}.name": "r3d_18" if is_action else "resnet18"}
    with pytest.raises(ConfigError, match=rf"^{field}\.weights = .*does not fit"):
        check_weights(with_values(SCRATCH, other))


@pytest.mark.parametrize("name", ["i3d_r50", "r3d_18", "r2plus1d_18", "mvit_v2_s", "c3d"])
def test_every_action_classifier_can_be_compared_without_memory(tmp_path: Path, name: str) -> None:
    file = tmp_path / "weights.pt"
    torch.save({"conv1.weight": torch.zeros(1)}, file)
    with pytest.raises(ConfigError, match=rf"does not fit {name}: .* missing"):
        check_weights(with_values(SCRATCH, {"action_classifier.name": name, "action_classifier.weights": str(file)}))


def test_an_anonymizers_file_is_compared(tmp_path: Path) -> None:
    file = tmp_path / "anonymizer.pt"
    torch.save(build_anonymizer(NARROW).state_dict(), file)
    check_weights(with_values(SCRATCH, {"anonymizer.weights": str(file)}))
    with pytest.raises(ConfigError, match=r"^anonymizer\.weights = .*does not fit unetpp"):
        check_weights(with_values(SCRATCH, {"anonymizer.weights": str(file), "anonymizer.decoder_channels": (8, 8)}))
    with pytest.raises(ConfigError, match=r"^anonymizer\.encoder_weights = .*identity has no encoder"):
        check_weights(with_values(SCRATCH, {"anonymizer.name": "identity", "anonymizer.encoder_weights": str(file)}))


def test_library_names_are_looked_for_in_the_cache_then_on_the_net(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trial = with_values(SCRATCH, {"privacy_encoder.name": "resnet18", "privacy_encoder.weights": "imagenet"})
    with pytest.raises(ConfigError, match=r"^privacy_encoder\.weights = 'imagenet': not in the cache.*no network in tests"):
        check_weights(trial)

    cache = tmp_path / "torch_home" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    (cache / "resnet18-f37072fd.pth").touch()
    check_weights(trial)

    heads = []

    def count(request: urllib.request.Request, timeout: float) -> object:
        heads.append((request.get_method(), request.full_url, timeout))
        return answer()

    monkeypatch.setattr(urllib.request, "urlopen", count)
    for _ in range(3):  # asked once
        check_weights(with_values(SCRATCH, {"action_classifier.name": "i3d_r50", "action_classifier.weights": "kinetics400"}))
    assert heads == [("HEAD", weights.I3D_URL, 5.0)]


def test_mvits_kinetics_weights_have_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", answer)
    trial = with_values(SCRATCH, {"action_classifier.name": "mvit_v2_s", "action_classifier.weights": "kinetics400"})
    with pytest.raises(ConfigError, match=r"made for 16 frames at 224 pixels, not 8 at 32"):
        check_weights(trial)
    check_weights(with_values(trial, {"clip.frames": 16, "clip.size": 224}))


def test_encoders_of_both_libraries_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    imagenet = {"anonymizer.encoder_weights": "imagenet"}
    for encoder, where in (
        ("resnet18", "smp-hub/resnet18.imagenet"),
        ("tu-mobilenetv3_small_100", "timm/mobilenetv3_small_100"),
    ):
        with pytest.raises(ConfigError, match=rf"not in the cache, and https://huggingface.co/{where}"):
            check_weights(with_values(SCRATCH, {**imagenet, "anonymizer.encoder": encoder}))
    with pytest.raises(ConfigError, match="encoder 'narrow' has no such weights"):
        check_weights(with_values(SCRATCH, imagenet))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: "/cache/model.safetensors")
    check_weights(with_values(SCRATCH, {**imagenet, "anonymizer.encoder": "resnet18"}))


def test_the_recipes_defaults_name_the_field_when_offline() -> None:
    """f_A's encoder, f_T, f_B and f_T' start from weights of a library, and each is looked for by itself."""
    config = TrialConfig()
    for field, source in (
        ("anonymizer.encoder_weights", "imagenet"),
        ("action_classifier.weights", "kinetics400"),
        ("privacy_encoder.weights", "simclr"),
        ("evaluate_action.classifier.weights", "kinetics400"),
    ):
        with pytest.raises(ConfigError, match=rf"^{field} = '{source}': not in the cache"):
            check_weights(config)
        config = with_values(config, {field: None})
    check_weights(config)
