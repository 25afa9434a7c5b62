"""Whether the starting weights that a trial names are there and fit, key by key, before anything trains."""

from __future__ import annotations

import functools

import torch
from torch import nn

from trainables.attacks import ATTACKS, attack_names
from trainables.attacks.retrained import RETRAINED
from trainables.config import AnonymizerConfig, ClipConfig, ConfigError, NetworkConfig, TrialConfig
from trainables.methods import method_of, resolved
from trainables.models.action import build_action_classifier
from trainables.models.anonymizers import EncoderDecoder, build_anonymizer
from trainables.models.blazepose import require_package
from trainables.models.check_own import check_own_networks
from trainables.models.detector import BLAZEPOSE, new_detector, require_blazepose
from trainables.models.given import GivenModel
from trainables.models.named import FILES
from trainables.models.packaged import PACKAGE, given_or_packaged
from trainables.models.privacy import build_privacy_classifier, build_privacy_encoder
from trainables.models.weights import (
    ATTACKER_FIELD,
    DETECTOR_FIELD,
    library_url,
    match,
    read_encoder,
    read_state_dict,
    require_available,
    require_encoder_available,
)

ATTACKERS = "attacks"  # whose `weights` are those of all attackers that see single frames
MVIT_CLIP = (16, 224)  # frames, pixels: the tables of relative positions in MViT's weights have this size


def check_weights(config: TrialConfig) -> None:
    """Checks that all starting weights that a trial needs can be had now and, where they are a file, fit their network.

    Raises ConfigError of one line that begins with the first field that is wrong.
    """
    if method_of(config).anonymizer is not None:
        _check_anonymizer(config.anonymizer)
        _check_network("action_classifier", config.action_classifier, config.clip)
        members = [name for name in str(config.options.get("architectures", "")).split(",") if name]
        for name in members or [config.privacy_encoder.name]:
            _check_network("privacy_encoder", config.privacy_encoder.model_copy(update={"name": name}), config.clip)
    evaluated = config.as_evaluated
    if method_of(config).given:
        GivenModel(config.anonymizer).require(evaluated.clip.size)
    _check_network("evaluate_action.classifier", config.evaluate_action.classifier, evaluated.clip)
    _check_network("evaluate_privacy.classifier", config.evaluate_privacy.classifier, evaluated.clip)
    if config.test_pose:
        require_package("test_pose")
    _check_attackers(evaluated)
    _check_obfuscation(resolved(config))
    check_own_networks(config)


# The trials of a study ask the same again and again. A failure raises, and so is not cached.
@functools.lru_cache(maxsize=256)
def _check_network(part: str, network: NetworkConfig, clip: ClipConfig) -> None:
    if network.weights is None:
        return
    field, source = f"{part}.weights", network.weights
    url = library_url(network.name, source)
    if url is None:
        state = read_state_dict(source, network.name, field)
        match(_without_memory(part, network, clip), state, source, network.name, field)
        return
    if network.name == "mvit_v2_s" and (clip.frames, clip.size) != MVIT_CLIP:
        raise ConfigError(
            f"{field} = {source!r}: made for 16 frames at 224 pixels, not {clip.frames} at {clip.size};"
            f" set clip.frames=16 and clip.size=224, or {field}=null"
        )
    require_available(url, source, field)


def _check_attackers(config: TrialConfig) -> None:
    """Checks the starting weights of the attackers that the trial trains, each in its own field."""
    settings, names = config.attacks, attack_names(config)
    trained = {name for attack in names for name in (ATTACKS[attack].stage.name, *ATTACKS[attack].stage.inputs)}
    frames = list(settings.ensemble) if any(name.startswith(RETRAINED.name) for name in trained) else []
    frames += [settings.encoder] if "linkage" in names else []
    for name in frames:
        _check_network(ATTACKERS, NetworkConfig(name=name, weights=settings.weights), config.clip)
    if any(name.startswith("pretrained") for name in names) and settings.pretrained.weights != PACKAGE:  # else not tried
        _check_network("attacks.pretrained", settings.pretrained, config.clip)
    for part, (file, attacks) in FILES.items():
        source: str = getattr(settings, f"{part}_weights")
        if any(name.startswith(attacks) for name in names) and source != PACKAGE:  # else not tried where it is missing
            given_or_packaged(source, file, f"attacks.{part}_weights")
    if "people_found" in names and settings.people_detector_weights is not None:
        _check_detector(settings.people_detector, settings.people_detector_weights, ATTACKER_FIELD)
    if "temporal" in names:
        _check_network("attacks.clip_network", settings.clip_network, config.clip)


def _check_obfuscation(config: TrialConfig) -> None:
    """Checks the options and the detector of a method that changes people only."""
    if method_of(config).boxes:
        build_anonymizer(config.anonymizer, config.options)
        name, source = config.obfuscation.detector, config.obfuscation.detector_weights
        if name is not None and source is not None:
            _check_detector(name, source, DETECTOR_FIELD)


@functools.lru_cache(maxsize=16)
def _check_detector(name: str, source: str, field: str) -> None:
    if name == BLAZEPOSE:
        require_blazepose(source, field)
        return
    with torch.device("meta"):
        detector = new_detector(name, field.removesuffix("_weights"))
    url = library_url(name, source)
    if url is None:
        match(detector, read_state_dict(source, name, field), source, name, field)
    else:
        require_available(url, source, field)


@functools.lru_cache(maxsize=256)
def _check_anonymizer(config: AnonymizerConfig) -> None:
    if config.weights is None and config.encoder_weights is None:
        return
    with torch.device("meta"):
        anonymizer = build_anonymizer(config.from_scratch)
    if config.weights is not None:
        field = "anonymizer.weights"
        match(anonymizer, read_state_dict(config.weights, config.name, field), config.weights, config.name, field)
    if config.encoder_weights is None:
        return
    field, source, name = "anonymizer.encoder_weights", config.encoder_weights, f"encoder {config.encoder}"
    if not isinstance(anonymizer, EncoderDecoder):
        raise ConfigError(f"{field} = {source!r}: {config.name} has no encoder; set {field}=null")
    if source == "imagenet":
        require_encoder_available(config.encoder)
    else:
        match(anonymizer.network.encoder, read_encoder(source, name, field), source, name, field)


def _without_memory(part: str, network: NetworkConfig, clip: ClipConfig) -> nn.Module:
    """Returns the network on PyTorch's meta device: names and shapes alone. It has one output, as a head may differ anyway."""
    network = network.from_scratch
    with torch.device("meta"):
        if part == "privacy_encoder":
            return build_privacy_encoder(network)
        if part in ("evaluate_privacy.classifier", "attacks.pretrained", ATTACKERS):
            return build_privacy_classifier(network, attributes=1)
        return build_action_classifier(network, classes=1, clip=clip)
