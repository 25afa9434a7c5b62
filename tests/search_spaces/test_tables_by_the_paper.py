"""The spaces of the tables against the paper's text: which rows, which data train and test whom, in which column.

Written from arXiv 2504.14301, sections 4.3 and 4.4 and the supplement; sets are named as the readers name them.
"""

from __future__ import annotations

from typing import Any

import pytest

from search_spaces.plan import plan_study
from trainables.config import TrialConfig

BUDGETS = [0.3, 0.5, 0.7, 0.9]
# Table 1 from top to bottom; Table 2 prints no obfuscations.
ROWS_1 = ["raw", "downsample_2x", "downsample_4x", "blackening", "strong_blur", "weak_blur", "vita", "spact", "stprivacy"]
ROWS_2 = ["raw", "vita", "spact", "stprivacy"]
VISPR1 = ("vispr", "auto")  # VISPR1 unless an attributes.txt lies beside the images
VISPR2 = ("vispr", "vispr2")

# space -> f_A and f_T on; f_A and f_B on; f_T' on; f_B' on images; f_B' tested on (None: their own test images); clips
PROTOCOLS: dict[str, tuple[str, tuple[str, str], str, tuple[str, str], str | None, str]] = {
    # "UCF101-VISPR1": both evaluators on the sets that trained f_A
    "table1_ucf101": ("ucf101", VISPR1, "ucf101", VISPR1, None, "ucf101"),
    # "HMDB51-VISPR1 ... same dataset evaluation": X_action^e = X_privacy^e = PA-HMDB
    "table1_pahmdb51": ("pa_hmdb51", VISPR1, "pa_hmdb51", VISPR1, "pa_hmdb51", "pa_hmdb51"),
    # "VPHMDB-VISPR1 ... same dataset evaluation": X_action^e = X_privacy^e = VPHMDB test set
    "table1_vphmdb51": ("vp_hmdb51", VISPR1, "vp_hmdb51", VISPR1, None, "vp_hmdb51"),
    # "UCF101-HMDB51 and UCF101-PAHMDB novel": X^nt = HMDB51 train set, VISPR2 train set
    "table2_hmdb51": ("ucf101", VISPR1, "hmdb51", VISPR2, None, "hmdb51"),
    "table2_pahmdb51": ("ucf101", VISPR1, "pa_hmdb51", VISPR1, "pa_hmdb51", "pa_hmdb51"),
    "table2_vispr2": ("ucf101", VISPR1, "hmdb51", VISPR2, None, "hmdb51"),
    # "VPHMDB-VPUCF": X_action^nt = VPUCF, X_privacy^nt = VPHMDB train set, X_privacy^ne = VPHMDB test set
    "table2_vpucf101": ("vp_hmdb51", VISPR1, "vp_ucf101", VISPR1, None, "vp_hmdb51"),
}


def configs(space: str) -> list[TrialConfig]:
    return [trial.config for trial in plan_study(space, "paper", [0], {}).trials]


def budgets(trials: list[TrialConfig]) -> list[float]:
    own = [config.minimax for config in trials if config.method == "penalty"]
    assert {minimax.penalty_weight for minimax in own} == {1.0}
    return [minimax.distortion_budget for minimax in own]


@pytest.mark.parametrize("space", PROTOCOLS)
def test_who_is_trained_and_tested_on_what(space: str) -> None:
    action, privacy, evaluated, attacked, tested, clips = PROTOCOLS[space]
    for config in configs(space):
        data = config.data
        assert (data.action.name, data.action.split) == (action, 1)
        assert (data.privacy.name, data.privacy.attributes) == privacy
        assert (data.action_evaluation.name, data.action_evaluation.split) == (evaluated, 1)
        assert (data.privacy_evaluation.name, data.privacy_evaluation.attributes) == attacked
        assert (data.test_privacy and data.test_privacy.name) == tested
        assert data.clips_with_attributes.name == clips
        assert (config.attacker, config.selection) == ("retrained", "validation")


@pytest.mark.parametrize("space", PROTOCOLS)
def test_the_rows_of_tables_1_and_2(space: str) -> None:
    found = configs(space)
    rows = ROWS_1 if space.startswith("table1") else ROWS_2
    assert [config.method for config in found] == [*rows, *["penalty"] * 4]
    assert budgets(found) == BUDGETS
    for config in found:  # "I3D ResNet-50 is used as the action classifier", ResNet-50 from scratch: all rows alike
        assert (config.evaluate_action.classifier.name, config.evaluate_action.classifier.weights) == ("i3d_r50", "kinetics400")
        assert (config.evaluate_privacy.classifier.name, config.evaluate_privacy.classifier.weights) == ("resnet50", None)


