"""Which items, in which view, made by which weights in which mode, reach every network of every stage, attack and method."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.recording import FRAMES, ITEMS, Ran, attributes_of, numbered_videos, ran
from tests.support.stamps import stamp_in_place_of
from trainables import stages
from trainables.attacks import ATTACKS
from trainables.attacks.linkage.people import search_of
from trainables.attacks.shared.permutation import with_permuted_labels, with_permuted_people
from trainables.config import ActionData
from trainables.data.items import VideoSplits
from trainables.methods import METHODS
from trainables.stages import Control, Stage, part_name


@pytest.fixture(scope="module")
def full(numbered: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A trial with every stage and every attack, trained by the paper's method."""
    return ran(numbered, tmp_path_factory.mktemp("full"), attacks__names="all", test_deployed=True)


def learner(network: str, data: str, view: str) -> set[str]:
    """Learns from training items, is validated on validation items, tested on test items."""
    doing = {"train": "learns", "validation": "tested", "test": "tested"}
    return {f"{network} {does}: {'-.-' if view == 'blank' else f'{data}.{split}'}, {view}" for split, does in doing.items()}


def reader(network: str, data: str, view: str, *splits: str) -> set[str]:
    return {f"{network} tested: {'-.-' if view == 'blank' else f'{data}.{split}'}, {view}" for split in splits or ("test",)}


def both(what: Any, *arguments: str) -> set[str]:
    """The two members of the ensemble of attackers."""
    found: set[str] = what("attacker_1", *arguments) | what("attacker_2", *arguments)
    return found


def attacked(own: str) -> dict[str, set[str]]:
    """The stages of all attacks, by name, on what the anonymizer makes (`own`) of the clips with attributes."""
    clips, restored = "clip_privacy", own if own == "blank" else "restored"
    decoder = learner("decoder", clips, own)
    return {
        # people are looked for in both kinds of clips, by an embedding of both
        "attack_linkage": learner("embedder", clips, own) | learner("embedder", clips, "raw"),
        "attack_retrained": both(learner, clips, own),
        "attack_temporal": learner("clip_attacker", clips, own),
        "attack_inversion": decoder | both(reader, clips, restored, "validation", "test"),
        # one half of its classifiers learns from what was published, the other from what is restored
        "attack_adaptive": decoder | both(learner, clips, own) | both(learner, clips, restored),
        "attack_probe": reader("f_T'", clips, own, "train", "validation", "test"),
        "attack_raw_trained": both(reader, clips, own, "validation", "test"),
        # its anonymized validation items tell whether anything was learned of them
        "attack_reverse": both(reader, clips, "raw", "validation", "test") | both(reader, clips, own, "validation"),
    }


PENALTY = {
    "f_A learns: action.train, raw",
    "f_A learns: privacy.train, raw",
    "f_T frozen: action.train, f_A training",
    "f_B frozen: privacy.train, f_A training",
    "f_T learns: action.train, f_A",
    "f_B learns: privacy.train, f_A",
}
TRAINING = {
    "reconstruct": {"f_A learns: action.train, raw", "f_A learns: privacy.train, raw"},
    "warm_up": {"f_T learns: action.train, f_A", "f_B learns: privacy.train, f_A"},
    **dict.fromkeys(("minimax", "dial", "continued", "tedspad", "stprivacy"), PENALTY),
    "vita": PENALTY | {"f_B frozen: action.train, f_A training"},  # the middle frames of clips as well
    "mass": PENALTY | {"f_T frozen: action.train, raw"},  # the reference of its InfoNCE
    "bdq": {  # f_A and f_T learn together, and f_B from the clips
        "f_A learns: action.train, raw",
        "f_T learns: action.train, f_A training",
        "f_B frozen: action.train, f_A training",
        "f_B learns: action.train, f_A",
    },
}


def evaluated(view: str) -> dict[str, set[str]]:
    return {
        "evaluate_action": learner("f_T'", "evaluate_action", view),
        "evaluate_privacy": learner("f_B'", "evaluate_privacy", view),
        "test_privacy": reader("f_B'", "test_privacy", view),
        "evaluate_clip_privacy": learner("f_B'", "clip_privacy", view),
    }


