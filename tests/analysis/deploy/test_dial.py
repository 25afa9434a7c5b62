"""An anonymizer with a dial: exported with it, turned by whoever anonymizes, and honest about where nothing was measured."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from mlflow import MlflowClient

from analysis.__main__ import main
from analysis.deploy.anonymize import anonymize
from analysis.deploy.anonymizers import TorchModel, read_stored
from analysis.deploy.dial import Dial
from analysis.deploy.export import checked_onnx
from analysis.deploy.frame_model import OnnxModel
from analysis.deploy.load import load_model
from analysis.deploy.record import Record
from analysis.deploy.video import VideoOptions
from analysis.read.store import AnalysisError
from analysis.read.study import RecordedStudy
from tests.support.fake_studies import FakeTrial, metrics
from tests.support.tiny_onnx import write_onnx
from tests.support.videos import moving_noise, read_video, write_video
from trainables.config import AnonymizerConfig
from trainables.models.anonymizers import build_anonymizer

NARROW = AnonymizerConfig(encoder="narrow", depth=2, decoder_channels=(8, 4), decoder_norm="identity")
OPTIONS = {"at": 0.25, "budget_from": 0.0, "budget_to": 0.4, "privacy_from": 1.0, "privacy_to": 1.0}
TEN = [number / 9 for number in range(10)]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def stored(folder: Path, kind: str, **changes: object) -> Path:
    """A file as a trial of the method `dial` writes it, of a network that hears its dial."""
    config = NARROW.model_copy(update={"dial": kind, **changes})
    torch.manual_seed(3)
    network = build_anonymizer(config)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    folder.mkdir(exist_ok=True)
    torch.save(
        {"config": config.model_dump(mode="json"), "state_dict": network.state_dict(), "options": OPTIONS},
        folder / "anonymizer.pt",
    )
    return folder / "anonymizer.pt"


@pytest.mark.parametrize(
    ("kind", "changes"),
    [("blend", {}), ("film", {}), ("plane", {}), ("film", {"name": "unet"}), ("blend", {"encoder": "resnet18"})],
)
def test_onnx_is_the_same_function_at_every_point(tmp_path: Path, kind: str, changes: dict[str, str]) -> None:
    path = stored(tmp_path, kind, **changes)
    model, check = checked_onnx(read_stored(path))
    assert check.difference <= check.tolerance
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    frames = np.random.default_rng(0).random((2, 3, 37, 51), np.float32)
    theirs, ours = OnnxModel(tmp_path / "a.onnx"), TorchModel(path, "cpu")
    assert theirs.dial == ours.dial == Dial(0.25, (0.0, 0.4), (1.0, 1.0), (0.25,))
    plain = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = []
    for at in (0.25, *TEN):
        theirs.dial, ours.dial = theirs.dial.turned(at), ours.dial.turned(at)
        found.append(theirs(frames))
        np.testing.assert_allclose(found[-1], ours(frames), rtol=0, atol=1e-4)
        network = build_anonymizer(NARROW.model_copy(update={"dial": kind, **changes}), {"at": at}).eval()
        network.load_state_dict(torch.load(path, weights_only=True)["state_dict"])
        with torch.inference_mode():
            np.testing.assert_allclose(found[-1], network(torch.from_numpy(frames)).numpy(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(plain.run(None, {"frames": frames})[0], found[0], rtol=0, atol=1e-5)
    assert all(np.abs(one - other).max() > 1e-3 for one, other in itertools.pairwise(found))


def test_the_dial_in_words_and_where_its_figures_hold() -> None:
    dial = Dial.of_options(OPTIONS | {"privacy_to": 0.5}, [0.0, 1.0, 0.25])
    assert dial.measured == (0.0, 0.25, 1.0)
    assert dial.words() == "dial 0.25, B = 0.1, privacy weight 0.875"
    assert (dial.holds, dial.warning()) == (True, "")
    assert Dial.of_json(dial.as_json()) == dial
    assert Dial.of_json("") is Dial.of_json('{"at": 1}') is None
    elsewhere = dial.turned(0.5)
    assert not elsewhere.holds
    assert elsewhere.warning().startswith("warning: dial 0.5, B = 0.2, privacy weight 0.75: no trial has measured")
    assert elsewhere.warning().endswith("the nearest that were measured: 0.25, 1")
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(AnalysisError, match="give a number from 0 to 1"):
            dial.turned(wrong)


def test_a_video_says_where_the_dial_stood_and_is_made_anew_where_it_stands_elsewhere(tmp_path: Path) -> None:
    path, source = stored(tmp_path / "model", "film"), tmp_path / "in"
    source.mkdir()
    write_video(source / "a.mkv", moving_noise(5, 24, 32))
    found = []
    for at, said, holds in ((None, "dial 0.25, B = 0.1", True), (0.75, "dial 0.75, B = 0.3", False)):
        output: list[str] = []
        model = load_model(str(path), dial=at)
        assert anonymize(str(source), tmp_path / "out", model, VideoOptions(codec="ffv1"), output.append) == 0
        assert any(f", {said};" in line for line in output), output
        assert any(line.startswith(f"warning: {said}: no trial has measured") for line in output) != holds
        record = Record.read(tmp_path / "out" / "a.mkv")
        assert record is not None
        assert (record.found["dial"], record.made_with["dial"]) == (said, at or 0.25)
        found.append(read_video(tmp_path / "out" / "a.mkv"))
    assert (found[0] != found[1]).any()
    assert any("made anew" in line and "dial was 0.25, is 0.75" in line for line in output)


def test_figures_do_not_hold_between_two_points_at_the_size_that_was_measured(tmp_path: Path) -> None:
    """As the record beside a video says it."""
    sizes = {"decode_size": 32, "clip_size": 32, "crop": 1.0, "frames": 4, "skip": 1}
    path = stored(tmp_path / "model", "film")
    content = torch.load(path, weights_only=True)
    torch.save(content | {"measured_at": json.dumps(sizes)}, path)
    video = write_video(tmp_path / "a.mkv", moving_noise(5, 32, 32))
    for at, holds in ((0.25, True), (0.5, False)):
        output = tmp_path / f"{at}.mkv"
        assert anonymize(str(video), output, load_model(str(path), dial=at), VideoOptions(codec="ffv1"), lambda _: None) == 0
        record = Record.read(output)
        assert record is not None
        assert record.found["figures_hold"] is holds


def test_points_that_other_trials_have_measured_travel_with_the_file(
    make_study: Callable[..., RecordedStudy], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of this very anonymizer: those of the same stage that have finished."""
    trials = [
        ("a", 0.25, "key1", "FINISHED"),
        ("b", 1.0, "key1", "FINISHED"),
        ("c", 0.5, "key1", "FAILED"),
        ("d", 0.75, "key2", "FINISHED"),
    ]
    study = make_study(
        [FakeTrial(name, metrics=metrics(0.9, 0.3), values={"method": "dial", "options.at": at}) for name, at, *_ in trials]
    )
    client = MlflowClient(tracking_uri=study.tracking_uri)
    runs = {run.data.tags["setting"]: run.info.run_id for run in client.search_runs([study.experiment_id])}
    for name, _, key, status in trials:
        client.set_tag(runs[name], "stage_keys", f"reconstruct=x dial={key} evaluate_action={name}")
        client.set_terminated(runs[name], status)
    client.log_artifact(runs["a"], str(stored(tmp_path, "film")), "anonymizer")
    command = ["export", "--trial", runs["a"], "--tracking-uri", study.tracking_uri, "--out", str(tmp_path / "a.onnx")]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "it stands at dial 0.25, B = 0.1, and its dial was measured at 0.25, 1" in said
    assert OnnxModel(tmp_path / "a.onnx").dial == Dial(0.25, (0.0, 0.4), (1.0, 1.0), (0.25, 1.0))
    assert main([*command, "--overwrite", "--precision", "int8"]) == 2
    assert "--precision int8: its ranges would hold for one point of the dial" in capsys.readouterr().err


def test_what_cannot_be_turned_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video, plain = write_video(tmp_path / "a.mkv", moving_noise(3, 24, 32)), write_onnx(tmp_path / "plain.onnx")
    turned = stored(tmp_path / "model", "plane")
    for model, at, said in (
        (plain, "0.5", f"--dial 0.5: {plain} has no dial; train one with the method `dial`, or leave --dial out"),
        (turned, "1.5", "--dial 1.5: give a number from 0 to 1"),
    ):
        command = ["anonymize", str(video), str(tmp_path / "out.mkv"), "--model", str(model), "--dial", at]
        assert main(command) == 2
        assert said in capsys.readouterr().err
        assert not (tmp_path / "out.mkv").exists()
