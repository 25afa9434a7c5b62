"""Whether an anonymizer remembers its training clips: controls of known outcome, the section, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn
from torch.nn import functional

from analysis.deploy.anonymizers import read_stored
from analysis.measure.membership import MembershipFigures
from analysis.read.store import AnalysisError
from analysis.read.study import RecordedStudy
from analysis.report.evidence import membership
from analysis.report.evidence.gather import read_evidence, with_membership
from analysis.report.evidence.membership import MembershipFinding, classifier_remembers, remembers, sentence
from tests.support.evidence_page import data, led_to, words
from tests.support.fake_studies import FakeTrial, metrics
from trainables.config import TrialConfig
from trainables.data.loader import Batch
from trainables.data.trial_data import TrialData
from trainables.evaluation.membership import _context, _overfitted, log_odds
from trainables.models.action import build_action_classifier
from trainables.models.anonymizers import build_anonymizer
from trainables.statistics import Interval
from trainables.store import Outcome, StageStore


def figures(auc: float, low: float, high: float) -> MembershipFigures:
    return MembershipFigures(Interval(auc, low, high, 48, 24), 0.25, 24, 24)


CAUGHT, BLIND = figures(0.98, 0.8, 0.99), figures(0.52, 0.4, 0.6)


def test_a_classifier_that_was_overfitted_is_caught_and_one_without_training_is_not(
    stored: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    config, storage = yaml.safe_dump(stored.model_dump(mode="json")), str(tmp_path / "store")
    record = {"stage_keys": {"evaluate_action": "k"}}
    with pytest.raises(AnalysisError, match=r"the action classifier of run r \(stage evaluate_action k\) is not there; give"):
        classifier_remembers("r", config, record, tiny_data, storage)
    torch.manual_seed(2)
    network = build_action_classifier(
        stored.evaluate_action.classifier.from_scratch, len(TrialData(stored, tiny_data).action_evaluation.classes), stored.clip
    )
    StageStore(storage).write("evaluate_action", "k", Outcome({}, state={"classifier": network.state_dict()}), {}, {})
    found = classifier_remembers("r", config, record, tiny_data, storage)
    assert found.overfitted.auc.low > 0.6
    assert found.untrained.auc.low < 0.5 < found.untrained.auc.high
    assert found.own.auc.low < 0.5 < found.own.auc.high, "this one learned nothing, and has nothing to remember"
    assert (found.own.members, found.own.others, found.overfitted.members) == (24, 24, 8)
    others = record | {"fingerprints": {"action_evaluation": "1234"}}
    with pytest.raises(AnalysisError, match=r"are others than those of run r \(fingerprint \w+, not 1234\)"):
        classifier_remembers("r", config, others, tiny_data, storage)


def test_a_classifier_that_learned_its_clips_by_heart_remembers_them(
    stored: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    """f_T' after 60 steps on its own training clips, as they are, and on nothing else."""
    config, storage = yaml.safe_dump(stored.model_dump(mode="json")), str(tmp_path / "store")
    anonymizer = read_stored(tmp_path / "anonymizer.pt").anonymizer
    with _context(stored, tiny_data, "cpu") as context:
        clips = context.data.action_evaluation
        torch.manual_seed(3)
        fresh = build_action_classifier(stored.evaluate_action.classifier.from_scratch, len(clips.classes), stored.clip)

        def shown(batch: Batch) -> torch.Tensor:
            return context.anonymized_view(anonymizer, batch)[1]

        def loss(network: nn.Module, anonymized: torch.Tensor, batch: Batch) -> torch.Tensor:
            return functional.cross_entropy(network(anonymized), batch["label"])

        network = _overfitted(context, fresh, clips.train, 60, shown, loss)
    StageStore(storage).write("evaluate_action", "k", Outcome({}, state={"classifier": network.state_dict()}), {}, {})
    found = classifier_remembers("r", config, {"stage_keys": {"evaluate_action": "k"}}, tiny_data, storage)
    assert found.own.auc.low > 0.6


def test_the_log_odds_of_the_right_action_by_hand() -> None:
    """Of p = 0.8 they are log 4; a p that rounds to 1 still differs from one that is nearer to it."""
    logits = torch.tensor([[0.8, 0.1, 0.1], [0.25, 0.25, 0.5]]).log()
    assert log_odds(logits, torch.tensor([0, 2])).tolist() == pytest.approx([math.log(4.0), 0.0], abs=1e-6)
    sure = log_odds(torch.tensor([[90.0, 0.0], [99.0, 0.0]]), torch.tensor([0, 0]))
    assert sure.tolist() == [90.0, 99.0]