PAIRS: dict[Control, str] = {"": "f_A", "raw": "raw"}  # that teach to restore: of any video, for all labels the same
EXPECTED = {
    **{name: TRAINING[name] for name in ("reconstruct", "warm_up", "minimax")},
    **evaluated("f_A"),
    "raw_action": learner("f_T'", "evaluate_action", "raw"),
    "test_deployed": reader("f_T'", "evaluate_action", "f_A"),
    **attacked("f_A"),
    **{part_name(name, "raw"): found for name, found in attacked("raw").items()},
    **{part_name(name, "blank"): found for name, found in attacked("blank").items() if name != "attack_reverse"},
    **{part_name(name, "permuted"): found for name, found in attacked("raw").items()},
    **{part_name("adaptive_restorer", control): {f"decoder learns: action.train, {view}"} for control, view in PAIRS.items()},
    "adaptive_restorer.blank": {"decoder learns: -.-, blank"},
    **{name: set() for name in ("without_video", "attacks")},
}
# as the people of this seed are exchanged, nobody is there to be found in the four validation clips
EXPECTED["attack_linkage.permuted"] = EXPECTED["attack_linkage.permuted"] - {"embedder tested: clip_privacy.validation, raw"}
ELSEWHERE = ("pretrained_", "face_", "text_", "people_")  # networks trained elsewhere: test_pretrained, test_recognised
TRIED = [name for name in ATTACKS if not name.startswith(ELSEWHERE)]
OF_FRAMES = {"detect", "pose", "test_pose"}  # they use no network of the trial: see test_obfuscation, test_pose


def test_every_stage_every_attack_and_every_method_is_named_here() -> None:
    declared = {stage.name for stage in vars(stages).values() if isinstance(stage, Stage)}
    attacks = {part_name(ATTACKS[name].stage.name, control) for name in TRIED for control in ("", *ATTACKS[name].controls)}
    methods = {stage.name for name in METHODS for stage in METHODS[name].stages}
    assert declared | attacks | methods <= EXPECTED.keys() | TRAINING.keys() | OF_FRAMES, "say here what its networks are given"
    assert {name for name in METHODS if name[:5] != "given"} == VIEWS.keys() | OVER_TIME, "say here what evaluators see of it"


def test_the_trial_has_all_of_these_stages(full: Ran) -> None:
    # on raw data the classifier of the probe is that of the raw trial; every control but this one is a stage of its own
    assert full.log.roles.keys() == EXPECTED.keys()


@pytest.mark.parametrize("role", EXPECTED)
def test_each_network_is_given_these_items_in_this_view_and_mode(full: Ran, role: str) -> None:
    assert full.log.words(role) == EXPECTED[role]


def test_what_evaluators_see_was_made_by_the_trained_weights(full: Ran) -> None:
    start, trained = full.stamp("reconstruct"), full.stamp("minimax")
    assert len({0.3, start, trained}) == 3, "both stages have moved the only weight"
    for role in EXPECTED.keys() - {"reconstruct", "warm_up", "minimax", "without_video", "attacks"}:
        controls = role.endswith((".raw", ".blank", ".permuted")) or role == "raw_action"
        assert full.log.stamps(role) == (set() if controls else {trained}), role
    assert full.log.stamps("warm_up") == {start}


