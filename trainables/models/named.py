"""What a trial names that is looked at with PyTorch before anything starts: weights, detectors, networks of plug-ins.

Importing PyTorch and its models takes seconds, which a study of networks from scratch need not wait for. Needs no torch.
"""

from __future__ import annotations

from trainables.attacks import attack_names
from trainables.config import TrialConfig
from trainables.methods import method_of, resolved
from trainables.models.packaged import (
    AGE,
    CENTERFACE,
    FACE_LANDMARKS,
    FACE_RECOGNISER,
    GENDER,
    PACKAGE,
    TEXT_DETECTOR,
    TEXT_READER,
)
from trainables.plugins import registered_by_plugin

# How the fields of files of attackers begin, what each is, and how the names of the attacks begin that read it.
FILES = {
    "face_detector": (CENTERFACE, "face"),
    "face_landmarks": (FACE_LANDMARKS, "face"),
    "face_recogniser": (FACE_RECOGNISER, "face"),
    "age": (AGE, "face_traits"),
    "gender": (GENDER, "face_traits"),
    "text_detector": (TEXT_DETECTOR, "text"),
    "text_reader": (TEXT_READER, "text"),
}


def names_networks(config: TrialConfig) -> bool:
    """Whether `trainables.models.check.check_weights` has anything to look at in this trial.

    What an installed package carries is none: without it an attack is not tried.
    """
    method, whole, attacks = method_of(config), resolved(config), config.attacks
    if method.given or method.boxes or config.test_pose:
        return True
    named = [config.evaluate_action.classifier.weights, config.evaluate_privacy.classifier.weights]
    if method.anonymizer is not None:
        named += [config.anonymizer.weights, config.anonymizer.encoder_weights]
        named += [config.action_classifier.weights, config.privacy_encoder.weights]
    if attack_names(config):
        of_packages = [attacks.pretrained.weights, *(getattr(attacks, f"{part}_weights") for part in FILES)]
        named += [attacks.weights, attacks.clip_network.weights, attacks.people_detector_weights]
        named += [source for source in of_packages if source != PACKAGE]
    networks = [whole.action_classifier, whole.privacy_encoder]
    networks += [whole.evaluate_action.classifier, whole.evaluate_privacy.classifier]
    names = [whole.anonymizer.name, *(network.name for network in networks)]
    return any(named) or any(map(registered_by_plugin, names))
