"""Attacks by name: who tries to learn from anonymized data what they must not show. Declared here without importing torch.

Every attack is a stage of a trial, and has two controls: the same attack on raw data, which must read them, and on blank
frames, which must land at chance. The controls are stages too, of equal keys in all trials of a seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from trainables.attacks.people import search_of
from trainables.config import TrialConfig
from trainables.data.trial_data import TrialData
from trainables.registry import Registry
from trainables.stages import ANONYMIZER, EVALUATE_ACTION, TEST_VIEW, Control, Part, Stage, part_name

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome

Risk = Literal["singling out", "linkability", "inference"]
CONTROLS: tuple[Control, ...] = ("raw", "blank")
WORDS = ("standard", "all", "none")

# What an attack may need.
LABELLED_CLIPS = "action clips that carry private attributes"
PEOPLE = "test clips of one person more than once, and of others"

CLIPS = "clips_with_attributes"
ATTACKED = "attacked"  # as data of a stage: the clips where they carry labels, otherwise the images of the privacy set


@dataclass(frozen=True)
class Attack:
    """`title`, `question` and `measure` are for people who know no machine learning; `risk` is one of the three of the EU's
    opinion on anonymisation techniques (WP 216).

    The code of `stage` returns an `Evidence` (see `trainables.attacks.evidence`). `trained`: it learns for `attacks.epochs`.
    `needs`: data that not every trial has. `standard`: it is cheap enough for every trial.
    """

    title: str
    question: str
    risk: Risk
    measure: str
    stage: Stage
    trained: bool = True
    needs: str = ""
    standard: bool = True


ATTACKS: Registry[Attack] = Registry("attack")

_VIEW = (*TEST_VIEW, "anonymizer", "attacks.batch_size", "attacks.frames")
_EFFORT = (*_VIEW, "attacks.epochs", "attacks.learning_rate")
_ATTRIBUTES = "mean average precision over the private attributes, averaged over the frames of a test item"


def _stage(
    run: Callable[[StageContext], Outcome],
    fields: tuple[str, ...],
    inputs: tuple[str, ...] = (),
    data: str = ATTACKED,
    trains: str = "attacks",
) -> Stage:
    return Stage(f"attack{run.__name__}", run, fields, (data,), (ANONYMIZER, *inputs), trains=trains)


def _retrained(context: StageContext) -> Outcome:
    from trainables.attacks.retrained import run

    return run(context)


def _raw_trained(context: StageContext) -> Outcome:
    from trainables.attacks.transfer import raw_trained

    return raw_trained(context)


def _reverse(context: StageContext) -> Outcome:
    from trainables.attacks.transfer import reverse

    return reverse(context)


def _inversion(context: StageContext) -> Outcome:
    from trainables.attacks.inversion import run

    return run(context)


def _linkage(context: StageContext) -> Outcome:
    from trainables.attacks.linkage import run

    return run(context)


def _probe(context: StageContext) -> Outcome:
    from trainables.attacks.probe import run

    return run(context)


def _temporal(context: StageContext) -> Outcome:
    from trainables.attacks.temporal import run

    return run(context)


def _judge(context: StageContext) -> Outcome:
    from trainables.attacks.judge import run

    return run(context)


_RETRAINED = _stage(_retrained, (*_EFFORT, "attacks.ensemble"))
ATTACKS.register("retrained")(
    Attack(
        "Retrained classifiers",
        "Who knows how the frames are anonymized and trains on such frames: what can be read of a person?",
        "inference",
        f"{_ATTRIBUTES}; of several classifiers the strongest counts",
        _RETRAINED,
    )
)
ATTACKS.register("raw_trained")(
    Attack(
        "Classifiers of ordinary video",
        "Who has only ever seen ordinary video, and knows nothing of the anonymizer: what can be read of a person?",
        "inference",
        f"{_ATTRIBUTES}; of several classifiers the strongest counts",
        _stage(_raw_trained, (*_VIEW, "attacks.ensemble"), (part_name(_RETRAINED.name, "raw"),), trains=""),
        trained=False,
    )
)
ATTACKS.register("reverse")(
    Attack(
        "From anonymized to ordinary video",
        "Who has learned from labelled anonymized video: what can be read of people in ordinary video?",
        "inference",
        f"{_ATTRIBUTES}; of several classifiers the strongest counts",
        _stage(_reverse, (*_VIEW, "attacks.ensemble"), (_RETRAINED.name,), trains=""),
        trained=False,
    )
)
ATTACKS.register("inversion")(
    Attack(
        "Undoing the anonymization",
        "Who can run the anonymizer on video of their own and learns to undo it: what can be read in the restored frames?",
        "inference",
        f"{_ATTRIBUTES}, of classifiers that were trained on raw frames, in what the decoder restores",
        _stage(_inversion, (*_EFFORT, "attacks.ensemble", "attacks.decoder_width"), (part_name(_RETRAINED.name, "raw"),)),
        standard=False,
    )
)
ATTACKS.register("linkage")(
    Attack(
        "Finding the same person again",
        "Given an anonymized clip of somebody: which other clip, anonymized or ordinary, shows the same person?",
        "linkability",
        "share of test clips whose most similar other clip shows the same person (rank-1); the easier of two searches counts,"
        " among anonymized or among ordinary clips",
        _stage(_linkage, (*_EFFORT, "attacks.encoder", "attacks.people"), data=CLIPS),
        needs=PEOPLE,
    )
)
ATTACKS.register("probe")(
    Attack(
        "What the action classifier passes on",
        "Who gets not the video but only what the action classifier computes from it: what can be read of a person?",
        "inference",
        "mean average precision over the private attributes of a linear classifier of the features of f_T'",
        _stage(_probe, (*TEST_VIEW, "anonymizer", "evaluate_action"), (EVALUATE_ACTION.name,), trains=""),
        trained=False,
    )
)
ATTACKS.register("temporal")(
    Attack(
        "Classifier of whole clips",
        "Who looks at whole clips, at motion and not only at single frames: what can be read of a person?",
        "inference",
        "mean average precision over the private attributes of a classifier that sees a whole clip",
        _stage(_temporal, (*_EFFORT, "attacks.clip_network"), data=CLIPS),
        needs=LABELLED_CLIPS,
        standard=False,
    )
)

# Sets the results of the attacks of a trial beside their controls; its inputs are those of the trial.
WEIGH_ATTACKS = Stage("attacks", _judge, ("attacks.names",), (), version=2)


def attack_names(config: TrialConfig) -> tuple[str, ...]:
    """The attacks that a trial asks for. Raises ConfigError for a name that is none."""
    chosen = config.attacks.names
    for name in chosen:
        if name not in WORDS:
            ATTACKS[name]
    if "all" in chosen:
        return tuple(ATTACKS)
    return tuple(name for name in ATTACKS if name in chosen or ("standard" in chosen and ATTACKS[name].standard))


def attack_parts(names: tuple[str, ...], config: TrialConfig, data: TrialData, evaluations: tuple[str, ...]) -> dict[str, Part]:
    """The stages of these attacks by their roles, controls after each, in an order in which each has its inputs.

    `evaluations`: the roles of the stages whose leakage is compared with that of the attacks.
    """
    clips = data.clips_with_attributes
    there = {
        "": True,
        LABELLED_CLIPS: data.attacked == CLIPS,
        PEOPLE: search_of(clips, clips.test, config.attacks.people).asked.any(),
    }
    known: dict[str, tuple[Stage, Control]] = {
        part_name(ATTACKS[name].stage.name, control): (ATTACKS[name].stage, control)
        for name in ATTACKS
        for control in ("", *CONTROLS)
    }
    parts: dict[str, Part] = {}

    def add(stage: Stage, control: Control) -> None:
        for name in stage.inputs:
            if name in known:
                other, its_control = known[name]
                add(other, its_control or control)
        attacked = tuple(data.attacked if name == ATTACKED else name for name in stage.data)
        part = Part(replace(stage, data=attacked), control, reported=not control, attack=True)
        parts.setdefault(part_name(stage.name, control), part)

    # those that build on others last: where a control is the trial's own stage, the own one is to be there before it
    tried = [ATTACKS[name].stage for name in names if there[ATTACKS[name].needs]]
    for stage in sorted(tried, key=lambda stage: len(stage.inputs)):
        for control in ("", *CONTROLS):
            add(stage, control)
    verdict = replace(WEIGH_ATTACKS, inputs=(*parts, *evaluations))
    return {**parts, verdict.name: Part(verdict, attack=True)}
