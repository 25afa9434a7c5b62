"""The stages of a trial, declared without importing torch: what each depends on and which function computes it.

The outcome of a stage is stored under the hash of the fields of the config, the data and the upstream stages named here,
with its version; raise the version when a change moves its numbers. The functions here import the code they call when they
are called: declaring a stage imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from trainables.config import ConfigError, TrialConfig, is_field

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome

RAW_ACTION = "raw_action"  # as an input, and in records: the stage `evaluate_action` of the raw trial
RAW_POSE = "raw_pose"  # the same of the stage `pose`
BEFORE = "before"  # as an input, and in records: the stage that trained the networks from which this one goes on
ATTACKED = "attacked"  # as data of a stage: the clips where they carry labels, otherwise the images of the privacy set
DATA = (  # the data sets of a trial: members of `trainables.data.trial_data.TrialData`
    "action",
    "privacy",
    "action_evaluation",
    "privacy_evaluation",
    "privacy_test",
    "clips_with_attributes",
)
# In keys by their content, by what they make of others, or only where they are set.
_ELSEWHERE = ("data", "obfuscation", "accept_flaws", "microbatch", "evaluate_at")
WHOLE_CONFIG = tuple(name for name in TrialConfig.model_fields if name not in _ELSEWHERE)
ANONYMIZER = "anonymizer"  # as an input: whichever stage of the method leaves the trained anonymizer behind


@dataclass(frozen=True)
class Stage:
    """One step of a trial, with a stored outcome.

    run: computes the outcome; a function of a module, so that it can be sent to other processes by its name.
    fields: dotted names in TrialConfig that the outcome depends on (a group stands for all of its fields): they are in its key,
    and its code is given no others (`trainables.fields`). All of the config unless they are narrowed, so that stages of
    different trials can be shared. `anonymizer` means the network as far as it matters: for a method that trains none, its name
    and options alone. What `data` and `obfuscation` lead to is in the key by its content. Where a trial sets `evaluate_at`,
    `clip` has that size for whatever comes after the training of its anonymizer.
    data: the members of TrialData that it reads; it is given no others.
    inputs: the stages whose outcomes it reads.
    trains: the group of TrialConfig that holds the `epochs` and the `batch_size` of its training; empty if it trains nothing.
    tests: for a stage that only tests a trained network, the group that holds the `batch_size`.
    evaluator: it trains a classifier, `<trains>.classifier`, on the outputs of a frozen anonymizer, so that several such
    stages can share one pass over the anonymized data (`trainables.execution.together`).
    parallel: its losses and figures are gathered over the ranks of a trial (`trainables.execution.distributed`).
    """

    name: str
    run: Callable[[StageContext], Outcome]
    fields: tuple[str, ...] = WHOLE_CONFIG
    data: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    version: int = 1
    trains: str = ""
    tests: str = ""
    evaluator: bool = False
    parallel: bool = False

    def __post_init__(self) -> None:
        if not callable(self.run):
            raise ConfigError(f"stage {self.name!r}: run = {self.run!r} is no function; give the function itself")
        for field in (*self.fields, *filter(None, (self.trains, self.tests))):
            if not is_field(field):
                raise ConfigError(f"stage {self.name!r}: {field!r} is no field of a trial; see trainables/config")
        if unknown := [name for name in self.data if name not in (*DATA, ATTACKED)]:
            raise ConfigError(f"stage {self.name!r}: no data {unknown[0]!r}; there are {', '.join(DATA)}")

    @property
    def where(self) -> str:
        """The file and the line of its code, for errors."""
        code = getattr(self.run, "__code__", None)
        return f"{code.co_filename} line {code.co_firstlineno}" if code else self.run.__module__


# The method of another trial, whose stage this one is the same as; permuted: raw, with the labels of people exchanged.
Control = Literal["", "raw", "blank", "permuted"]


@dataclass(frozen=True)
class StagePart:
    """A stage and the part it plays in a trial; see `trainables.plan.PlannedStage` for the fields."""

    stage: Stage
    control: Control = ""
    reported: bool = True
    attack: bool = False


def part_name(stage: str, control: Control) -> str:
    """The role of an attack's stage, or of one of its controls."""
    return f"{stage}.{control}" if control else stage


IMAGE_VIEW = ("seed", "clip.size", "clip.decode_size", "augment", "departures.float16", "departures.drop_last")
VIEW = (*IMAGE_VIEW, "clip.frames", "clip.skip", "departures.bgr_clips", "departures.scrambled_frames")
TEST_VIEW = (*VIEW, "clip.test_clips", "codec")
# Frames at the video's own size, see `trainables.evaluation.delivered`.
DELIVERED_VIEW = (
    *("anonymizer", "clip.size", "codec", "departures.bgr_clips", "departures.float16", "departures.scrambled_frames"),
    *("attacks.recognised_frames", "attacks.recognised_clips"),
)
TRAINING_DATA = ("action", "privacy")
JUDGED_DATA = ("action_evaluation", "privacy_evaluation", "privacy_test", "clips_with_attributes")


