"""The weights of an anonymizer are stored once, with their stage, and found there by the record that MLflow has."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trainables.config import TrialConfig
from trainables.store import Outcome, StageStore
from trainables.stored_anonymizer import NotStored, StoredAnonymizer, digest_of_weights

WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(7)}
KEYS = {"reconstruct": "r", "minimax": "m"}


def trained(storage: Path, config: TrialConfig | None = None) -> StoredAnonymizer:
    """Where the stage `minimax` has left it."""
    outcome = Outcome({}, state={"anonymizer": WEIGHTS, "action": {}})
    StageStore(storage).write("minimax", "m", outcome, {}, {})
    stored = StoredAnonymizer.of_trial(config or TrialConfig(), str(storage), KEYS, {"minimax": outcome})
    assert stored is not None
    return StoredAnonymizer.of_json(stored.to_json())


def test_it_is_fetched_with_what_builds_it(tmp_path: Path) -> None:
    stored = trained(tmp_path)
    assert (stored.storage, stored.stage, stored.key, stored.options) == (str(tmp_path), "minimax", "m", None)
    content = torch.load(io.BytesIO(stored.fetch()), weights_only=True)
    assert content.keys() == {"config", "state_dict"}
    assert content["config"] == TrialConfig().anonymizer.model_dump(mode="json")
    assert all(torch.equal(content["state_dict"][name], WEIGHTS[name]) for name in WEIGHTS)
    with_options = torch.load(io.BytesIO(replace(stored, options={"at": 0.5}).fetch()), weights_only=True)
    assert with_options["options"] == {"at": 0.5}


def test_nobody_trains_one_for_raw_video() -> None:
    assert StoredAnonymizer.of_trial(TrialConfig(method="raw"), "s", {}, {}) is None


def test_a_storage_that_was_moved_is_searched_where_it_may_be(tmp_path: Path) -> None:
    stored, moved = trained(tmp_path / "before"), tmp_path / "after"
    (tmp_path / "before").rename(moved)
    assert stored.fetch([str(tmp_path / "nothing"), str(moved)]) == trained(tmp_path / "again").fetch()


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    stored = trained(tmp_path)
    with pytest.raises(
        NotStored, match=r"its anonymizer is stage minimax x of a storage, but .* has no such stage; ftpp://x cannot"
    ):
        replace(stored, key="x").fetch(["ftpp://x"])
    with pytest.raises(NotStored, match="has other weights there"):
        replace(stored, digest="abc").fetch()


@pytest.mark.parametrize(
    "other",
    [
        {**WEIGHTS, "c": torch.tensor(7)},
        {"a": WEIGHTS["a"], "c": WEIGHTS["b"]},
        {**WEIGHTS, "a": torch.arange(6.0).reshape(3, 2)},
        {**WEIGHTS, "b": torch.tensor(7.0)},
        {**WEIGHTS, "a": WEIGHTS["a"] + 1e-6},
    ],
)
def test_other_weights_have_another_digest(other: dict[str, torch.Tensor]) -> None:
    assert digest_of_weights(other) != digest_of_weights(WEIGHTS)
    assert digest_of_weights(dict(reversed(WEIGHTS.items()))) == digest_of_weights(WEIGHTS)
