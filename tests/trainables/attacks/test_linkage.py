"""Who is looked for among whom, and the figures of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainables.attacks.linkage import training
from trainables.attacks.linkage.pairs import PersonPairs
from trainables.attacks.linkage.people import PersonSearch, named_by_label, search_of
from trainables.attacks.linkage.training import contrastive
from trainables.config import ClipConfig
from trainables.data.items import DataError, Video, VideoSplits
from trainables.losses import nt_xent
from trainables.metrics import retrieve


def video(name: str, label: int, group: str, *attributes: float) -> Video:
    return Video(name, Path(name), label, group, attributes or None)


def splits(train: tuple[Video, ...], test: tuple[Video, ...], name: str = "folders", attributes: int = 2) -> VideoSplits:
    return VideoSplits(name, ("a", "b"), tuple(f"person_{n}" for n in range(attributes)), train, (), test)


def test_people_with_one_label_each_are_looked_for_among_training_clips() -> None:
    known = splits(
        (video("t1", 0, "g1", 1.0, 0.0), video("t2", 1, "g2", 0.0, 1.0)),
        (video("q1", 1, "g3", 1.0, 0.0),),
    )
    assert named_by_label(known, "auto")
    assert not named_by_label(known, "group")
    search = search_of(known, known.test, "auto")
    assert search.gallery == known.train
    assert search.same.tolist() == [[True, False]]
    assert search.candidates.all()


def test_clips_with_several_labels_do_not_say_who_they_show() -> None:
    several = splits((video("t1", 0, "g1", 1.0, 1.0),), (video("q1", 0, "g2", 1.0, 0.0),))
    assert not named_by_label(several, "auto")
    with pytest.raises(DataError, match=r"attacks\.people = attributes, but not every clip carries exactly one label"):
        named_by_label(several, "attributes")


def test_people_seen_in_one_class_only_are_looked_for_there_so_that_the_action_does_not_help() -> None:
    labels = [(label, f"{label}/{group}", part) for label in (0, 1) for group in "xy" for part in (0, 1)]
    test = tuple(video(f"{group} {part}", label, group) for label, group, part in labels)
    search = search_of(splits((), test, "ucf101"), test, "group")
    assert search.same.sum(axis=1).tolist() == [2] * 8, "itself, and the other clip of the same class and group"
    for number, item in enumerate(test):
        among = [test[other] for other in np.flatnonzero(search.candidates[number])]
        assert {other.label for other in among} == {item.label}
        assert item not in among


def test_people_seen_in_two_classes_are_looked_for_in_both() -> None:
    test = tuple(video(f"{label} {group}", label, group) for label in (0, 1) for group in "xy")
    search = search_of(splits((), test, "folders"), test, "group")
    assert search.candidates.sum(axis=1).tolist() == [3] * 4
    assert search.asked.all()
    alone = tuple(video(f"{group}", 0, group) for group in "wxyz")
    assert not search_of(splits((), alone, "folders"), alone, "group").asked.any()


def test_equal_candidates_are_drawn_by_lot() -> None:
    same = np.array([[True, False, False, True], [False, True, False, False], [False, False, False, False]])
    everything = np.ones_like(same)
    blank = retrieve(np.zeros((3, 4)), same, everything)
    assert blank.asked.tolist() == [True, True, False], "nobody of the third is there"
    assert blank.hits.tolist() == [0.5, 0.25] == blank.chances.tolist()
    assert blank.eer == pytest.approx(0.5)
    found = retrieve(np.where(same, 0.9, 0.1), same, everything)
    assert found.hits.tolist() == [1.0, 1.0]
    assert (found.mean_ap, found.eer) == (1.0, 0.0)
    wrong = retrieve(np.array([[0.2, 0.9, 0.1, 0.0]]), same[:1], np.array([[True, True, True, False]]))
    assert wrong.hits.tolist() == [0.0]
    assert wrong.chances.tolist() == pytest.approx([1 / 3])
    assert wrong.best.tolist() == [1]
    with pytest.raises(ValueError, match="no test clip"):
        retrieve(np.zeros((1, 2)), np.zeros((1, 2), dtype=bool), np.ones((1, 2), dtype=bool))


def test_the_contrastive_loss_is_nt_xent_where_everybody_is_there_once() -> None:
    torch.manual_seed(0)
    first, second = torch.nn.functional.normalize(torch.randn(2, 5, 8), dim=2)
    assert contrastive(first, second, torch.arange(5)).item() == pytest.approx(nt_xent(first, second, 0.1).item(), rel=1e-5)
    assert contrastive(first, first, torch.zeros(5, dtype=torch.long)).isfinite()


def test_a_pair_is_of_one_person_and_of_another_source_where_there_is_one() -> None:
    items = (
        video("a", 0, "g1"),
        video("b", 0, "g1"),
        video("c", 0, "g2"),
        video("d", 0, "g3"),
        video("e", 0, "g3"),
        video("f", 0, "g4"),
    )
    pairs = PersonPairs(items, ClipConfig(), 0, [0, 0, 0, 1, 1, 2])
    assert pairs._others == [[2], [2], [0, 1], [4], [3], [5]]


@pytest.mark.parametrize("strongest", [0, 1])
def test_the_figures_of_linkage_are_those_of_the_search_that_is_easier_on_validation_clips(
    strongest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among anonymized clips two of three are found, among ordinary ones one."""
    clips = tuple(video(f"clip {number}", 0, f"group {number}") for number in range(3))
    same, everybody = np.eye(3, dtype=bool), np.ones((3, 3), dtype=bool)
    similar = [
        np.array([[0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.8, 0.1, 0.2]]),
        np.array([[0.9, 0, 0], [0.5, 0.1, 0], [0.8, 0, 0.2]]),
    ]
    found = (retrieve(similar[0], same, everybody), retrieve(similar[1], same, everybody))
    pictured: list[list[str]] = []

    def middle(context: Any, anonymizer: Any, items: list[Video], *_: Any) -> tuple[torch.Tensor, torch.Tensor]:
        pictured.append([item.name for item in items])
        return torch.zeros(len(items), 3, 4, 4), torch.zeros(len(items), 3, 4, 4)

    monkeypatch.setattr(training, "_middle_frames", middle)
    search, validated = PersonSearch(clips, clips, same, everybody), [0.1, 0.2] if strongest else [0.2, 0.1]
    result = training._evidence(None, None, search, found, ClipConfig(), None, validated)  # type: ignore[arg-type]
    assert result.answers.mean(dim=1).tolist() == pytest.approx([2 / 3, 1 / 3])
    assert (result.others["rank1_anonymized"], result.others["rank1_ordinary"]) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert result.others["rank1"] == pytest.approx([2 / 3, 1 / 3][strongest])
    assert result.others["map"] == pytest.approx(found[strongest].mean_ap)
    assert result.members == ["among anonymized clips", "among ordinary clips"]
    assert result.caption.startswith(f"raw, anonymized, and the {['anonymized', 'ordinary'][strongest]} clip")
    assert pictured[1] == [clips[found[strongest].best[int(name[-1])]].name for name in pictured[0]]
