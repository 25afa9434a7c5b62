"""An anonymizer as a file: the same function in ONNX, or one clear line why not."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from mlflow import MlflowClient

from analysis.__main__ import main
from analysis.deploy import export
from analysis.deploy.anonymizers import Stored, read_stored
from analysis.deploy.export import checked_onnx
from analysis.deploy.load import load_model
from analysis.deploy.measured import MeasuredAt, parse_size
from analysis.read.store import AnalysisError
from analysis.read.study import RecordedStudy
from tests.support.fake_studies import FakeTrial, metrics
from trainables.config import AnonymizerConfig
from trainables.models.anonymizers import build_anonymizer

Maker = Callable[..., RecordedStudy]
NARROW = AnonymizerConfig(encoder="narrow", depth=2, decoder_channels=(8, 4))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def stored(folder: Path, config: AnonymizerConfig = NARROW) -> Path:
    """A file as a trial writes it, with weights that are not those of a fresh network."""
    torch.manual_seed(3)
    network = build_anonymizer(config)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.dtype.is_floating_point:
                value.add_(0.05 * torch.rand(value.shape))
    path = folder / "anonymizer.pt"
    torch.save({"config": config.model_dump(mode="json"), "state_dict": network.state_dict()}, path)
    return path


def with_file(study: RecordedStudy, path: Path) -> str:
    """The run id of the study's first trial, which now has this anonymizer."""
    run_id = str(study.trials.index[0])
    MlflowClient(tracking_uri=study.tracking_uri).log_artifact(run_id, str(path), "anonymizer")
    return run_id


def run(model: onnx.ModelProto | str, frames: torch.Tensor) -> np.ndarray:
    content = model if isinstance(model, str) else model.SerializeToString()
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"frames": frames.numpy()})[0]


def test_analysis_imports_no_torch() -> None:
    modules = (
        "analysis.__main__, analysis.deploy.select, analysis.deploy.export, analysis.deploy.register, "
        "analysis.deploy.anonymize, analysis.deploy.anonymizers"
    )
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": "unet", "decoder_norm": "identity", "output": "linear"},
        {"name": "residual", "decoder_norm": "instancenorm"},
    ],
)
def test_onnx_is_the_same_function_at_any_size(tmp_path: Path, changes: dict[str, str]) -> None:
    anonymizer = read_stored(stored(tmp_path, NARROW.model_copy(update=changes)))
    model, check = checked_onnx(anonymizer)
    assert check.difference <= check.tolerance
    for shape in ((1, 3, 37, 51), (3, 3, 64, 48), (2, 3, 9, 130)):
        frames = torch.rand(shape)
        with torch.inference_mode():
            expected = anonymizer.anonymizer(frames).numpy()
        np.testing.assert_allclose(run(model, frames), expected, rtol=0, atol=export.TOLERANCE * max(1, np.abs(expected).max()))


