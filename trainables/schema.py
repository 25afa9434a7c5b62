"""The names that records are written and read under, declared once for the pipeline, the study and the analysis."""

from __future__ import annotations

import json
import math
import re
import string
from collections import ChainMap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trainables.config import ConfigError, TrialConfig, flatten


@dataclass(frozen=True)
class Metric:
    """A final figure of a trial, declared once.

    unit: how a person reads it: `%` for a fraction that is stored as it is and printed as a percentage, `s` for seconds, empty
    for a plain number.
    better: the direction in which the figure improves.
    meaning: one line for the report's list of metrics.
    shown: reports and tables show it. Others are kept in MLflow and in the record of the trial only.
    chance: the metric that records its chance level, or that level itself; None where it has none.
    """

    name: str
    label: str
    better: Literal["higher", "lower", "neither"]
    unit: Literal["%", "s", ""]
    meaning: str
    shown: bool = True
    chance: str | float | None = None

    @property
    def percent(self) -> bool:
        return self.unit == "%"

    @property
    def is_share(self) -> bool:
        """Whether 1 is the largest value."""
        return self.unit != "s"


FINAL_METRICS: dict[str, Metric] = {}  # by name, those that are shown
_UNSHOWN: dict[str, Metric] = {}

# `validation_<metric>` is the same metric on validation data: settings are chosen by it, and reported by the metric itself.
# `<metric>_low` and `<metric>_high` are the ends of its 95 % interval over the test items of the trial, by group.
VALIDATION, LOW, HIGH = "validation_", "_low", "_high"
# No test item of an anonymized setting enters these. The controls of an attack are measured on raw data and on blank frames.
UNTESTED = ("seconds", "pipeline_seconds", "attack_share", "penalty_active", "controls_valid")

# Metrics of which there is one for each attribute, or each attack: the prefix of their names -> their meaning.
AP, AP_CHANCE, PREVALENCE, CLIP = "ap.", "ap_chance.", "prevalence.", "clip_"
ATTACK, ATTACK_LOW, ATTACK_HIGH = "attack.", "attack_low.", "attack_high."
ATTACK_RAW, ATTACK_NULL, ATTACK_PERMUTED = "attack_raw.", "attack_null.", "attack_permuted."
ATTACK_VALID = "attack_valid."
ATTACK_CONVERGED = "attack_converged."
OUTPUT_BEYOND = "output_beyond"
WORST, STRONGEST = "worst_leakage", "strongest."
METRIC_FAMILIES: dict[str, str] = {
    AP: "average precision of an attribute in the anonymized images",
    AP_CHANCE: "its expected value for a guesser, scores and their ties as they are",
    PREVALENCE: "share of the test images that have the attribute",
    CLIP + AP: "average precision of an attribute in the anonymized clips",
    CLIP + AP_CHANCE: "its expected value for a guesser, scores and their ties as they are",
    CLIP + PREVALENCE: "share of the test clips that have the attribute",
    ATTACK: "leakage above chance of an attack",
    ATTACK_LOW: "lower end of its 95 % interval over test items",
    ATTACK_HIGH: "upper end of its 95 % interval over test items",
    ATTACK_RAW: "leakage of its positive control, the same attack on raw data",
    ATTACK_NULL: "leakage of its negative control, the same attack on blank frames",
    ATTACK_PERMUTED: "leakage of its second negative control, on raw data where sources have exchanged labels",
    ATTACK_VALID: "1 if all of its controls hold",
    ATTACK_CONVERGED: "1 if leakage has stopped rising with the effort of the attacker, 0 if it has not or nobody can tell",
    STRONGEST: "1 for the attacker whose leakage is worst_leakage, by the name of that metric",
}


def declare(*metrics: Metric) -> None:
    """Makes metrics known, so that stages may return them. Raises ValueError for a name that is declared already."""
    for metric in metrics:
        if is_declared(metric.name):
            raise ValueError(f"metric {metric.name!r} is declared twice; choose another name")
        (FINAL_METRICS if metric.shown else _UNSHOWN)[metric.name] = metric


def is_declared(name: str) -> bool:
    return name in _UNSHOWN or is_shown(name.removeprefix(VALIDATION) if name.startswith(VALIDATION + ATTACK) else name)


def is_shown(name: str) -> bool:
    """Whether reports show the metric."""
    return name in FINAL_METRICS or name.startswith(tuple(METRIC_FAMILIES))


