"""The plan of a trial, row by row: what each stage is declared to be, what it reads, the method it runs with, its steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_data import Files
from tests.support.stages import declared_stage
from trainables import stages
from trainables.attacks import ATTACKS
from trainables.config import ConfigError, TrialConfig, with_values
from trainables.data.items import StillSplits
from trainables.data.trial_data import TrialData
from trainables.methods import METHODS
from trainables.plan import PlannedStage, Planner, TrialPlan, neighbours, plan_trial
from trainables.stages import Stage, StagePart, part_name
from trainables.store import Outcome, canonical, digest, digest_of_parts

CLIPS, IMAGES = ("clips_with_attributes",), ("privacy_evaluation",)
TRAIN = ("action", "privacy")
# what trains, what tests, whether it shares passes, whether ranks share it; the data, and the inputs
DECLARED: dict[str, tuple[str, str, bool, bool, tuple[str, ...], tuple[str, ...]]] = {
    "reconstruct": ("reconstruct", "", False, True, TRAIN, ()),
    "warm_up": ("warm_up", "", False, True, TRAIN, ("reconstruct",)),
    "minimax": ("minimax", "", False, True, TRAIN, ("reconstruct", "warm_up")),
    "dial": ("minimax", "", False, True, TRAIN, ("reconstruct", "warm_up")),
    "continued": ("minimax", "", False, True, TRAIN, ("before",)),
    "vita": ("minimax", "", False, False, TRAIN, ("reconstruct", "warm_up")),
    "mass": ("minimax", "", False, False, TRAIN, ("reconstruct", "warm_up")),
    "tedspad": ("minimax", "", False, False, TRAIN, ("reconstruct", "warm_up")),
    "stprivacy": ("minimax", "", False, False, TRAIN, ("reconstruct", "warm_up")),
    "bdq": ("minimax", "", False, False, TRAIN, ("reconstruct", "warm_up")),
    "detect": ("", "", False, False, (*("action_evaluation", "privacy_evaluation"), "privacy_test", *CLIPS), ()),
    "evaluate_action": ("evaluate_action", "", True, True, ("action_evaluation",), ("anonymizer",)),
    "test_deployed": ("", "evaluate_action", False, False, ("action_evaluation",), ("anonymizer", "raw_action")),
    "pose": ("", "", False, False, ("action_evaluation",), ("anonymizer",)),
    "test_pose": ("", "", False, False, ("action_evaluation",), ("pose", "raw_pose")),
    "evaluate_privacy": ("evaluate_privacy", "", True, False, IMAGES, ("anonymizer",)),
    "test_privacy": ("", "evaluate_privacy", False, False, (*IMAGES, "privacy_test"), ("anonymizer", "evaluate_privacy")),
    "evaluate_clip_privacy": ("evaluate_privacy", "", True, False, CLIPS, ("anonymizer",)),
    "attack_retrained": ("attacks", "", False, False, ("attacked",), ("anonymizer",)),
    "attack_temporal": ("attacks", "", False, False, CLIPS, ("anonymizer",)),
    "attack_linkage": ("attacks", "", False, False, CLIPS, ("anonymizer",)),
    "attack_inversion": ("attacks", "", False, False, ("attacked",), ("anonymizer", "attack_retrained.raw")),
    "attack_adaptive": (
        *("attacks", "", False, False, ("attacked",)),
        ("anonymizer", "attack_retrained", "attack_retrained.raw", "adaptive_restorer"),
    ),
    "attack_raw_trained": ("", "", False, False, ("attacked",), ("anonymizer", "attack_retrained.raw")),
    "attack_reverse": ("", "", False, False, ("attacked",), ("anonymizer", "attack_retrained")),
    "attack_probe": ("", "", False, False, ("attacked", "action_evaluation"), ("anonymizer", "evaluate_action")),
    "attack_pretrained_probe": ("", "", False, False, ("attacked",), ("pretrained_features",)),
    "attack_pretrained_neighbour": ("", "", False, False, CLIPS, ("pretrained_features", "pretrained_features.raw")),
    "attack_pretrained_summed": ("", "", False, False, ("attacked",), ("pretrained_summed_features",)),
    "attack_pretrained_tuned": ("attacks", "", False, False, ("attacked",), ("anonymizer",)),
    "attack_face_found": ("", "", False, False, CLIPS, ("recognised_faces",)),
    "attack_face_recognised": ("", "", False, False, CLIPS, ("recognised_faces", "recognised_faces.raw")),
    "attack_face_traits": ("", "", False, False, CLIPS, ("recognised_traits",)),
    "attack_text_found": ("", "", False, False, CLIPS, ("recognised_text",)),
    "attack_people_found": ("", "", False, False, CLIPS, ("recognised_people",)),
    "without_video": ("", "", False, False, ("attacked",), ()),
    "attacks": ("", "", False, False, (), ()),
}


def test_every_stage_is_declared_as_in_the_table() -> None:
    of_methods = {stage.name for name in METHODS for stage in METHODS[name].stages}
    assert of_methods | {ATTACKS[name].stage.name for name in ATTACKS} <= DECLARED.keys()
    for name, expected in DECLARED.items():
        stage = declared_stage(name)
        assert stage is not None
        found = (stage.trains, stage.tests, stage.evaluator, stage.parallel, stage.data, stage.inputs)
        assert found == expected, name


def nothing(context: object) -> Outcome:
    return Outcome({})


def test_what_a_stage_and_its_part_are_unless_something_else_is_said() -> None:
    stage = Stage("mine", nothing)
    assert (stage.data, stage.inputs, stage.version, stage.trains, stage.tests) == ((), (), 1, "", "")
    assert (stage.evaluator, stage.parallel) == (False, False)
    part = StagePart(stage)
    assert (part.control, part.reported, part.attack) == ("", True, False)
    planned = PlannedStage("mine", stage, "k", {}, {}, TrialConfig(), 0)
    assert (planned.control, planned.reported, planned.attack) == ("", True, False)
    assert (part_name("a", ""), part_name("a", "blank")) == ("a", "a.blank")


def test_a_wrong_declaration_names_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match=r"'mine': no data 'actoin'; there are action, privacy"):
        Stage("mine", nothing, data=("action", "actoin", "other"))
    with pytest.raises(ConfigError, match=r"'mine': 'minimax.epoch' is no field"):
        Stage("mine", nothing, ("minimax.epochs", "minimax.epoch"))
    with pytest.raises(ConfigError, match="'mine': run = 7 is no function"):
        Stage("mine", 7)  # type: ignore[arg-type]
    where = Stage("mine", nothing).where
    assert where.startswith(__file__)
    assert where.endswith(f"line {nothing.__code__.co_firstlineno}")
    assert Stage("mine", Path).where == "pathlib"  # type: ignore[arg-type]


def planned(files: Files, **values: Any) -> TrialPlan:
    config = with_values(TrialConfig(), {key.replace("__", "."): value for key, value in values.items()})
    return plan_trial(config, TrialData(config, files.root))


def roles(plan: TrialPlan) -> dict[str, PlannedStage]:
    return {stage.role: stage for stage in plan.stages}


OWN, RAW, BLANK, EXCHANGED = ("penalty", False), ("raw", False), ("blank", False), ("raw", True)
# role -> the method it runs with and whether labels are exchanged, and what it reads
PLANNED: dict[str, tuple[tuple[str, bool], dict[str, str]]] = {
    "reconstruct": (OWN, {}),
    "warm_up": (OWN, {"reconstruct": "reconstruct"}),
    "minimax": (OWN, {"reconstruct": "reconstruct", "warm_up": "warm_up"}),
    "evaluate_action": (OWN, {"anonymizer": "minimax"}),
    "evaluate_privacy": (OWN, {"anonymizer": "minimax"}),
    "evaluate_clip_privacy": (OWN, {"anonymizer": "minimax"}),
    "raw_action": (RAW, {}),
    "test_deployed": (OWN, {"anonymizer": "minimax", "raw_action": "raw_action"}),
    "attack_retrained": (OWN, {"anonymizer": "minimax"}),
    "attack_retrained.raw": (RAW, {}),
    "attack_retrained.blank": (BLANK, {}),
    "attack_retrained.permuted": (EXCHANGED, {}),
    "attack_raw_trained": (OWN, {"anonymizer": "minimax", "attack_retrained.raw": "attack_retrained.raw"}),
    "attack_raw_trained.raw": (RAW, {"attack_retrained.raw": "attack_retrained.raw"}),
    "attack_raw_trained.blank": (BLANK, {"attack_retrained.raw": "attack_retrained.raw"}),
    "attack_raw_trained.permuted": (EXCHANGED, {"attack_retrained.raw": "attack_retrained.permuted"}),
    "attack_reverse": (OWN, {"anonymizer": "minimax", "attack_retrained": "attack_retrained"}),
    "attack_reverse.raw": (RAW, {"attack_retrained": "attack_retrained.raw"}),
    "attack_reverse.permuted": (EXCHANGED, {"attack_retrained": "attack_retrained.permuted"}),
    "attack_probe": (OWN, {"anonymizer": "minimax", "evaluate_action": "evaluate_action"}),
    "attack_probe.raw": (RAW, {"evaluate_action": "raw_action"}),
    "attack_probe.blank": (BLANK, {"evaluate_action": "raw_action"}),
    "attack_probe.permuted": (EXCHANGED, {"evaluate_action": "raw_action"}),
}
ATTACKED = ("retrained", "raw_trained", "reverse", "probe")


def test_the_plan_of_a_trial_with_attacks(files: Files) -> None:
    found = roles(planned(files, test_deployed=True, attacks__names=",".join(ATTACKED)))
    assert found.keys() == {*PLANNED, "without_video", "attacks"}
    baseline = found["without_video"]
    assert (baseline.attack, baseline.reported, baseline.control, dict(baseline.inputs)) == (False, True, "", {})
    assert baseline.stage.data == CLIPS
    for role, (runs_with, reads) in PLANNED.items():
        stage = found[role]
        assert ((stage.config.method, stage.config.attacks.permuted), dict(stage.inputs)) == (runs_with, reads), role
        assert stage.attack is role.startswith("attack_")
        control = "raw" if role == "raw_action" else role.partition(".")[2]
        assert (stage.control, stage.reported) == (control, not control)
    weighs = found["attacks"]
    attacks = {role for role in PLANNED if role.startswith("attack_")}
    assert set(weighs.inputs) == attacks | {"evaluate_privacy", "evaluate_clip_privacy"}, "and no figure of utility"
    assert (weighs.attack, weighs.reported, weighs.control) == (True, True, "")


def test_of_a_raw_trial_its_own_stages_are_the_positive_controls(files: Files) -> None:
    found = roles(planned(files, method="raw", attacks__names="retrained"))
    own = {"evaluate_action", "evaluate_privacy", "evaluate_clip_privacy", "raw_action", "attack_retrained", "attacks"}
    assert found.keys() == own | {"without_video", "attack_retrained.blank", "attack_retrained.permuted"}
    assert found["attacks"].inputs["attack_retrained.raw"] == "attack_retrained"
    assert found["raw_action"].key == found["evaluate_action"].key, "it is planned for all that: what it finds is no figure"


def test_which_stages_a_trial_has(files: Files) -> None:
    plain = {"reconstruct", "warm_up", "minimax", "evaluate_action", "evaluate_privacy"}
    assert roles(planned(files)).keys() == plain | {"evaluate_clip_privacy"}
    assert roles(planned(files, evaluate_privacy__clips=False)).keys() == plain
    assert roles(planned(files, test_deployed=True)).keys() - {"evaluate_clip_privacy"} == plain | {
        "raw_action",
        "test_deployed",
    }
    posed = roles(planned(files, test_pose=True))
    assert posed.keys() - {"evaluate_clip_privacy"} == plain | {"pose", "raw_pose", "test_pose"}
    assert {role: dict(posed[role].inputs) for role in ("pose", "raw_pose", "test_pose")} == {
        "pose": {"anonymizer": "minimax"},
        "raw_pose": {},
        "test_pose": {"pose": "pose", "raw_pose": "raw_pose"},
    }
    assert [role for role in posed if posed[role].config.method == "raw"] == ["raw_pose"]
    assert [role for role in posed if not posed[role].reported] == ["pose", "raw_pose"]
    on_raw = roles(planned(files, attacker="raw"))
    assert on_raw.keys() - {"evaluate_clip_privacy"} == plain | {"test_privacy"}
    assert on_raw["evaluate_privacy"].config.method == "raw"
    assert on_raw["evaluate_privacy"].inputs == {}
    assert not on_raw["evaluate_privacy"].reported
    assert on_raw["evaluate_action"].config.method == on_raw["evaluate_clip_privacy"].config.method == "penalty"
    elsewhere = roles(planned(files, data__test_privacy__folder="t"))
    assert elsewhere.keys() == on_raw.keys()
    assert elsewhere["evaluate_privacy"].config.method == "penalty"
    assert (elsewhere["evaluate_privacy"].reported, elsewhere["test_privacy"].reported) == (False, True)
    assert roles(planned(files))["evaluate_privacy"].reported


def test_where_people_are_is_known_to_those_who_see_what_was_made_of_them(files: Files) -> None:
    detector = {"obfuscation__detector": "fasterrcnn", "obfuscation__detector_weights": "coco"}
    found = roles(planned(files, method="blackening", attacks__names="retrained", **detector))
    assert found["evaluate_action"].inputs == {"detect": "detect"}
    assert found["evaluate_action"].people == found["evaluate_action"].config.obfuscation
    assert found["attack_retrained"].inputs == {"detect": "detect"}
    for role in ("attack_retrained.raw", "attack_retrained.blank", "raw_action"):
        assert found[role].inputs == {}
        assert found[role].people is None
    assert found["detect"].people is None
    assert roles(planned(files))["evaluate_action"].people is None


STEPS = {  # of eight items in each split, in batches of three; of the images five are there to train on
    "reconstruct": 2 * 3,
    "warm_up": 4 * 3,
    "minimax": 5 * 3,
    "evaluate_action": 6 * 3,
    "raw_action": 6 * 3,
    "test_deployed": 3,
    "evaluate_privacy": 2 * 7 * 2,  # two f_B'
    "evaluate_clip_privacy": 2 * 7 * 3,
    "test_privacy": 3,
    "attack_retrained": 11 * 3,
    "attack_probe": 0,
    "attacks": 0,
}
EPOCHS = {"reconstruct": 2, "warm_up": 4, "minimax": 5, "evaluate_action": 6, "evaluate_privacy": 7, "attacks": 11}
SIZES = {
    **{f"{name}__epochs": count for name, count in EPOCHS.items()},
    **{f"{name}__batch_size": 3 for name in EPOCHS},
    "evaluate_privacy__attackers": 2,
    "test_deployed": True,
    "attacker": "raw",
    "attacks__names": "retrained,probe",
}


def test_the_steps_of_each_stage(files: Files) -> None:
    files.changes[""] = lambda splits: replace(splits, train=splits.train[:5]) if isinstance(splits, StillSplits) else splits
    found = roles(planned(files, **SIZES))
    assert {role: found[role].steps for role in STEPS} == STEPS
    again = roles(planned(files, refit=True, **SIZES))
    both = {"evaluate_action": 6 * (3 + 6), "evaluate_privacy": 2 * 7 * (2 + 5), "minimax": 5 * 3, "test_deployed": 3}
    assert {role: again[role].steps for role in both} == both, "training and validation items once more, and nobody else"
    files.changes["t"] = lambda splits: replace(splits, test=splits.test[:2])
    elsewhere = roles(planned(files, **SIZES, data__test_privacy__folder="t"))
    assert elsewhere["test_privacy"].steps == 1, "the items that are tested, not those that f_B' was chosen by"


def test_evaluators_share_a_pass_where_only_the_classifier_and_its_rate_differ(files: Files) -> None:
    plan = planned(files, test_deployed=True)
    shares = {stage.role for stage in plan.stages if stage.pass_key}
    assert shares == {"evaluate_action", "evaluate_privacy", "evaluate_clip_privacy", "raw_action"}
    own = roles(plan)["evaluate_action"]
    for values, same in (
        ({"evaluate_action__classifier__name": "r3d_18"}, True),
        ({"evaluate_action__learning_rate": 0.5}, True),
        ({"evaluate_action__batch_size": 5}, False),
        ({"evaluate_action__epochs": 5}, False),
        ({"seed": 1}, False),
        ({"minimax__distortion_budget": 0.9}, False),
    ):
        other = roles(planned(files, **values))["evaluate_action"]
        assert other.key != own.key
        assert (other.pass_key == own.pass_key) is same, values
    assert len({stage.pass_key for stage in plan.stages if stage.pass_key}) == 4


def test_neighbours_are_those_with_another_evaluator_in_the_same_pass(files: Files) -> None:
    values: list[dict[str, Any]] = [
        {},
        {"evaluate_action__learning_rate": 0.5},
        {"seed": 1},
        {"evaluate_privacy__learning_rate": 0.5, "seed": 1},
    ]
    assert neighbours([planned(files, **each) for each in values]) == [[1], [0], [3], [2]]


def test_of_many_classifiers_in_a_pass_a_trial_knows_the_next_ones(files: Files) -> None:
    """The list of all pairs would grow with the square of their number."""
    rates = [{"evaluate_action__learning_rate": 0.1 * (number + 1)} for number in range(5)]
    plans = [planned(files, **each) for each in rates]
    assert neighbours(plans, most=2) == [[1, 2], [2, 3], [3, 4], [0, 4], [0, 1]]
    assert neighbours(plans, most=4) == neighbours(plans) == [[other for other in range(5) if other != n] for n in range(5)]
    assert neighbours([plans[0], plans[0], plans[1]], most=1) == [[2], [2], [0]]
    evaluator = roles(plans[0])["evaluate_action"]
    eighteen = [replace(plans[0], stages=(replace(evaluator, key=str(number)),)) for number in range(18)]
    assert [len(each) for each in neighbours(eighteen)] == [16] * 18


def test_trials_of_one_anonymizer_are_known_by_its_key(files: Files) -> None:
    plan = planned(files)
    assert plan.anonymizer_key == roles(plan)["minimax"].key
    assert planned(files, evaluate_action__epochs=3).anonymizer_key == plan.anonymizer_key
    assert planned(files, minimax__epochs=3).anonymizer_key != plan.anonymizer_key
    raw = planned(files, method="raw")
    assert raw.anonymizer_key == raw.stages[0].key == roles(raw)["evaluate_action"].key


def test_the_key_of_a_trial_is_that_of_its_method_and_its_stages(files: Files) -> None:
    keys = {planned(files, **each).key for each in ({}, {"seed": 1}, {"method": "spact"}, {"minimax__penalty_weight": 0.0})}
    assert len(keys) == 4
    assert planned(files, attacks__epochs=7).key == planned(files).key, "no attack is asked for"
    assert tuple(dict.fromkeys((*TRAIN, *stages.JUDGED_DATA))) == stages.DATA


def test_a_key_is_the_hash_of_all_that_the_stage_depends_on(tiny_config: TrialConfig, tiny_data: Path) -> None:
    """However much of it was written down before for other trials; and that hash is the same on every machine."""
    plan = plan_trial(tiny_config, TrialData(tiny_config, tiny_data))
    assert {stage.role: stage.key for stage in plan.stages} == {stage.role: digest(stage.depends_on) for stage in plan.stages}
    parts = {"b": {"z": [1.0, None], "a": "\u00e9"}, "a": True}
    assert digest_of_parts({name: canonical(value) for name, value in parts.items()}) == digest(parts)
    assert digest(parts) == "23652e5d5f6ba896405b"


def test_controls_are_shared_by_trials_that_agree_in_all_but_their_minimax(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one planner plans for several trials is what each has alone, also where a control reads the minimax."""

    def controls() -> list[dict[str, str]]:
        planner, data = Planner(), TrialData(TrialConfig(), files.root)
        changes: list[dict[str, Any]] = [{"minimax.distortion_budget": 0.1}, {"minimax.distortion_budget": 0.2}, {"seed": 5}]
        found = []
        for values in changes:
            config = with_values(TrialConfig(), {**values, "attacks.names": "retrained", "test_deployed": True})
            together = planner.plan(config, data)
            assert together == plan_trial(config, data)
            found.append({stage.role: stage.key for stage in together.stages if stage.control})
        return found

    first, other_budget, other_seed = controls()
    assert first.keys() >= {"raw_action", "attack_retrained.raw", "attack_retrained.permuted"}
    assert other_budget == first
    assert not set(other_seed.values()) & set(first.values())
    reads = replace(stages.EVALUATE_ACTION, fields=(*stages.EVALUATE_ACTION.fields, "minimax.distortion_budget"))
    monkeypatch.setattr("trainables.plan.EVALUATE_ACTION", reads)
    first, other_budget, _ = controls()
    assert {role for role in first if first[role] != other_budget[role]} == {"raw_action"}