def test_command_writes_and_says_what_it_checked(make_study: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {"clip.decode_size": 40, "clip.size": 32, "augment.test_crop": 0.8, "clip.frames": 8, "clip.skip": 2}
    study = make_study([FakeTrial("a", metrics=metrics(0.9, 0.3), values=sizes)])
    path = stored(tmp_path)
    run_id = with_file(study, path)
    command = ["export", "--trial", run_id, "--tracking-uri", study.tracking_uri]
    fixed, kept = tmp_path / "fixed.onnx", tmp_path / "kept.pt"
    assert main([*command, "--size", "37x51", "--out", str(fixed)]) == 0
    said = capsys.readouterr().out
    assert "frames of 37x51" in said
    assert "tolerance 1e-04" in said
    assert "its figures hold for frames of 40x40 pixels (of each the middle 32x32), one in 2 frames" in said
    at = MeasuredAt(decode_size=40, clip_size=32, crop=0.8, frames=8, skip=2)
    assert load_model(str(fixed)).size == (37, 51)
    assert load_model(str(fixed)).measured_at == at
    assert load_model(run_id, study.tracking_uri).measured_at == at
    with pytest.raises(Exception, match="Got invalid dimensions"):
        run(str(fixed), torch.rand(1, 3, 48, 48))

    assert main([*command, "--format", "torch", "--out", str(kept)]) == 0
    content, before = torch.load(kept, weights_only=True), torch.load(path, weights_only=True)
    assert load_model(str(kept)).measured_at == at
    assert content["config"] == before["config"] == NARROW.model_dump(mode="json")
    assert all(torch.equal(content["state_dict"][name], before["state_dict"][name]) for name in before["state_dict"])
    assert main([*command, "--format", "torch", "--out", str(kept)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main([*command, "--format", "torch", "--size", "37x51", "--out", str(tmp_path / "other.pt")]) == 2


def test_a_wrong_model_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anonymizer = read_stored(stored(tmp_path))
    right = export._one_size

    def wrong(given: Stored, size: tuple[int, int]) -> onnx.ModelProto:
        model = right(given, size)
        weights = next(value for value in model.graph.initializer if len(value.dims) == 4)
        weights.raw_data = bytes(len(weights.raw_data))
        return model

    monkeypatch.setattr(export, "_one_size", wrong)
    with pytest.raises(AnalysisError, match=r"is wrong: largest difference .* nothing was written"):
        checked_onnx(anonymizer, (16, 16))


@pytest.mark.parametrize(
    ("name", "reason"), [("tubelets", "needs whole clips"), ("identity", "as they are"), ("blackening", "boxes")]
)
def test_what_is_no_function_of_frames_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    path = stored(tmp_path, AnonymizerConfig(name=name))
    with pytest.raises(AnalysisError, match=reason) as caught:
        read_stored(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["raw", "blackening", "penalty"])
def test_runs_without_a_file(make_study: Maker, tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study([FakeTrial("a", method, metrics=metrics(0.9, 0.3))])
    run_id = str(study.trials.index[0])
    out = tmp_path / "a.onnx"
    assert main(["export", "--trial", run_id, "--tracking-uri", study.tracking_uri, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert {"raw": "no anonymizer", "blackening": "boxes of people", "penalty": "has no anonymizer/"}[method] in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_run_that_is_not_there(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--trial", "f" * 32, "--tracking-uri", store, "--out", str(tmp_path / "a.onnx")]) == 2
    assert "no run ffff" in capsys.readouterr().err


@pytest.mark.parametrize(("pixels", "differs"), [(4, True), (48, False)])
def test_options_of_a_method_are_those_of_its_trial(make_study: Maker, tmp_path: Path, pixels: int, differs: bool) -> None:
    study = make_study([FakeTrial("a", "downsample_to", metrics=metrics(0.9, 0.3))])
    run_id, config = str(study.trials.index[0]), tmp_path / "config.yaml"
    config.write_text(f"method: downsample_to\nanonymizer:\n  name: downsample_to\noptions:\n  pixels: {pixels}\n")
    MlflowClient(tracking_uri=study.tracking_uri).log_artifact(run_id, str(config))
    frames = torch.rand(2, 3, 48, 64).numpy()
    assert np.array_equal(load_model(run_id, study.tracking_uri)(frames), frames) is not differs


def test_downsampling_needs_no_file(make_study: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study([FakeTrial("a", "downsample_2x", metrics=metrics(0.9, 0.3))])
    run_id, config = str(study.trials.index[0]), tmp_path / "config.yaml"
    config.write_text("method: downsample_2x\nanonymizer:\n  name: downsample_2x\n")
    MlflowClient(tracking_uri=study.tracking_uri).log_artifact(run_id, str(config))
    model = load_model(run_id, study.tracking_uri)
    assert model(torch.rand(2, 3, 37, 51).numpy()).shape == (2, 3, 37, 51)
    out = tmp_path / "a.onnx"
    command = ["export", "--trial", run_id, "--tracking-uri", study.tracking_uri, "--out", str(out)]
    assert main(command) == 2  # its resize has no ONNX form for any size
    assert "with --size HxW it may have one" in capsys.readouterr().err
    assert not out.exists()
    assert main([*command, "--size", "48x64"]) == 0


def test_other_files_are_refused(tmp_path: Path) -> None:
    for name in ("a.onnx", "a.pt"):
        (tmp_path / name).write_bytes(b"something else")
        with pytest.raises(AnalysisError) as caught:
            load_model(str(tmp_path / name))
        assert "\n" not in str(caught.value)
    with pytest.raises(AnalysisError, match=r"give FILE\.onnx"):
        load_model(str(tmp_path / "nothing.pt"))


@pytest.mark.parametrize("text", ["48", "48x", "0x48", "48x99999", "ax48"])
def test_wrong_sizes(text: str) -> None:
    with pytest.raises(AnalysisError, match="HEIGHTxWIDTH"):
        parse_size(text)


def test_eight_bits_are_near_the_original_or_refused(tmp_path: Path) -> None:
    """On a picture they give what PyTorch gives but for a hundredth on average; they are not float32 in disguise."""
    config = NARROW.model_copy(update={"decoder_norm": "identity"})
    torch.manual_seed(0)
    path = tmp_path / "fresh.pt"
    torch.save({"config": config.model_dump(mode="json"), "state_dict": build_anonymizer(config).state_dict()}, path)
    whole = read_stored(path)
    model, check = checked_onnx(whole, None, "int8")
    assert any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    assert export.TOLERANCE < check.difference <= check.tolerance
    frames = torch.nn.functional.interpolate(torch.rand(1, 3, 6, 8), (48, 64), mode="bilinear")
    with torch.inference_mode():
        ours = whole.anonymizer(frames).numpy()
    assert np.abs(run(model, frames) - ours).mean() < 0.01
    with pytest.raises(AnalysisError, match=r"is wrong: .*tolerance 1e-01.*; nothing was written"):
        checked_onnx(read_stored(stored(tmp_path)), (48, 64), "int8")  # weights that blow noise up


def test_a_state_dict_has_no_precision_to_choose(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="--precision is for --format onnx"):
        export.export_trial("run", tmp_path / "file.pt", "torch", precision="int8")