def test_what_answers_for_the_attributes_of_pa_hmdb51() -> None:
    """Skin color, face, gender, nudity and relationship by the seven of VISPR1, Table 4."""
    [sources] = {
        tuple(config.data.test_privacy.sources(()).items()) for config in configs("table1_pahmdb51") if config.data.test_privacy
    }
    assert dict(sources) == {
        "skin_color": ("a17_color",),
        "face": ("a9_face_complete", "a10_face_partial"),
        "gender": ("a4_gender",),
        "nudity": ("a12_semi_nudity",),
        "relationship": ("a64_rel_personal", "a65_rel_social"),
    }


def test_table_5_evaluates_with_six_action_classifiers() -> None:
    """R3D-18, R2plus1D, R2plus1D (pretrained on K400), MViTv2, I3D, C3D; raw, SPACT and four budgets, on UCF101."""
    found = configs("table5_action_backbones")
    classifiers = [(config.evaluate_action.classifier.name, config.evaluate_action.classifier.weights) for config in found]
    expected = [("r3d_18", None), ("r2plus1d_18", None), ("r2plus1d_18", "kinetics400")]
    expected += [("mvit_v2_s", "kinetics400"), ("i3d_r50", None), ("c3d", None)]
    assert classifiers == expected * 6
    assert [config.method for config in found[::6]] == ["raw", "spact", *["penalty"] * 4]
    assert budgets(found[::6]) == BUDGETS
    assert {config.data.action.name for config in found} == {"ucf101"}


def test_table_6_attacks_with_what_was_trained_on_raw_images() -> None:
    """Raw, VITA, SPACT and four budgets on VISPR1, VISPR2 and PA-HMDB51, f_A from Tables 1 and 2."""
    found = configs("table6_raw_attacker")
    assert {config.attacker for config in found} == {"raw"}
    methods = ["raw", "vita", "spact", *["penalty"] * 4]
    assert [config.method for config in found] == methods * 3
    images = [config.data.privacy_evaluation.attributes for config in found]
    assert images == ["auto"] * 7 + ["vispr2"] * 7 + ["auto"] * 7
    tested = [config.data.test_privacy and config.data.test_privacy.name for config in found]
    assert tested == [None] * 14 + ["pa_hmdb51"] * 7


@pytest.mark.parametrize(
    ("space", "weights"), [("table7_privacy_backbones", None), ("table8_privacy_backbones_imagenet", "imagenet")]
)
def test_tables_7_and_8_attack_with_five_resnets(space: str, weights: str | None) -> None:
    found = configs(space)
    names = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
    assert [config.evaluate_privacy.classifier.name for config in found] == names * 6
    assert {config.evaluate_privacy.classifier.weights for config in found} == {weights}
    assert [config.method for config in found[::5]] == ["raw", "spact", *["penalty"] * 4]
    assert budgets(found[::5]) == BUDGETS


@pytest.mark.parametrize(
    ("space", "settings"),
    [
        ("ablation_B", [(B, 1.0) for B in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)]),  # Figure 3
        ("ablation_lambda", [(0.3, weight) for weight in (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)]),  # Table 3: "for B = 0.3"
    ],
)
def test_the_ablations_are_on_ucf101_and_vispr1(space: str, settings: list[tuple[float, float]]) -> None:
    raw, *found = configs(space)
    assert raw.method == "raw"
    assert [(config.minimax.distortion_budget, config.minimax.penalty_weight) for config in found] == settings
    for config in (raw, *found):
        assert (config.data.action.name, config.data.privacy.name, config.data.privacy.attributes) == ("ucf101", *VISPR1)


def test_nothing_else_differs_between_the_rows_of_a_table() -> None:
    """Rows differ in the method and what makes it, or in B; not in who evaluates it, on what, or for how long."""
    for space in PROTOCOLS:
        evaluations: list[Any] = [
            (config.data, config.clip, config.augment, config.evaluate_action, config.evaluate_privacy, config.selection)
            for config in configs(space)
        ]
        assert all(evaluation == evaluations[0] for evaluation in evaluations)


def test_the_column_vp_hmdb51_says_what_trains_f_b() -> None:
    [protocol] = {trial.protocol for trial in plan_study("table1_vphmdb51", "paper", [0], {}).trials}
    from search_spaces.protocols import KNOWN_VP_HMDB51

    assert protocol == KNOWN_VP_HMDB51.name
    assert KNOWN_VP_HMDB51.notes[0].startswith("f_B' is trained on frames of the VP-HMDB51 training clips")
