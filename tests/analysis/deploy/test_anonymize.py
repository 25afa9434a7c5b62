"""Videos through an anonymizer: every frame at its time, nothing raw, nothing half-written."""

import csv
import socket
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.__main__ import main
from analysis.deploy import video
from analysis.deploy.anonymize import Flicker, Options, anonymize, anonymize_video, anonymized
from analysis.deploy.anonymizers import TorchModel
from analysis.deploy.video import VideoInput
from analysis.read.store import AnalysisError
from trainables.config import AnonymizerConfig
from trainables.models.anonymizers import build_anonymizer

Pictures = NDArray[np.uint8]  # (T, H, W, 3)
LOSSLESS = Options(codec="ffv1")


class Inverse:
    """An anonymizer whose output is known, and which can be told to fail; what it gave is never its input."""

    size: tuple[int, int] | None = None
    device, digest, kind = "cpu", "0123", "test"

    def __init__(self, fail_from: int = 10**9, nan_at: Sequence[int] = ()) -> None:
        self.seen, self.fail_from, self.nan_at = -1, fail_from, nan_at  # the first frame is the trial before the video

    def __call__(self, frames: Tensor) -> Tensor:
        if self.seen + len(frames) > self.fail_from:
            raise RuntimeError("out of memory")
        output = 1 - frames
        for place in range(len(frames)):
            if self.seen + place in self.nan_at:
                output[place, 0, 0, 0] = torch.nan
        self.seen += len(frames)
        return output


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def moving(frames: int, height: int, width: int) -> Pictures:
    """Coarse noise that moves two pixels a frame and fades, never black."""
    chance = np.random.default_rng(0)
    blocks = chance.integers(60, 255, (height // 8 + 1, width // 8 + 1, 3)).repeat(8, 0).repeat(8, 1)[:height, :width]
    return np.stack([np.roll(blocks, 2 * t, 1) * (1 - 0.3 * t / frames) for t in range(frames)]).astype(np.uint8)


def write(
    path: Path,
    pictures: Pictures,
    codec: str = "ffv1",
    rate: Fraction | int = 25,
    times: Sequence[int] | None = None,
    sound: bool = False,
    rotation: int = 0,
) -> Path:
    """Pictures as a video; `times` in milliseconds instead of a fixed rate."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={"g": "10"})
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        noise = container.add_stream("aac", rate=16000) if sound else None
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if noise is not None:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
            samples.sample_rate = 16000
            container.mux(noise.encode(samples))
            container.mux(noise.encode())
    return path


def read(path: Path) -> Pictures:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def seconds(path: Path) -> list[float]:
    """When each frame is shown, after the first: of an AVI what is first is the demuxer's guess."""
    with av.open(str(path)) as container:
        times = [float(frame.time or 0) for frame in container.decode(video=0)]
    return [time - times[0] for time in times]


def facts(path: Path) -> tuple[int, Fraction | None, float]:
    """Frames, frames/s, seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return sum(1 for _ in container.decode(video=0)), stream.average_rate, (container.duration or 0) / 1e6


def spoil(path: Path, start: float = 0.4, end: float = 0.6, count: int = 300) -> Path:
    """Random bytes in the middle of a file."""
    content, chance = bytearray(path.read_bytes()), np.random.default_rng(1)
    for place in chance.integers(int(len(content) * start), int(len(content) * end), count):
        content[place] = chance.integers(256)
    path.write_bytes(content)
    return path


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
    source = write(tmp_path / f"in{suffix}", moving(31, height, width), codec, rate)
    target = tmp_path / f"out{suffix}"
    result = anonymize_video(str(source), target, Inverse(), Options(codec=out, batch=4))
    assert (result.frames, result.black) == (31, 0)
    ours, theirs = facts(target), facts(source)
    assert ours[:2] == theirs[:2]
    assert ours[2] == pytest.approx(theirs[2], abs=0.002)
    assert seconds(target) == pytest.approx(seconds(source), abs=0.002)
    difference = np.abs(read(target).astype(int) - (255 - read(source).astype(int)))
    assert difference.mean() < 6  # what the codecs lose; a raw frame would be off by 100


def test_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [0, 40, 80, 200, 210, 500, 900, 940]
    source = write(tmp_path / "in.mkv", moving(8, 32, 32), times=times)
    for name in ("out.mkv", "out.mp4"):
        anonymize_video(str(source), tmp_path / name, Inverse(), Options(batch=3))
        assert seconds(tmp_path / name) == pytest.approx([time / 1000 for time in times], abs=0.001)


def test_frames_are_those_of_pytorch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = moving(9, 37, 51)
    source = write(tmp_path / "in.mkv", pictures)
    config = AnonymizerConfig(encoder="narrow", depth=2, decoder_channels=(8, 4))
    torch.manual_seed(0)
    network = build_anonymizer(config).eval()
    model = tmp_path / "a.pt"
    torch.save({"config": config.model_dump(mode="json"), "state_dict": network.state_dict()}, model)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255).permute(0, 2, 3, 1).numpy() * 255
    command = ["anonymize", str(source), str(tmp_path / "out.mkv"), "--model", str(model), "--codec", "ffv1", "--batch", "4"]
    assert main(command) == 0
    assert np.abs(read(tmp_path / "out.mkv") - expected).max() < 0.51
    printed = capsys.readouterr().out
    assert "worked at the video's own size" in printed
    assert "temporal flicker" in printed

    assert main([*command, "--overwrite", "--side-by-side", "--size", "20x24"]) == 0
    both = read(tmp_path / "out.mkv")
    assert both.shape == (9, 37, 102, 3)
    assert (both[:, :, :51] == pictures).all()
    printed = capsys.readouterr().out
    assert "at 20x24, resized and back" in printed
    assert "the left half shows the RAW frames" in printed


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".mp4", "mpeg4")])
def test_frames_that_cannot_be_decoded_are_black(tmp_path: Path, suffix: str, codec: str) -> None:
    source = write(tmp_path / f"in{suffix}", moving(60, 48, 64), codec)
    whole = facts(source)
    spoil(source)
    output: list[str] = []
    target = tmp_path / "out.mkv"
    assert anonymize(str(source), target, Inverse(), LOSSLESS, output.append) == 1
    pictures = read(target)
    black = (pictures == 0).all(axis=(1, 2, 3))
    with VideoInput(str(source)) as again:
        shots = [item for item in again if isinstance(item, video.Shot)]
    assert len(pictures) == whole[0] == len(shots)
    assert [shot.picture is None for shot in shots] == black.tolist()
    assert 0 < black.sum() < 40
    assert f"{black.sum()} of 60 frames are black: {black.sum()} could not be decoded, 0 not anonymized" in said(output)
    for shot, picture in zip(shots, pictures, strict=True):
        if shot.picture is not None:
            assert (picture == 255 - shot.picture).all()
    assert seconds(target) == pytest.approx([number / 25 for number in range(60)], abs=0.001)


def _packet(pts: int, dts: int, frames: Sequence[int] | None) -> Any:
    """A packet as of a decoder that gives these frames for it; None: it fails."""

    def decode() -> list[Any]:
        if frames is None:
            raise av.InvalidDataError(1, "damaged")
        return [SimpleNamespace(pts=time, is_corrupt=False) for time in frames]

    return SimpleNamespace(pts=pts, dts=dts, duration=1, size=9, is_discard=False, is_keyframe=pts == 0, decode=decode)


@pytest.mark.parametrize(
    ("packets", "expected"),
    [
        ([(0, 0, [0]), (1, 1, [1]), (2, 2, [2])], [0, 1, 2]),
        ([(0, -1, []), (2, 0, [0]), (1, 1, [1]), (3, 3, [2, 3])], [0, 1, 2, 3]),
        ([(0, -1, [0]), (2, 0, [2]), (1, 1, [1]), (3, 3, [3])], [0, 1, 2, 3]),  # given early: put into order
        ([(0, 0, [0]), (1, 1, None), (2, 2, [2])], [0, None, 2]),
        ([(0, 0, [0]), (1, 1, []), (2, 2, []), (3, 3, [3]), (4, 4, [1, 4])], [0, None, None, 3, 4]),  # given too late
        ([(0, 0, [0]), (1, 1, None), (2, 2, None)], [0, None, None]),
        ([(-2, -2, None), (-1, -1, []), (0, 0, [0])], [0]),  # before the first key frame
        ([(0, 0, [0]), (1, 1, [1]), (2, 2, [])], [0, 1, None]),
    ],
)
def test_frames_come_in_order_and_lost_ones_as_none(packets: list[Any], expected: list[int | None]) -> None:
    file = SimpleNamespace(timed=True, period=1, picture=lambda frame: frame.pts)
    order = video._Order(file)  # type: ignore[arg-type]
    shots = [shot for packet in packets for shot in order.of(_packet(*packet))] + list(order.rest())
    assert [shot.picture for shot in shots] == expected
    assert [shot.time for shot in shots] == list(range(len(expected)))


def test_a_file_cut_short_is_told(tmp_path: Path) -> None:
    source = write(tmp_path / "in.avi", moving(100, 96, 96), "mpeg4")
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 6 // 10])
    output: list[str] = []
    assert anonymize(str(source), tmp_path / "out.avi", Inverse(), Options(), output.append) == 1
    assert "ends early" in said(output)
    assert 20 < facts(tmp_path / "out.avi")[0] < 80


def test_frames_that_fail_are_black_on_both_sides(tmp_path: Path) -> None:
    pictures = moving(10, 24, 32)
    source = write(tmp_path / "in.mkv", pictures)
    output: list[str] = []
    target, options = tmp_path / "out.mkv", Options(codec="ffv1", side_by_side=True, batch=4)
    assert anonymize(str(source), target, Inverse(nan_at=(2, 5), fail_from=8), options, output.append) == 1
    made = read(target)
    black = (made == 0).all(axis=(1, 2, 3))
    assert np.flatnonzero(black).tolist() == [2, 5, 8, 9]
    assert (made[~black][:, :, 32:] == 255 - pictures[~black]).all()
    assert "4 of 10 frames are black: 0 could not be decoded, 4 not anonymized (RuntimeError: out of memory)" in said(output)


def test_a_model_that_never_works_writes_nothing(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mkv", moving(3, 24, 32))
    with pytest.raises(AnalysisError, match=r"the model fails at 24x32 \(RuntimeError: out of memory\)"):
        anonymize(str(source), tmp_path / "out.mkv", Inverse(fail_from=-1), Options())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError])
def test_nothing_is_left_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> None:
    source = write(tmp_path / "in.mkv", moving(9, 24, 32))
    target = tmp_path / "out.mkv"
    target.write_bytes(b"before")
    right, calls = video.VideoOutput.write, []

    def failing(self: video.VideoOutput, shot: video.Shot, picture: Any) -> None:
        calls.append(shot)
        if len(calls) == 5:
            raise error
        right(self, shot, picture)

    monkeypatch.setattr(video.VideoOutput, "write", failing)
    with pytest.raises(error):
        anonymize(str(source), target, Inverse(), Options(overwrite=True, batch=2))
    assert target.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "out.mkv"]


def test_what_is_there_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "in.mkv", moving(3, 24, 32))
    for target, message in (
        (tmp_path / "in.mkv", "the input itself"),
        (write(tmp_path / "o.mkv", moving(2, 8, 8)), "there already"),
    ):
        before = target.read_bytes()
        with pytest.raises(AnalysisError, match=message):
            anonymize(str(source), target, Inverse(), Options())
        assert target.read_bytes() == before
    with pytest.raises(AnalysisError, match="the input itself"):
        anonymize(str(source), source, Inverse(), Options(overwrite=True))
    with pytest.raises(AnalysisError, match="is no folder"):
        anonymize(str(source), tmp_path / "no" / "o.mkv", Inverse(), Options())


@pytest.mark.parametrize(("content", "message"), [(None, "no such"), (b"", "empty"), (b"text" * 100, "not a readable video")])
def test_inputs_that_are_no_videos(tmp_path: Path, content: bytes | None, message: str) -> None:
    source = tmp_path / "in.mp4"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(AnalysisError, match=message) as caught:
        anonymize(str(source), tmp_path / "out.mp4", Inverse(), Options())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.mp4").exists()


def test_an_unknown_codec(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mkv", moving(3, 24, 32))
    with pytest.raises(AnalysisError, match=r"cannot be made with nothing"):
        anonymize(str(source), tmp_path / "out.mkv", Inverse(), Options(codec="nothing"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv"]


def test_without_libx264_the_fallback_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "in.mp4", moving(5, 37, 51), "mpeg4")
    monkeypatch.setattr(video.av, "codecs_available", {"mpeg4"})
    output: list[str] = []
    assert anonymize(str(source), tmp_path / "out.mp4", Inverse(), Options(), output.append) == 0
    assert "codec mpeg4, yuv420p (this PyAV has no libx264)" in said(output)


def test_sound(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mp4", moving(25, 48, 64), "libx264", sound=True)
    output: list[str] = []
    anonymize(str(source), tmp_path / "silent.mp4", Inverse(), Options(), output.append)
    anonymize(str(source), tmp_path / "sound.mp4", Inverse(), Options(keep_audio=True), output.append)
    for name, count in (("silent.mp4", 0), ("sound.mp4", 1)):
        with av.open(str(tmp_path / name)) as container:
            assert len(container.streams.audio) == count
            if count:
                assert sum(frame.samples for frame in container.decode(audio=0)) >= 16000
        assert facts(tmp_path / name)[0] == 25
    assert "sound dropped" in said(output)
    assert "sound kept" in said(output)


def test_turned_videos_are_upright(tmp_path: Path) -> None:
    pictures = moving(4, 32, 48)
    source = write(tmp_path / "in.mp4", pictures, "libx264", rotation=90)
    result = anonymize_video(str(source), tmp_path / "out.mkv", Inverse(), LOSSLESS)
    assert result.black == 0
    made = read(tmp_path / "out.mkv")
    assert made.shape == (4, 48, 32, 3)
    assert np.abs(made.astype(int) - (255 - np.rot90(pictures, 1, axes=(1, 2)).astype(int))).mean() < 6


def test_folder_is_taken_up_again(tmp_path: Path) -> None:
    folder, target = tmp_path / "in", tmp_path / "out"
    (folder / "deep").mkdir(parents=True)
    write(folder / "a.mkv", moving(5, 24, 32))
    write(folder / "deep" / "b.avi", moving(6, 24, 32), "mpeg4")
    write(folder / "a.ts", moving(30, 48, 64), "libx264")
    (folder / "labels.txt").write_text("no video")
    (folder / "broken.mp4").write_bytes(b"text" * 99)
    output: list[str] = []
    assert anonymize(str(folder), target, Inverse(), Options(), output.append) == 1
    assert "3 of 4 videos anonymized, 0 skipped as already there, 1 with errors; 1 files that are no videos" in output[-1], (
        said(output)
    )
    assert [facts(target / name)[0] for name in ("a.mkv", "deep/b.avi", "a.ts.mp4")] == [5, 6, 30]
    (folder / "broken.mp4").unlink()
    (target / "deep" / "b.avi").unlink()
    before = (target / "a.mkv").stat().st_mtime_ns
    output.clear()
    assert anonymize(str(folder), target, Inverse(), Options(), output.append) == 0
    assert f"skipped: {target / 'a.mkv'}, finished earlier" in output
    assert "1 of 3 videos anonymized, 2 skipped" in output[-1]
    assert (target / "a.mkv").stat().st_mtime_ns == before

    output.clear()
    assert anonymize(str(folder), target, Inverse(), Options(side_by_side=True), output.append) == 1
    assert "made with another model or other options; --overwrite" in said(output)
    with (target / "anonymized.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["file"] for row in rows] == ["a.mkv", "a.ts.mp4", "deep/b.avi", "deep/b.avi"]
    assert all(float(row["flicker_raw"]) > 0 for row in rows)


def test_folder_remembers_black_frames_and_knows_what_is_not_its_own(tmp_path: Path) -> None:
    folder, target = tmp_path / "in", tmp_path / "in" / "out"
    folder.mkdir()
    write(folder / "a.mkv", moving(5, 24, 32))
    output: list[str] = []
    assert anonymize(str(folder), target, Inverse(nan_at=(1,)), Options(), output.append) == 1
    assert anonymize(str(folder), target, Inverse(), Options(), output.append) == 1
    assert f"skipped: {target / 'a.mkv'}, finished earlier, but 1 of its 5 frames are black" in output
    (target / "anonymized.csv").write_text("name,value\na.mkv,1\n")
    assert anonymize(str(folder), target, Inverse(), Options(), output.append) == 1
    assert "not made by this command" in said(output)
    assert anonymize(str(folder), target, Inverse(), Options(overwrite=True), output.append) == 0
    with pytest.raises(AnalysisError, match="another folder"):
        anonymize(str(folder), folder, Inverse(), Options())


def test_live_source(tmp_path: Path) -> None:
    """An address that sends a stream; RTSP itself and cameras are not there in tests."""
    stream = write(tmp_path / "live.ts", moving(50, 48, 64), "libx264").read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(stream)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        result = anonymize_video(address, tmp_path / "out.mp4", Inverse(), Options(seconds=1.0))
        thread.join(10)
    assert result.black == 0
    assert facts(tmp_path / "out.mp4")[0] == 25


def test_an_address_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="not a readable video"):
        anonymize("rtsp://127.0.0.1:9/none", tmp_path / "out.mp4", Inverse(), Options())


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


def test_resized_and_back() -> None:
    pictures = list(moving(2, 37, 51))
    small: list[tuple[int, ...]] = []

    class Seen(Inverse):
        def __call__(self, frames: Tensor) -> Tensor:
            small.append(tuple(frames.shape))
            return super().__call__(frames)

    made = anonymized(pictures, Seen(), (16, 24))
    assert small == [(2, 3, 16, 24)]
    assert [picture.shape for picture in made if picture is not None] == [(37, 51, 3)] * 2
    assert np.abs(np.stack([255 - p for p in pictures]).astype(int) - np.stack(made)).mean() < 15  # type: ignore[arg-type]


def test_command_line_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "in.mkv", moving(3, 24, 32))
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
