"""Every classifier of Tables 5, 7 and 8 takes a clip of the paper's size, forward and backward.

Here on tensors without values, which have all shapes; `make paper_size` computes the passes.
"""

from __future__ import annotations

import pytest
import torch

from tests.benchmarks.paper_size import TABLES
from trainables.config import NetworkConfig, TrialConfig
from trainables.models.action import build_action_classifier
from trainables.models.privacy import build_privacy_classifier

CLIP = TrialConfig().clip


@pytest.mark.parametrize("name", TABLES["Table 5"])
def test_action_classifiers(name: str) -> None:
    with torch.device("meta"):
        network = build_action_classifier(NetworkConfig(name=name), 101, CLIP)
        logits = network(torch.empty(2, CLIP.frames, 3, CLIP.size, CLIP.size))
    assert logits.shape == (2, 101)
    logits.sum().backward()
    assert all(value.grad is not None and value.grad.shape == value.shape for value in network.parameters())


@pytest.mark.parametrize("name", TABLES["Tables 7, 8"])
def test_privacy_classifiers(name: str) -> None:
    with torch.device("meta"):
        network = build_privacy_classifier(NetworkConfig(name=name), 7)
        logits = network(torch.empty(2, 3, CLIP.size, CLIP.size))
    assert logits.shape == (2, 7)
    logits.sum().backward()
    assert all(value.grad is not None and value.grad.shape == value.shape for value in network.parameters())
