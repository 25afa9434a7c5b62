"""What every key of a stage depends on: of each field of a trial the stages that are computed again when it changes.

The table is read by people: a field that belongs to a stage and is missing there repeats old figures, one too many costs time.
That no stage reads what is missing in its key is shown by `test_fields`, and by every test that runs a stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.fake_data import Files
from trainables import plan
from trainables.attacks import recognised
from trainables.config import (
    ActionData,
    AttacksConfig,
    DataConfig,
    NetworkConfig,
    ObfuscationConfig,
    PrivacyData,
    TestPrivacyData,
    TrialConfig,
    flatten,
    with_values,
)
from trainables.data import trial_data
from trainables.data.decoding.resizing import RESIZING
from trainables.data.items import VideoSplits
from trainables.data.trial_data import TrialData
from trainables.fields import key_values
from trainables.methods import resolved
from trainables.plan import Planner, plan_trial
from trainables.stages import BEFORE, EVALUATE_ACTION, Stage

FROM_SCRATCH = (
    "attack_adaptive attack_inversion attack_linkage attack_probe attack_raw_trained attack_retrained attack_reverse"
    " attack_temporal"
)
BY_PAIRS = "adaptive_restorer"  # it sees the clips that train the anonymizer, and none that are attacked
BY_FEATURES = "attack_pretrained_neighbour attack_pretrained_probe"  # they read clips through the stage that leaves features
BY_CLIPS = f"{FROM_SCRATCH} attack_pretrained_tuned pretrained_features"
SIGHTS = "recognised_faces recognised_people recognised_text recognised_traits"  # at the videos' own size, not the trial's
LOOKED_AT = f"{SIGHTS} pose raw_pose"
BY_FACE = "attack_face_recognised attack_face_traits"  # they read labels
BY_SIGHT = f"attack_face_found {BY_FACE} attack_people_found attack_text_found {SIGHTS}"
ATTACK_STAGES = f"{BY_CLIPS} {BY_FEATURES}"
LEARNING_ATTACKS = (
    f"{BY_PAIRS} attack_adaptive attack_inversion attack_linkage attack_pretrained_tuned attack_retrained attack_temporal"
)
METHOD_STAGES = "bdq continued dial minimax mass stprivacy tedspad vita"
TRAINING = f"reconstruct warm_up {METHOD_STAGES}"
ON_CLIPS = f"evaluate_action raw_action test_deployed evaluate_clip_privacy {ATTACK_STAGES}"  # of the anonymizer, as below
ON_IMAGES = "evaluate_privacy test_privacy"
ALL = f"{TRAINING} {BY_PAIRS} {ON_CLIPS} {ON_IMAGES}"
OF_THE_ANONYMIZER = f"{ALL.replace('raw_action ', '').replace(BY_FEATURES, '')} {SIGHTS} pose"
READERS = OF_THE_ANONYMIZER.replace(f"{TRAINING} ", "")  # of what an anonymizer made, by themselves
OF_PEOPLE = READERS.replace(f"{BY_PAIRS} ", "").replace("attack_adaptive ", "")  # of a method that changes people only
EVALUATORS = "evaluate_action raw_action evaluate_privacy evaluate_clip_privacy"
OF_OTHERS = set(METHOD_STAGES.split()) - {"minimax"}  # stages of other methods than that of BASE
OF_PENALTY = "minimax continued dial"  # the other methods have none

_FACE_FILES, _TRAIT_FILES = ("face_detector_weights", "face_landmarks_weights"), ("age_weights", "gender_weights")
_TEXT_FILES = ("text_detector_weights", "text_reader_weights")
_FILES = (*_FACE_FILES, *_TRAIT_FILES, *_TEXT_FILES, "face_recogniser_weights", "people_detector_weights")
_A_FILE, _ANOTHER = str(ROOT / "README.md"), str(ROOT / "Makefile")  # in place of weights: a key holds what is in a file

# field or group of fields -> another value, or None for a group -> the stages whose key it is in
TABLE: dict[str, tuple[Any, str]] = {
    "seed": (1, f"{ALL} {BY_FACE}"),  # who is exchanged with whom, where labels are permuted
    "selection": ("last", EVALUATORS),
    "refit": (True, f"{EVALUATORS} attack_probe"),
    "microbatch": (16, f"{TRAINING} {EVALUATORS} {LEARNING_ATTACKS}"),  # not of what only tests
    "codec": ("h264_crf28", f"{BY_PAIRS} {ON_CLIPS} {ON_IMAGES} {LOOKED_AT}"),
    "evaluate_at": (64, f"{BY_PAIRS} {ON_CLIPS} {ON_IMAGES} {LOOKED_AT}"),  # never of what trains the anonymizer: test_at_size
    "accept_flaws": (True, ""),  # the data are the same, and the record says what is wrong with them
    "attacker": ("raw", "evaluate_privacy"),  # it sees another method
    **dict.fromkeys(("test_deployed", "test_pose"), (False, "")),  # which stages there are
    "data.action": (None, f"{TRAINING} {BY_PAIRS}"),
    "data.privacy": (None, TRAINING),
    "data.evaluate_action": (None, "evaluate_action raw_action test_deployed attack_probe pose raw_pose test_pose"),
    "data.evaluate_privacy": (None, ON_IMAGES),
    "data.test_privacy": (None, "test_privacy"),
    "data.clip_privacy": (None, f"evaluate_clip_privacy {ATTACK_STAGES} {BY_SIGHT} without_video"),
    "data.anonymized": ("elsewhere", ""),  # of given_videos alone: see test_given_videos
    "data.decoder": ("pyav", ""),  # pixels are the same
    "data.contents": ("whole", ""),  # the hash of small files, as these are, is the same
    "clip.frames": (17, f"{TRAINING} {BY_PAIRS} {ON_CLIPS}"),
    "clip.skip": (5, f"{TRAINING} {BY_PAIRS} {ON_CLIPS}"),
    "clip.size": (225, f"{ALL} {LOOKED_AT}"),
    "clip.decode_size": (281, ALL),
    "clip.test_clips": (3, ON_CLIPS),
    "augment": (None, ALL),
    "anonymizer": (None, OF_THE_ANONYMIZER),
    "action_classifier": (None, f"warm_up {METHOD_STAGES}"),
    "privacy_encoder": (None, f"warm_up {METHOD_STAGES}"),
    "reconstruct": (None, "reconstruct"),
    "warm_up": (None, "warm_up"),
    "minimax": (None, METHOD_STAGES),
    "minimax.distortion_budget": (0.15, OF_PENALTY),
    "minimax.penalty_weight": (0.5, OF_PENALTY),
    "minimax.penalty_scope": ("frame", OF_PENALTY),
    "minimax.penalty_norm": ("relative", OF_PENALTY),
    "minimax.penalty_space": ("features", OF_PENALTY),
    "minimax.temperature": (0.05, f"warm_up {METHOD_STAGES}"),
    "minimax.pair": ("frames", f"warm_up {METHOD_STAGES}"),
    "minimax.pair_distance": (5, f"warm_up {METHOD_STAGES}"),
    "evaluate_action": (None, "evaluate_action raw_action test_deployed attack_probe"),
    "evaluate_privacy": (None, f"evaluate_clip_privacy {ON_IMAGES}"),
    "evaluate_privacy.epochs": (99, f"evaluate_clip_privacy {ON_IMAGES}"),  # of attackers that were given theirs, see below
    "evaluate_privacy.clips": (False, ON_IMAGES),  # the stage on clips is not there then
    "obfuscation": (None, ""),  # of methods that change people only, see below
    "attacks.names": (("probe",), "attacks"),
    "attacks.epochs": (501, LEARNING_ATTACKS),
    "attacks.batch_size": (33, f"{BY_PAIRS} {ATTACK_STAGES}"),
    "attacks.learning_rate": (5e-4, LEARNING_ATTACKS),
    "attacks.frames": (
        5,
        f"{BY_PAIRS} {FROM_SCRATCH.replace('attack_probe ', '')} attack_pretrained_tuned",
    ),  # the others see whole clips
    "attacks.ensemble": (("resnet18",), "attack_adaptive attack_inversion attack_raw_trained attack_retrained attack_reverse"),
    "attacks.encoder": ("other", "attack_linkage"),
    "attacks.weights": ("other", "attack_linkage attack_retrained"),  # the others read what the latter has trained
    "attacks.clip_network": (None, "attack_temporal"),
    "attacks.pretrained": (None, "attack_pretrained_tuned pretrained_features"),
    "attacks.pretrained_size": (65, "attack_pretrained_tuned pretrained_features"),
    "attacks.pretrained_clips": (5, "pretrained_features"),
    "attacks.pretrained_frames": (4, "pretrained_features"),
    **{f"attacks.{name}": (None, "recognised_faces recognised_traits") for name in (*_FACE_FILES, "face_score")},
    **{f"attacks.{name}": (None, "recognised_traits") for name in _TRAIT_FILES},
    "attacks.face_recogniser_weights": (None, "recognised_faces"),
    **{f"attacks.{name}": (None, "recognised_text") for name in (*_TEXT_FILES, "text_score")},
    "attacks.people_detector": ("other", "attack_people_found recognised_people"),
    "attacks.people_detector_weights": (None, "recognised_people"),
    "attacks.people_score": (None, "recognised_people"),
    **{f"attacks.{name}": (None, LOOKED_AT) for name in ("recognised_frames", "recognised_clips")},
    "attacks.decoder_width": (65, f"{BY_PAIRS} attack_adaptive attack_inversion"),
    "attacks.people": ("group", "attack_face_recognised attack_linkage attack_pretrained_neighbour"),
    "attacks.permuted": (True, f"{ATTACK_STAGES.replace('pretrained_features ', '')} {BY_FACE}"),
    "departures.detached_penalty": (True, OF_PENALTY),
    "departures.scrambled_frames": (True, f"{TRAINING} {BY_PAIRS} {ON_CLIPS} {LOOKED_AT}"),  # one frame has nothing to scramble
    "departures.bgr_clips": (True, f"{TRAINING} {BY_PAIRS} {ON_CLIPS} {LOOKED_AT}"),
    "departures.logit_threshold": (True, f"evaluate_clip_privacy {ON_IMAGES}"),
    "departures.drop_last": (True, ALL),
    "departures.float16": (True, f"{ALL} {LOOKED_AT}"),
}
# Fields that some stages are not given: who fixes them, or reads another one instead.
FIXED = {
    "anonymizer.name": "bdq dial stprivacy",  # another one takes no dial
    "anonymizer.encoder_weights": "bdq stprivacy",
    "microbatch": "stprivacy",
    "minimax.distortion_budget": "continued dial",  # the options say both of a dial, and the path of the other
    "minimax.privacy_weight": "dial",
    "departures.scrambled_frames": "bdq dial",  # refused
}
OTHER = {
    "anonymizer.decoder_channels": (1, 2, 3, 4),
    "anonymizer.decoder_norm": "identity",
    "anonymizer.output": "linear",
    "augment.crop_max": 0.9,
    "data.test_privacy.attribute_map": ("p=q",),
    "minimax.judge_statistics": "running",
    "minimax.alternate": "batches",
    "minimax.pair_batch_size": 7,
    "attacks.pretrained.weights": _ANOTHER,
    **{f"attacks.{name}": _ANOTHER for name in _FILES},
}
# The first changes with decoder_channels only, the last with the method; the others need a window, see below.
TOGETHER = ("anonymizer.depth", "anonymizer.window", "anonymizer.window_input", "anonymizer.target", "anonymizer.dial")

BASE = TrialConfig(
    data=DataConfig(
        evaluate_action=ActionData(folder="e"),
        evaluate_privacy=PrivacyData(folder="e"),
        test_privacy=TestPrivacyData(folder="t", attribute_map=("p=p",)),
        clip_privacy=ActionData(folder="c"),
    ),
    test_deployed=True,
    test_pose=True,
    attacks=AttacksConfig(
        names=("all",),
        pretrained=NetworkConfig(name="mobilenet_v2", weights=_A_FILE),
        **{name: _A_FILE for name in _FILES},
    ),
)


@pytest.fixture(autouse=True)
def _faces_can_be_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files have no pixels, nobody in them is in two sources, and dlib need not be there."""
    monkeypatch.setattr(recognised, "somebody_is_in_two_sources", lambda splits, people: True)
    monkeypatch.setattr(recognised, "own_size", lambda path: (128, 128))
    monkeypatch.setattr(recognised, "_has", lambda module: True)