def is_read(name: str) -> bool:
    """Whether the analysis reads the metric: it is shown, an end of its interval, what settings are chosen by or warned of."""
    return (
        name == OUTPUT_BEYOND
        or is_shown(name)
        or name.startswith(VALIDATION)
        or is_shown(name.removesuffix(LOW).removesuffix(HIGH))
    )


KEY_LENGTH = 200  # of the key of an attribute: MLflow takes 250 characters, and a prefix says which figure it is
_KEPT = frozenset(string.ascii_letters + string.digits + "_-. ")


def key_of(name: str) -> str:
    """The name of a metric as a key of MLflow, which takes few characters: any other becomes `:` with its bytes in hex.

    `ap.age (<30)` -> `ap.age :28:3C30:29`. Nothing else has a `:`, so that `name_of` gives every name back.
    """
    return "".join(c if c in _KEPT else "".join(f":{byte:02X}" for byte in _bytes(c)) for c in name)


def name_of(key: str) -> str:
    r"""The name whose key of MLflow this is: the inverse of `key_of`. A byte that is no UTF-8 is shown, as `\xe9`."""
    content = re.sub(rb":([0-9A-F]{2})", lambda found: bytes.fromhex(found[1].decode()), _bytes(key))
    return content.decode(errors="backslashreplace")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")  # a name of a file need not be UTF-8


def ends(metric: str, low: float, high: float) -> dict[str, float]:
    """The ends of a metric's interval under their names; nothing where there is no interval (NaN)."""
    return {} if math.isnan(low) else {metric + LOW: low, metric + HIGH: high}


def check_metrics(stage: str, metrics: Mapping[str, float]) -> None:
    """Checks what a stage returns.

    Raises ConfigError for a metric that nobody has declared, which no report would show, and ArithmeticError for one that is no
    number: in a mean or on a front it would pass for a result.
    """
    if unknown := [name for name in metrics if not is_declared(name)]:
        raise ConfigError(
            f"stage {stage} returns the metric {unknown[0]!r}, which is not declared; add it to the list in"
            " trainables/schema.py, or in a plug-in call trainables.schema.declare(Metric(...))"
        )
    if bad := [name for name, value in metrics.items() if not math.isfinite(value)]:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise ArithmeticError(
            f"stage {stage}: the metric {bad[0]!r} is {metrics[bad[0]]}{more}, which is no result; look at what the anonymizer"
            " and the networks of the stage put out, and at their losses"
        )


