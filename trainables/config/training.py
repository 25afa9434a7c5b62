"""How the anonymizer is trained: reconstruction (Eq. 5), warm-up of the opponents, minimax (Eq. 3 and 4)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from trainables.config.base import Count, Epochs, Frozen, NonNegative, Positive


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
    """Eq. 3 and 4, Algorithm 1 step 1. An epoch is one pass over the action clips."""

    epochs: Epochs = 100
    batch_size: Count = 8
    learning_rate_anonymizer: Positive = 4e-5
    learning_rate_action: Positive = 1e-4
    learning_rate_privacy: Positive = 1e-4
    distortion_budget: NonNegative = 0.3
    penalty_weight: NonNegative = 1.0
    penalty_scope: Literal["clip", "frame", "batch"] = "clip"
    penalty_norm: Literal["absolute", "relative"] = "absolute"
    penalty_space: Literal["pixels", "features", "logits"] = Field(
        default="pixels",
        description="where the distortion is measured: pixels (Eq. 4), what enters the last layer of f_T, or what leaves it",
    )
    privacy_weight: NonNegative = 1.0
    temperature: Positive = 0.1
    pair: Literal["images", "frames"] = Field(
        default="images", description="NT-Xent pairs: two augmentations of an image, or two frames of a clip"
    )
    pair_batch_size: Count | None = Field(default=None, description="pairs of a batch; None: as many as clips")
    pair_distance: Count = Field(default=4, description="frames of the file between the two of a pair")
    judge_statistics: Literal["batch", "running"] = Field(
        default="batch",
        description="statistics that batch norm of the frozen opponents uses in step 1; running: as the released code",
    )
    alternate: Literal["steps", "batches"] = Field(
        default="steps", description="steps: both steps on every batch (Algorithm 1); batches: as the released code"
    )

    @model_validator(mode="after")
    def _features_are_of_clips(self) -> MinimaxConfig:
        if self.penalty_space != "pixels" and self.penalty_scope != "clip":
            raise ValueError(
                f"penalty_scope = {self.penalty_scope}: f_T makes {self.penalty_space} of whole clips; leave it at clip"
            )
        return self