def own(config: TrialConfig, files: Files, planner: Planner | None = None) -> dict[str, dict[str, Any]]:
    """What the key of each stage depends on by itself, not through its inputs; by the role of the stage."""
    planned = (planner or Planner()).plan(config, TrialData(config, files.root)).stages
    stages = [stage for stage in planned if not stage.role.startswith(BEFORE)]  # those are of a trial of their own
    return {stage.role: {name: value for name, value in stage.depends_on.items() if name != "inputs"} for stage in stages}


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """The roles in both whose value differs; a control of an attack goes by the attack's name."""
    roles = {role for role in before.keys() & after.keys() if before[role] != after[role]}
    return {role.partition(".")[0] for role in roles}


def row_of(leaf: str) -> str:
    """The row of the table for a field: its own, or that of the smallest group it is in."""
    return max((row for row in TABLE if leaf == row or leaf.startswith(row + ".")), key=len, default="")


def other_value(leaf: str, value: Any) -> Any:
    if leaf in OTHER:
        return OTHER[leaf]
    if isinstance(value, bool) or leaf.endswith("train_on_pa_hmdb51"):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 if value else 0.5
    return ("p",) if leaf.endswith("attributes") else "other"


def method_config(config: TrialConfig, method: str) -> TrialConfig:
    more = {"dial": {"anonymizer.dial": "film"}, "continued": {"options.step": 0.3}}.get(method, {})  # the second of its path
    return resolved(with_values(config, {"method": method, **more}))


