"""Attacks with a network that was trained on other pictures: what they see, whom they find, and where they are not tried."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.stages import stage_context
from trainables.attacks.linkage.people import across_sources, search_of
from trainables.attacks.pretrained import FEATURES, neighbour, probe, utility
from trainables.attacks.pretrained.features import run as features
from trainables.attacks.pretrained.features import summed
from trainables.attacks.shared.result import AttackResult
from trainables.attacks.shared.verdict import figures_of
from trainables.config import NetworkConfig, TrialConfig, with_values
from trainables.data.items import StillSplits, Video, VideoSplits
from trainables.data.trial_data import TrialData
from trainables.methods import METHODS, resolved, sees_time
from trainables.models import packaged
from trainables.models.anonymizers import build_anonymizer
from trainables.models.privacy import build_privacy_classifier
from trainables.plan import plan_trial
from trainables.stages import part_name
from trainables.store import Outcome

PEOPLE = ("anna", "bert")


def video(name: str, who: int, group: str) -> Video:
    return Video(name, Path(name), 0, group, (1.0 - who, float(who)))


def splits(train: list[Video], test: list[Video]) -> VideoSplits:
    return VideoSplits("set", ("walk",), PEOPLE, tuple(train), (), tuple(test))


def test_a_clip_of_the_same_source_is_no_candidate() -> None:
    """Two cameras saw one performance: who finds the other camera has not found the person again."""
    train = [video("a1", 0, "first"), video("a2", 0, "second"), video("b", 1, "third")]
    data = splits(train, [video("a1 again", 0, "first")])
    search = across_sources(search_of(data, data.test, "attributes"), data, "attributes")
    assert search.candidates.tolist() == [[False, True, True]]
    kept = across_sources(search_of(data, data.test, "group"), data, "group")
    assert np.array_equal(kept.candidates, search_of(data, data.test, "group").candidates)


def test_the_curves_are_of_published_features_against_those_of_the_search_that_counts() -> None:
    """Everybody is published with the features of another: who knows published clips links all of them to one another."""
    names = ("anna", "bert", "carl", "dora")

    def clips(split: str) -> tuple[Video, ...]:
        return tuple(
            Video(f"{split}{number}", Path("x"), 0, f"{split}{number}", tuple(float(number // 2 == who) for who in range(4)))
            for number in range(8)
        )

    data = VideoSplits("set", ("walk",), names, clips("train"), clips("validation"), clips("test"))
    raw = dict.fromkeys(("train", "validation", "test"), torch.eye(4).repeat_interleave(2, 0))
    published = {split: rows.roll(2, 0) for split, rows in raw.items()}
    context: Any = SimpleNamespace(
        config=SimpleNamespace(attacks=SimpleNamespace(people="attributes", permuted=False)),
        data=SimpleNamespace(clips_with_attributes=data),
        inputs={FEATURES.name: Outcome({}, state=published), part_name(FEATURES.name, "raw"): Outcome({}, state=raw)},
        seed=lambda purpose: 0,
    )
    points = neighbour.run(context).state["people_at_risk"]
    assert {point["value"] for point in points if point["risk"] == "linkability"} == {1.0}


@pytest.fixture
def config(tiny_config: TrialConfig, tmp_path: Path) -> TrialConfig:
    torch.manual_seed(0)
    torch.save(build_privacy_classifier(NetworkConfig(name="narrow2d"), 1).state_dict(), tmp_path / "narrow2d.pt")
    own = {"attacks.pretrained": {"name": "narrow2d", "weights": str(tmp_path / "narrow2d.pt")}, "attacks.pretrained_size": 32}
    return resolved(
        with_values(tiny_config, {**own, "method": "raw", "attacks.names": "pretrained_probe,pretrained_neighbour"})
    )


def test_features_that_tell_are_read_and_others_are_not(config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    """Features that are the labels are read surely; of features that are one and the same nothing is, as of blank frames."""
    data = TrialData(config, tiny_data).clips_with_attributes
    for told, expected in ((True, 1.0), (False, 0.0)):
        state = {
            split: torch.tensor([item.attributes for item in getattr(data, split)]).float() * told
            for split in ("train", "validation", "test")
        }
        context = stage_context(
            "attack_pretrained_probe", config, tiny_data, tmp_path, {FEATURES.name: Outcome({}, state=state)}
        )
        found = figures_of(AttackResult(**probe.run(context).state["evidence"]))
        assert found.leakage == pytest.approx(expected, abs=0.02)


def test_the_action_is_told_by_features_that_tell_it() -> None:
    """Of 10 test clips the features give away 8; of features that are all alike only the most frequent action is told."""

    def clips(count: int, share: float, split: str) -> tuple[Video, ...]:
        return tuple(
            Video(f"{split}{n}", Path("x"), int(n < share * count), f"{split}{n // 2}", (1.0, 0.0)) for n in range(count)
        )

    train, validation, test = clips(20, 0.6, "train"), clips(4, 0.5, "validation"), clips(10, 0.3, "test")
    data = VideoSplits("set", ("walk", "wave"), PEOPLE, train, validation, test)
    features = {
        split: torch.tensor([[float(video.label), 7.0] for video in getattr(data, split)])
        for split in ("train", "validation", "test")
    }
    features["test"][8:, 0] = 1.0  # two clips of walking that look like waving
    found = utility.action_metrics(features, data)
    assert found["pretrained_top1"] == pytest.approx(0.8)
    assert found["pretrained_top1_low"] < 0.8 < found["pretrained_top1_high"]
    alike = {split: torch.ones_like(rows) for split, rows in features.items()}
    assert utility.action_metrics(alike, data)["pretrained_top1"] == pytest.approx(0.3), "14 of 24 wave, as 3 of 10 in test"
    assert utility.action_metrics(features, StillSplits("images", ("a",), (), (), ())) == {}


def test_sums_over_time_by_hand() -> None:
    """Grey differences of a clip of the greys 2, 2, 5, 4 (of 10): sums are those greys again, stretched."""
    clip = torch.full((1, 4, 3, 4, 4), 0.5)
    clip[0, 2, :, 1, 1], clip[0, 3, :, 1, 1] = 0.8, 0.4
    found = summed(clip)
    assert found[0, :, 0, 1, 1].tolist() == pytest.approx([0.0, 0.0, 1.0, 2 / 3])
    assert found[0, :, 0, 0, 0].tolist() == [0.0] * 4, "where nothing moves"
    assert bool((summed(torch.full((2, 3, 3, 4, 4), 0.3)) == 0.5).all()), "a flat clip"


def test_sums_are_tried_where_an_anonymizer_sees_time(config: TrialConfig, tiny_data: Path) -> None:
    def roles(**values: object) -> set[str]:
        own = {"attacks.names": "pretrained_summed", "anonymizer.name": "unetpp", **values}
        asked = resolved(with_values(config.model_copy(update={"options": {}}), own))
        return {stage.role for stage in plan_trial(asked, TrialData(asked, tiny_data)).stages if "pretrained" in stage.role}

    stages = ("pretrained_summed_features", "attack_pretrained_summed")
    parts = {f"{stage}{control}" for stage in stages for control in ("", ".raw", ".blank")}
    expected = {*parts, "attack_pretrained_summed.permuted"}
    assert roles(method="grey_difference") == expected
    assert roles(method="penalty", **{"anonymizer.window": 2}) == expected
    assert roles(method="raw") == roles(method="penalty") == set()


def test_a_method_over_time_is_one_whose_anonymizer_sees_time(tiny_config: TrialConfig) -> None:
    for name in METHODS:
        if METHODS[name].given:
            continue  # what it sees is known once its file is open
        own = {field: value for field, value in METHODS[name].recipe.items() if field == "anonymizer.dial"}
        config = resolved(with_values(tiny_config, {"method": name, "anonymizer.encoder_weights": None, **own}))
        assert build_anonymizer(config.anonymizer, config.options).sees_time == METHODS[name].over_time == sees_time(config), (
            name
        )


def test_features_are_the_same_whatever_the_labels(config: TrialConfig, tiny_data: Path) -> None:
    """The control of exchanged labels builds on the features of raw data, which are computed once."""
    plan = plan_trial(config, TrialData(config, tiny_data))
    roles = {stage.role: stage for stage in plan.stages}
    assert {role for role in roles if role.startswith(FEATURES.name)} == {FEATURES.name, f"{FEATURES.name}.blank"}
    permuted = roles["attack_pretrained_probe.permuted"]
    assert permuted.inputs[FEATURES.name] == FEATURES.name
    assert not any(role.startswith(FEATURES.name) for role in roles["attacks"].inputs)


def test_features_are_in_the_order_of_the_items(config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    one = with_values(config, {"attacks.batch_size": 8})
    many = with_values(config, {"attacks.batch_size": 512})
    first, second = (features(stage_context(FEATURES.name, each, tiny_data, tmp_path)).state for each in (one, many))
    items = TrialData(config, tiny_data).clips_with_attributes
    for split, found in first.items():
        assert found.shape == (len(getattr(items, split)), 256)
        assert torch.allclose(found, second[split], atol=1e-4)


def test_without_weights_it_is_not_tried(config: TrialConfig, tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "_located", lambda *_: None)
    asked = with_values(config, {"attacks.pretrained": {"name": "mobilenet_v2", "weights": "package"}})
    plan = plan_trial(asked, TrialData(asked, tiny_data))
    assert not any("pretrained" in stage.role for stage in plan.stages)
