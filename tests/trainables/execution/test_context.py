"""What the context of a stage gives to every stage alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.support.stages import stage_context
from trainables.config import TrialConfig


def test_a_seed_is_that_of_the_trial_the_stage_and_what_it_is_for(tmp_path: Path) -> None:
    """The same on every machine and in every version: stored stages were made with it."""

    def seed(trial: int, stage: str, purpose: str) -> int:
        return stage_context(stage, TrialConfig(seed=trial), tmp_path, tmp_path).seed(purpose)

    found = {(t, s, p): seed(t, s, p) for t in (0, 1) for s in ("warm_up", "minimax") for p in ("clips", "pairs")}
    assert len(set(found.values())) == 8
    assert found[1, "minimax", "pairs"] == np.random.SeedSequence([1, *b"minimax/pairs"]).generate_state(1)[0]
    assert (found[0, "warm_up", "clips"], found[1, "minimax", "pairs"]) == (129310461, 3073714089)