LEAVES = [leaf for leaf in flatten(BASE) if leaf not in ("method", *TOGETHER)]


def test_every_field_of_a_trial_is_in_the_table_and_nothing_else() -> None:
    assert [leaf for leaf in LEAVES if not row_of(leaf)] == []
    assert set(TABLE) - {row_of(leaf) for leaf in LEAVES} == set()


def test_a_field_changes_the_keys_of_the_stages_in_the_table(files: Files) -> None:
    planner = Planner()  # of all of these trials: what it knows of one hides no difference of another
    found: dict[str, set[str]] = {leaf: set() for leaf in LEAVES}
    without = BASE.model_copy(update={"attacks": AttacksConfig(), "test_deployed": False})
    for method in METHOD_STAGES.replace("minimax", "penalty").split():  # of others than the first only their own stages count
        config = method_config(BASE if method == "penalty" else without, method)
        before = own(config, files, planner)
        for leaf, value in flatten(config).items():
            refused = method in FIXED.get(leaf, "").split() and leaf != "anonymizer.encoder_weights"
            if leaf not in found or refused or leaf == "obfuscation.detector":  # see below
                continue
            other = TABLE[row_of(leaf)][0]
            other = other_value(leaf, value) if other is None else other
            found[leaf] |= differing(before, own(with_values(config, {leaf: other}), files, planner))
    expected = {leaf: set(TABLE[row_of(leaf)][1].split()) - set(FIXED.get(leaf, "").split()) for leaf in LEAVES}
    assert {leaf: found[leaf] ^ expected[leaf] for leaf in LEAVES if found[leaf] != expected[leaf]} == {}


