"""Which networks a trial builds, from which weights they start, and where people are for those that change people only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trainables.config.base import Count, Fraction, Frozen, NonNegative


class AnonymizerConfig(Frozen):
    """f_A. `output` linear is unbounded, sigmoid is bounded to [0, 1]; the scale of B goes with it (see README)."""

    name: str = "unetpp"
    encoder: str = "resnet18"
    depth: Annotated[int, Field(ge=2, le=5)] = 4
    decoder_channels: tuple[int, ...] = (256, 128, 64, 32)
    decoder_norm: Literal["batchnorm", "layernorm", "instancenorm", "identity"] = "batchnorm"
    output: Literal["linear", "sigmoid"] = "sigmoid"
    encoder_weights: str | None = Field(
        default=None, description="None, 'imagenet', 'package' (see trainables.models.packaged), or a file of a state dict"
    )
    weights: str | None = Field(default=None, description="file of a trained anonymizer to start from")
    window: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1,
        description="frames of the clip that f_A is given for the last of them; 1: that one alone, as in the paper",
    )
    window_input: Literal["frames", "differences"] = Field(
        default="frames", description="what it is given of the earlier frames: them, or how far the last one is from each"
    )
    target: Literal["frame", "difference"] = Field(
        default="frame",
        description="what f_A begins as (Eq. 5) and is held near to (Eq. 4): the frame, or its grey difference from the last",
    )
    dial: Literal["none", "blend", "film", "plane"] = Field(
        default="none",
        description="how f_A is told the operating point: by scale and shift of its features (film), by that and by how much of"
        " a frame it may change (blend), or by a further input channel (plane)",
    )

    @property
    def from_scratch(self) -> AnonymizerConfig:
        """The same network without starting weights, to be given the state of a trained one."""
        return self.model_copy(update={"encoder_weights": None, "weights": None})

    @model_validator(mode="after")
    def _earlier_frames(self) -> AnonymizerConfig:
        for field, value in (("window_input", "differences"), ("target", "difference")):
            if self.window == 1 and getattr(self, field) == value:
                raise ValueError(f"{field} = {value} needs an earlier frame; set anonymizer.window to 2 or more")
        return self

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

    `weights`: None = from scratch; a file; a name the library knows (`kinetics400`, `imagenet`, `simclr`);
    or `package`: the file that an installed package carries (`trainables.models.packaged`).
    """

    name: str
    weights: str | None = None

    @property
    def from_scratch(self) -> NetworkConfig:
        """The same network without starting weights, to be given the state of a trained one."""
        return self.model_copy(update={"weights": None})


class ObfuscationConfig(Frozen):
    """Where people are, for the methods that change people only: a file of boxes (see `trainables.data.boxes`), or a detector.

    A detector, where one is named, is used instead of `boxes.csv`.
    """

    boxes: str = Field(
        default="auto",
        description="auto = boxes.csv in the folder of the set or in the data root; or a file (relative: to the root)",
    )
    detector: str | None = Field(
        default=None, description="a detection model of torchvision, such as fasterrcnn_resnet50_fpn_v2, or blazepose"
    )
    detector_weights: str | None = Field(
        default=None, description="'coco', or a file of a state dict; of blazepose: package, as mediapipe carries them"
    )
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
