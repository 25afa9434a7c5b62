"""The stages of a trial, declared without importing torch: what each depends on and where its code is.

A stage is a function `(StageContext) -> Outcome`. Its artifact is stored under the hash of the fields of the config, the
data and the upstream stages named here, with its version; raise the version when a change moves its numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

RAW_ACTION = "raw_action"  # as an input: the stage `evaluate_action` of the raw trial
ANONYMIZER = "anonymizer"  # as an input: whichever stage of the method leaves the trained anonymizer behind


@dataclass(frozen=True)
class Stage:
    """`run`: module:function; `fields`: dotted names in TrialConfig; `data`: members of TrialData; `inputs`: stages.

    `parallel`: what its losses and figures need of other ranks is gathered, see `trainables.execution.ranks`.
    A field `anonymizer` means the network as far as it matters: of a method that trains none, its name alone. `judge`: the
    field with the classifier of a stage that trains one beside others of the same anonymizer (`trainables.execution.together`).
    """

    name: str
    run: str
    fields: tuple[str, ...]
    data: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    version: int = 1
    parallel: bool = False
    judge: str = ""


IMAGE_VIEW = ("seed", "clip.size", "clip.decode_size", "augment", "departures.float16", "departures.drop_last")
VIEW = (*IMAGE_VIEW, "clip.frames", "clip.skip", "departures.bgr_clips", "departures.scrambled_frames")
TEST_VIEW = (*VIEW, "clip.test_clips")
TRAINING_DATA = ("action", "privacy")
JUDGED_DATA = ("action_evaluation", "privacy_evaluation", "privacy_test", "clips_with_attributes")

# Only where `obfuscation.detector` is named: otherwise the boxes of people come from a file.
DETECT = Stage(
    "detect",
    "trainables.methods.obfuscation.detect:run",
    ("obfuscation.detector", "obfuscation.detector_weights", "obfuscation.score", "obfuscation.every"),
    JUDGED_DATA,
)
RECONSTRUCT = Stage(
    "reconstruct",
    "trainables.stages.reconstruct:run",
    (*VIEW, "anonymizer", "reconstruct"),
    TRAINING_DATA,
    parallel=True,
)
WARM_UP = Stage(
    "warm_up",
    "trainables.stages.warm_up:run",
    (
        *VIEW,
        "anonymizer",
        "action_classifier",
        "privacy_encoder",
        "warm_up",
        "minimax.temperature",
        "minimax.pair",
        "minimax.pair_distance",
    ),
    TRAINING_DATA,
    ("reconstruct",),
    parallel=True,
)
# What every minimax depends on; the stage of a method with settings of its own.
MINIMAX_FIELDS = (*VIEW, "anonymizer", "action_classifier", "privacy_encoder", "minimax", "options")
MINIMAX = Stage(
    "minimax",
    "trainables.methods.penalty.training:run",
    (*VIEW, "anonymizer", "action_classifier", "privacy_encoder", "minimax", "departures.detached_penalty"),
    TRAINING_DATA,
    ("reconstruct", "warm_up"),
    parallel=True,
)
EVALUATE_ACTION = Stage(
    "evaluate_action",
    "trainables.stages.evaluate_action:run",
    (*TEST_VIEW, "anonymizer", "evaluate_action", "selection"),
    ("action_evaluation",),
    (ANONYMIZER,),
    judge="evaluate_action",
    parallel=True,
)
# The classifier that learned from raw clips, on anonymized ones: what a system in use loses before it is trained again.
TEST_DEPLOYED = Stage(
    "test_deployed",
    "trainables.stages.evaluate_action:test_deployed",
    (*TEST_VIEW, "anonymizer", "evaluate_action"),
    ("action_evaluation",),
    (ANONYMIZER, RAW_ACTION),
)
EVALUATE_PRIVACY = Stage(
    "evaluate_privacy",
    "trainables.stages.evaluate_privacy:run_on_images",
    (*IMAGE_VIEW, "anonymizer", "evaluate_privacy", "selection", "departures.logit_threshold"),
    ("privacy_evaluation",),
    (ANONYMIZER,),
    judge="evaluate_privacy",
    version=2,
)
# f_B' on images it was not trained for: another set, or anonymized ones after training on raw ones (Table 6).
TEST_PRIVACY = Stage(
    "test_privacy",
    "trainables.stages.evaluate_privacy:test_on_others",
    (*IMAGE_VIEW, "anonymizer", "evaluate_privacy", "data.test_privacy.attribute_map", "departures.logit_threshold"),
    ("privacy_evaluation", "privacy_test"),
    (ANONYMIZER, EVALUATE_PRIVACY.name),
)
EVALUATE_CLIP_PRIVACY = Stage(
    "evaluate_clip_privacy",
    "trainables.stages.evaluate_privacy:run_on_clips",
    (*TEST_VIEW, "anonymizer", "evaluate_privacy", "selection", "departures.logit_threshold"),
    ("clips_with_attributes",),
    (ANONYMIZER,),
    judge="evaluate_privacy",
    version=2,
)
