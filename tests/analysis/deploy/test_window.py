"""An anonymizer that sees time, exported and applied: each frame of a video as a clip shows it, whatever the batches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import config

from analysis.__main__ import main
from analysis.deploy.anonymize import anonymize
from analysis.deploy.anonymizers import TorchModel, read_stored
from analysis.deploy.export import checked_onnx
from analysis.deploy.frame_model import OnnxModel
from analysis.deploy.load import load_model
from analysis.deploy.one_video import anonymized
from analysis.deploy.video import VideoOptions
from analysis.deploy.window import Before
from analysis.read.store import AnalysisError
from tests.support.videos import moving_noise, read_video, write_video
from trainables.config import AnonymizerConfig
from trainables.models.anonymizers import build_anonymizer

NARROW = AnonymizerConfig(encoder="narrow", depth=2, decoder_channels=(8, 4), decoder_norm="identity")
DIFFERENCE = AnonymizerConfig(name="difference")
CASES = {
    "three frames": (NARROW.model_copy(update={"window": 3}), {}),
    "differences": (NARROW.model_copy(update={"window": 2, "window_input": "differences", "name": "unet"}), {}),
    "grey difference": (DIFFERENCE, {"pixels": 0, "sigma": 0.0, "levels": 0, "reach": 0.5}),
    "blurred difference": (DIFFERENCE, {"pixels": 0, "sigma": 0.05, "levels": 5, "reach": 0.3}),
    "bdq": (AnonymizerConfig(name="bdq"), {"sigma": 15.0, "kernel": 30, "levels": 6, "hardness": 4.0, "reach": 0.4}),
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def _no_shape_checks() -> Iterator[None]:
    """The exporter traces symbols in place of sizes, which the checks of the test suite cannot compare."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


def stored(folder: Path, case: str, skip: int = 1) -> Path:
    """A file as a trial leaves it, measured on one in `skip` frames of 24 x 24 pixels."""
    network_config, options = CASES[case]
    torch.manual_seed(3)
    network = build_anonymizer(network_config, options or None)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    at = {"decode_size": 24, "clip_size": 24, "crop": 1.0, "frames": 4, "skip": skip}
    content = {"config": network_config.model_dump(mode="json"), "state_dict": network.state_dict(), "options": options}
    folder.mkdir(exist_ok=True)
    torch.save(content | {"measured_at": json.dumps(at)}, folder / "anonymizer.pt")
    return folder / "anonymizer.pt"


def test_windows_of_a_video_by_hand() -> None:
    """Frames 0 to 6, each of its own number, in batches of 3, 1 and 3; two of a window are two frames apart."""
    frames = np.arange(7, dtype=np.float32)[:, None, None, None].repeat(3, 1)
    before, found = Before(3, 2), []
    for first, last in ((0, 3), (3, 4), (4, 7)):
        seen = before.seen(frames[first:last])
        assert np.array_equal(before.seen(frames[first:last]), seen), "given again, as nothing was kept"
        before.keep()
        found += seen[:, :, 0, 0, 0].tolist()
    assert found == [[max(0, time - 4), max(0, time - 2), time] for time in range(7)]
    before.forget()
    assert before.seen(frames[5:6])[0, :, 0, 0, 0].tolist() == [5, 5, 5], "a video begins standing still"
    assert Before(1, 4).seen(frames) is frames


@pytest.mark.usefixtures("_no_shape_checks")
@pytest.mark.parametrize("case", CASES)
def test_onnx_and_pytorch_show_a_video_as_one_clip(tmp_path: Path, case: str) -> None:
    path = stored(tmp_path, case)
    model, check = checked_onnx(read_stored(path), (24, 32) if case in ("blurred difference", "bdq") else None)
    assert check.difference <= check.tolerance
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    network_config, options = CASES[case]
    network = build_anonymizer(network_config, options or None).eval()
    network.load_state_dict(torch.load(path, weights_only=True)["state_dict"])
    video = np.random.default_rng(0).random((9, 3, 24, 32), np.float32)
    with torch.inference_mode():
        wanted = network.clips(torch.from_numpy(video)[None])[0].numpy()
    for shown in (OnnxModel(tmp_path / "a.onnx"), TorchModel(path, "cpu")):
        for _ in range(2):  # another video: nothing of the first is seen in it
            shown.begin()
            found = np.concatenate([shown(part) for part in np.split(video, [4, 5])])
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)


def test_frames_of_a_window_are_as_far_apart_as_in_training(tmp_path: Path) -> None:
    """Of a video at its own rate every third frame is one of a clip."""
    path = stored(tmp_path, "three frames", skip=3)
    network = read_stored(path).anonymizer
    video = np.random.default_rng(0).random((10, 3, 24, 24), np.float32)
    model = TorchModel(path, "cpu")
    model.begin()
    found = model(video)
    with torch.inference_mode():
        clip = network.clips(torch.from_numpy(video[[3, 6, 9]])[None])[0, -1].numpy()
    np.testing.assert_allclose(found[9], clip, rtol=0, atol=1e-5)


def test_a_folder_of_videos_is_anonymized_each_from_its_own_start(tmp_path: Path) -> None:
    path, source = stored(tmp_path / "model", "grey difference"), tmp_path / "in"
    source.mkdir()
    for number in range(2):
        write_video(source / f"{number}.mkv", moving_noise(5, 24, 24)[:: 1 - 2 * number])
    options, said = VideoOptions(codec="ffv1", batch=2), list[str]()
    assert anonymize(str(source), tmp_path / "out", load_model(str(path)), options, said.append) == 0
    for number in range(2):
        grey = read_video(source / f"{number}.mkv") @ np.array([0.299, 0.587, 0.114])
        change = np.diff(grey, axis=0, prepend=grey[:1]) / 255
        wanted = 255 * (change.clip(-0.5, 0.5) / 0.5 + 1) / 2
        found = read_video(tmp_path / "out" / f"{number}.mkv").astype(float)
        assert np.abs(found - wanted[..., None]).max() <= 1.01, "the first frame has none before it, and shows mid-grey"


def test_a_batch_that_fails_is_tried_again_frame_by_frame_without_a_gap(tmp_path: Path) -> None:
    model = TorchModel(stored(tmp_path, "grey difference"), "cpu")
    pictures = list(moving_noise(4, 24, 24))
    model.begin()
    whole = np.stack(anonymized(pictures, model))
    show, fails = model._stored.show, [True]

    def once(*arguments: torch.Tensor) -> torch.Tensor:
        if fails.pop() if fails else False:
            raise RuntimeError("out of memory")
        return show(*arguments)

    object.__setattr__(model._stored, "show", once)
    model.begin()
    with pytest.raises(RuntimeError):
        anonymized(pictures, model)
    assert np.array_equal(np.stack([anonymized([picture], model)[0] for picture in pictures]), whole)


def test_what_needs_whole_clips_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tubelets = AnonymizerConfig(name="tubelets")
    network = build_anonymizer(tubelets)
    torch.save({"config": tubelets.model_dump(mode="json"), "state_dict": network.state_dict()}, tmp_path / "a.pt")
    with pytest.raises(AnalysisError, match="the anonymizer tubelets needs whole clips, and not a few frames before each"):
        read_stored(tmp_path / "a.pt")
    video = write_video(tmp_path / "a.mkv", moving_noise(3, 24, 32))
    assert main(["anonymize", str(video), str(tmp_path / "b.mkv"), "--model", str(tmp_path / "a.pt")]) == 2
    assert "needs whole clips" in capsys.readouterr().err
