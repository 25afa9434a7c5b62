"""Trials with attacks: what they record, what they share, and what is said when a control misses its level."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.plugin_files import example
from trainables.attacks import ATTACKS
from trainables.attacks.shared import learning
from trainables.config import ConfigError, NetworkConfig, Runtime, TrialConfig, with_values
from trainables.data.trial_data import TrialData
from trainables.execution.context import StageContext
from trainables.failures import Stopped
from trainables.models.privacy import build_privacy_classifier
from trainables.pipeline import TrialRecord, run_trial
from trainables.plan import plan_trial
from trainables.store import Outcome

SMALL = {
    "attacks.epochs": 2,
    "attacks.frames": 2,
    "attacks.batch_size": 16,
    "attacks.learning_rate": 5e-3,
    "attacks.ensemble": ("narrow2d", "residual2d"),
    "attacks.encoder": "narrow2d",
    "attacks.weights": None,
    "attacks.clip_network.name": "narrow3d",
    "attacks.clip_network.weights": None,
    "attacks.decoder_width": 4,
    "attacks.pretrained.name": "narrow2d",
    "attacks.pretrained_clips": 1,
    "attacks.pretrained_size": 32,
}
# Generated people are too small for whoever looks for faces, text or people, and neither method here sees time.
TRIED = [name for name in ATTACKS if not name.startswith(("face", "text", "people")) and name != "pretrained_summed"]
SILENT = {"evaluate_privacy.clips": False, "evaluate_privacy.epochs": 1, "evaluate_action.epochs": 1, "clip.test_clips": 1}


@dataclass
class Listener:
    """Stops after `limit` epochs."""

    limit: int = 10**6
    epochs: int = 0

    def epoch(self, *_: object) -> None:
        self.epochs += 1

    def waiting(self, *_: object) -> None: ...

    def finished(self, *_: object) -> None: ...

    def stop(self) -> bool:
        return self.epochs >= self.limit


def run(config: TrialConfig, data: Path, storage: Path, limit: int = 10**6) -> tuple[TrialRecord, dict[str, Outcome]]:
    listener = Listener(limit)
    return run_trial(config, Runtime(data_root=str(data), storage=str(storage), device="cpu"), listener, listener.stop)


@pytest.fixture(scope="module")
def config(tiny_config: TrialConfig, tmp_path_factory: pytest.TempPathFactory) -> TrialConfig:
    """With every attack that generated clips allow; the network from elsewhere is a small one, in a file."""
    torch.manual_seed(0)
    elsewhere = tmp_path_factory.mktemp("weights") / "narrow2d.pt"
    torch.save(build_privacy_classifier(NetworkConfig(name="narrow2d"), 1).state_dict(), elsewhere)
    own = {"method": "raw", "attacks.names": "all", "attacks.pretrained.weights": str(elsewhere)}
    return with_values(tiny_config, {**SMALL, **SILENT, **own})


def of_method(config: TrialConfig, method: str) -> TrialConfig:
    return config.model_copy(update={"method": method, "options": {}})


@dataclass
class Trials:
    storage: Path
    raw: tuple[TrialRecord, dict[str, Outcome]]
    blank: tuple[TrialRecord, dict[str, Outcome]]


@pytest.fixture(scope="module")
def trials(config: TrialConfig, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trials:
    storage = tmp_path_factory.mktemp("attacks")
    raw = run(config, tiny_data, storage)
    return Trials(storage, raw, run(of_method(config, "blank"), tiny_data, storage))


def attack_files(outcomes: dict[str, Outcome]) -> dict[str, dict]:
    files = outcomes["attacks"].files
    return {name: json.loads(files[f"attacks/{name}.json"]) for name in TRIED}


def test_every_attack_records_its_figures_controls_effort_and_items(trials: Trials) -> None:
    record, outcomes = trials.raw
    for name, found in attack_files(outcomes).items():
        metrics = {key: record.metrics[f"{key}.{name}"] for key in ("attack", "attack_low", "attack_high", "attack_raw")}
        assert metrics["attack_low"] <= metrics["attack"] <= metrics["attack_high"], name
        assert metrics["attack"] == metrics["attack_raw"], f"{name}: of raw data it is its own positive control"
        assert found["leakage"] == pytest.approx(metrics["attack"], abs=1e-6)
        assert found["leakage"] == pytest.approx((found["score"] - found["chance"]) / (1 - found["chance"]), abs=1e-5)
        assert found["risk"] in ("singling out", "linkability", "inference")
        assert found["effort"].keys() == {"epochs", "items", "parameters", "seconds"}
        assert found["effort"]["parameters"] > 0
        assert len({item["id"] for item in found["items"]}) == len(found["items"]) <= 24
        assert set(found["worst"]) <= {item["id"] for item in found["items"]}
        assert found["question"].endswith("?")
        assert found["has"] == list(ATTACKS[name].has)
    assert len(attack_files(outcomes)["retrained"]["curve"]) == 2, "an epoch a point"
    for name in ("retrained", "inversion"):  # they read single frames
        items = attack_files(outcomes)[name]["items"]
        looked_at = {item["frames"] for item in items}
        assert len(looked_at) == 1
        assert all(0 <= item["longest_run"] <= item["frames"] for item in items)
        assert attack_files(outcomes)[name]["others"].keys() >= {"frames_all_right", "clips_all_right", "all_right_by_guess"}
    assert not any("longest_run" in item for item in attack_files(outcomes)["temporal"]["items"]), "it sees whole clips"
    assert attack_files(outcomes)["inversion"]["others"].keys() >= {"psnr", "ssim"}
    assert attack_files(outcomes)["linkage"]["others"].keys() >= {"rank1", "map", "eer"}
    for name in ("linkage", "pretrained_neighbour"):
        risks = attack_files(outcomes)[name]["people_at_risk"]
        assert {point["video"] for point in risks} == {"anonymized", "raw", "blank"}, name
        blank = [point for point in risks if point["video"] == "blank"]
        assert all(point["value"] == pytest.approx(point["chance"], abs=1e-6) for point in blank), name
    assert {"attacks/linkage.png", "attacks/inversion.png"} <= outcomes["attacks"].files.keys()
    assert 0.0 < record.metrics["attack_share"] < 1.0


def test_the_leakage_can_be_computed_again_from_the_items(trials: Trials) -> None:
    from trainables.metrics import leakage_of

    found = attack_files(trials.raw[1])["retrained"]
    answers, labels = (torch.tensor([item[key] for item in found["items"]]).double().numpy() for key in ("answers", "labels"))
    groups = [item["group"] for item in found["items"]]
    assert leakage_of(answers, labels, tuple(found["attributes"]), groups).leakage == pytest.approx(found["leakage"], abs=1e-4)


def test_nobody_reads_blank_frames(trials: Trials) -> None:
    record, outcomes = trials.blank
    assert record.metrics["worst_leakage"] == 0.0
    for name in set(TRIED) - {"reverse"}:
        assert record.metrics[f"attack_low.{name}"] <= 1e-9, name
        assert record.metrics[f"attack_high.{name}"] >= -1e-9, name
        # some candidates of a search are ordinary clips, and `reverse` shows ordinary ones to who learned from blank ones
        if name not in ("linkage", "pretrained_neighbour", "reverse"):
            assert record.metrics[f"attack.{name}"] == pytest.approx(0.0, abs=1e-9), name
            assert attack_files(outcomes)[name]["controls"]["blank"]["holds"]


def test_two_trials_are_compared_on_the_same_items(trials: Trials) -> None:
    raw, blank = attack_files(trials.raw[1]), attack_files(trials.blank[1])
    for name in TRIED:
        assert [item["id"] for item in raw[name]["items"]] == [item["id"] for item in blank[name]["items"]]


def test_the_controls_are_the_stages_of_the_raw_and_the_blank_trial(trials: Trials) -> None:
    raw, blank = trials.raw[0], trials.blank[0]
    for name, key in raw.stage_keys.items():
        if name.endswith(".blank") and "probe" not in name:  # which needs an action classifier; that of blank frames is none
            assert blank.stage_keys[name.removesuffix(".blank")] == key
    assert len(set(raw.stage_keys.values())) == len(raw.stage_keys) - 1, "only the action classifier of raw data has two roles"
    assert blank.stage_keys["attack_linkage.raw"] == raw.stage_keys["attack_linkage"]
    assert {name for name in blank.computed if name.startswith("attack")} == {"attack_probe", "attack_reverse", "attacks"}


def test_an_interrupted_trial_ends_in_the_same_figures(
    trials: Trials, config: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    config = with_values(config, {"attacks.names": "linkage"})
    with pytest.raises(Stopped):
        run(config, tiny_data, tmp_path, limit=3)
    metrics = run(config, tiny_data, tmp_path)[0].metrics
    assert metrics["attack.linkage"] == trials.raw[0].metrics["attack.linkage"]


def test_an_attack_that_reads_nothing_on_raw_data_is_invalid(config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    lazy = with_values(config, {"attacks.names": "retrained", "attacks.learning_rate": 1e-12})
    record, outcomes = run(lazy, tiny_data, tmp_path)
    assert record.metrics["attack_valid.retrained"] == 0.0
    assert record.metrics["controls_valid"] == 0.0
    assert record.metrics["worst_leakage"] == record.metrics["leakage"], "the invalid attack has no say"
    assert any("attack retrained: figures invalid: on raw data it reads" in note for note in record.notes)
    found = json.loads(outcomes["attacks"].files["attacks/retrained.json"])
    assert not found["valid"]
    assert not found["controls"]["raw"]["holds"]


def test_an_attack_that_is_told_the_labels_is_invalid(
    config: TrialConfig, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest: Callable[..., tuple[Tensor, Tensor]] = learning.predict

    def told(context: StageContext, *arguments: object, **named: object) -> tuple[Tensor, Tensor]:
        answers, labels = honest(context, *arguments, **named)
        return (answers + labels) / 2, labels

    monkeypatch.setattr(learning, "predict", told)
    record, _ = run(with_values(config, {"attacks.names": "retrained"}), tiny_data, tmp_path)
    assert record.metrics["attack_raw.retrained"] > 0.9
    assert record.metrics["attack_null.retrained"] > 0.9
    assert record.metrics["attack_valid.retrained"] == 0.0
    assert record.metrics["worst_leakage"] < 0.9
    assert any("on blank frames it reads" in note for note in record.notes)


def test_an_attack_that_blank_frames_cannot_convict_is_convicted_by_exchanged_labels(
    config: TrialConfig, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told the labels wherever it sees anything: on blank frames, where all predictions are alike, it is not."""
    honest: Callable[..., tuple[Tensor, Tensor]] = learning.predict

    def told(context: StageContext, *arguments: object, **named: object) -> tuple[Tensor, Tensor]:
        answers, labels = honest(context, *arguments, **named)
        blank = (answers == answers[:, :1]).all()
        return (answers if blank else (answers + labels) / 2), labels

    monkeypatch.setattr(learning, "predict", told)
    record, outcomes = run(with_values(config, {"attacks.names": "retrained"}), tiny_data, tmp_path)
    assert record.metrics["attack_raw.retrained"] > 0.9
    assert record.metrics["attack_null.retrained"] == 0.0
    assert record.metrics["attack_permuted.retrained"] > 0.9
    assert record.metrics["attack_valid.retrained"] == 0.0
    assert any("of labels that were exchanged it reads" in note for note in record.notes)
    controls = json.loads(outcomes["attacks"].files["attacks/retrained.json"])["controls"]
    assert {name: control["holds"] for name, control in controls.items()} == {"raw": True, "blank": True, "permuted": False}


