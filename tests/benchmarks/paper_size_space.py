"""One trial of the `paper` profile on a handful of clips: its networks, its size, one or two steps a stage.

What differs from the profile: batches of 2 clips, one epoch, one test clip a video, a microbatch of one clip, and starting
weights, which are not at hand without a network.
"""

from __future__ import annotations

from typing import Any

from search_spaces.registry import SPACES, Space

_EPOCHS = ("reconstruct", "warm_up", "minimax", "evaluate_action", "evaluate_privacy", "attacks")
_WEIGHTS = (
    "anonymizer.encoder_weights",
    "action_classifier.weights",
    "privacy_encoder.weights",
    "evaluate_action.classifier.weights",
    "attacks.weights",
    "attacks.clip_network.weights",
)
SETTING: dict[str, Any] = {
    "minimax.distortion_budget": 0.3,
    "microbatch": 16,
    "clip.test_clips": 1,
    "data.action.name": "folders",
    "data.privacy.name": "folders",
    "data.privacy.attributes": "auto",
    **{f"{group}.epochs": 1 for group in _EPOCHS},
    **{f"{group}.batch_size": 2 for group in ("reconstruct", "warm_up", "minimax", "evaluate_action")},
    **{f"{group}.batch_size": 8 for group in ("evaluate_privacy", "attacks")},
    **dict.fromkeys(_WEIGHTS),
}

SPACES.register("paper_size")(
    Space(
        source="a check, of no table",
        question="Does a whole trial run at the paper's size on a small machine, and what does it take?",
        settings=(SETTING,),
        attacks="standard",
    )
)
