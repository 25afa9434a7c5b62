"""Every value of the recipe, with where it comes from: the paper's text, its released code, or a choice made here.

PAPER is section 4.2 and Algorithm 1 of arXiv 2504.14301, RELEASED the parameters of the authors' released code where the paper
is silent, CHOSEN what neither says or what is better otherwise, each with its reason in `trainables/CHOICES.md`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import trainables
from search_spaces.plan import plan_study
from search_spaces.profiles import PROFILES
from trainables.config import ConfigError, TrialConfig, flatten, with_values
from trainables.methods import METHODS, missing_weights, resolved

PAPER: dict[str, Any] = {
    "anonymizer.name": "unetpp",  # "The anonymizer f_A employs a UNet++ architecture"
    "anonymizer.window": 1,  # Figure 2 and Algorithm 1: f_A is given frames, each by itself
    "anonymizer.window_input": "frames",
    "anonymizer.dial": "none",  # an anonymizer for each B
    "anonymizer.target": "frame",  # Eq. 4 and 5: |X - f_A(X)|
    "clip.size": 224,  # "input data of size 224 x 224"
    "action_classifier.name": "i3d_r50",  # "I3D ResNet-50 is used as the action classifier f_T"
    "action_classifier.weights": "kinetics400",  # "initialized with pretrained weights from the Kinetics400 action dataset"
    "privacy_encoder.name": "resnet50",  # "a standard ResNet-50 is used for the private attribute classifier f_B"
    "privacy_encoder.weights": "simclr",  # "(SSL) weights from SimCLR trained on ImageNet"
    "reconstruct.epochs": 100,  # "we trained UNet++ for 100 epochs using L1 reconstruction loss"
    "minimax.epochs": 100,  # "After initialization, the anonymizer was trained for 100 epochs using the Adam optimizer"
    "minimax.batch_size": 8,  # "A batch size of 8 was chosen to train the anonymizer"
    "reconstruct.batch_size": 8,
    "evaluate_action.classifier.name": "i3d_r50",
    "evaluate_action.classifier.weights": "kinetics400",
    "evaluate_action.batch_size": 16,  # "To evaluate f_T, a batch size of 16 is used for 100 epochs"
    "evaluate_action.epochs": 100,
    "evaluate_privacy.classifier.name": "resnet50",
    "evaluate_privacy.classifier.weights": None,  # Table 7, whose ResNet-50 column Table 1 repeats
    "evaluate_privacy.batch_size": 32,  # "for f_B, we used a batch size of 32 and a base learning rate of 1e-3"
    "evaluate_privacy.learning_rate": 1e-3,
    "evaluate_privacy.plateau_factor": 1 / 5,  # "reduced the learning rate by a factor of 1/5 upon loss stagnation"
    "augment.test_crop": 0.8,  # "we first crop each image to 0.8 of its original scale and then resize it"
    "clip.frames": 16,  # "Each clip consists of 16 frames, sampled from a random starting point with a skip rate of 4"
    "clip.skip": 4,
    "minimax.distortion_budget": 0.3,  # "B = 0.3 strikes the optimal balance"
    "minimax.penalty_weight": 1.0,  # Figure 3 and the last row of Table 3
    "minimax.privacy_weight": 1.0,  # Eq. 3
    "minimax.penalty_norm": "absolute",  # Eq. 4
    "minimax.penalty_space": "pixels",  # Eq. 4; section 3.2 also speaks of features
    "minimax.alternate": "steps",  # Algorithm 1: both steps in every iteration
    "minimax.pair_distance": 4,  # supplement, section 7: "positive pairs after every four frames"
    "data.action.name": "ucf101",
    "data.action.split": 1,  # "UCF101 trainset (split-1)"
    "data.privacy.name": "vispr",
    "data.privacy.attributes": "auto",  # VISPR1 of Table 4 unless the data say otherwise
}
RELEASED: dict[str, Any] = {
    "anonymizer.encoder": "resnet18",
    "anonymizer.depth": 4,
    "anonymizer.decoder_channels": (256, 128, 64, 32),
    "anonymizer.decoder_norm": "batchnorm",
    "anonymizer.encoder_weights": "imagenet",
    "reconstruct.learning_rate": 1e-3,
    "minimax.learning_rate_anonymizer": 0.4 * 1e-4,
    "minimax.learning_rate_action": 1e-4,
    "minimax.learning_rate_privacy": 1e-4,
    "minimax.temperature": 0.1,
    "minimax.pair": "images",
    "evaluate_action.learning_rate": 1e-4,
    "evaluate_privacy.warm_up_epochs": 5,
    "evaluate_privacy.epochs": 100,
    "clip.test_clips": 5,
    "augment.crop_min": 0.6,
    "augment.crop_max": 1.0,
    "augment.flip": 0.5,
    "augment.brightness": 0.1,
    "augment.contrast": 0.1,
    "augment.saturation": 0.1,
    "augment.hue": 0.05,
    "augment.contrast_probability": 0.125,
    "augment.colour_probability": 0.15,
    "augment.grey": 0.1,
    "augment.erase": 0.4,
    "augment.erasures": 2,
}
CHOSEN: dict[str, Any] = {
    "anonymizer.output": "sigmoid",
    "minimax.penalty_scope": "clip",
    "minimax.judge_statistics": "batch",
    "evaluate_privacy.plateau_patience": 5,
    "evaluate_privacy.clips": True,
    "evaluate_privacy.clip_frames": 4,
    "clip.decode_size": 280,
    "warm_up.epochs": 20,
    "warm_up.batch_size": 8,
    "warm_up.learning_rate": 1e-4,
    "selection": "validation",
    "data.action.validation_fraction": 0.1,
    "data.privacy.validation_fraction": 0.1,
    "attacks.batch_size": 32,
    "attacks.learning_rate": 1e-3,
    "attacks.frames": 4,
    "attacks.ensemble": ("resnet50", "resnet18"),
    "attacks.encoder": "resnet50",
    "attacks.weights": "imagenet",
    "attacks.clip_network.name": "i3d_r50",
    "attacks.clip_network.weights": "kinetics400",
    "attacks.decoder_width": 64,
}
# What is off, or whom and what a trial is about: nothing of these is a value of the recipe.
ABOUT = (
    *(
        "method",
        "seed",
        "attacker",
        "test_deployed",
        "test_pose",
        "obfuscation.",
        "departures.",
        "data.",
        "attacks.",
        "microbatch",
    ),
    *(
        "anonymizer.weights",
        "evaluate_privacy.attackers",
        "accept_flaws",
        "refit",
        "codec",
        "evaluate_at",
        "microbatch",
        "minimax.pair_batch_size",
    ),
)


def test_the_defaults_of_a_trial_are_the_recipe() -> None:
    config = flatten(TrialConfig())
    sources = (PAPER, RELEASED, CHOSEN)
    stated = {key: value for source in sources for key, value in source.items()}
    assert len(stated) == sum(map(len, sources)), "a value has one source"
    assert {key: config[key] for key in stated} == stated
    unstated = [key for key in config if key not in stated and not key.startswith(ABOUT)]
    assert not unstated, "say in this test where the value of a new field comes from"


def test_the_paper_profile_changes_nothing_of_the_recipe() -> None:
    assert PROFILES["paper"].values == {}
    trial = plan_study("ablation_B", "paper", [0], {}).trials[2]
    config = flatten(trial.config)
    for key, value in (PAPER | RELEASED | CHOSEN).items():
        assert config[key] == trial.varied.get(key, value), key


@pytest.mark.parametrize("key", CHOSEN)
def test_a_choice_is_listed_with_its_reason(key: str) -> None:
    text = (Path(trainables.__file__).parent / "CHOICES.md").read_text()
    assert f"`{key}`" in text


# Starting weights ----------------------------------------------------------------------------------------------------

GIVEN = {"action_classifier": ("i3d_r50", "kinetics400"), "privacy_encoder": ("resnet50", "simclr")}


def test_without_the_papers_weights_that_is_said() -> None:
    assert missing_weights("penalty", GIVEN) == ()
    [said] = missing_weights("spact", {**GIVEN, "privacy_encoder": ("resnet50", None)})
    assert said.startswith(
        "f_B (resnet50) starts from scratch, where the paper starts it from SimCLR weights trained on ImageNet"
    )
    [said] = missing_weights("penalty", {**GIVEN, "action_classifier": ("i3d_r50", None)})
    assert said.startswith("f_T (i3d_r50) starts from scratch, where the paper starts it from Kinetics-400 weights")


def test_it_is_not_said_of_other_networks_and_of_who_trains_none() -> None:
    scratch = {"action_classifier": ("i3d_r50", None), "privacy_encoder": ("resnet50", None)}
    assert missing_weights("raw", scratch) == ()
    assert missing_weights("of a plug-in", scratch) == ()
    narrow = {"action_classifier": ("narrow3d", None), "privacy_encoder": ("narrow2d", None)}
    assert missing_weights("penalty", narrow) == ()
    assert missing_weights("penalty", {**GIVEN, "privacy_encoder": ("resnet50", "/weights/simclr.pt")}) == ()


# The budget of the attackers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", list(PROFILES))
@pytest.mark.parametrize("space", ["demo", "tradeoff", "ablation_B", "grid", "attacks"])
def test_attackers_train_as_long_as_f_b_or_longer(space: str, profile: str) -> None:
    for trial in plan_study(space, profile, [0], {}).trials:
        least = trial.config.evaluate_privacy.epochs
        assert trial.config.attacks.epochs is not None
        assert trial.config.attacks.epochs >= least
        if space != "attacks":
            assert trial.config.attacks.epochs == least


def test_a_smaller_budget_for_attackers_is_refused_in_one_line() -> None:
    config = with_values(TrialConfig(), {"attacks.names": "standard", "attacks.epochs": 30})
    with pytest.raises(ConfigError, match=r"^attacks.epochs = 30: .* evaluate_privacy.epochs = 100; give 100 or more[^\n]*$"):
        resolved(config)
    assert resolved(with_values(config, {"evaluate_privacy.epochs": 30})).attacks.epochs == 30
    assert resolved(with_values(config, {"attacks.epochs": None})).attacks.epochs == 100


EVALUATION = ("evaluate_", "attacks.", "selection", "data.", "clip.test_clips")


def test_no_method_changes_the_evaluation_but_those_with_a_published_one() -> None:
    """Rows of a table can be compared because who evaluates them is the same."""
    changing = {
        name for name in METHODS if any(key.startswith(EVALUATION) for key in {**METHODS[name].fixed, **METHODS[name].recipe})
    }
    assert changing == {"spact_published", "vita_published"}