def test_the_minimax_goes_on_from_the_reconstruction_and_serves_before_it_is_opposed(full: Ran) -> None:
    looks = [look for look in full.log.roles["minimax"] if look.network == "f_T"]
    stamps = [look.clips[0][0].stamp for look in looks]
    assert stamps[0] == full.stamp("reconstruct")
    assert [look.doing for look in looks] == ["frozen", "learns"] * (len(looks) // 2)
    for served, opposed, again in zip(stamps[::2], stamps[1::2], [*stamps[2::2], full.stamp("minimax")], strict=True):
        assert served != opposed == again, "f_T learns from what f_A makes after its step, and f_A goes on from there"


def test_the_opponents_of_the_minimax_are_those_of_the_warm_up(full: Ran) -> None:
    for network, name in (("f_T", "action_classifier"), ("f_B", "privacy_encoder")):
        left = full.outcomes["warm_up"].state[name]["backbone.scale"]
        assert full.log.weights("minimax", network, "frozen")[0] == tuple(left.tolist())
        assert full.log.weights("warm_up", network, "learns")[0] != tuple(left.tolist()), "it has learned there"


TWO_CLIPS = [[0, 2, 4], [3, 5, 7]]  # of three frames, every second one, of eight: at the start and at the end
FRAME_CLIPS = [[0, 3], [4, 7]]  # two frames over as much time
MIDDLE = {3: [2, 4, 6], 2: [2, 5]}
ONCE: dict[str, tuple[str, list[list[int]]]] = {  # role -> who is tested, and the frames of one test item, clip by clip
    "evaluate_action": ("f_T'", TWO_CLIPS),
    "raw_action": ("f_T'", TWO_CLIPS),
    "test_deployed": ("f_T'", TWO_CLIPS),
    "evaluate_privacy": ("f_B'", [[0]]),
    "test_privacy": ("f_B'", [[0]]),
    "evaluate_clip_privacy": ("f_B'", [[0], [3], [4], [7]]),
    "attack_retrained": ("attacker_2", [[0], [3], [4], [7]]),
    "attack_retrained.raw": ("attacker_1", [[0], [3], [4], [7]]),
    "attack_raw_trained": ("attacker_1", [[0], [3], [4], [7]]),
    "attack_reverse": ("attacker_1", [[0], [3], [4], [7]]),
    "attack_temporal": ("clip_attacker", TWO_CLIPS),
    "attack_probe": ("f_T'", TWO_CLIPS),
}


@pytest.mark.parametrize("role", ONCE)
def test_figures_see_each_test_item_once_and_its_frames_in_order(full: Ran, role: str) -> None:
    network, frames = ONCE[role]
    seen = [(clip[0].item, [frame.frame for frame in clip]) for clip in full.log.of(role, network, "tested", "test")]
    assert seen == [(item, clip) for item in range(ITEMS["test"]) for clip in frames]
    assert all(len({frame.item for frame in clip}) == 1 for clip in full.log.of(role, network, "tested"))


@pytest.mark.parametrize(
    ("role", "network", "frames"),
    [
        ("evaluate_action", "f_T'", [MIDDLE[3]]),
        ("evaluate_clip_privacy", "f_B'", [[frame] for frame in MIDDLE[2]]),
        ("evaluate_privacy", "f_B'", [[0]]),
        ("attack_temporal", "clip_attacker", [MIDDLE[3]]),
        ("attack_retrained", "attacker_1", [[frame] for frame in MIDDLE[2]]),
    ],
)
def test_each_epoch_is_validated_on_the_middle_of_every_validation_item(
    full: Ran, role: str, network: str, frames: list[list[int]]
) -> None:
    seen = [(clip[0].item, [frame.frame for frame in clip]) for clip in full.log.of(role, network, "tested", "validation")]
    passes = 3 if role.startswith("attack") else 2  # after each of two epochs; of attackers the last one once more
    assert seen == [(item, clip) for item in range(ITEMS["validation"]) for clip in frames] * passes


@pytest.mark.parametrize(
    ("role", "network", "clips"),
    [
        ("warm_up", "f_T", 1),
        ("warm_up", "f_B", 2),  # the two views of a pair
        ("minimax", "f_T", 1),
        ("minimax", "f_B", 2),
        ("evaluate_action", "f_T'", 1),
        ("evaluate_privacy", "f_B'", 1),
        ("evaluate_clip_privacy", "f_B'", 2),  # frames
        ("attack_retrained", "attacker_1", 2),
        ("attack_temporal", "clip_attacker", 1),
    ],
)
def test_an_epoch_of_training_takes_every_item_once_in_another_order(full: Ran, role: str, network: str, clips: int) -> None:
    seen = [clip[0].item for clip in full.log.of(role, network, "learns")]
    every = sorted(list(range(ITEMS["train"])) * clips)
    if network != "f_B":  # batches of its stream fall where those of the clips do
        assert sorted(seen[: len(every)]) == sorted(seen[len(every) :]) == every
        assert seen[: len(every)] != seen[len(every) :]
        assert seen[: len(every)] != every
    assert sorted(seen) == sorted(every * 2)


def test_training_clips_have_their_frames_in_order_at_random_starts(full: Ran) -> None:
    found = {tuple(frame.frame for frame in clip) for clip in full.log.of("evaluate_action", "f_T'", "learns")}
    assert found <= {(start, start + 2, start + 4) for start in range(FRAMES - 4)}
    assert len(found) > 1


def test_those_who_learn_nothing_are_those_that_others_have_trained(full: Ran) -> None:
    def left(role: str, *path: str) -> tuple[float, ...]:
        found: Any = full.outcomes[role].state
        for name in path:
            found = found[name]
        return tuple(found.tolist())

    member = "members.0.backbone.scale"
    for role, network, source in (
        ("test_deployed", "f_T'", left("raw_action", "classifier", "backbone.scale")),
        ("attack_probe", "f_T'", left("evaluate_action", "classifier", "backbone.scale")),
        ("attack_probe.raw", "f_T'", left("raw_action", "classifier", "backbone.scale")),
        ("test_privacy", "f_B'", left("evaluate_privacy", "classifier", "backbone.scale")),
        ("attack_raw_trained", "attacker_1", left("attack_retrained.raw", "network", member)),
        ("attack_inversion", "attacker_1", left("attack_retrained.raw", "network", member)),
        ("attack_reverse", "attacker_1", left("attack_retrained", "network", member)),
        ("attack_raw_trained.permuted", "attacker_1", left("attack_retrained.permuted", "network", member)),
        ("attack_inversion.permuted", "attacker_1", left("attack_retrained.permuted", "network", member)),
        ("attack_reverse.permuted", "attacker_1", left("attack_retrained.permuted", "network", member)),
    ):
        assert full.log.weights(role, network, "tested") == [source], role
    assert left("raw_action", "classifier", "backbone.scale") != left("evaluate_action", "classifier", "backbone.scale")
    assert left("attack_retrained", "network", member) != left("attack_retrained.raw", "network", member)


# Labels ---------------------------------------------------------------------------------------------------------------

LEARNED_IN = {name: f"attack_{name}" for name in TRIED} | dict.fromkeys(
    ("raw_trained", "reverse", "inversion", "adaptive"), "attack_retrained"
)


def seed_of(stage: str) -> int:
    """The seed by which a stage exchanges labels, as `StageContext.seed` draws it from the seed of the trial, 0."""
    return int(np.random.SeedSequence([0, *f"{stage}/permutation".encode()]).generate_state(1)[0])


def labels_of(splits: VideoSplits) -> dict[tuple[str, int], tuple[float, ...] | None]:
    return {(split, n): item.attributes for split in ITEMS for n, item in enumerate(getattr(splits, split))}


@pytest.mark.parametrize("name", [name for name in TRIED if name != "linkage"])
def test_labels_that_reach_an_attack_are_those_of_the_items_and_of_its_control_those_of_other_sources(
    full: Ran, numbered: Path, name: str
) -> None:
    """In learning, validation and test; networks that others have trained have learned labels exchanged in the same way."""
    splits = numbered_videos(ActionData(), numbered / "clip_privacy")
    seed = seed_of(LEARNED_IN[name])
    own, exchanged = labels_of(splits), labels_of(with_permuted_labels(splits, seed))
    assert exchanged != own
    learns = name not in ("raw_trained", "reverse")
    for control in ("", *ATTACKS[name].controls):
        if (role := part_name(ATTACKS[name].stage.name, control)) not in full.log.labels:
            continue  # it is a stage of the trial itself
        expected = exchanged if control == "permuted" else own
        told = full.log.labels[role]
        assert told == {item: {labels} for item, labels in expected.items() if item in told}
        assert len(told) == sum(ITEMS[split] for split in ITEMS if split != "train" or learns)
        tested = full.outcomes[role].state["evidence"]
        assert tested["labels"].tolist() == [list(expected["test", n] or ()) for n in range(ITEMS["test"])]
        assert tested["groups"] == [item.group for item in splits.test]


def test_labels_that_reach_evaluators_are_those_of_the_items(full: Ran) -> None:
    for role in ("evaluate_privacy", "evaluate_clip_privacy"):
        assert full.log.labels[role] == {(s, n): {attributes_of(n)} for s, count in ITEMS.items() for n in range(count)}


@pytest.mark.parametrize("control", ["", "permuted"])
def test_people_that_reach_linkage_are_those_of_the_clips_and_of_its_control_those_of_others(
    full: Ran, numbered: Path, control: str
) -> None:
    """In the pairs that it learns from, and in the search."""
    splits = numbered_videos(ActionData(), numbered / "clip_privacy")
    before = splits
    if control:
        splits = with_permuted_people(splits, seed_of("attack_linkage"), "auto")
        assert [item.group for item in splits.train] != [item.group for item in before.train]
    role = part_name("attack_linkage", control)  # type: ignore[arg-type]
    pairs = set()
    for look in (look for look in full.log.roles[role] if look.doing == "learns"):
        first, second, _ = (part for part in zip(*[iter(look.clips)] * (len(look.clips) // 3), strict=True))
        pairs |= {(one[0].item, other[0].item) for one, other in zip(first, second, strict=True)}
    people = [item.group for item in splits.train]
    assert pairs == {(n, m) for n, who in enumerate(people) for m, other in enumerate(people) if n != m and who == other}
    asked = search_of(splits, splits.test, "auto").asked
    tested = full.outcomes[role].state["evidence"]
    assert tested["groups"] == [item.group for item, counts in zip(splits.test, asked, strict=True) if counts]
    assert tested["ids"] == [item.name for item, counts in zip(splits.test, asked, strict=True) if counts]


@pytest.mark.parametrize(
    ("role", "lengths"),
    [
        ("reconstruct", {1, 3}),
        ("warm_up", {1, 3}),
        ("minimax", {1, 3}),
        ("evaluate_action", {1, 3}),  # a picture of single frames
        ("test_deployed", {3}),
        ("evaluate_privacy", {1}),
        ("test_privacy", {1}),
        ("evaluate_clip_privacy", {2}),
        ("attack_retrained", {2}),
        ("attack_raw_trained", {2}),
        ("attack_reverse", {2}),
        ("attack_inversion", {2}),
        ("attack_linkage", {1, 2}),  # a picture of single frames
        ("attack_temporal", {3}),
        ("attack_probe", {3}),
    ],
)
def test_the_anonymizer_is_given_each_clip_of_an_item_by_itself(full: Ran, role: str, lengths: set[int]) -> None:
    """One that sees time would see the test clips of a video as one clip, with a cut in it, as nobody does who uses it."""
    clips = [clip for look in full.log.roles[role] if look.network == "f_A" for clip in look.clips]
    assert {len(clip) for clip in clips} == lengths
    for clip in clips:
        assert {later.frame - frame.frame for frame, later in pairwise(clip)} <= {2 if len(clip) == 3 else 3}
        assert len({frame.item for frame in clip}) == 1


def test_figures_of_the_trial_are_those_of_its_own_test_stages(full: Ran) -> None:
    """With another set to test f_B' on, what it reads of its own set is not the trial's leakage."""
    for role, name in (("evaluate_action", "top1"), ("test_privacy", "leakage"), ("test_privacy", "cmap")):
        assert full.record.metrics[name] == full.outcomes[role].metrics[name]
    assert full.record.metrics["clip_leakage"] == full.outcomes["evaluate_clip_privacy"].metrics["clip_leakage"]
    assert full.record.metrics["deployed_top1"] == full.outcomes["test_deployed"].metrics["deployed_top1"]


def test_intervals_are_over_the_sources_of_the_test_items(full: Ran) -> None:
    """Four items of two sources each: too few for an interval, and the notes say how many there are."""
    few = "the 4 test items are of 2 sources or people"
    for role, figure in (("evaluate_action", "top1"), ("test_privacy", "leakage"), ("evaluate_clip_privacy", "clip_leakage")):
        assert any(f"{figure} has no interval: {few}" in note for note in full.outcomes[role].notes), role
    for name in TRIED:
        assert any(note.startswith(f"attack {name}: no interval: {few}") for note in full.outcomes["attacks"].notes), name


def test_the_distortion_of_the_test_clips_has_its_closed_form(full: Ran) -> None:
    """The lower half turns from (0, 0, stripes of 1 and 0) into (stamp, 0.5, 0)."""
    stamp = float(full.outcomes["minimax"].state["anonymizer"]["stamp"])
    assert full.record.metrics["rms_distortion"] == pytest.approx(((stamp**2 + 0.5**2 + 0.5) / 2 / 3) ** 0.5, rel=1e-5)


# What evaluators see of every method's anonymizer.
TRAINED, CHANGED = "f_A", "changed"
VIEWS = {
    "penalty": TRAINED,
    "dial": TRAINED,
    "continued": TRAINED,
    "spact": TRAINED,
    "spact_published": TRAINED,
    "tedspad": TRAINED,
    "vita": TRAINED,
    "vita_published": TRAINED,
    "mass": TRAINED,
    "stprivacy": TRAINED,
    "bdq": TRAINED,
    "raw": "raw",
    "blank": "blank",
    **dict.fromkeys(("downsample_2x", "downsample_4x", "downsample_to"), CHANGED),
    **dict.fromkeys(("mild_blur", "blackening", "weak_blur", "strong_blur"), CHANGED),
}
# They show how frames differ, from which no number can be read.
OVER_TIME = {"grey_difference", "small_difference", "blurred_difference", "moving_pixels"}
# As released: f_T's step moves f_A too, f_T learns until it knows enough of validation clips, and f_A blinds f_B in clips only.
JOINTLY = TRAINING["vita"] - {"f_T learns: action.train, f_A", "f_B frozen: privacy.train, f_A training"}
JOINTLY |= {"f_T learns: action.train, f_A training", "f_T tested: action.validation, f_A"}
OTHERWISE: dict[str, dict[str, set[str]]] = {"vita_published": {"vita": JOINTLY}, "bdq": {"reconstruct": set()}}
OTHERWISE["continued"] = {"before": PENALTY}
FEW = {"vita": {"options.retrain_steps": 1, "options.restart_every": 2, "options.action_steps": 2}}
FEW["dial"] = {"anonymizer.name": "unetpp", "anonymizer.dial": "film"}
FEW["continued"] = {"minimax.distortion_budget": 0.1}  # the second of its path
FEW["vita_published"] = {**FEW["vita"], "options.architectures": "f_B,f_B"}


@pytest.mark.parametrize("method", VIEWS)
def test_the_networks_of_every_method(method: str, numbered: Path, tmp_path: Path) -> None:
    once = {f"{name}.epochs": 1 for name in ("reconstruct", "warm_up", "minimax", "evaluate_action", "evaluate_privacy")}
    with stamp_in_place_of("tubelets"), stamp_in_place_of("unetpp"), stamp_in_place_of("bdq"):
        found = ran(numbered, tmp_path, method=method, **once, **FEW.get(method, {}))
    source, own = METHODS[method].anonymizer, [stage.name for stage in METHODS[method].stages if stage.name != "detect"]
    expected = {name: TRAINING[name] for name in own} | OTHERWISE.get(method, {}) | evaluated(VIEWS[method])
    assert {role: found.log.words(role) for role in found.log.roles} == expected
    if source is not None:
        assert found.stamp(source) not in (0.3, found.stamp("reconstruct"))
        for role in evaluated(""):
            assert found.log.stamps(role) == {found.stamp(source)}, role


@pytest.mark.parametrize("method", sorted(OVER_TIME))
def test_no_network_sees_frames_of_which_differences_are_to_be_shown(method: str, numbered: Path, tmp_path: Path) -> None:
    once = {f"{name}.epochs": 1 for name in ("evaluate_action", "evaluate_privacy")}
    found = ran(numbered, tmp_path, method=method, **once)
    assert found.log.roles.keys() == evaluated("").keys()
    for role in found.log.roles:
        clips = [clip for look in found.log.roles[role] for clip in look.clips]
        assert clips
        assert not {frame.view for clip in clips for frame in clip} & {"raw", "raw flipped"}, role


def test_an_attacker_that_knows_raw_images_only(numbered: Path, tmp_path: Path) -> None:
    """Table 6: f_B' learns from raw images, and is tested on anonymized ones."""
    found = ran(numbered, tmp_path, attacker="raw")
    assert found.log.words("evaluate_privacy") == learner("f_B'", "evaluate_privacy", "raw")
    assert found.log.words("test_privacy") == reader("f_B'", "test_privacy", "f_A")
    assert found.log.stamps("test_privacy") == {found.stamp("minimax")}


def test_pairs_of_frames_are_of_training_clips(numbered: Path, tmp_path: Path) -> None:
    found = ran(numbered, tmp_path, minimax__pair="frames", minimax__pair_distance=5)
    for role in ("warm_up", "minimax"):
        pairs = [clip[0] for clip in found.log.of(role, "f_B", "learns")]
        assert {(seen.data, seen.split) for seen in pairs} == {("action", "train")}
        batch = pairs[:8]  # four first frames, then the frames that go with them
        assert [(a.item, a.frame + 5) for a in batch[:4]] == [(b.item, b.frame) for b in batch[4:]]
