"""One trial as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from trainables.config.base import Count, Frozen
from trainables.config.data import AugmentConfig, ClipConfig, DataConfig
from trainables.config.evaluation import AttacksConfig, EvaluateActionConfig, EvaluatePrivacyConfig
from trainables.config.networks import AnonymizerConfig, NetworkConfig, ObfuscationConfig
from trainables.config.training import MinimaxConfig, ReconstructConfig, WarmUpConfig


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
    `selection`: which epoch of f_T' and f_B' is tested: the best on validation data, on the TEST data (as the released
    code), or the last. `attacker`: f_B' is trained on anonymized images, or on raw ones (Table 6). `test_deployed`: an action
    classifier that was trained on raw clips is tested on anonymized ones as well. `test_pose`: so is a network that finds the
    joints of people, which nobody trained for it. `refit`: once their epoch is chosen, f_T' and
    f_B' are trained again from the start for as many epochs, on training and validation items together, and those are tested;
    validation figures remain those of the first training. `microbatch`: a stage that trains computes its batches in parts of so
    many frames, one after another, for a GPU that cannot hold the activations of a whole one (`StageContext.through` says what
    that changes); None: whole batches. `codec`: f_T', f_B' and every attacker are trained and tested on what leaves the camera,
    the anonymized clip as a codec has encoded and decoded it: `none`, or `h264_crfN`, see `trainables.data.coding`; the minimax
    sees no codec. `evaluate_at`: for an anonymizer that is to be used at another size than `clip.size`, at which it is trained:
    the side in pixels of the clips and images at which f_A works for f_T', f_B' and every attacker; None: at that of training.
    `accept_flaws`: data with a flaw that falsifies figures (see `trainables.data.flaws`) is used all the same, and the record
    says which it has.
    """

    method: str = "penalty"
    options: Mapping[str, bool | int | float | str] = {}
    seed: Annotated[int, Field(ge=0)] = 0
    selection: Literal["validation", "test", "last"] = "validation"
    attacker: Literal["retrained", "raw"] = "retrained"
    test_deployed: bool = False
    test_pose: bool = False
    accept_flaws: bool = False
    refit: bool = False
    microbatch: Count | None = None
    codec: Annotated[str, Field(pattern=r"^(none|h264_crf([0-9]|[1-4][0-9]|5[01]))$")] = "none"
    evaluate_at: Annotated[int, Field(ge=8)] | None = None
    data: DataConfig = DataConfig()
    clip: ClipConfig = ClipConfig()
    augment: AugmentConfig = AugmentConfig()
    anonymizer: AnonymizerConfig = AnonymizerConfig(encoder_weights="imagenet")
    action_classifier: NetworkConfig = NetworkConfig(name="i3d_r50", weights="kinetics400")
    privacy_encoder: NetworkConfig = NetworkConfig(name="resnet50", weights="simclr")
    reconstruct: ReconstructConfig = ReconstructConfig()
    warm_up: WarmUpConfig = WarmUpConfig()
    minimax: MinimaxConfig = MinimaxConfig()
    evaluate_action: EvaluateActionConfig = EvaluateActionConfig()
    evaluate_privacy: EvaluatePrivacyConfig = EvaluatePrivacyConfig()
    obfuscation: ObfuscationConfig = ObfuscationConfig()
    attacks: AttacksConfig = AttacksConfig()
    departures: Departures = Departures()

    @property
    def as_evaluated(self) -> TrialConfig:
        """The trial as its evaluators and attacks are to see it: with clips of the size `evaluate_at`, where that is set."""
        if self.evaluate_at is None:
            return self
        return self.model_copy(update={"clip": self.clip.at(self.evaluate_at), "evaluate_at": None})

    @property
    def attack_epochs(self) -> int:
        """The epochs of every attacker that is trained: those of f_B' unless more are given."""
        return self.attacks.epochs or self.evaluate_privacy.epochs
