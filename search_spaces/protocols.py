"""Which data train the anonymizer, which train and test its evaluators: every protocol of the paper as an object.

All protocols choose the epoch of f_T' and f_B' on validation data (`TrialConfig.selection`) and test once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Protocol:
    """`values`: fields of TrialConfig under `data`; `generated`: their stand-ins on generated data.

    `trained_on`, `action` and `privacy` are the names under which `analysis/published_results.csv` holds the paper's
    figures (None: the table prints none); `privacy_metric` is the figure of ours that stands beside its cMAP.
    """

    name: str
    source: str
    says: str
    values: Values
    generated: Values
    trained_on: str
    action: str | None
    privacy: str | None
    privacy_metric: Literal["cmap", "clip_cmap"] = "cmap"
    notes: tuple[str, ...] = ()


def _videos(key: str, name: str) -> Values:
    return {f"data.{key}.name": name}


def _images(key: str, attributes: str) -> Values:
    """`auto` is VISPR1 unless an `attributes.txt` beside the images says otherwise."""
    return {f"data.{key}.name": "vispr", f"data.{key}.attributes": attributes}


# On generated data the `known` domain stands for UCF101 and VISPR1, the `novel` one for all that f_A has not seen.
def _known(*keys: str) -> Values:
    return {f"data.{key}.folder": "known" for key in keys}


def _novel(*keys: str) -> Values:
    names = {"evaluate_action": "ucf101", "clip_privacy": "ucf101", "evaluate_privacy": "vispr", "test_privacy": "vispr"}
    return {f"data.{key}.folder": "novel" for key in keys} | {f"data.{key}.name": names[key] for key in keys if key in names}


# PA-HMDB51 labels five attributes, VISPR1 seven; a face counts as seen whether it is complete or partial.
VISPR1_TO_PA_HMDB51 = (
    "skin_color=a17_color",
    "face=a9_face_complete+a10_face_partial",
    "gender=a4_gender",
    "nudity=a12_semi_nudity",
    "relationship=a64_rel_personal+a65_rel_social",
)
_TEST_ON_PA_HMDB51 = {"data.test_privacy.name": "pa_hmdb51", "data.test_privacy.attribute_map": VISPR1_TO_PA_HMDB51}
_TEST_ON_FEWER = {  # generated: the test images of the known domain, three of its attributes
    "data.test_privacy.name": "vispr",
    "data.test_privacy.folder": "known",
    "data.test_privacy.attribute_map": ("warm=warm", "tall=tall", "lit_room=lit_room"),
}

KNOWN_UCF101 = Protocol(
    name="known_ucf101",
    source="Table 1, columns UCF101 and VISPR1; section 4.3",
    says="f_A, f_T' and f_B' on UCF101 split 1 and VISPR1, tested on their test sets",
    values={**_videos("action", "ucf101"), **_images("privacy", "auto")},
    generated=_known("action", "privacy"),
    trained_on="ucf101+vispr1",
    action="ucf101",
    privacy="vispr1",
)
KNOWN_PA_HMDB51 = Protocol(
    name="known_pa_hmdb51",
    source="Table 1, column PA-HMDB; section 4.3 (HMDB51-VISPR1)",
    says="f_A and f_T' on HMDB51 split 1 less the 515 videos of PA-HMDB51, f_B' on VISPR1; both tested on PA-HMDB51",
    values={**_videos("action", "pa_hmdb51"), **_images("privacy", "auto"), **_TEST_ON_PA_HMDB51},
    generated={**_novel("action"), **_known("privacy"), **_TEST_ON_FEWER},
    trained_on="hmdb51+vispr1",
    action="pa_hmdb51",
    privacy="pa_hmdb51",
    notes=(
        "the released code leaves 286 of the 515 test videos in its training split; here none is",
        "seven attributes of VISPR1 answer for the five of PA-HMDB51; the paper does not say how it maps them",
        "chance is 69.1 % cMAP: the paper's raw 70.2 is hardly above it",
    ),
)
KNOWN_VP_HMDB51 = Protocol(
    name="known_vp_hmdb51",
    source="Table 1, column VPHMDB; section 4.3",
    says="f_A on VP-HMDB51 and VISPR1; f_T' and f_B' on VP-HMDB51, tested on its test split",
    values={**_videos("action", "vp_hmdb51"), **_images("privacy", "auto")},
    generated={**_novel("action"), **_known("privacy")},
    trained_on="vp_hmdb51+vispr1",
    action="vp_hmdb51",
    privacy="vp_hmdb51",
    privacy_metric="clip_cmap",
    notes=(
        "f_B' is trained on frames of the VP-HMDB51 training clips, with their labels: the text names the VP-HMDB51 test set as"
        " the privacy test set, but VISPR1 as the privacy training set of f_A and not what trains f_B'",
    ),
)
_NOVEL_EVALUATORS = _images("evaluate_privacy", "vispr2")
NOVEL_HMDB51 = Protocol(
    name="novel_hmdb51",
    source="Table 2, column UCF101 -> HMDB51; section 4.3",
    says="f_A on UCF101 and VISPR1; f_T' on HMDB51, tested on its test split; f_B' on VISPR2",
    values={**KNOWN_UCF101.values, **_videos("evaluate_action", "hmdb51"), **_NOVEL_EVALUATORS},
    generated={**KNOWN_UCF101.generated, **_novel("evaluate_action", "evaluate_privacy")},
    trained_on="ucf101+vispr1",
    action="hmdb51",
    privacy=None,
)
NOVEL_PA_HMDB51 = Protocol(
    name="novel_pa_hmdb51",
    source="Table 2, column UCF101 -> PAHMDB; section 4.3",
    says="f_A on UCF101 and VISPR1; f_T' on HMDB51 less PA-HMDB51, tested on PA-HMDB51; f_B' on VISPR1, tested on PA-HMDB51",
    values={
        **KNOWN_UCF101.values,
        **_videos("evaluate_action", "pa_hmdb51"),
        **_TEST_ON_PA_HMDB51,
    },
    generated={**KNOWN_UCF101.generated, **_novel("evaluate_action"), **_TEST_ON_FEWER},
    trained_on="ucf101+vispr1",
    action="pa_hmdb51",
    privacy=None,
    notes=("the paper prints no leakage on PA-HMDB51 in Table 2; it is measured here by f_B' trained on VISPR1",),
)
NOVEL_VISPR2 = Protocol(
    name="novel_vispr2",
    source="Table 2, column VISPR1 -> VISPR2; section 4.3",
    says="f_A on UCF101 and VISPR1; f_B' on VISPR2, tested on its test images; f_T' on HMDB51",
    values=NOVEL_HMDB51.values,
    generated=NOVEL_HMDB51.generated,
    trained_on="ucf101+vispr1",
    action=None,
    privacy="vispr2",
)
NOVEL_VP_UCF101 = Protocol(
    name="novel_vp_ucf101",
    source="Table 2, column VPHMDB -> VPUCF; section 4.3",
    says="f_A on VP-HMDB51 and VISPR1; f_T' on VP-UCF101, f_B' on VP-HMDB51, each tested on the test split of its set",
    values={
        **KNOWN_VP_HMDB51.values,
        **_videos("evaluate_action", "vp_ucf101"),
        **_videos("clip_privacy", "vp_hmdb51"),
    },
    generated={
        **KNOWN_VP_HMDB51.generated,
        "data.evaluate_action.name": "ucf101",
        "data.evaluate_action.folder": "known",
        **_novel("clip_privacy"),
    },
    trained_on="vp_hmdb51+vispr1",
    action="vp_ucf101",
    privacy="vp_hmdb51",
    privacy_metric="clip_cmap",
    notes=("privacy columns: the text says trained and tested on VP-HMDB51, the header says VPUCF; here as the text says",),
)
RAW_ATTACKER_VISPR1 = Protocol(
    name="raw_attacker_vispr1",
    source="Table 6, column VISPR1",
    says="f_B' trained on RAW images of VISPR1, tested on anonymized ones",
    values={**KNOWN_UCF101.values, "attacker": "raw"},
    generated={**KNOWN_UCF101.generated, "attacker": "raw"},
    trained_on="ucf101+vispr1",
    action=None,
    privacy="vispr1",
)
RAW_ATTACKER_VISPR2 = Protocol(
    name="raw_attacker_vispr2",
    source="Table 6, column VISPR2",
    says="f_B' trained on RAW images of VISPR2, tested on anonymized ones",
    values={**KNOWN_UCF101.values, **_NOVEL_EVALUATORS, "attacker": "raw"},
    generated={**KNOWN_UCF101.generated, **_novel("evaluate_privacy"), "attacker": "raw"},
    trained_on="ucf101+vispr1",
    action=None,
    privacy="vispr2",
)
RAW_ATTACKER_PA_HMDB51 = Protocol(
    name="raw_attacker_pa_hmdb51",
    source="Table 6, column PAHMDB",
    says="f_B' trained on RAW images of VISPR1, tested on anonymized frames of PA-HMDB51",
    values={**KNOWN_UCF101.values, **_TEST_ON_PA_HMDB51, "attacker": "raw"},
    generated={**KNOWN_UCF101.generated, **_TEST_ON_FEWER, "attacker": "raw"},
    trained_on="ucf101+vispr1",
    action=None,
    privacy="pa_hmdb51",
)
