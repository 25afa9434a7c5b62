"""The card that travels with an exported model, and `verify`, which says what of it still holds."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from mlflow import MlflowClient

from analysis.__main__ import main
from analysis.deploy.card import digest_of_file, path_of_card, read_card, schema
from analysis.deploy.verify import Verified, verify
from analysis.read.study import RecordedStudy, read_study
from tests.support.fake_attacks import attack, log
from tests.support.fake_studies import FakeTrial, metrics, write_study
from tests.support.stages import SilentReporter
from tests.support.tiny_onnx import write_onnx
from trainables.config import Runtime, TrialConfig, with_values
from trainables.evaluation.again import measure_again
from trainables.pipeline import TrialRecord, run_trial

Maker = Callable[..., RecordedStudy]
ONCE = {"evaluate_action.epochs": 1, "evaluate_privacy.epochs": 1, "evaluate_privacy.clips": False}


@pytest.fixture(scope="module")
def trial(
    tiny_data: Path, tiny_config: TrialConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrialConfig, TrialRecord, Path]:
    """A trial whose anonymizer nobody trains: its config, its record, and the storage with its evaluators."""
    torch.set_num_threads(1)
    storage = tmp_path_factory.mktemp("storage")
    config = with_values(tiny_config, {**ONCE, "method": "downsample_to", "options.pixels": 4})
    record, _ = run_trial(config, Runtime(data_root=str(tiny_data), storage=str(storage), device="cpu"), SilentReporter())
    return config, record, storage


@pytest.fixture(scope="module")
def made(trial: tuple[TrialConfig, TrialRecord, Path], empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the ONNX file of that trial, and its card."""
    config, record, _ = trial
    folder = tmp_path_factory.mktemp("exported")
    shutil.copy(empty_store, folder)
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    values = {"clip.decode_size": 16, "clip.size": 16, "augment.test_crop": 0.8, "clip.frames": 4, "clip.skip": 2}
    run = FakeTrial("a", "downsample_to", metrics=metrics(0.5, 0.3), values=values, record=record.to_json())
    write_study(uri, folder / "artifacts", "toy", "small", [run])
    study, kept = read_study("toy", "small", uri), folder / "config.yaml"
    kept.write_text(yaml.safe_dump({**config.model_dump(mode="json"), "anonymizer": {"name": "downsample_to"}}))
    run_id = str(study.trials.index[0])
    MlflowClient(tracking_uri=study.tracking_uri).log_artifact(run_id, str(kept))
    (folder / "out").mkdir()
    command = ["export", "--trial", run_id, "--tracking-uri", study.tracking_uri, "--size", "16x16"]
    assert main([*command, "--out", str(folder / "out" / "model.onnx")]) == 0
    return folder / "out"


@pytest.fixture
def exported(made: Path, tmp_path: Path) -> Path:
    """A copy of that file, beside which its card lies."""
    shutil.copytree(made, tmp_path / "out")
    return tmp_path / "out" / "model.onnx"


def verdicts(found: list[Verified]) -> dict[str, str]:
    return {each.what: each.verdict for each in found}


