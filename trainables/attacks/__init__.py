"""Attacks by name: who tries to learn from anonymized data what they must not show. Declared without importing torch.

Every package in this folder is imported when this one is, and registers its attacks in ATTACKS. An attack is a stage of a
trial, and has controls: the same attack on raw data, which must succeed, and on blank frames and on raw data with the labels of
people exchanged, which must not. The controls are stages too, of equal keys in all trials of a seed.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Literal

from trainables.attacks.shared.assets import Asset, checked
from trainables.config import ConfigError, TrialConfig
from trainables.data.trial_data import TrialData
from trainables.registry import Registry
from trainables.stages import ANONYMIZER, ATTACKED, TEST_VIEW, WITHOUT_VIDEO, Control, Stage, StagePart, part_name

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome

Risk = Literal["singling out", "linkability", "inference"]
CONTROLS: tuple[Control, ...] = ("raw", "blank", "permuted")
WORDS = ("standard", "all", "none")
CLIPS = "clips_with_attributes"


@dataclass(frozen=True)
class Need:
    """Data that an attack needs and not every trial has. `text` completes "it needs ..."."""

    text: str
    met: Callable[[TrialConfig, TrialData], bool]


LABELLED_CLIPS = Need("action clips that carry private attributes", lambda config, data: data.attacked == CLIPS)


@dataclass(frozen=True)
class Attack:
    """An attack on anonymized data.

    title, question, measure: for people who know no machine learning.
    risk: one of the three of the EU's opinion on anonymisation techniques (WP 216).
    has: what its attacker has (`trainables.attacks.shared.assets`); whoever has more may learn more.
    stage: its code returns an outcome with an `AttackResult` (`trainables.attacks.shared.result`) as `state["evidence"]`.
    needs: data without which the attack is not tried.
    standard: it is cheap enough for every trial.
    controls: those of CONTROLS that say something of it.
    prepared: stages without a figure of their own that its stage builds on, such as features that several attacks share.
    """

    title: str
    question: str
    risk: Risk
    measure: str
    has: tuple[Asset, ...]
    stage: Stage
    needs: Need | None = None
    standard: bool = True
    controls: tuple[Control, ...] = CONTROLS
    prepared: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        try:
            checked(self.has)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"attack {self.title!r}: has = {self.has!r}: {error}") from None


ATTACKS: Registry[Attack] = Registry("attack")

# The fields that every attack depends on, and those of one that learns.
ATTACK_VIEW = (*TEST_VIEW, "anonymizer", "attacks.batch_size", "attacks.frames", "attacks.permuted")
ATTACK_TRAINING = (*ATTACK_VIEW, "attacks.epochs", "attacks.learning_rate")
ATTRIBUTES_MEASURE = (
    "mean average precision over the private attributes, averaged over the frames of a test item; of several classifiers the"
    " strongest counts"
)


def attack_stage(
    name: str,
    run: Callable[[StageContext], Outcome],
    fields: tuple[str, ...],
    inputs: tuple[str, ...] = (),
    data: tuple[str, ...] = (ATTACKED,),
    trains: bool = True,
    version: int = 2,
) -> Stage:
    """The stage of the attack `name`. trains: it learns for `attacks.epochs`. See `Stage` for the other fields."""
    return Stage(f"attack_{name}", run, fields, data, (ANONYMIZER, *inputs), version, "attacks" if trains else "")


def _weigh(context: StageContext) -> Outcome:
    from trainables.attacks.shared.verdict import run

    return run(context)


# Compares the results of a trial's attacks with their controls; its inputs are all of these stages.
WEIGH_ATTACKS = Stage("attacks", _weigh, ("attacks.names",), (), version=3)


def attack_names(config: TrialConfig) -> tuple[str, ...]:
    """The attacks that a trial asks for. Raises ConfigError for a name that is none."""
    chosen = config.attacks.names
    for name in chosen:
        if name not in WORDS:
            ATTACKS[name]
    if "all" in chosen:
        return tuple(ATTACKS)
    return tuple(name for name in ATTACKS if name in chosen or ("standard" in chosen and ATTACKS[name].standard))


@cache
def _on(attacked: str, stage: Stage) -> Stage:
    """The stage of an attack on the data set `attacked`."""
    return replace(stage, data=tuple(attacked if name == ATTACKED else name for name in stage.data))


@cache
def _weighing(inputs: tuple[str, ...]) -> Stage:
    return replace(WEIGH_ATTACKS, inputs=inputs)


def tried(names: tuple[str, ...], config: TrialConfig, data: TrialData) -> tuple[str, ...]:
    """Those of these attacks that have what they need."""
    return tuple(name for name in names if (needs := ATTACKS[name].needs) is None or needs.met(config, data))


def attack_parts(names: tuple[str, ...], attacked: str, evaluations: tuple[str, ...]) -> dict[str, StagePart]:
    """The stages of these attacks on the data set `attacked` by their roles, controls after each, in an order in which each has
    its inputs.

    `evaluations`: the roles of the stages whose leakage is compared with that of the attacks.
    """
    stages = {stage.name: stage for name in ATTACKS for stage in (ATTACKS[name].stage, *ATTACKS[name].prepared)}
    known: dict[str, tuple[Stage, Control]] = {
        part_name(name, control): (stage, control) for name, stage in stages.items() for control in ("", *CONTROLS)
    }
    parts: dict[str, StagePart] = {}

    def add(stage: Stage, control: Control) -> None:
        for name in stage.inputs:
            if name in known:
                other, its_control = known[name]
                add(other, control if control == "permuted" else its_control or control)
        part = StagePart(_on(attacked, stage), control, reported=not control, attack=True)
        parts.setdefault(part_name(stage.name, control), part)

    # those that build on others last: where a control is the trial's own stage, the own one is to be there before it
    for attack in sorted((ATTACKS[name] for name in names), key=lambda attack: len(attack.stage.inputs)):
        for control in ("", *attack.controls):
            add(attack.stage, control)
    weighed = {ATTACKS[name].stage.name for name in ATTACKS}
    results = tuple(role for role, part in parts.items() if part.stage.name in weighed)
    verdict = _weighing((*results, *evaluations))
    baseline = StagePart(_on(attacked, WITHOUT_VIDEO))
    return {**parts, baseline.stage.name: baseline, verdict.name: StagePart(verdict, attack=True)}


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
