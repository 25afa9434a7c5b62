"""Whether a trial names anything that has to be looked at before it starts."""

from __future__ import annotations

from typing import Any

import pytest

from trainables.config import TrialConfig, flatten, with_values
from trainables.methods import METHODS
from trainables.models import named
from trainables.models.named import names_networks

ATTACKED = {"attacks.names": "all", "attacks.weights": None, "attacks.clip_network.weights": None}
IN_TRAINING = ("anonymizer.weights", "action_classifier.weights", "privacy_encoder.weights")


def test_networks_from_scratch_and_what_packages_carry_are_nothing_to_look_at(tiny_config: TrialConfig) -> None:
    assert not names_networks(tiny_config)
    assert not names_networks(with_values(tiny_config, ATTACKED))
    assert not names_networks(with_values(tiny_config, {"method": "raw"}))
    assert not names_networks(with_values(tiny_config, {"attacks.weights": "file.pt"})), "no attack is tried"


OF_BOXES = "obfuscation.detector_weights"  # of methods that are always looked at, see below


@pytest.mark.parametrize(
    "field", [field for field in flatten(TrialConfig()) if field.endswith("weights") and field != OF_BOXES]
)
def test_weights_are_something_to_look_at(tiny_config: TrialConfig, field: str) -> None:
    assert names_networks(with_values(tiny_config, {**ATTACKED, field: "file.pt"}))


@pytest.mark.parametrize(
    "values",
    [{"method": "given", "anonymizer.weights": "a.onnx"}, {"method": "blackening"}, {"method": "raw", "test_pose": True}],
)
def test_files_boxes_and_poses_are_something_to_look_at(tiny_config: TrialConfig, values: dict[str, Any]) -> None:
    assert names_networks(with_values(tiny_config, values))


@pytest.mark.parametrize("field", IN_TRAINING)
def test_a_method_without_training_has_no_weights_of_networks_that_train(tiny_config: TrialConfig, field: str) -> None:
    assert METHODS["raw"].anonymizer is None
    assert not names_networks(with_values(tiny_config, {"method": "raw", field: "file.pt"}))


@pytest.mark.parametrize("name", ["unetpp", "narrow3d", "narrow2d"])
def test_networks_of_plugins_are_something_to_look_at(
    tiny_config: TrialConfig, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(named, "registered_by_plugin", lambda one: one == name)
    assert tiny_config.anonymizer.name == "unetpp"
    assert names_networks(tiny_config)
