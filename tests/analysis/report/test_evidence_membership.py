"""Whether an anonymizer remembers its training clips: controls of known outcome, the section, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from analysis.measure.membership import MembershipFigures
from analysis.read.store import AnalysisError
from analysis.read.study import RecordedStudy
from analysis.report.evidence import membership
from analysis.report.evidence.gather import read_evidence
from analysis.report.evidence.membership import MembershipFinding, remembers, sentence
from analysis.report.evidence.output import data_of
from analysis.report.evidence.output import page as page_of
from tests.support.fake_studies import FakeTrial, metrics
from trainables.config import TrialConfig
from trainables.models.anonymizers import build_anonymizer
from trainables.statistics import Interval


def figures(auc: float, low: float, high: float) -> MembershipFigures:
    return MembershipFigures(Interval(auc, low, high, 48, 24), 0.25, 24, 24)


CAUGHT, BLIND = figures(0.98, 0.8, 0.99), figures(0.52, 0.4, 0.6)


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
    assert "This was not tried. Whoever is given the anonymizer" in page_of(without)
    found = replace(without, membership=MembershipFinding(figures(0.7, 0.6, 0.8), CAUGHT, BLIND))
    page = " ".join(re.sub(r"<[^>]+>", " ", page_of(found)).replace("\N{NO-BREAK SPACE}", " ").split())
    assert "in 70.0 % (interval 60.0 % to 80.0 %) of all pairs, where guessing gives 50 %" in page
    assert "overfitted on purpose (must be caught) 98.0 (80.0 to 99.0) 25.0 24 24" in page
    data = json.loads(json.dumps(data_of(found), allow_nan=False))
    assert data["membership"]["own"]["auc"]["value"] == 0.7
    assert data_of(without)["membership"] is None
