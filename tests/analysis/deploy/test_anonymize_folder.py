"""A folder of videos: continued where it was left, with a record of what is finished."""

from pathlib import Path

import pytest
import torch

from analysis.deploy.anonymize import anonymize
from analysis.deploy.record import Record, path_of
from analysis.deploy.video import VideoOptions
from analysis.read.store import AnalysisError
from tests.support.videos import Inverse, facts_of, moving_noise, write_video

LOSSLESS = VideoOptions(codec="ffv1")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def said(output: list[str]) -> str:
    return "\n".join(output)


def test_folder_is_taken_up_again(tmp_path: Path) -> None:
    folder, target = tmp_path / "in", tmp_path / "out"
    (folder / "deep").mkdir(parents=True)
    write_video(folder / "a.mkv", moving_noise(5, 24, 32))
    write_video(folder / "deep" / "b.avi", moving_noise(6, 24, 32), "mpeg4")
    write_video(folder / "a.ts", moving_noise(30, 48, 64), "libx264")
    (folder / "labels.txt").write_text("no video")
    (folder / "broken.mp4").write_bytes(b"text" * 99)
    output: list[str] = []
    assert anonymize(str(folder), target, Inverse(), VideoOptions(), output.append) == 1
    assert "3 of 4 videos anonymized, 0 skipped as already there, 1 with errors; 1 files that are no videos" in output[-1], (
        said(output)
    )
    assert output[-2].startswith(f"with an error: {folder / 'broken.mp4'}: not a readable video")
    assert [facts_of(target / name)[0] for name in ("a.mkv", "deep/b.avi", "a.ts.mp4")] == [5, 6, 30]
    (folder / "broken.mp4").unlink()
    (target / "deep" / "b.avi").unlink()
    before = (target / "a.mkv").stat().st_mtime_ns
    output.clear()
    assert anonymize(str(folder), target, Inverse(), VideoOptions(), output.append) == 0
    assert f"skipped: {target / 'a.mkv'}, finished earlier" in output
    assert "1 of 3 videos anonymized, 2 skipped" in output[-1]
    assert (target / "a.mkv").stat().st_mtime_ns == before

    output.clear()
    for name in ("a.mkv", "a.ts.mp4", "deep/b.avi"):
        record = Record.read(target / name)
        assert record is not None
        assert record.output_bytes == (target / name).stat().st_size
        assert record.found["flicker"]["raw"] > 0


def test_folder_remembers_black_frames_and_knows_what_is_not_its_own(tmp_path: Path) -> None:
    folder, target = tmp_path / "in", tmp_path / "in" / "out"
    folder.mkdir()
    write_video(folder / "a.mkv", moving_noise(5, 24, 32))
    output: list[str] = []
    assert anonymize(str(folder), target, Inverse(nan_at=(1,)), VideoOptions(), output.append) == 1
    assert anonymize(str(folder), target, Inverse(), VideoOptions(), output.append) == 1
    assert f"skipped: {target / 'a.mkv'}, finished earlier, but 1 of its 5 frames are black" in output
    path_of(target / "a.mkv").write_text("{}")
    assert anonymize(str(folder), target, Inverse(), VideoOptions(), output.append) == 1
    assert "not made by this command" in said(output)
    assert anonymize(str(folder), target, Inverse(), VideoOptions(overwrite=True), output.append) == 0
    with pytest.raises(AnalysisError, match="another folder"):
        anonymize(str(folder), folder, Inverse(), VideoOptions())