declare(
    Metric(
        "top1",
        "top-1 accuracy",
        "higher",
        "%",
        "f_T' retrained on anonymized clips, softmax averaged per video",
        chance="chance_top1",
    ),
    Metric("top5", "top-5 accuracy", "higher", "%", "as top1, among the five most probable classes"),
    Metric(
        "deployed_top1",
        "top-1 of a deployed classifier",
        "higher",
        "%",
        "an action classifier trained on raw clips, not trained again, on anonymized ones",
        chance="chance_top1",
    ),
    Metric(
        "pretrained_top1",
        "top-1 of ImageNet features",
        "higher",
        "%",
        "a linear classifier of the action, of those features of anonymized clips that pretrained_probe reads people from",
        chance="chance_top1",
    ),
    Metric(
        "pose_kept",
        "joints kept in place",
        "higher",
        "%",
        "of the joints that BlazePose sees in raw test frames, those found in anonymized ones less than a tenth of the person"
        " away (PCK@0.1)",
    ),
    Metric("pose_found", "people whose pose is found", "higher", "%", "of raw frames with a pose, those with one still", False),
    Metric("pose_found_raw", "raw frames with a pose", "neither", "%", "raw test frames in which BlazePose sees a pose", False),
    Metric("chance_top1", "top-1 at chance", "neither", "%", "share of the most frequent class of the test videos"),
    Metric(
        "cmap",
        "cMAP",
        "lower",
        "%",
        "mean average precision over attributes of f_B' on anonymized images",
        chance="chance_cmap",
    ),
    Metric(
        "chance_cmap", "cMAP at chance", "neither", "%", "what a guesser is expected to have, with scores and ties as they are"
    ),
    Metric("prevalence", "prevalence", "neither", "%", "mean share of the test images that have an attribute"),
    Metric("macro_f1", "macro F1", "lower", "", "mean F1 over attributes at probability 0.5"),
    Metric("leakage", "leakage above chance", "lower", "%", "(cmap - chance_cmap) / (1 - chance_cmap)", chance=0.0),
    Metric(
        "clip_cmap", "cMAP on clips", "lower", "%", "cmap measured on the anonymized action clips", chance="clip_chance_cmap"
    ),
    Metric("clip_chance_cmap", "cMAP on clips at chance", "neither", "%", "as chance_cmap, in the test clips"),
    Metric("clip_prevalence", "prevalence in clips", "neither", "%", "mean share of the test clips that have an attribute"),
    Metric("clip_macro_f1", "macro F1 on clips", "lower", "", "macro_f1 measured on the anonymized action clips"),
    Metric("clip_leakage", "leakage on clips", "lower", "%", "leakage measured on the anonymized action clips", chance=0.0),
    Metric(
        "worst_leakage",
        "leakage, strongest attacker",
        "lower",
        "%",
        "in test, of the attacker of attributes that is strongest on validation data, among those whose controls hold",
    ),
    Metric(
        "attack_share",
        "time spent on attacks",
        "neither",
        "%",
        "share of the wall time of the trial's own stages; controls are shared by all trials of a seed and not counted",
    ),
    Metric("controls_valid", "controls hold", "neither", "", "1 if every attack's controls landed where they must"),
    Metric(
        "rms_distortion",
        "RMS distortion",
        "neither",
        "",
        "per test clip, Eq. 4, in units of the pixel range whatever the penalty's norm",
    ),
    Metric(
        "flicker",
        "temporal flicker",
        "lower",
        "",
        "mean absolute difference of successive frames of anonymized test clips, in units of the pixel range; motion counts",
    ),
    Metric("penalty_active", "penalty active", "neither", "%", "share of minimax steps in which rms > B"),
    Metric("seconds", "seconds", "lower", "s", "wall time of the trial's own stages, reused ones not counted"),
    Metric(
        "pipeline_seconds",
        "seconds of a full pipeline",
        "neither",
        "s",
        "wall time of all stages of the trial, reused ones with what they took when they were computed",
    ),
    # kept, not shown
    Metric("reconstruction_l1", "L1 of the reconstruction", "lower", "", "of training clips in the last epoch", shown=False),
    Metric(
        "leakage_without_video",
        "leakage without the video",
        "neither",
        "%",
        "of who predicts each attribute from the other attributes, on the items that are attacked",
        shown=False,
    ),
    Metric("validation_top1", "top-1 on validation clips", "higher", "%", "of f_T' in the epoch that counts", shown=False),
    Metric("validation_flicker", "temporal flicker of validation clips", "lower", "", "of f_A's output", shown=False),
    Metric("best_epoch", "epoch that counts", "neither", "", "of f_T', from 0", shown=False),
    Metric(
        OUTPUT_BEYOND, "output beyond [0, 1]", "neither", "", "by how much f_A's output on test clips leaves it", shown=False
    ),
    Metric("rms_relative", "relative RMS distortion", "neither", "", "in standard deviations of each test clip", shown=False),
    *(
        Metric(f"validation_{name}", f"{label} of validation {data}", "lower", "%", meaning, shown=False)
        for name, label, data, meaning in (
            ("cmap", "cMAP", "images", "of f_B' in the epoch that counts"),
            ("clip_cmap", "cMAP", "clips", "of f_B' in the epoch that counts"),
            ("leakage", "leakage above chance", "images", "of f_B' in the epoch that counts"),
            ("clip_leakage", "leakage above chance", "clips", "of f_B' in the epoch that counts"),
            ("worst_leakage", "leakage, strongest attacker,", "items", "of the attacker that counts"),
        )
    ),
)
for _name in ("top1", "pretrained_top1", "leakage", "clip_leakage", "worst_leakage"):
    declare(
        *(
            Metric(_name + end, f"{FINAL_METRICS[_name].label}, {word}", "neither", "%", f"{word} over test items", shown=False)
            for end, word in ((LOW, "lower end of the 95 % interval"), (HIGH, "upper end of the 95 % interval"))
        )
    )

# Curves are logged once an epoch as `<stage>/<name>`, with step = epoch (0-based).

# Tags of a trial's MLflow run. `setting` is the run without its seed: runs with equal setting are repetitions.
TAG_TRIAL_KEY, TAG_SPACE, TAG_PROFILE, TAG_PROTOCOL = "trial_key", "space", "profile", "protocol"
TAG_METHOD, TAG_SETTING, TAG_SEED, TAG_STAGES_REUSED, TAG_REASON = "method", "setting", "seed", "stages_reused", "reason"
TAG_KIND, STUDY_RUN = (
    "kind",
    "study",
)  # the parent run of a study; a trial's run has no such tag, and names its parent in MLflow's own
TAG_NOTE = "mlflow.note.content"  # what MLflow's interface shows as the description
TAG_VERSION = "project_version"  # of this project, when the run was last worked on
TAG_CONFIG = "config"  # the whole configuration as JSON; what is compared lies in parameters as well, see `params_and_tags`
TAG_FIGURES = "figures."  # and a number from 0: final figures that are no metrics of the run, see `metrics_and_tags`
TAG_EARLY = "stopped_early"  # "true" for a KILLED run whose trial could not win; empty for others
TAG_STAGE_KEYS = "stage_keys"  # "stage=key stage=key ...": what the trial has in the stage store, from its first stage on