def test_one_planner_for_many_trials_plans_each_as_if_it_were_the_only_one(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 20 budgets every stage but the minimax is worked out once; 2 and 2.0 are in the keys as they were given."""
    asked: list[str] = []

    def values(stage: Stage, config: TrialConfig) -> dict[str, Any]:
        asked.append(stage.name)
        return key_values(stage, config)

    planner, data = Planner(), TrialData(BASE, files.root)
    budgets = [with_values(BASE, {"minimax.distortion_budget": number / 20}) for number in range(20)]
    alone = [plan_trial(config, data) for config in budgets]
    monkeypatch.setattr(plan, "key_values", values)
    together = [planner.plan(config, data) for config in budgets]
    assert together == alone
    assert asked.count("minimax") == 20
    assert len(asked) - 20 < len(together[0].stages), "some stages and their controls are given the same"

    blurred = resolved(BASE.model_copy(update={"method": "mild_blur"}))
    for sigma in (2, 2.0, 3.0):
        config = blurred.model_copy(update={"options": {**blurred.options, "sigma": sigma}})
        assert planner.plan(config, data).key == plan_trial(config, data).key
    assert len({planner.plan(with_values(blurred, {"options.sigma": sigma}), data).key for sigma in (2, 3.0)}) == 2


def test_a_budget_without_weight_is_in_no_key_of_a_planner_that_knows_one_with_weight(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a stage reads the budget and not the weight, the key holds 0 for a penalty that has none."""
    stage = replace(EVALUATE_ACTION, fields=(*EVALUATE_ACTION.fields, "minimax.distortion_budget"))
    monkeypatch.setattr(plan, "EVALUATE_ACTION", stage)
    planner = Planner()
    for weight, budget in ((1.0, 0.25), (0.0, 0.0), (2.0, 0.25)):
        config = with_values(resolved(BASE), {"minimax.penalty_weight": weight, "minimax.distortion_budget": 0.25})
        assert own(config, files, planner)["evaluate_action"]["config"]["minimax.distortion_budget"] == budget


def test_the_version_of_resizing_is_in_the_keys_of_stages_that_read_resized_videos(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sides in ((BASE.clip.decode_size, BASE.clip.decode_size), (320, 240)):
        monkeypatch.setattr(trial_data, "_sides_of_first", lambda splits: sides if isinstance(splits, VideoSplits) else None)  # noqa: B023
        versions = {
            role: depends_on["resizing"] for role, depends_on in own(resolved(BASE), files).items() if "resizing" in depends_on
        }
        on_videos = set(TABLE["clip.decode_size"][1].split()) - OF_OTHERS - set(ON_IMAGES.split())
        assert {role.partition(".")[0] for role in versions} == (on_videos if sides == (320, 240) else set())
        assert set(versions.values()) <= {RESIZING}


def test_attackers_without_epochs_of_their_own_follow_those_of_f_b(files: Files) -> None:
    before, after = (own(with_values(BASE, {"evaluate_privacy.epochs": epochs}), files) for epochs in (99, 100))
    assert differing(before, after) == set(f"evaluate_clip_privacy {ON_IMAGES} {LEARNING_ATTACKS}".split())


@pytest.mark.parametrize(
    ("leaf", "other"),
    [("name", "unet"), ("window", 3), ("window_input", "differences"), ("target", "difference")],
)
def test_the_window_of_an_anonymizer_is_in_the_keys_of_whatever_reads_it(files: Files, leaf: str, other: Any) -> None:
    config = with_values(resolved(BASE), {"anonymizer.window": 2, "minimax.pair": "frames"})
    read = set(TABLE["anonymizer"][1].split()) - OF_OTHERS
    read.add("pretrained_summed_features")  # of an anonymizer that sees time only
    assert differing(own(config, files), own(with_values(config, {f"anonymizer.{leaf}": other}), files)) == read


def test_a_key_without_a_window_is_that_of_before_there_were_windows(files: Files) -> None:
    anonymizers = [row["config"]["anonymizer"] for row in own(BASE, files).values() if "anonymizer" in row["config"]]
    assert anonymizers
    assert not any({"window", "window_input", "target", "dial"} & set(anonymizer) for anonymizer in anonymizers)


def test_how_an_anonymizer_is_told_its_dial_is_in_the_keys_of_whatever_reads_it(files: Files) -> None:
    config = method_config(BASE, "dial")
    read = set(TABLE["anonymizer"][1].split()) - (OF_OTHERS - {"dial"}) - {"minimax"}
    assert differing(own(config, files), own(with_values(config, {"anonymizer.dial": "plane"}), files)) == read
    where_it_is_used = differing(own(config, files), own(with_values(config, {"options.at": 0.25}), files))
    assert where_it_is_used == read - {"reconstruct", "warm_up", "dial"}


def test_a_key_without_a_codec_is_that_of_before_there_were_codecs(files: Files) -> None:
    assert all("codec" not in depends_on["config"] for depends_on in own(BASE, files).values())
    coded = own(with_values(BASE, {"codec": "h264_crf28"}), files)
    assert coded["evaluate_action"]["config"]["codec"] == "h264_crf28"


def test_the_method_is_in_no_key_and_its_options_are_in_that_of_its_own_stage(files: Files) -> None:
    penalty, spact = (own(resolved(BASE.model_copy(update={"method": method})), files) for method in ("penalty", "tedspad"))
    assert differing(penalty, spact) == set()
    config = resolved(BASE.model_copy(update={"method": "tedspad"}))
    assert differing(spact, own(with_values(config, {"options.margin": 2.0}), files)) == {"tedspad"}
    blurred = resolved(BASE.model_copy(update={"method": "mild_blur"}))
    stronger = with_values(blurred, {"options.sigma": 0.5})
    assert differing(own(blurred, files), own(stronger, files)) == set(READERS.split())


@pytest.mark.parametrize(
    ("leaf", "other", "stages"),
    [
        ("every", 2, f"detect {OF_PEOPLE}"),
        ("margin", 0.5, OF_PEOPLE),
        ("score", 0.25, "detect"),
        ("detector", "other", "detect"),
        ("detector_weights", "other", "detect"),
    ],
)
def test_where_people_are_is_in_the_keys_of_methods_that_change_people_only(
    files: Files, leaf: str, other: Any, stages: str
) -> None:
    detected = ObfuscationConfig(detector="some", detector_weights="coco")
    config = resolved(BASE.model_copy(update={"method": "blackening", "obfuscation": detected}))
    assert differing(own(config, files), own(with_values(config, {f"obfuscation.{leaf}": other}), files)) == set(stages.split())


def test_boxes_of_a_file_are_known_by_what_is_in_it(files: Files) -> None:
    def boxes(name: str, right: float) -> TrialConfig:
        every = [f"{split}{g}{k}" for split in ("train", "validation", "test") for g in range(2) for k in range(4)]
        rows = [f"{item},{frame},0,0,{right},1" for item in every for frame in range(1)]
        (files.root / name).write_text("\n".join(["filename,frame,x0,y0,x1,y1", *rows]) + "\n")
        return resolved(BASE.model_copy(update={"method": "blackening", "obfuscation": ObfuscationConfig(boxes=name)}))

    one = own(boxes("one.csv", 0.5), files)
    assert differing(one, own(boxes("two.csv", 0.5), files)) == set(), "a path is in no key"
    assert differing(one, own(boxes("three.csv", 0.6), files)) == set(OF_PEOPLE.split())


def relabelled(splits: Any, split: str, **values: Any) -> Any:
    """`splits` with the first item of one of them changed."""
    first, *rest = getattr(splits, split)
    return replace(splits, **{split: (replace(first, **values), *rest)})


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("folder", "values", "stages"),
    [
        ("e", {"label": 1}, TABLE["data.evaluate_action"][1]),
        ("e", {"name": "another"}, f"{TABLE['data.evaluate_action'][1]} {ON_IMAGES}"),
        ("c", {"attributes": (1, 1)}, TABLE["data.clip_privacy"][1]),
        ("c", {"group": "another"}, TABLE["data.clip_privacy"][1]),
        ("t", {"attributes": (1, 1)}, "test_privacy"),
        ("t", {"group": "another"}, "test_privacy"),
        ("t", {"frame": 7}, "test_privacy"),
        ("", {"group": "another"}, TABLE["data.action"][1]),
    ],
)
def test_one_item_changes_the_keys_of_the_stages_that_read_its_data_set(
    files: Files, folder: str, values: dict[str, Any], stages: str, split: str
) -> None:
    config = resolved(BASE)
    before = own(config, files)
    files.changes[folder] = lambda splits: (
        relabelled(splits, split, **values) if all(hasattr(splits.train[0], name) for name in values) else splits
    )
    read = set(stages.split()) - OF_OTHERS
    assert differing(before, own(config, files)) == read


@pytest.mark.parametrize("values", [{"classes": ("a", "c")}, {"attributes": ("p", "r")}, {"name": "another"}])
def test_the_name_of_a_class_an_attribute_or_a_set_changes_the_keys(files: Files, values: dict[str, Any]) -> None:
    config = resolved(BASE)
    before = own(config, files)
    files.changes["c"] = lambda splits: replace(splits, **values)
    assert differing(before, own(config, files)) == set(TABLE["data.clip_privacy"][1].split())


def test_a_new_version_of_a_stage_computes_it_and_what_builds_on_it_again(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = resolved(BASE)
    data = TrialData(config, files.root)
    before = {stage.role: stage.key for stage in plan_trial(config, data).stages}
    newer = replace(EVALUATE_ACTION, version=EVALUATE_ACTION.version + 1)
    monkeypatch.setattr("trainables.plan.EVALUATE_ACTION", newer)
    after = {stage.role: stage.key for stage in plan_trial(config, data).stages}
    again = {role for role in before if before[role] != after[role]}
    assert again == {
        *("evaluate_action", "raw_action", "test_deployed"),
        *("attack_probe", "attack_probe.raw", "attack_probe.blank", "attack_probe.permuted"),
        "attacks",
    }