def test_what_was_exported_is_what_its_card_says(
    exported: Path, trial: tuple[TrialConfig, TrialRecord, Path], tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = trial[2]
    assert main(["verify", str(exported), "--data-root", str(tiny_data), "--storage", str(storage)]) == 0
    said = capsys.readouterr().out
    assert "differ" not in said.replace("0 differ,", "")
    found = verdicts(verify(exported, None, tiny_data, str(storage)))
    same = ("SHA-256", "test frame", "size of use", "rms_distortion", "rms_relative", "top1", "top5", "data: action_evaluation")
    assert {found[name] for name in same} == {"same"}
    without = verdicts(verify(exported, None, tiny_data))
    assert without["rms_distortion"] == "same"
    assert without["top1"] == "not checked"
    assert verdicts(verify(exported))["data and figures"] == "not checked"


def test_another_model_behind_the_card_is_found(exported: Path, tiny_data: Path, tmp_path: Path) -> None:
    card = path_of_card(exported)
    other = write_onnx(tmp_path / "other.onnx", 0.9, size=(16, 16))
    assert main(["verify", str(other), "--card", str(card), "--data-root", str(tiny_data)]) == 1
    found = verdicts(verify(other, card, tiny_data))
    assert {found[name] for name in ("SHA-256", "size of use", "rms_distortion")} == {"differs"}
    assert found["test frame"] == "not checked"
    changed = exported.read_bytes()
    exported.write_bytes(changed + b"\n")
    assert verdicts(verify(exported))["SHA-256"] == "differs"
    exported.write_bytes(b"no model")
    assert verdicts(verify(exported))["test frame"] == "differs"


def test_other_data_are_found_and_give_no_figures(exported: Path, tiny_data: Path, tmp_path: Path) -> None:
    other = tmp_path / "data"
    shutil.copytree(tiny_data, other)
    videos = sorted((*other.rglob("*.avi"), *other.rglob("*.mp4")))
    shutil.copy(videos[0], videos[-1])
    found = verdicts(verify(exported, None, other))
    assert found["SHA-256"] == "same"
    assert "differs" in {verdict for what, verdict in found.items() if what.startswith("data: ")}
    assert found["rms_distortion"] == ("not checked" if found["data: action_evaluation"] == "differs" else "same")


def test_distortion_by_hand(trial: tuple[TrialConfig, TrialRecord, Path], tiny_data: Path, tmp_path: Path) -> None:
    """Half as bright is as far from a frame as black is from one half as bright: half of what black is from it."""
    config = trial[0]
    same, half, black = (
        measure_again(config, write_onnx(tmp_path / f"{factor}.onnx", factor), tiny_data, None).figures
        for factor in (1.0, 0.5, 0.0)
    )
    assert same["rms_distortion"] == 0
    assert half["rms_distortion"] == pytest.approx(black["rms_distortion"] / 2, rel=1e-5)
    assert half["rms_relative"] == pytest.approx(black["rms_relative"] / 2, rel=1e-5)


def test_the_card_has_the_figures_of_the_evidence(make_study: Maker, tmp_path: Path) -> None:
    record = attack("retrained", 0.4, "Retrained classifiers")
    values = {"clip.decode_size": 40, "clip.size": 32, "augment.test_crop": 0.8, "clip.frames": 8, "clip.skip": 2}
    known = json.dumps({"metrics": {"top1": 0.9}, "fingerprints": {"action": "8f4a"}, "versions": {"torch": "2.1"}})
    study = make_study([FakeTrial("a | <b>", "downsample_to", metrics=metrics(0.9, 0.3), values=values, record=known)])
    run_id, config = str(study.trials.index[0]), tmp_path / "config.yaml"
    log(study.tracking_uri, run_id, [record])
    config.write_text("method: downsample_to\nanonymizer:\n  name: downsample_to\noptions:\n  pixels: 4\n")
    MlflowClient(tracking_uri=study.tracking_uri).log_artifact(run_id, str(config))
    out = tmp_path / "model.onnx"
    command = ["export", "--trial", run_id, "--tracking-uri", study.tracking_uri, "--size", "16x16", "--out", str(out)]
    assert main(command) == 0
    card = read_card(path_of_card(out))
    assert card["model"]["sha256"] == digest_of_file(out)
    assert card["measured_at"]["clip_size"] == 32
    assert card["attacks"][0]["leakage"] == record["leakage"]
    assert card["attacks"][0]["chance"] == record["chance"]
    assert {found["by"]: found["leakage"] for found in card["attackers"]}["leakage"] == 0.3
    assert card["utility"][0]["interval"]["value"] == 0.9
    assert card["utility"][0]["chance"] == 0.1
    assert card["data"] == {"action": "8f4a"}
    assert card["versions"]["trial: torch"] == "2.1"
    assert any(line.startswith("Not tried: Undoing the anonymization. Who can run") for line in card["limits"])
    assert any(line.startswith("Nobody tried: people who know") for line in card["limits"])
    assert card["short"][1].startswith("No verdict. Not enough is known to tell.")
    said = (tmp_path / "model.onnx.card.md").read_text()
    assert card["model"]["sha256"] in said
    assert "Retrained classifiers" in said
    assert "<b>" not in said


def test_bad_input_is_one_line(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = path_of_card(exported)
    broken = tmp_path / "broken.json"
    content = json.loads(card.read_text())
    for wrong, says in (
        ("{", "no model card"),
        ("[]", "no model card"),
        (json.dumps(content | {"card": 2}), "$.card"),
        (json.dumps({name: value for name, value in content.items() if name != "model"}), "'model' is a required property"),
    ):
        broken.write_text(wrong)
        assert main(["verify", str(exported), "--card", str(broken)]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
    for command in (
        ["verify", str(tmp_path / "nothing.onnx")],
        ["verify", str(exported), "--data-root", str(tmp_path / "nowhere")],
        ["verify", str(exported), "--card", str(tmp_path / "nowhere.json")],
    ):
        assert main(command) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_the_schema_names_everything_that_a_card_has(exported: Path) -> None:
    card = read_card(path_of_card(exported))
    assert set(card) == set(schema()["properties"])
