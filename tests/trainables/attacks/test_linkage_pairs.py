"""What the embedder of linkage learns from: pairs of clips of one person, anonymized and ordinary, and who is who."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor

from tests.support.recording import ran
from trainables.attacks.linkage import training

FEW = {f"{name}__epochs": 1 for name in ("reconstruct", "warm_up", "minimax", "evaluate_action", "evaluate_privacy")}


def test_pairs_are_of_one_person_and_ordinary_clips_those_of_the_second(
    numbered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[int]] = []
    honest = training.contrastive

    def contrastive(first: Tensor, second: Tensor, people: Tensor) -> Tensor:
        told.append(people.tolist())
        return honest(first, second, people)

    monkeypatch.setattr(training, "contrastive", contrastive)
    found = ran(numbered, tmp_path, **FEW, attacks__names="linkage", attacks__batch_size=12, evaluate_privacy__clips=False)
    looks = [look for look in found.log.roles["attack_linkage"] if look.doing == "learns" and look.network == "embedder"]
    assert looks
    every = iter(told)
    for look in looks:
        frames = [clip[0] for clip in look.clips]  # anonymized first clips, anonymized second ones, ordinary second ones
        third = len(frames) // 3
        first, second, ordinary = frames[:third], frames[third : 2 * third], frames[2 * third :]
        assert {frame.view for frame in (*first, *second)} == {"f_A"}
        assert [(frame.item, frame.frame) for frame in second] == [(frame.item, frame.frame) for frame in ordinary]
        assert {frame.view for frame in ordinary} == {"raw"}
        items = [frame.item for frame in first[::2]]  # two frames of each clip
        assert [frame.item // 2 for frame in first] == [frame.item // 2 for frame in second], "the same source, the same person"
        assert all(a.item != b.item for a, b in zip(first, second, strict=True))
        for people in (next(every), next(every)):  # the anonymized pair, then the pair with the ordinary clip
            assert len(people) == len(items)
            same = [[a == b for b in people] for a in people]
            assert same == [[a // 2 == b // 2 for b in items] for a in items]
