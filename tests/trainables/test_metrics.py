from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from trainables.metrics import chance_top1, leakage_of, retrieve, topk_accuracy

ITEMS = [str(number) for number in range(5000)]  # each of a source of its own


def test_topk() -> None:
    probabilities = np.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3], [0.2, 0.3, 0.5]])
    labels = np.array([1, 2, 0])
    assert topk_accuracy(probabilities, labels, 1) == pytest.approx(1 / 3)
    assert topk_accuracy(probabilities, labels, 2) == pytest.approx(2 / 3)
    assert topk_accuracy(probabilities, labels, 5) == 1.0


def test_chance_top1_is_the_most_frequent_class() -> None:
    assert chance_top1(np.array([0, 1, 1, 2])) == 0.5


def slow_average_precision(scores: list[float], labels: list[float]) -> float:
    """Mean over the positives of the precision at their rank."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    hits, precisions = 0, []
    for rank, i in enumerate(order, start=1):
        if labels[i]:
            hits += 1
            precisions.append(hits / rank)
    return sum(precisions) / len(precisions)


def test_leakage_against_a_slow_transcription() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.random((50, 3)), (rng.random((50, 3)) < 0.3).astype(float)
    found = leakage_of(scores, labels, ("a", "b", "c"), ITEMS[:50])
    slow = [slow_average_precision(scores[:, i].tolist(), labels[:, i].tolist()) for i in range(3)]
    assert found.cmap == pytest.approx(np.mean(slow))
    assert found.prevalence == pytest.approx(labels.mean(axis=0).mean())
    assert found.prevalences == pytest.approx(dict(zip("abc", labels.mean(axis=0), strict=True)))
    shuffled = [slow_average_precision(scores[:, 0].tolist(), rng.permutation(labels[:, 0]).tolist()) for _ in range(4000)]
    assert found.ap_chance["a"] == pytest.approx(np.mean(shuffled), abs=0.005)
    assert found.chance_cmap == pytest.approx(np.mean(list(found.ap_chance.values())))
    assert found.leakage == pytest.approx((found.cmap - found.chance_cmap) / (1 - found.chance_cmap))


def test_a_random_scorer_is_at_chance_and_a_perfect_one_at_full_leakage() -> None:
    rng = np.random.default_rng(1)
    labels = (rng.random((5000, 2)) < [0.2, 0.7]).astype(float)
    assert leakage_of(rng.random((5000, 2)), labels, ("a", "b"), ITEMS).leakage == pytest.approx(0.0, abs=0.03)
    assert leakage_of(labels, labels, ("a", "b"), ITEMS).leakage == pytest.approx(1.0)


def test_f1_is_taken_at_probability_one_half() -> None:
    """Not at logit 0.5, which is probability 0.62 (the released code)."""
    labels = np.array([[1.0], [1.0], [0.0], [0.0]])
    probabilities = np.array([[0.55], [0.9], [0.1], [0.2]])
    assert leakage_of(probabilities, labels, ("a",), ITEMS[:4]).macro_f1 == 1.0


def test_an_attribute_of_one_value_is_left_out_and_named() -> None:
    labels = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    found = leakage_of(np.array([[0.9, 0.1], [0.1, 0.2], [0.8, 0.3]]), labels, ("kept", "constant"), ITEMS[:3])
    assert found.skipped == ("constant",)
    assert set(found.ap) == {"kept"}
    with pytest.raises(ValueError, match="no attribute"):
        leakage_of(np.zeros((3, 1)), np.ones((3, 1)), ("constant",), ITEMS[:3])


def test_f1_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(4)
    labels, probabilities = (random.random((20, 5)) < 0.3).astype(float), random.random((20, 5))
    for threshold in (0.05, 0.5, 0.99):
        found = leakage_of(probabilities, labels, tuple("abcde"), ITEMS[:20], threshold)
        assert found.macro_f1 == f1_score(labels, probabilities >= threshold, average="macro", zero_division=0.0)


@pytest.mark.parametrize("digits", [1, 12])
def test_the_mean_average_precision_of_a_search_is_that_of_scikit_learn(digits: int) -> None:
    """With one digit most candidates are equal to others."""
    random = np.random.default_rng(5)
    similarity, same = random.normal(size=(15, 20)).round(digits), random.random((15, 20)) < 0.3
    candidates = random.random((15, 20)) < 0.8
    found = retrieve(similarity, same, candidates)
    each = [
        average_precision_score(right[asked], score[asked])
        for score, right, asked in zip(similarity, same, candidates, strict=True)
    ]
    assert found.asked.all()
    assert found.mean_ap == pytest.approx(np.mean(each), abs=1e-12)