def test_without_labelled_clips_attackers_look_at_the_images(config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    for folder in ("UCF-101", "ucfTrainTestlist", "VISPR"):
        (tmp_path / folder).symlink_to(tiny_data / folder)
    asked = with_values(config, {"attacks.names": "probe,raw_trained,temporal", "attacks.epochs": 1})
    record, outcomes = run(asked, tmp_path, tmp_path / "out")
    assert "attack.temporal" not in record.metrics
    assert any("attack temporal: not tried" in note for note in record.notes)
    for name in ("probe", "raw_trained"):
        ids = [item["id"] for item in json.loads(outcomes["attacks"].files[f"attacks/{name}.json"])["items"]]
        assert len(ids) == 32
        assert not any(name.endswith(".avi") for name in ids)


def test_the_attacks_that_are_asked_for(config: TrialConfig, tiny_data: Path) -> None:
    data = TrialData(config, tiny_data)

    def stages(names: str) -> set[str]:
        plan = plan_trial(with_values(config, {"attacks.names": names}), data)
        return {stage.role for stage in plan.stages if stage.role.startswith("attack")}

    assert stages("none") == set()
    assert stages("linkage") == {"attack_linkage", "attack_linkage.blank", "attack_linkage.permuted", "attacks"}
    inversion = {"attack_inversion", "attack_inversion.blank", "attack_inversion.permuted"}
    assert stages("inversion") == {"attack_retrained.raw", "attack_retrained.permuted", *inversion, "attacks"}
    assert {"attack_inversion", "attack_temporal"} <= stages("all") - stages("standard")
    with pytest.raises(ConfigError, match=r"no attack named 'linkge' \(nearest: linkage\)"):
        stages("linkge")


def test_a_trial_without_attacks_has_the_key_it_had(tiny_config: TrialConfig, tiny_data: Path) -> None:
    data = TrialData(tiny_config, tiny_data)
    other = with_values(tiny_config, {"attacks.epochs": 7, "attacks.people": "group"})
    assert plan_trial(other, data).key == plan_trial(tiny_config, data).key


def test_the_example_of_an_attack_of_ones_own(config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    with example("my_attack"):
        record, outcomes = run(with_values(config, {"attacks.names": "mean_colour"}), tiny_data, tmp_path)
    assert record.metrics["attack.mean_colour"] == record.metrics["attack_raw.mean_colour"]
    assert abs(record.metrics["attack_null.mean_colour"]) < 1e-9
    assert json.loads(outcomes["attacks"].files["attacks/mean_colour.json"])["attacker"] == "mean colour"
    assert {
        "attack_mean_colour",
        "attack_mean_colour.blank",
        "attack_mean_colour.permuted",
        "attacks",
    } <= record.stage_keys.keys()
