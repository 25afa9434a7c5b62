"""The configuration of one trial: frozen, typed, validated when made, and importable without torch.

Defaults are the recipe of the paper (section 4.2 and, where it is silent, the authors' released parameters).
Every field in `TrialConfig` means something for the numbers; where a trial runs, on what and how fast is `Runtime`.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]
Epochs = Annotated[int, Field(ge=0)]


DATA_ROOT_VARIABLE, STORAGE_VARIABLE = "ANONYMIZATION_DATA_ROOT", "ANONYMIZATION_STORAGE"


class ConfigError(ValueError):
    """A configuration that cannot be run; the message is one line that says what, where and what to do."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ActionData(Frozen):
    """Clips with an action label. `validation_fraction` of the training groups choose the best epoch."""

    name: str = "ucf101"
    split: Annotated[int, Field(ge=1, le=3)] = 1
    validation_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    attributes: tuple[str, ...] | None = Field(
        default=None, description="names of the columns of a VP label file; None = the order measured against PA-HMDB51"
    )
    folder: str | None = Field(default=None, description="sub-folder of the data root, where two sets share a layout")
    with_pa_hmdb51: bool = Field(
        default=False, description="keep the test videos of PA-HMDB51 in HMDB51's training split, as the released code does"
    )


class PrivacyData(Frozen):
    """Images with private attributes.

    `attributes` is `vispr1`, `vispr2`, a list of names, or `auto`: the names in an `attributes.txt` beside the lists
    if there is one, otherwise `vispr1`.
    """

    name: str = "vispr"
    attributes: str | tuple[str, ...] = "auto"
    validation_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        default=0.1, description="cut from the training images only where the data set has no validation list"
    )
    group_pattern: str | None = Field(
        default=None, description="regular expression; its first group, found in an image's id, names the image's source"
    )
    folder: str | None = Field(default=None, description="sub-folder of the data root, where two sets share a layout")


