"""Videos through an anonymizer: every frame at its time, nothing raw, failures black and counted."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.__main__ import main
from analysis.deploy.anonymize import anonymize
from analysis.deploy.anonymizers import TorchModel
from analysis.deploy.flicker import Flicker
from analysis.deploy.one_video import anonymize_video, anonymized
from analysis.deploy.video import VideoOptions
from analysis.read.store import AnalysisError
from tests.support.videos import Inverse, facts_of, frame_times, moving_noise, read_video, write_video
from trainables.config import AnonymizerConfig
from trainables.models.anonymizers import build_anonymizer

LOSSLESS = VideoOptions(codec="ffv1")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def said(output: list[str]) -> str:
    return "\n".join(output)


@pytest.mark.parametrize(
    ("suffix", "codec", "out", "height", "width", "rate"),
    [
        (".mkv", "ffv1", None, 37, 51, 25),
        (".mp4", "libx264", None, 48, 64, Fraction(30000, 1001)),
        (".avi", "mpeg4", None, 37, 51, 15),
        (".avi", "mpeg4", "mpeg4", 37, 51, 15),
        (".mp4", "mpeg4", "mpeg4", 51, 37, 12),
        (".mov", "libx264", "mpeg4", 48, 64, 24),
    ],
)
def test_count_rate_and_duration_stay(
    tmp_path: Path, suffix: str, codec: str, out: str | None, height: int, width: int, rate: Fraction | int
) -> None:
    source = write_video(tmp_path / f"in{suffix}", moving_noise(31, height, width), codec, rate)
    target = tmp_path / f"out{suffix}"
    result = anonymize_video(str(source), target, Inverse(), VideoOptions(codec=out, batch=4))
    assert (result.frames, result.black) == (31, 0)
    ours, theirs = facts_of(target), facts_of(source)
    assert ours[:2] == theirs[:2]
    assert ours[2] == pytest.approx(theirs[2], abs=0.002)
    assert frame_times(target) == pytest.approx(frame_times(source), abs=0.002)
    difference = np.abs(read_video(target).astype(int) - (255 - read_video(source).astype(int)))
    assert difference.mean() < 6  # what the codecs lose; a raw frame would be off by 100


def test_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [0, 40, 80, 200, 210, 500, 900, 940]
    source = write_video(tmp_path / "in.mkv", moving_noise(8, 32, 32), times=times)
    for name in ("out.mkv", "out.mp4"):
        anonymize_video(str(source), tmp_path / name, Inverse(), VideoOptions(batch=3))
        assert frame_times(tmp_path / name) == pytest.approx([time / 1000 for time in times], abs=0.001)


def test_frames_are_those_of_pytorch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = moving_noise(9, 37, 51)
    source = write_video(tmp_path / "in.mkv", pictures)
    config = AnonymizerConfig(encoder="narrow", depth=2, decoder_channels=(8, 4))
    torch.manual_seed(0)
    network = build_anonymizer(config).eval()
    model = tmp_path / "a.pt"
    torch.save({"config": config.model_dump(mode="json"), "state_dict": network.state_dict()}, model)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255).permute(0, 2, 3, 1).numpy() * 255
    command = ["anonymize", str(source), str(tmp_path / "out.mkv"), "--model", str(model), "--codec", "ffv1", "--batch", "4"]
    assert main(command) == 0
    assert np.abs(read_video(tmp_path / "out.mkv") - expected).max() < 0.51
    printed = capsys.readouterr().out
    assert "worked at 37x51 (the video's own size)" in printed
    assert "does not say at which size it was measured; it works at each video's own size" in printed
    assert "temporal flicker" in printed

    assert main([*command, "--overwrite", "--side-by-side", "--size", "20x24"]) == 0
    both = read_video(tmp_path / "out.mkv")
    assert both.shape == (9, 37, 102, 3)
    assert (both[:, :, :51] == pictures).all()
    printed = capsys.readouterr().out
    assert "the network (PyTorch, cpu) worked at 20x24;" in printed
    assert "the left half shows the RAW frames" in printed


def test_frames_that_fail_are_black_on_both_sides(tmp_path: Path) -> None:
    pictures = moving_noise(10, 24, 32)
    source = write_video(tmp_path / "in.mkv", pictures)
    output: list[str] = []
    target, options = tmp_path / "out.mkv", VideoOptions(codec="ffv1", side_by_side=True, batch=4)
    assert anonymize(str(source), target, Inverse(nan_at=(2, 5), fail_from=8), options, output.append) == 1
    made = read_video(target)
    black = (made == 0).all(axis=(1, 2, 3))
    assert np.flatnonzero(black).tolist() == [2, 5, 8, 9]
    assert (made[~black][:, :, 32:] == 255 - pictures[~black]).all()
    assert "4 of 10 frames are black: 0 could not be decoded, 4 not anonymized (RuntimeError: out of memory)" in said(output)


def test_a_model_that_never_works_writes_nothing(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mkv", moving_noise(3, 24, 32))
    with pytest.raises(AnalysisError, match=r"the model fails at 24x32 \(RuntimeError: out of memory\)"):
        anonymize(str(source), tmp_path / "out.mkv", Inverse(fail_from=-1), VideoOptions())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv"]


def test_flicker() -> None:
    flicker, level = Flicker(), [np.full((2, 2, 3), value, np.uint8) for value in (0, 51, 255)]
    assert "unknown" in flicker.text()
    flicker.add(level[0], level[0])
    flicker.add(level[2], level[1])
    assert flicker.means() == pytest.approx((0.2, 1.0))
    flicker.add(None, level[0])  # a lost frame: neither to it nor from it
    flicker.add(level[0], level[0])
    flicker.add(level[0], level[2])
    assert flicker.means() == pytest.approx((0.6, 0.5))
    assert flicker.text().endswith("0.6000, raw 0.5000, ratio 1.20")


def test_every_level_comes_back_as_it_went_in() -> None:
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    made = anonymized([levels, 255 - levels], Inverse())
    assert (np.stack(made) == np.stack([255 - levels, levels])).all()  # type: ignore[arg-type]


def test_command_line_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_video(tmp_path / "in.mkv", moving_noise(3, 24, 32))
    command = ["anonymize", str(source), str(tmp_path / "out.mkv"), "--model"]
    for arguments in (["nothing.onnx"], [str(source)], [str(source), "--batch", "0"], [str(source), "--size", "2x2"]):
        assert main([*command, *arguments]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    if not torch.cuda.is_available():
        with pytest.raises(AnalysisError, match="no CUDA device"):
            TorchModel(_file(tmp_path), "cuda")


def _file(folder: Path) -> Path:
    config = AnonymizerConfig(name="downsample_2x")
    torch.save({"config": config.model_dump(mode="json"), "state_dict": {}}, folder / "a.pt")
    return folder / "a.pt"


def test_a_model_of_ones_own(tmp_path: Path) -> None:
    from tests.examples.my_frame_model import Mosaic

    source = write_video(tmp_path / "in.mkv", moving_noise(3, 24, 32))
    assert anonymize_video(str(source), tmp_path / "out.mkv", Mosaic(), LOSSLESS).whole
    assert (read_video(tmp_path / "out.mkv")[:, :8, :8].std(axis=(1, 2)) == 0).all()
