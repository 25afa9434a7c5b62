"""The names that records are written and read under, declared once for the pipeline, the study and the analysis."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trainables.config import TrialConfig, flatten


@dataclass(frozen=True)
class Metric:
    """A final figure of a trial. Stored as the fraction it is; `percent` says how a person wants it printed."""

    name: str
    label: str
    better: Literal["higher", "lower", "neither"]
    percent: bool
    meaning: str


FINAL_METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("top1", "top-1 accuracy", "higher", True, "f_T' retrained on anonymized clips, softmax averaged per video"),
        Metric("top5", "top-5 accuracy", "higher", True, "as top1, among the five most probable classes"),
        Metric(
            "deployed_top1",
            "top-1 of a deployed classifier",
            "higher",
            True,
            "an action classifier trained on raw clips, not trained again, on anonymized ones",
        ),
        Metric("chance_top1", "top-1 at chance", "neither", True, "share of the most frequent class of the test videos"),
        Metric("cmap", "cMAP", "lower", True, "mean average precision over attributes of f_B' on anonymized images"),
        Metric("chance_cmap", "cMAP at chance", "neither", True, "mean prevalence of the attributes in the test images"),
        Metric("macro_f1", "macro F1", "lower", False, "mean F1 over attributes at probability 0.5"),
        Metric("leakage", "leakage above chance", "lower", True, "(cmap - chance_cmap) / (1 - chance_cmap)"),
        Metric("clip_cmap", "cMAP on clips", "lower", True, "cmap measured on the anonymized action clips"),
        Metric("clip_chance_cmap", "cMAP on clips at chance", "neither", True, "mean prevalence in the test clips"),
        Metric("clip_macro_f1", "macro F1 on clips", "lower", False, "macro_f1 measured on the anonymized action clips"),
        Metric("clip_leakage", "leakage on clips", "lower", True, "leakage measured on the anonymized action clips"),
        Metric(
            "worst_leakage",
            "leakage, strongest attacker",
            "lower",
            True,
            "the largest leakage of all attacks whose controls hold",
        ),
        Metric(
            "attack_share",
            "time spent on attacks",
            "neither",
            True,
            "share of the wall time of the trial's own stages; controls are shared by all trials of a seed and not counted",
        ),
        Metric("controls_valid", "controls hold", "neither", False, "1 if every attack's controls landed where they must"),
        Metric(
            "rms_distortion",
            "RMS distortion",
            "neither",
            False,
            "per test clip, Eq. 4, in units of the pixel range whatever the penalty's norm",
        ),
        Metric("penalty_active", "penalty active", "neither", True, "share of minimax steps in which rms > B"),
        Metric("seconds", "seconds", "lower", False, "wall time of the trial's own stages, reused ones not counted"),
        Metric(
            "pipeline_seconds",
            "seconds of a full pipeline",
            "neither",
            False,
            "wall time of all stages of the trial, reused ones with what they took when they were computed",
        ),
    )
}

# Per attribute, beside the metrics above: `ap.<attribute>` and `ap_chance.<attribute>`, with `clip_` before them for clips.
AP, AP_CHANCE, CLIP = "ap.", "ap_chance.", "clip_"

# Curves are logged once an epoch as `<stage>/<name>`, with step = epoch (0-based).

# Tags of a trial's MLflow run. `setting` is the run without its seed: runs with equal setting are repetitions.
TAG_TRIAL_KEY, TAG_SPACE, TAG_PROFILE, TAG_PROTOCOL = "trial_key", "space", "profile", "protocol"
TAG_METHOD, TAG_SETTING, TAG_SEED, TAG_STAGES_REUSED, TAG_REASON = "method", "setting", "seed", "stages_reused", "reason"
TAG_KIND, STUDY_RUN = (
    "kind",
    "study",
)  # the parent run of a study; a trial's run has no such tag, and names its parent in MLflow's own
TAG_CONFIG = "config"  # the whole configuration as JSON; what is compared lies in parameters as well, see `told`
TAG_STAGE_KEYS = "stage_keys"  # "stage=key stage=key ...": what the trial has in the stage store, from its first stage on

# Artifacts of a trial's MLflow run.
ARTIFACT_CONFIG, ARTIFACT_FRAMES, ARTIFACT_RECORD, ARTIFACT_ANONYMIZER = (
    "config.yaml",
    "frames.png",
    "record.json",
    "anonymizer",
)

# Artifacts of the study's parent run: every trial the study plans, as `{"trials": [{"key", "name", "setting", "seed"}, ...]}`,
# and the report with its figures.
ARTIFACT_PLAN, ARTIFACT_REPORT = "plan.json", "report"

# Metrics of the study's parent run, over all its launches, in hours of one GPU, or (`cpu`) of one core where trials have no
# GPU: `gpu_hours.busy` computing, `gpu_hours.starting` workers, `gpu_hours.waiting` for stages that other trials computed
# (these three were held by trials), and `gpu_hours.unused`: free in the cluster while the study ran.
GPU_HOURS, CPU_HOURS = "gpu_hours.", "cpu_hours."

# Per attack, beside the metrics above, all as leakage above chance: `attack.<name>`, with its 95 % interval over test videos,
# its positive control (the same attack on raw), its negative control (on blank frames) and 1 if both controls hold.
ATTACK, ATTACK_LOW, ATTACK_HIGH = "attack.", "attack_low.", "attack_high."
ATTACK_RAW, ATTACK_NULL, ATTACK_VALID = "attack_raw.", "attack_null.", "attack_valid."
ARTIFACT_ANSWERS = "answers"  # folder with one `<stage>.json` a judge: what it answered to every test item
ARTIFACT_ATTACKS = "attacks"  # folder with one `<name>.json` an attack: effort, controls, curve, answers by video


# Parameters of every trial's MLflow run; beside them those that its study varies or changes.
PARAMS = (
    "method",
    "seed",
    "minimax.distortion_budget",
    "minimax.penalty_weight",
    "anonymizer.name",
    "action_classifier.name",
    "privacy_encoder.name",
    "evaluate_action.classifier.name",
    "evaluate_privacy.classifier.name",
    "data.action.name",
    "data.privacy.name",
    "clip.size",
    "clip.frames",
    "reconstruct.epochs",
    "warm_up.epochs",
    "minimax.epochs",
)
_TAG_LENGTH, _PARAM_LENGTH = 8000, 6000  # MLflow cuts what is longer


def told(config: TrialConfig, compared: Iterable[str] = ()) -> tuple[dict[str, str], dict[str, str]]:
    """Parameters and tags that tell a configuration: PARAMS and `compared` (dotted keys, or groups of them) flat, all of it
    in TAG_CONFIG. Where it is too long for a tag, all of it is flat.
    """
    flat = {key: str(value)[:_PARAM_LENGTH] for key, value in flatten(config).items()}
    text = json.dumps(config.model_dump(mode="json"), separators=(",", ":"))
    if len(text) > _TAG_LENGTH:
        return flat, {}
    chosen = (*PARAMS, *compared)
    groups = tuple(f"{key}." for key in chosen)
    return {key: value for key, value in flat.items() if key in chosen or key.startswith(groups)}, {TAG_CONFIG: text}


def config_of(params: Mapping[str, str], tags: Mapping[str, str]) -> dict[str, str]:
    """The flat configuration of an MLflow run; runs without TAG_CONFIG have all of it as parameters.

    Raises ValueError where the tag is no JSON.
    """
    return {**params, **config_of_tag(tags[TAG_CONFIG])} if TAG_CONFIG in tags else dict(params)


def config_of_tag(text: str) -> dict[str, str]:
    """As the parameters would be: text, by dotted key. Raises ValueError for what is no JSON."""
    flat: dict[str, Any] = flatten(json.loads(text))
    return {key: str(tuple(value) if isinstance(value, list) else value) for key, value in flat.items()}


def experiment_name(space: str, profile: str) -> str:
    """The MLflow experiment that holds a study."""
    return f"{space}.{profile}"
