"""Which data sets train and evaluate, and how a video or an image of them becomes a clip of the network's size."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trainables.config.base import ConfigError, Count, Fraction, Frozen

Decoder = Literal["auto", "decord", "pyav"]
Contents = Literal["parts", "whole"]


class ActionData(Frozen):
    """Clips with an action label. `validation_fraction` of the training groups choose the best epoch."""

    name: str = "ucf101"
    split: Annotated[int, Field(ge=1, le=3)] = 1
    validation_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    attributes: tuple[str, ...] | None = Field(
        default=None, description="names of the columns of a VP label file; None = the order measured against PA-HMDB51"
    )
    folder: str | None = Field(default=None, description="sub-folder of the data root, where two sets share a layout")
    group_pattern: str | None = Field(
        default=None, description="regular expression; its first group, found in a video's name, names the video's source"
    )
    train_on_pa_hmdb51: bool | None = Field(
        default=None,
        description="whether HMDB51's training split keeps the test videos of PA-HMDB51; None: only where they are not tested"
        " on. True for pa_hmdb51 is the released code, False for hmdb51 and vp_hmdb51 needs PA-HMDB51's label files",
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
    """Which data train the anonymizer, and which train and test its evaluators (None: the same ones).

    `evaluate_action` trains and tests f_T', `evaluate_privacy` trains f_B' and, without `test_privacy`, tests it;
    `clip_privacy` are the clips on which leakage is measured as well (None: those of `evaluate_action`). `decoder`: what
    decodes videos, see `trainables.data.reading.choose_decoder`; pixels are the same, so that it is in no key. `contents`: what
    of each file is in the keys, its size and a hash of four parts, or a hash of all of it (`trainables.data.contents`).
    """

    action: ActionData = ActionData()
    privacy: PrivacyData = PrivacyData()
    evaluate_action: ActionData | None = None
    evaluate_privacy: PrivacyData | None = None
    test_privacy: TestPrivacyData | None = None
    clip_privacy: ActionData | None = None
    anonymized: str | None = Field(
        default=None,
        description="of the method given_videos: the folder with a video for each of the data root, of the same relative name",
    )
    decoder: Decoder = "auto"
    contents: Contents = "parts"

    def all(self) -> tuple[ActionData | PrivacyData, ...]:
        """Every set that is named."""
        return tuple(data for _, data in self if isinstance(data, ActionData | PrivacyData))

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

    def at(self, size: int) -> ClipConfig:
        """Clips that show the same part of a frame at another size."""
        return self.model_copy(update={"size": size, "decode_size": round(self.decode_size * size / self.size)})


class AugmentConfig(Frozen):
    """Augmentation of training clips and images; every draw holds for all frames of a clip.

    `contrast_probability` and `colour_probability` (of a change of brightness, saturation, hue, each by itself) are shares of
    the clips that are changed at all.
    """

    crop_min: Annotated[float, Field(gt=0.0, le=1.0)] = 0.6
    crop_max: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    test_crop: Annotated[float, Field(gt=0.0, le=1.0)] = 0.8
    flip: Fraction = 0.5
    brightness: Fraction = 0.1
    contrast: Fraction = 0.1
    saturation: Fraction = 0.1
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.05
    contrast_probability: Fraction = 0.125
    colour_probability: Fraction = 0.15
    grey: Fraction = 0.1
    erase: Fraction = 0.4
    erasures: Annotated[int, Field(ge=0, le=4)] = 2

    @model_validator(mode="after")
    def _ordered(self) -> AugmentConfig:
        if self.crop_min > self.crop_max:
            raise ValueError(f"crop_min {self.crop_min} is larger than crop_max {self.crop_max}")
        return self