class TestPrivacyData(PrivacyData):
    """Images, or frames of videos, that f_B' is tested on and not trained on.

    `attribute_map`: `face=a9_face_complete+a10_face_partial` tests the answer for the attribute `face` of this set by the
    larger of f_B's two; empty where both sets name their attributes alike.
    """

    __test__ = False  # no test class, whatever pytest thinks of the name
    attribute_map: tuple[str, ...] = ()

    def sources(self, attributes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        """Attribute of this set -> the attributes of f_B' that answer for it. Raises ConfigError for a malformed map."""
        if not self.attribute_map:
            return {name: (name,) for name in attributes}
        pairs = [entry.partition("=") for entry in self.attribute_map]
        for (name, equals, answers), entry in zip(pairs, self.attribute_map, strict=True):
            if not (name and equals and answers):
                raise ConfigError(f"data.test_privacy.attribute_map: {entry!r}; write tested=trained or tested=one+other")
        return {name: tuple(answers.split("+")) for name, _, answers in pairs}


class DataConfig(Frozen):
    """Which data train the anonymizer, and which judge it (None: the same ones).

    `evaluate_action` trains and tests f_T', `evaluate_privacy` trains f_B' and, without `test_privacy`, tests it;
    `clip_privacy` are the clips on which leakage is measured as well (None: those of `evaluate_action`).
    """

    action: ActionData = ActionData()
    privacy: PrivacyData = PrivacyData()
    evaluate_action: ActionData | None = None
    evaluate_privacy: PrivacyData | None = None
    test_privacy: TestPrivacyData | None = None
    clip_privacy: ActionData | None = None

    def all(self) -> tuple[ActionData | PrivacyData, ...]:
        """Every set that is named."""
        return tuple(data for _, data in self if data is not None)

    @property
    def action_evaluation(self) -> ActionData:
        return self.evaluate_action or self.action

    @property
    def privacy_evaluation(self) -> PrivacyData:
        return self.evaluate_privacy or self.privacy

    @property
    def clips_with_attributes(self) -> ActionData:
        return self.clip_privacy or self.action_evaluation


class ClipConfig(Frozen):
    """How a video becomes a clip: `frames` frames, every `skip`-th of the file, decoded to a square, cropped to `size`."""

    frames: Count = 16
    skip: Count = 4
    size: Count = 224
    decode_size: Count = 280
    test_clips: Count = 5


class AugmentConfig(Frozen):
    """Augmentation of training clips and images; every draw holds for all frames of a clip."""

    crop_min: Annotated[float, Field(gt=0.0, le=1.0)] = 0.6
    crop_max: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    test_crop: Annotated[float, Field(gt=0.0, le=1.0)] = 0.8
    flip: Fraction = 0.5
    brightness: Fraction = 0.1
    contrast: Fraction = 0.1
    saturation: Fraction = 0.1
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.05
    grey: Fraction = 0.1
    erase: Fraction = 0.4
    erasures: Annotated[int, Field(ge=0, le=4)] = 2

    @model_validator(mode="after")
    def _ordered(self) -> AugmentConfig:
        if self.crop_min > self.crop_max:
            raise ValueError(f"crop_min {self.crop_min} is larger than crop_max {self.crop_max}")
        return self


class AnonymizerConfig(Frozen):
    """f_A. `output` linear is unbounded, sigmoid is bounded to [0, 1]; the scale of B goes with it (see README)."""

    name: str = "unetpp"
    encoder: str = "resnet18"
    depth: Annotated[int, Field(ge=2, le=5)] = 4
    decoder_channels: tuple[int, ...] = (256, 128, 64, 32)
    decoder_norm: Literal["batchnorm", "layernorm", "instancenorm", "identity"] = "batchnorm"
    output: Literal["linear", "sigmoid"] = "sigmoid"
    encoder_weights: str | None = Field(default=None, description="None, 'imagenet', or a file of a state dict")
    weights: str | None = Field(default=None, description="file of a trained anonymizer to start from")

    @model_validator(mode="after")
    def _depth(self) -> AnonymizerConfig:
        if self.name in ("unet", "unetpp") and len(self.decoder_channels) != self.depth:
            raise ValueError(
                f"{len(self.decoder_channels)} decoder channels {self.decoder_channels} for an encoder of depth {self.depth};"
                " give one number per level"
            )
        return self


class NetworkConfig(Frozen):
    """A classifier or encoder by its registered name, and where its weights start.

    `weights`: None = from scratch; a file; or a name the library knows (`kinetics400`, `imagenet`).
    """

    name: str
    weights: str | None = None


class ReconstructConfig(Frozen):
    """Eq. 5: f_A learns the identity by L1."""

    epochs: Epochs = 100
    batch_size: Count = 8
    learning_rate: Positive = 1e-3


class WarmUpConfig(Frozen):
    """f_T (cross-entropy) and f_B (NT-Xent) learn on reconstructed data, unless their weights are given."""

    epochs: Epochs = 20
    batch_size: Count = 8
    learning_rate: Positive = 1e-4


class MinimaxConfig(Frozen):
    """Eq. 3 and 4, Algorithm 1 step 1."""

    epochs: Epochs = 100
    batch_size: Count = 8
    learning_rate_anonymizer: Positive = 4e-5
    learning_rate_action: Positive = 1e-4
    learning_rate_privacy: Positive = 1e-4
    distortion_budget: NonNegative = 0.3
    penalty_weight: NonNegative = 1.0
    penalty_scope: Literal["clip", "frame", "batch"] = "clip"
    penalty_norm: Literal["absolute", "relative"] = "absolute"
    privacy_weight: NonNegative = 1.0
    temperature: Positive = 0.1
    pair: Literal["images", "frames"] = Field(
        default="images", description="NT-Xent pairs: two augmentations of an image, or two frames of a clip"
    )
    pair_distance: Count = Field(default=4, description="frames of the file between the two of a pair")
    judge_statistics: Literal["batch", "running"] = Field(
        default="batch", description="what batch norm of the frozen judges uses in step 1; running: as the released code"
    )
    alternate: Literal["steps", "batches"] = Field(
        default="steps", description="steps: both steps on every batch (Algorithm 1); batches: as the released code"
    )


class EvaluateActionConfig(Frozen):
    """Algorithm 1 step 2: a new action classifier f_T' on anonymized clips."""

    classifier: NetworkConfig = NetworkConfig(name="i3d_r50", weights="kinetics400")
    epochs: Count = 100
    batch_size: Count = 16
    learning_rate: Positive = 1e-4


class EvaluatePrivacyConfig(Frozen):
    """Algorithm 1 step 3: a new privacy classifier f_B' with labels, on anonymized images and on anonymized clips."""

    classifier: NetworkConfig = NetworkConfig(name="resnet50")
    epochs: Count = 100
    batch_size: Count = 32
    learning_rate: Positive = 1e-3
    warm_up_epochs: Epochs = 5
    plateau_factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    plateau_patience: Count = 5
    clips: bool = Field(default=True, description="measure leakage on the action clips too, where they carry labels")
    clip_frames: Count = Field(default=4, description="frames of a training clip the attacker learns from in one step")
    attackers: Count = Field(default=1, description="f_B' is trained this often from other seeds; the worst one counts")


class ObfuscationConfig(Frozen):
    """Where people are, for the methods that change people only: a file of boxes (see `trainables.data.boxes`), or a detector.

    A detector, where one is named, is used instead of `boxes.csv`.
    """

    boxes: str = Field(
        default="auto",
        description="auto = boxes.csv in the folder of the set or in the data root; or a file (relative: to the root)",
    )
    detector: str | None = Field(
        default=None, description="a detection model of torchvision, such as fasterrcnn_resnet50_fpn_v2"
    )
    detector_weights: str | None = Field(default=None, description="'coco', or a file of a state dict")
    score: Fraction = Field(default=0.5, description="detections below are dropped")
    every: Count = Field(default=1, description="every n-th frame is looked at; one between has the boxes of the nearest")
    margin: NonNegative = Field(default=0.0, description="boxes grow by this share of their sides")

    @model_validator(mode="after")
    def _one_source(self) -> ObfuscationConfig:
        if self.detector is not None and self.boxes != "auto":
            raise ValueError(f"boxes {self.boxes!r} and detector {self.detector!r}; give one of them")
        if self.detector is not None and self.detector_weights is None:
            raise ValueError(f"detector {self.detector!r} without detector_weights finds nobody; give coco or a file")
        return self


class AttacksConfig(Frozen):
    """Which attacks judge the anonymizer (see `trainables.attacks`), and the effort that every trained attacker spends.

    `names`: attacks, `standard`, `all`, or nothing. `people`: what counts as the same person in `linkage`.
    """

    names: tuple[str, ...] = ()
    epochs: Count = 30
    batch_size: Count = Field(default=32, description="frames, or pairs of clips, that are learned from in one step")
    learning_rate: Positive = Field(default=1e-3, description="at the start; it falls to zero along a cosine")
    frames: Count = Field(default=4, description="frames of a clip that an attacker of single frames sees")
    ensemble: tuple[str, ...] = Field(default=("resnet50", "resnet18"), description="networks of the retrained classifiers")
    encoder: str = Field(default="resnet50", description="network of the embeddings for linkage")
    clip_network: NetworkConfig = NetworkConfig(name="i3d_r50", weights="kinetics400")
    decoder_width: Count = Field(default=64, description="channels of the decoder of inversion")
    people: Literal["auto", "attributes", "group"] = Field(
        default="auto",
        description="attributes: the one label that a clip carries; group: the clip's source; auto: the first where it can be",
    )

    @field_validator("names", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value

    @field_validator("ensemble")
    @classmethod
    def _several(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("give at least one network")
        return value


class Departures(Frozen):
    """What the authors' released code does otherwise than the paper says; all off. Each can be switched on to see what it
    changes. Others of its departures are values of other fields: see `search_spaces.released_code_departures`.
    """

    detached_penalty: bool = Field(default=False, description="the penalty is a number without gradient")
    scrambled_frames: bool = Field(default=False, description="(B, C, T, H, W) reshaped to (-1, 3, H, W) for f_A")
    bgr_clips: bool = Field(default=False, description="clips in BGR, images in RGB")
    logit_threshold: bool = Field(default=False, description="F1 at logit 0.5, which is probability 0.62")
    drop_last: bool = Field(default=False, description="the last partial batch of every training epoch is left out")
    float16: bool = Field(default=False, description="fp16 autocast without loss scaling")


class TrialConfig(Frozen):
    """One trial: one full pipeline.

    `options` are the settings of the method beyond these fields; a method declares which it has and their defaults.
    `selection`: which epoch of f_T' and f_B' is judged: the best on validation data, on the TEST data (as the released
    code), or the last. `attacker`: f_B' is trained on anonymized images, or on raw ones (Table 6). `test_deployed`: an action
    classifier that was trained on raw clips is tested on anonymized ones as well.
    """

    method: str = "penalty"
    options: Mapping[str, bool | int | float | str] = {}
    seed: Annotated[int, Field(ge=0)] = 0
    selection: Literal["validation", "test", "last"] = "validation"
    attacker: Literal["retrained", "raw"] = "retrained"
    test_deployed: bool = False
    data: DataConfig = DataConfig()
    clip: ClipConfig = ClipConfig()
    augment: AugmentConfig = AugmentConfig()
    anonymizer: AnonymizerConfig = AnonymizerConfig()
    action_classifier: NetworkConfig = NetworkConfig(name="i3d_r50", weights="kinetics400")
    privacy_encoder: NetworkConfig = NetworkConfig(name="resnet50")
    reconstruct: ReconstructConfig = ReconstructConfig()
    warm_up: WarmUpConfig = WarmUpConfig()
    minimax: MinimaxConfig = MinimaxConfig()
    evaluate_action: EvaluateActionConfig = EvaluateActionConfig()
    evaluate_privacy: EvaluatePrivacyConfig = EvaluatePrivacyConfig()
    obfuscation: ObfuscationConfig = ObfuscationConfig()
    attacks: AttacksConfig = AttacksConfig()
    departures: Departures = Departures()


class Runtime(Frozen):
    """Where and on what a trial runs. Nothing here may change its numbers (the precision of the device excepted)."""

    data_root: str
    storage: str
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    workers: Annotated[int, Field(ge=0)] = 0
    threads: Count = 1
    ranks: Count = Field(default=1, description="processes of a trial, one a GPU; workers and threads are those of each")
    judges: Count = Field(default=8, description="classifiers of one anonymizer that are trained in one pass, at most")
    compile: bool = Field(default=False, description="torch.compile of the networks: minutes at the start of each stage")
    checkpointing: bool = Field(default=False, description="less GPU memory for more time: activations are computed twice")


_OPEN_GROUPS = (
    "options.",
    *(f"data.{name}." for name in ("evaluate_action", "evaluate_privacy", "test_privacy", "clip_privacy")),
)


def flatten(config: BaseModel | Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{'minimax.distortion_budget': 0.3, ...}`: the dotted keys that `--set`, spaces and records use."""
    values = config.model_dump() if isinstance(config, BaseModel) else config
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def with_values(config: TrialConfig, values: Mapping[str, Any]) -> TrialConfig:
    """A copy of `config` with dotted keys set.

    Raises ConfigError for an unknown key (with the nearest known ones) or a value of the wrong type or range.
    """
    tree = config.model_dump()
    for key, value in values.items():
        *parents, leaf = key.split(".")
        node: Any = tree
        for depth, part in enumerate(parents):
            if not isinstance(node, dict) or part not in node:
                raise _unknown(key, config)
            if node[part] is None:  # an optional group, such as data.evaluate_action, comes into being when set
                node[part] = {}
            node = node[part]
            if depth == len(parents) - 1 and not isinstance(node, dict):
                raise _unknown(key, config)
        open_group = key.startswith(_OPEN_GROUPS)  # its fields are checked by the model, or by the method
        if not isinstance(node, dict) or (leaf not in node and not open_group):
            raise _unknown(key, config)
        node[leaf] = value
    try:
        return TrialConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_first_problem(error)) from None


def parse_setting(text: str) -> tuple[str, Any]:
    """`minimax.epochs=3` -> `('minimax.epochs', 3)`; the value is read as YAML and typed by the field it goes to."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text!r}: write KEY=VALUE, for example minimax.distortion_budget=0.3")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        parsed = value
    if isinstance(parsed, str):  # YAML 1.1 reads 1e-4 as text
        with contextlib.suppress(ValueError):
            parsed = float(parsed)
    return key.strip(), parsed


def load_trial(path: str | Path) -> TrialConfig:
    """Reads a trial from YAML; groups left out keep the recipe's defaults."""
    try:
        tree = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the YAML file of one trial") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected a mapping of the fields of a trial, found {type(tree).__name__}")
    return with_values(TrialConfig(), flatten(tree))


def _unknown(key: str, config: TrialConfig) -> ConfigError:
    known = list(flatten(config))
    leaves = {name.rsplit(".", 1)[-1]: name for name in known}
    near = difflib.get_close_matches(key, known, n=2, cutoff=0.5)
    near += [leaves[leaf] for leaf in difflib.get_close_matches(key.rsplit(".", 1)[-1], leaves, n=2, cutoff=0.6)]
    hint = " or ".join(dict.fromkeys(near)) or ", ".join(sorted({name.split(".")[0] for name in known}))
    return ConfigError(f"unknown setting {key!r}; did you mean {hint}?")


def _first_problem(error: ValidationError) -> str:
    problems = error.errors()
    where = ".".join(str(part) for part in problems[0]["loc"]) or "trial"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{where} = {problems[0].get('input')!r}: {problems[0]['msg']}{more}"
