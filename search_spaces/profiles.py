"""How large a study is run: the recipe as published, or small enough for CPUs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainables.registry import Registry


@dataclass(frozen=True)
class Profile:
    """`values`: dotted keys of TrialConfig that differ from the recipe. `generated`: on data it makes itself.

    `cpus` and `gpus` are what one trial is given unless the command line says otherwise.
    """

    meaning: str
    values: Mapping[str, Any] = field(default_factory=dict)
    generated: bool = False
    cpus: float = 1.0
    gpus: float = 0.0


_NARROW: dict[str, Any] = {
    "anonymizer.encoder": "narrow",
    "anonymizer.encoder_weights": None,
    "anonymizer.depth": 2,
    "anonymizer.decoder_channels": (16, 16),
    "anonymizer.decoder_norm": "identity",
    "action_classifier.name": "narrow3d",
    "action_classifier.weights": None,
    "privacy_encoder.name": "narrow2d",
    "privacy_encoder.weights": None,
    "evaluate_action.classifier.name": "narrow3d",
    "evaluate_action.classifier.weights": None,
    "evaluate_privacy.classifier.name": "narrow2d",
    "clip.frames": 8,
    "clip.skip": 2,
    "clip.test_clips": 1,
    "augment.crop_min": 0.8,
    "augment.test_crop": 1.0,
    "augment.contrast_probability": 1.0,
    "augment.colour_probability": 1.0,
    "augment.erasures": 1,
    "augment.erase": 0.2,
    "reconstruct.epochs": 8,
    "reconstruct.learning_rate": 3e-3,
    "warm_up.epochs": 8,
    "warm_up.learning_rate": 2e-3,
    "minimax.epochs": 8,
    "minimax.learning_rate_anonymizer": 1e-3,
    "minimax.learning_rate_action": 1e-3,
    "minimax.learning_rate_privacy": 1e-3,
    "evaluate_action.epochs": 16,
    "evaluate_action.batch_size": 8,
    "evaluate_action.learning_rate": 3e-3,
    "evaluate_privacy.epochs": 14,
    "evaluate_privacy.batch_size": 16,
    "evaluate_privacy.learning_rate": 3e-3,
    "evaluate_privacy.warm_up_epochs": 1,
    "evaluate_privacy.clip_frames": 2,
    "attacks.learning_rate": 5e-3,
    "attacks.frames": 2,
    "attacks.ensemble": ("narrow2d", "residual2d"),
    "attacks.encoder": "narrow2d",
    "attacks.weights": None,
    "attacks.clip_network.name": "narrow3d",
    "attacks.clip_network.weights": None,
    "attacks.decoder_width": 16,
}

PROFILES: Registry[Profile] = Registry("profile")
PROFILES.register("paper")(Profile("the recipe as published, on the given data", cpus=8.0, gpus=1.0))
PROFILES.register("small")(
    Profile(
        "narrow networks, short schedules and 48-pixel clips, on the given data",
        {
            **_NARROW,
            "clip.size": 48,
            "clip.decode_size": 48,
            # a small set has few batches an epoch
            "reconstruct.epochs": 24,
            "warm_up.epochs": 24,
            "minimax.epochs": 20,
            "evaluate_action.epochs": 40,
            "evaluate_privacy.epochs": 30,
            "data.action.validation_fraction": 0.2,
            "data.privacy.validation_fraction": 0.2,
        },
    )
)
PROFILES.register("generated")(
    Profile(
        "narrow networks, short schedules and 32-pixel clips, on data with known truth that it makes itself",
        {
            **_NARROW,
            "clip.size": 32,
            "clip.decode_size": 32,
            "attacks.pretrained.weights": None,  # photographs teach little about drawings of 32 pixels, at minutes a trial
        },
        generated=True,
    )
)