@pytest.fixture
def stored(tiny_config: TrialConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrialConfig:
    """A trial whose anonymizer was never trained."""
    torch.manual_seed(1)
    network = build_anonymizer(tiny_config.anonymizer.from_scratch, tiny_config.options)
    content = {"config": tiny_config.anonymizer.model_dump(mode="json"), "state_dict": network.state_dict()}
    torch.save(content, tmp_path / "anonymizer.pt")
    monkeypatch.setattr(membership, "fetch_trial", lambda *_: tmp_path / "anonymizer.pt")
    return tiny_config


def test_one_that_was_overfitted_is_caught_and_one_without_training_is_not(stored: TrialConfig, tiny_data: Path) -> None:
    config = yaml.safe_dump(stored.model_dump(mode="json"))
    found = remembers("run", config, {}, tiny_data)
    assert found.overfitted.auc.low > 0.6
    assert found.untrained.auc.low < 0.5 < found.untrained.auc.high
    assert found.own.auc.low < 0.5 < found.own.auc.high, "this one learned nothing, and has nothing to remember"
    assert found.valid
    assert (found.own.members, found.own.others, found.overfitted.members) == (24, 24, 8)
    with pytest.raises(AnalysisError, match=r"are others than those of run r \(fingerprint \w+, not 1234\); give the data"):
        remembers("r", config, {"fingerprints": {"action": "1234"}}, tiny_data)
    with pytest.raises(AnalysisError, match="--data-root"):
        remembers("r", config, {}, tiny_data / "nowhere")


def test_figures_count_only_beside_controls_that_hold() -> None:
    assert MembershipFinding(BLIND, CAUGHT, BLIND).valid
    assert not MembershipFinding(BLIND, figures(0.7, 0.55, 0.8), BLIND).valid, "an overfitted one was not surely caught"
    assert not MembershipFinding(BLIND, CAUGHT, CAUGHT).valid, "an untrained one was: the clips themselves differ"
    assert not MembershipFinding(BLIND, figures(0.98, float("nan"), float("nan")), BLIND).valid
    assert "cannot be told" in sentence(MembershipFinding(BLIND, CAUGHT, BLIND))
    assert "can be told from other clips by it" in sentence(MembershipFinding(figures(0.7, 0.6, 0.8), CAUGHT, BLIND))
    assert sentence(MembershipFinding(BLIND, CAUGHT, CAUGHT)).startswith("INVALID")


def test_the_page_and_its_data_have_it(make_study: Callable[..., RecordedStudy]) -> None:
    study = make_study([FakeTrial("a", metrics=metrics(0.9, 0.3))])
    without = read_evidence(str(study.trials.index[0]), study.tracking_uri)
    remembers_whom = "Whether the anonymizer, in the hands of others, tells whose videos it was trained on"
    command = f"python -m analysis evidence --trial {without.trial['run']} --tracking-uri URI --data-root DATA --out evidence"
    assert f"{remembers_whom}. {command}" in words(without)
    assert f"{remembers_whom}." in without.lines
    of_f_t = MembershipFinding(figures(0.9, 0.85, 0.95), CAUGHT, BLIND)
    found = with_membership(without, MembershipFinding(figures(0.7, 0.6, 0.8), CAUGHT, BLIND), of_f_t)
    page = words(found)
    assert led_to(found, "membership") == ["repeat"] * 6
    assert remembers_whom not in page
    assert not [line for line in found.lines if line.startswith(remembers_whom)]
    assert "in 70.0 % (interval 60.0 % to 80.0 %) of all pairs, where guessing gives 50 %" in page
    assert "overfitted on purpose (must be caught) 98.0 (80.0 to 99.0) 25.0 24 24" in page
    assert "the action classifier 90.0 (85.0 to 95.0) 25.0 24 24" in page
    assert "has its action recognised more surely than another clip in 90.0 %" in page
    assert "the clips that the action classifier was trained on can be told from other clips by it" in page
    read = data(found)
    assert read["classifier_membership"]["own"]["auc"]["value"] == 0.9
    assert read["membership"]["own"]["auc"]["value"] == 0.7
    assert data(without)["membership"] is None
