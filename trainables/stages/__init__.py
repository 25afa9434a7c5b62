"""The stages of a trial, declared without importing torch: what each depends on and where its code is.

A stage is a function `(StageContext) -> Outcome`. Its artifact is stored under the hash of the fields of the config, the
data and the upstream stages named here, with its version; raise the version when a change moves its numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

ANONYMIZER = "anonymizer"  # as an input: whichever stage of the method leaves the trained anonymizer behind


@dataclass(frozen=True)
class Stage:
    """`run`: module:function; `fields`: dotted names in TrialConfig; `data`: members of TrialData; `inputs`: stages."""

    name: str
    run: str
    fields: tuple[str, ...]
    data: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    version: int = 1


_VIEW = ("seed", "clip.frames", "clip.skip", "clip.size", "clip.decode_size", "augment")
_TEST_VIEW = (*_VIEW, "clip.test_clips")

RECONSTRUCT = Stage(
    "reconstruct", "trainables.stages.reconstruct:run", (*_VIEW, "anonymizer", "reconstruct"), ("action", "privacy")
)
WARM_UP = Stage(
    "warm_up",
    "trainables.stages.warm_up:run",
    (
        *_VIEW,
        "anonymizer",
        "action_classifier",
        "privacy_encoder",
        "warm_up",
        "minimax.temperature",
        "minimax.pair",
        "minimax.pair_distance",
    ),
    ("action", "privacy"),
    ("reconstruct",),
)
MINIMAX = Stage(
    "minimax",
    "trainables.stages.minimax:run",
    (*_VIEW, "anonymizer", "action_classifier", "privacy_encoder", "minimax"),
    ("action", "privacy"),
    ("reconstruct", "warm_up"),
)
EVALUATE_ACTION = Stage(
    "evaluate_action",
    "trainables.stages.evaluate_action:run",
    (*_TEST_VIEW, "anonymizer", "evaluate_action"),
    ("action_evaluation",),
    (ANONYMIZER,),
)
EVALUATE_PRIVACY = Stage(
    "evaluate_privacy",
    "trainables.stages.evaluate_privacy:run_on_images",
    ("seed", "clip.size", "clip.decode_size", "augment", "anonymizer", "evaluate_privacy"),
    ("privacy_evaluation",),
    (ANONYMIZER,),
)
EVALUATE_CLIP_PRIVACY = Stage(
    "evaluate_clip_privacy",
    "trainables.stages.evaluate_privacy:run_on_clips",
    (*_TEST_VIEW, "anonymizer", "evaluate_privacy"),
    ("action_evaluation",),
    (ANONYMIZER,),
)