def _reconstruct(context: StageContext) -> Outcome:
    from trainables.training.reconstruct import run

    return run(context)


def _warm_up(context: StageContext) -> Outcome:
    from trainables.training.warm_up import run

    return run(context)


def _evaluate_action(context: StageContext) -> Outcome:
    from trainables.evaluation.action import run

    return run(context)


def _test_deployed(context: StageContext) -> Outcome:
    from trainables.evaluation.action import test_deployed

    return test_deployed(context)


def _pose(context: StageContext) -> Outcome:
    from trainables.evaluation.pose import find

    return find(context)


def _test_pose(context: StageContext) -> Outcome:
    from trainables.evaluation.pose import compare

    return compare(context)


def _evaluate_privacy(context: StageContext) -> Outcome:
    from trainables.evaluation.privacy import run_on_images

    return run_on_images(context)


def _test_privacy(context: StageContext) -> Outcome:
    from trainables.evaluation.privacy import test_on_others

    return test_on_others(context)


def _without_video(context: StageContext) -> Outcome:
    from trainables.evaluation.without_video import run

    return run(context)


def _evaluate_clip_privacy(context: StageContext) -> Outcome:
    from trainables.evaluation.privacy import run_on_clips

    return run_on_clips(context)


RECONSTRUCT = Stage(
    "reconstruct",
    _reconstruct,
    (*VIEW, "anonymizer", "reconstruct"),
    TRAINING_DATA,
    trains="reconstruct",
    parallel=True,
    version=2,
)
WARM_UP = Stage(
    "warm_up",
    _warm_up,
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
    trains="warm_up",
    parallel=True,
    version=2,
)
# What every minimax depends on; the stage of a method with settings of its own.
MINIMAX_FIELDS = (*VIEW, "anonymizer", "action_classifier", "privacy_encoder", "minimax", "options")
EVALUATE_ACTION = Stage(
    "evaluate_action",
    _evaluate_action,
    (*TEST_VIEW, "anonymizer", "evaluate_action", "selection", "refit"),
    ("action_evaluation",),
    (ANONYMIZER,),
    trains="evaluate_action",
    evaluator=True,
    parallel=True,
    version=2,
)
# The classifier that learned from raw clips, on anonymized ones: what a system in use loses before it is trained again.
TEST_DEPLOYED = Stage(
    "test_deployed",
    _test_deployed,
    (*TEST_VIEW, "anonymizer", "evaluate_action"),
    ("action_evaluation",),
    (ANONYMIZER, RAW_ACTION),
    tests="evaluate_action",
)
# The joints of the surest person in each frame that is looked at, and how many of those in raw frames stay where they were.
POSE = Stage("pose", _pose, DELIVERED_VIEW, ("action_evaluation",), (ANONYMIZER,))
TEST_POSE = Stage("test_pose", _test_pose, (), ("action_evaluation",), (POSE.name, RAW_POSE))
EVALUATE_PRIVACY = Stage(
    "evaluate_privacy",
    _evaluate_privacy,
    (*IMAGE_VIEW, "codec", "anonymizer", "evaluate_privacy", "selection", "refit", "departures.logit_threshold"),
    ("privacy_evaluation",),
    (ANONYMIZER,),
    trains="evaluate_privacy",
    evaluator=True,
    version=3,
)
# f_B' on images it was not trained for: another set, or anonymized ones after training on raw ones (Table 6).
TEST_PRIVACY = Stage(
    "test_privacy",
    _test_privacy,
    (
        *IMAGE_VIEW,
        "codec",
        "anonymizer",
        "evaluate_privacy",
        "data.test_privacy.attribute_map",
        "departures.logit_threshold",
    ),
    ("privacy_evaluation", "privacy_test"),
    (ANONYMIZER, EVALUATE_PRIVACY.name),
    tests="evaluate_privacy",
    version=2,
)
EVALUATE_CLIP_PRIVACY = Stage(
    "evaluate_clip_privacy",
    _evaluate_clip_privacy,
    (*TEST_VIEW, "anonymizer", "evaluate_privacy", "selection", "refit", "departures.logit_threshold"),
    ("clips_with_attributes",),
    (ANONYMIZER,),
    trains="evaluate_privacy",
    evaluator=True,
    version=4,
)
# What the attributes of an item tell of one another: beside it an attack shows what the video adds. It comes with attacks.
WITHOUT_VIDEO = Stage("without_video", _without_video, (), (ATTACKED,))
