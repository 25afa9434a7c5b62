"""What a study will read is opened before it starts, in processes if it is much, and once."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.numbered import write_numbered
from trainables.data import verify
from trainables.data.decoding import images, index, video
from trainables.data.items import DataError, Still, Video
from trainables.data.verify import files_of, problems_of, require_readable

H264 = {"preset": "ultrafast", "x264-params": "keyint=12:bframes=2:scenecut=0"}


@pytest.fixture
def files(tmp_path: Path) -> dict[Path, int | None]:
    """A video and an image that are whole, a video that is cut, one with a damaged frame, and an image that is cut."""
    whole = write_numbered(tmp_path / "whole.avi", range(24))
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    damaged = write_numbered(tmp_path / "damaged.mp4", range(60), "libx264", H264)
    content = bytearray(damaged.read_bytes())
    start = content.find(b"mdat") + len(content) // 2
    content[start : start + 400] = bytes(400)
    damaged.write_bytes(content)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:1500])
    return files_of(
        [
            *(Video(path.name, path, 0, "g") for path in (whole, cut, damaged)),
            *(Still(name, tmp_path / name, (1.0,), "g") for name in ("whole.jpg", "cut.jpg")),
        ]
    )


def names(problems: list[str]) -> list[str]:
    return [Path(problem.partition(": ")[0]).name for problem in problems]


@pytest.mark.parametrize("processes", [False, True])
def test_broken_files_are_named(files: dict[Path, int | None], processes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if processes:
        monkeypatch.setattr(verify, "_FEW", 0)
        monkeypatch.setattr(verify, "_CHUNK", 2)
    assert names(list(problems_of(files, decode=False))) == ["cut.avi", "cut.jpg"]
    found = list(problems_of(files, decode=True))
    assert names(found) == ["cut.avi", "damaged.mp4", "cut.jpg"]
    assert not any("\n" in problem for problem in found)


def test_the_error_counts_and_names_them_all(files: dict[Path, int | None]) -> None:
    require_readable(files, "none")
    with pytest.raises(DataError, match=r"^\S*cut.avi: .*replace the file \(2 such in all; also \S*cut.jpg\)$"):
        require_readable(files, "headers")
    good = {path: frames for path, frames in files.items() if path.name.startswith("whole")}
    require_readable(good, "decode")


def test_labels_past_the_end_are_told(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "short.avi", range(24))
    stills = [Still("s", path, (1.0,), "g", frame=frame) for frame in (3, 24, 7)]
    assert list(problems_of(files_of(stills[::2]), decode=False)) == []
    [problem] = problems_of(files_of(stills), decode=False)
    assert problem == f"{path}: 24 frames, but the labels go to frame 24; replace the file"


def test_a_file_found_good_is_not_opened_again_until_it_changes(
    files: dict[Path, int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = {path: frames for path, frames in files.items() if path.name.startswith("whole")}
    assert list(problems_of(good, decode=True)) == []

    def opened(*_: object) -> None:
        raise DataError("it was opened")

    for module, name in ((images, "decode_image"), (images, "check_image"), (index, "index_of"), (video.VideoReader, "check")):
        monkeypatch.setattr(module, name, opened)
    assert list(problems_of(good, decode=True)) == []
    for path in good:
        os.utime(path, ns=(0, 0))
    assert list(problems_of({path: frames for path, frames in good.items() if frames is None}, decode=True)) == [
        "it was opened"
    ]


def test_without_a_place_for_what_is_known_everything_still_works(
    files: dict[Path, int | None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "no folder").write_text("")
    monkeypatch.setenv("ANONYMIZATION_CACHE", str(tmp_path / "no folder"))
    assert names(list(problems_of(files, decode=False))) == ["cut.avi", "cut.jpg"]
