"""`python -m analysis compare`: two trials on the same test items."""

from collections.abc import Callable

import pytest

from analysis.__main__ import main
from analysis.measure.compare import compare_trials, text
from analysis.read.attacks import AttackRecord, Control, item_metric
from analysis.read.store import AnalysisError
from analysis.read.study import RecordedStudy
from tests.support.fake_attacks import GROUPS, VIDEOS, action_answers, attack, attribute_answers, broken, figures_of, log
from tests.support.fake_studies import FakeTrial, metrics

Maker = Callable[..., RecordedStudy]
UNKNOWN = {
    **dict.fromkeys(("name", "title", "question", "risk", "measure"), ""),
    **dict.fromkeys(("score", "low", "high"), 0.0),
    "positive": Control("", 0.0, "", True),
    "negatives": (),
}


@pytest.fixture
def two(make_study: Maker) -> tuple[RecordedStudy, str, str]:
    """Settings a and b with seeds 0 to 2; answers of seed 0: a is right on 12 more videos of 40, and leaks less."""
    a, b = attribute_answers(0.95), attribute_answers(0.6)
    records = {"a": [attack("linkage", 0.6, risk="linkability")], "b": [attack("linkage", 0.9, risk="linkability")]}
    trials = [
        FakeTrial(
            label,
            seed=seed,
            metrics=metrics(top1 + 0.01 * seed * (label == "a"), leakage) | figures_of(records[label], leakage),
        )
        for label, top1, leakage in (("a", 36 / 40, a[1]), ("b", 24 / 40, b[1]))
        for seed in range(3)
    ]
    for trial in trials:
        trial.values = {"minimax.distortion_budget": 0.1 if trial.label == "a" else 0.9}
    study = make_study(trials)
    ids = [str(study.trials.index[(study.trials["label"] == label) & (study.trials["seed"] == 0)][0]) for label in "ab"]
    for run_id, right, answers, label in ((ids[0], 36, a[0], "a"), (ids[1], 24, b[0], "b")):
        kept = {"evaluate_action": action_answers([n < right for n in range(len(VIDEOS))]), "evaluate_privacy": answers}
        log(study.tracking_uri, run_id, records[label], kept)
    return study, ids[0], ids[1]


def test_metrics_of_the_trial_come_back_from_its_answers(two: tuple[RecordedStudy, str, str]) -> None:
    study, a, b = two
    found = {each.metric: each for each in compare_trials(study, a, b)}
    assert list(found) == ["top1", "leakage", "worst_leakage", "attack.linkage"]
    for metric, each in found.items():
        assert each.by_items is not None
        assert each.by_items.first.value == pytest.approx(study.trials.loc[a, metric])
        assert each.by_items.second.value == pytest.approx(study.trials.loc[b, metric])
    assert found["top1"].by_items.difference.low > 0
    assert found["leakage"].by_items.difference.high < 0
    assert found["top1"].by_seed == pytest.approx({0: 0.3, 1: 0.31, 2: 0.32})


def test_command(two: tuple[RecordedStudy, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    study, a, b = two
    command = ["compare", "--space", "toy", "--tracking-uri", study.tracking_uri, "--trial", a, "--trial", b[:12]]
    assert main([*command, "--metric", "top1"]) == 0
    said = capsys.readouterr().out
    assert f"A  a seed=0  run {a}" in said
    assert "A - B        +30.0 (" in said
    assert "A is higher with probability 99 %; p = 0.0" in said
    assert "(40 items in 20 groups)" in said
    assert "A - B +31.0 ± 2.5 (n = 3, seeds 0, 1, 2, in pairs); to find a difference of this size takes 2 seeds" in said
    assert main([*command, "--metric", "top5"]) == 0
    assert main([*command, "--metric", "clip_leakage"]) == 2
    assert "no trial of toy.small has it; there are: top1, leakage" in capsys.readouterr().err


def test_items_of_an_attack_get_their_sources_from_the_evaluators() -> None:
    record = attack("linkage", 0.8)
    bare = [{key: value for key, value in item.items() if key != "group"} for item in record["items"]]
    made = AttackRecord(**{**UNKNOWN, "chance": 0.5, "leakage": record["leakage"], "items": tuple(bare)})
    alone, known = item_metric(made), item_metric(made, dict(zip(VIDEOS, GROUPS, strict=True)))
    assert alone is not None
    assert known is not None
    assert (alone.groups, known.groups) == (VIDEOS, GROUPS)


def test_what_cannot_be_compared_is_said(make_study: Maker) -> None:
    records = [broken(attack("linkage", 0.9))]
    trials = [
        FakeTrial("a", metrics=metrics(0.9, 0.3) | figures_of(records)),
        FakeTrial("b", seed=1, metrics=metrics(0.8, 0.2), values={"minimax.distortion_budget": 0.9}),
    ]
    study = make_study(trials)
    a, b = (str(run_id) for run_id in study.trials.index)
    log(study.tracking_uri, a, records, {"evaluate_action": action_answers([True] * 40)})
    said = text(study, a, b, compare_trials(study, a, b))
    assert "no predictions by item were kept of it in b seed=1" in said
    assert "A and B have other seeds (0, 1)" in said
    assert "no seed in common" in said
    assert "INVALID: controls of A's attacks missed their level" in said
    assert "worst_leakage" not in [each.metric for each in compare_trials(study, a, b)]
    for wrong, message in ((("x", b), "no finished trial has that run id"), ((a, a), "given twice")):
        with pytest.raises(AnalysisError, match=message):
            compare_trials(study, *wrong)


def test_trials_tested_on_other_items(two: tuple[RecordedStudy, str, str]) -> None:
    study, a, _ = two
    other = str(study.trials.index[(study.trials["label"] == "b") & (study.trials["seed"] == 1)][0])
    answers = action_answers([True] * 40) | {"items": [f"other {video}" for video in VIDEOS]}
    log(study.tracking_uri, other, [], {"evaluate_action": answers})
    (found,) = compare_trials(study, a, other, ["top1"])
    assert found.by_items is None
    assert found.lacking.startswith("no test item in common")