# Artifacts of a trial's MLflow run.
ARTIFACT_CONFIG, ARTIFACT_FRAMES, ARTIFACT_RECORD, ARTIFACT_ANONYMIZER = (
    "config.yaml",
    "frames.png",
    "record.json",
    "anonymizer",
)
ARTIFACT_STORED = f"{ARTIFACT_ANONYMIZER}/anonymizer.json"  # where it lies: `trainables.stored_anonymizer`

# Artifacts of the study's parent run: every trial the study plans, as `{"trials": [{"key", "name", "setting", "seed"}, ...]}`,
# and the report with its figures.
ARTIFACT_PLAN, ARTIFACT_REPORT = "plan.json", "report"

# Metrics of the study's parent run, over all its launches, in hours of one GPU, or (`cpu`) of one core where trials have no
# GPU: `gpu_hours.busy` computing, `gpu_hours.starting` workers, `gpu_hours.waiting` for stages that other trials computed
# (these three were held by trials), and `gpu_hours.unused`: free in the cluster while the study ran.
GPU_HOURS, CPU_HOURS = "gpu_hours.", "cpu_hours."

NOTE_GIVEN = "not trained here: "  # how a note begins that names the file of an anonymizer from elsewhere, and its hash
NOTE_ENLARGED = "evaluated at "  # how a note of a record begins that tells of videos smaller than the size they are shown at

ARTIFACT_ANSWERS = "answers"  # folder: `<stage>.json`, the predictions of one evaluator for every test item
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


def params_and_tags(config: TrialConfig, compared: Iterable[str] = ()) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the MLflow parameters and tags that record a configuration.

    The parameters are PARAMS and `compared` (dotted keys, or groups of them); TAG_CONFIG holds all of it as JSON. Where that
    is too long for a tag, every field is a parameter.
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
    """Returns the values of TAG_CONFIG in the form of MLflow parameters: text by dotted key. Raises ValueError for no JSON."""
    flat: dict[str, Any] = flatten(json.loads(text))
    return {key: str(tuple(value) if isinstance(value, list) else value) for key, value in flat.items()}


def metrics_and_tags(final: Mapping[str, float]) -> tuple[dict[str, float], dict[str, str]]:
    """Returns the MLflow metrics, by key, and the tags that record the final figures of a trial.

    Metrics are what people compare in MLflow's interface, the figures that reports show and the leakage of each attack. The
    other figures, several times as many (ends of intervals, controls, attributes, validation), lie as JSON in tags, which
    MLflow returns with the runs.
    """
    metrics: dict[str, float] = {}
    others: dict[str, float] = {}
    for name, value in final.items():
        (metrics if name in FINAL_METRICS or name.startswith(ATTACK) else others)[key_of(name)] = float(value)
    parts: list[dict[str, float]] = [{}]
    length = 0
    for key, value in others.items():
        size = len(json.dumps({key: value}))
        if length + size > _TAG_LENGTH:
            parts.append({})
            length = 0
        parts[-1][key] = value
        length += size
    return metrics, {f"{TAG_FIGURES}{number}": json.dumps(part) for number, part in enumerate(parts) if part}


def figures_of(metrics: dict[str, float], tags: Mapping[str, str]) -> Mapping[str, float]:
    """The metrics of an MLflow run and the figures in its tags, by key: the inverse of `metrics_and_tags`. No figure is read.

    Raises ValueError where a tag is no JSON.
    """
    parts = [json.loads(text) for name, text in tags.items() if name.startswith(TAG_FIGURES)]
    return ChainMap(*parts, metrics)


def experiment_name(space: str, profile: str) -> str:
    """The MLflow experiment that holds a study."""
    return f"{space}.{profile}"


def is_early(run: Any) -> bool:
    """Whether the trial of an MLflow run (mlflow.entities.Run) was stopped early, since it could not win."""
    return bool(run.data.tags.get(TAG_EARLY)) and run.info.status == "KILLED"
