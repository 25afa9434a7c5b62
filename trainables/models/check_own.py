"""Whether the networks that a plugin registered keep their contracts: each is tried on a small batch before anything trains."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from trainables.config import AnonymizerConfig, ClipConfig, ConfigError, NetworkConfig, TrialConfig
from trainables.methods import method_of, resolved
from trainables.models.action import ACTION_CLASSIFIERS, build_action_classifier
from trainables.models.anonymizers import build_anonymizer
from trainables.models.axes import frames_of
from trainables.models.base import ANONYMIZERS
from trainables.models.classifier import Backbone
from trainables.models.privacy import PRIVACY_BACKBONES, build_privacy_classifier, build_privacy_encoder
from trainables.plugins import blamed, registered_by_plugin
from trainables.registry import Registry

_CLIPS, _OUTPUTS = 2, 3
_SLACK = 1e-3  # beyond [0, 1]: rounding, and filters that overshoot a little


def check_own_networks(config: TrialConfig) -> None:
    """Builds and runs those networks of a trial that plugins registered. Raises ConfigError in one line, with the file and the
    line of the plugin, for one that fails, has outputs of another shape, or frames that are none.
    """
    config = resolved(config)
    clip, of_use = config.clip, config.as_evaluated.clip
    if registered_by_plugin(config.anonymizer.name):
        trained = method_of(config).anonymizer is not None
        for size in dict.fromkeys((clip, of_use)):
            _check_anonymizer(config.anonymizer, tuple(config.options.items()), size, trained)
    for part, network, size in (
        ("action_classifier", config.action_classifier, clip),
        ("evaluate_action.classifier", config.evaluate_action.classifier, of_use),
    ):
        if registered_by_plugin(network.name):
            _check_action(part, network.name, size)
    for part, network, size in (
        ("privacy_encoder", config.privacy_encoder, clip),
        ("evaluate_privacy.classifier", config.evaluate_privacy.classifier, of_use),
    ):
        if registered_by_plugin(network.name):
            _check_privacy(part, network.name, size)


# The trials of a study ask the same again and again. A failure raises, and so is not cached.
@functools.lru_cache(maxsize=256)
def _check_anonymizer(config: AnonymizerConfig, options: Any, clip: ClipConfig, trained: bool) -> None:
    where = f"anonymizer {config.name!r} ({ANONYMIZERS.where(config.name)})"
    clips = _random(_CLIPS, clip.frames, clip.size)

    anonymizer = _tried(where, lambda: build_anonymizer(config, dict(options)).eval())
    if not anonymizer.sees_time:
        clips = frames_of(clips)
    shown = _tried(where, lambda: anonymizer(clips) if clips.dim() == 4 else anonymizer.clips(clips))
    if not isinstance(shown, Tensor) or shown.shape != clips.shape:
        raise ConfigError(f"{where} returns {_shape(shown)} for {_shape(clips)}; return frames of the same shape")
    if not shown.isfinite().all():
        raise ConfigError(f"{where} returns values that are no numbers (NaN or infinite)")
    low, high = float(shown.min()), float(shown.max())
    if not trained and (low < -_SLACK or high > 1 + _SLACK):  # one that is trained begins anywhere
        raise ConfigError(f"{where} returns values from {low:.3g} to {high:.3g}; frames are RGB in [0, 1]")


@functools.lru_cache(maxsize=256)
def _check_action(part: str, name: str, clip: ClipConfig) -> None:
    where = f"{part} {name!r} ({ACTION_CLASSIFIERS.where(name)})"
    build = functools.partial(build_action_classifier, NetworkConfig(name=name), _OUTPUTS, clip)
    _check_classifier(where, ACTION_CLASSIFIERS, name, (clip,), build, _random(_CLIPS, clip.frames, clip.size), _OUTPUTS)


@functools.lru_cache(maxsize=256)
def _check_privacy(part: str, name: str, clip: ClipConfig) -> None:
    where, encodes = f"{part} {name!r} ({PRIVACY_BACKBONES.where(name)})", part == "privacy_encoder"
    network = NetworkConfig(name=name)
    build: Callable[[], nn.Module] = (
        functools.partial(build_privacy_encoder, network)
        if encodes
        else functools.partial(build_privacy_classifier, network, _OUTPUTS)
    )
    frames = _random(_CLIPS, 1, clip.size)[:, 0]
    _check_classifier(where, PRIVACY_BACKBONES, name, (), build, frames, None if encodes else _OUTPUTS)


def _check_classifier(
    where: str,
    registry: Registry[Any],
    name: str,
    arguments: tuple[Any, ...],
    build: Callable[[], nn.Module],
    pixels: Tensor,
    outputs: int | None,
) -> None:
    backbone = _tried(where, lambda: registry[name](*arguments))
    try:
        head = backbone.network.get_submodule(backbone.head)
    except AttributeError:
        what = f"has no layer {backbone.head!r}" if isinstance(backbone, Backbone) else f"is {backbone!r:.40}"
        raise ConfigError(f"{where}: its network {what}; return Backbone(network, head, mean, std)") from None
    if not isinstance(head, nn.Linear):
        raise ConfigError(f"{where}: its head {backbone.head!r} is {type(head).__name__}; name the last torch.nn.Linear")
    found = _tried(where, lambda: build().eval()(pixels))
    wanted = (len(pixels), found.shape[-1] if outputs is None and found.dim() else outputs)
    if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
        raise ConfigError(f"{where} returns {_shape(found)} for {_shape(pixels)}; return one row of features an item")
    if not found.isfinite().all():
        raise ConfigError(f"{where} returns values that are no numbers (NaN or infinite)")


def _tried(where: str, run: Callable[[], Any]) -> Any:
    try:
        with torch.no_grad(), torch.random.fork_rng():
            return run()
    except ConfigError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise ConfigError(f"{where} fails{f' at {at}' if (at := blamed(error)) else ''}: {reason}") from error


def _random(*sizes: int) -> Tensor:
    """Clips (B, T, 3, S, S) of random frames in [0, 1]."""
    clips, frames, side = sizes
    return torch.rand(clips, frames, 3, side, side, generator=torch.Generator().manual_seed(0))


def _shape(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else f"{value!r:.40}"
