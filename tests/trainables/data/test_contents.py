"""Whatever a stage's numbers depend on is in the fingerprint of its data: names, labels, groups, and what is in the files."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import pytest

from trainables.config import TrialConfig, with_values
from trainables.data.contents import PART, PARTS, contents_of
from trainables.data.items import DataError, Still, StillSplits, Video, VideoSplits
from trainables.data.trial_data import TrialData
from trainables.plan import plan_trial


def content(path: Path) -> str:
    return contents_of([path])[path]


def test_equal_files_have_equal_contents_whatever_their_name_and_time(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"video")
    two.write_bytes(b"video")
    os.utime(two, (1, 1))
    assert content(one) == content(two)
    two.write_bytes(b"vide0")
    assert content(one) != content(two)


@pytest.mark.parametrize("size", [PART, PART * PARTS, PART * PARTS + 1, 10 * PART * PARTS])
def test_a_changed_byte_is_seen_at_both_ends_and_of_a_small_file_anywhere(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    original = bytes(size)
    found = set()
    places = [0, size - 1, *([size // 2] if size <= PART * PARTS else [])]
    for place in (None, *places):
        changed = bytearray(original)
        if place is not None:
            changed[place] = 1
        path.unlink(missing_ok=True)
        path.write_bytes(changed)
        found.add(content(path))
    path.write_bytes(bytes(size + 1))
    assert len(found | {content(path)}) == len(places) + 2


@pytest.mark.parametrize("size", [1, PART * PARTS, PART * PARTS + 1, 10 * PART * PARTS])
def test_the_whole_content_believes_no_time_of_change(tmp_path: Path, size: int) -> None:
    """Any byte, changed in place: neither size, nor time, nor inode tells. Of a small file both hashes are one."""
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    known, found = path.stat(), {contents_of([path], whole=True)[path]}
    assert (found == {content(path)}) == (size <= PART * PARTS)
    for place in {0, size // 3, size // 2, size - 1}:
        with path.open("r+b") as file:
            file.seek(place)
            file.write(b"x")
        os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))
        found.add(contents_of([path], whole=True)[path])
    assert path.stat().st_ino == known.st_ino
    assert len(found) == 1 + len({0, size // 3, size // 2, size - 1})


def test_the_whole_content_of_a_folder_is_that_of_every_frame(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"{number}.jpg").write_bytes(bytes([number]))
    parts, whole = content(tmp_path), contents_of([tmp_path], whole=True)
    (tmp_path / "2.jpg").write_bytes(b"x")
    assert content(tmp_path) == parts
    assert contents_of([tmp_path], whole=True) != whole


def test_a_trial_chooses_what_of_its_files_is_in_its_keys(tiny_data: Path, tiny_config: TrialConfig, tmp_path: Path) -> None:
    root = shutil.copytree(tiny_data, tmp_path / "data")
    changed = sorted(root.glob("UCF-101/*/*.avi"))[0]
    with changed.open("ab") as file:
        file.write(bytes(10 * PART * PARTS))  # so that it is no small file
    found: dict[str, list[str]] = {"parts": [], "whole": []}
    for byte in (b"a", b"b"):
        with changed.open("r+b") as file:
            file.seek(3 * PART)
            file.write(byte)
        known: TrialData | None = None
        for contents, prints in found.items():
            config = with_values(tiny_config, {"data.contents": contents})
            known = TrialData(config, root, like=known)
            assert plan_trial(config, known).stages[0].depends_on["data"]["action"] == known.action.fingerprint
            prints.append(known.action.fingerprint)
    assert found["parts"][0] == found["parts"][1]
    assert len({*found["parts"], *found["whole"]}) == 3


def test_a_folder_of_frames_is_known_by_its_frames(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.jpg").write_bytes(bytes([number]))
    whole = content(folder)
    (folder / "2.jpg").write_bytes(b"x")
    changed = content(folder)
    (folder / "4.jpg").unlink()
    assert len({whole, changed, content(folder)}) == 3


def videos(folder: Path) -> VideoSplits:
    for name in "abc":
        (folder / name).write_text(name)
    train, validation, test = (Video(name, folder / name, 0, f"g{name}", (1.0, 0.0)) for name in "abc")
    return VideoSplits("set", ("run", "jump"), ("tall", "blue"), (train,), (validation,), (test,))


@pytest.mark.parametrize("part", ["train", "validation", "test"])
@pytest.mark.parametrize("change", [{"name": "z"}, {"label": 1}, {"group": "other"}, {"attributes": (1.0, 1.0)}])
def test_one_name_label_group_or_attribute_changes_the_fingerprint(
    tmp_path: Path, part: str, change: dict[str, object]
) -> None:
    splits = videos(tmp_path)
    changed = (dataclasses.replace(getattr(splits, part)[0], **change),)  # type: ignore[arg-type]
    assert dataclasses.replace(splits, **{part: changed}).fingerprint != splits.fingerprint


def test_classes_attribute_names_and_files_change_the_fingerprint(tmp_path: Path) -> None:
    splits = videos(tmp_path)
    assert dataclasses.replace(splits).fingerprint == splits.fingerprint
    assert dataclasses.replace(splits, classes=("run", "leap")).fingerprint != splits.fingerprint
    assert dataclasses.replace(splits, attributes=("tall", "red")).fingerprint != splits.fingerprint
    (tmp_path / "a").write_text("b")  # as long as before
    os.utime(tmp_path / "a", (1, 1))
    assert dataclasses.replace(splits).fingerprint != splits.fingerprint
    (tmp_path / "a").unlink()
    with pytest.raises(DataError, match=r"/a: cannot be read \(No such file or directory\)"):
        _ = dataclasses.replace(splits).fingerprint


@pytest.mark.parametrize("change", [{"name": "z"}, {"frame": 3}, {"group": "other"}, {"attributes": (0.0,)}])
def test_images_likewise(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / "a").write_text("a")
    still = Still("a", tmp_path / "a", (1.0,), "g")
    splits = StillSplits("set", ("tall",), (still,), (), ())
    changed = dataclasses.replace(splits, train=(dataclasses.replace(still, **change),))  # type: ignore[arg-type]
    assert changed.fingerprint != splits.fingerprint


def test_where_a_split_ends_is_in_the_fingerprint(tmp_path: Path) -> None:
    """The same items in the same order, the last of one split the first of the next."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    videos = tuple(Video(str(number), path, 0, "g") for number in range(4))
    stills = tuple(Still(str(number), path, (0.0,), "g") for number in range(4))
    cuts = [(1, 2), (2, 2), (1, 3)]
    of_videos = {VideoSplits("s", ("a",), (), videos[:one], videos[one:two], videos[two:]).fingerprint for one, two in cuts}
    of_stills = {StillSplits("s", ("p",), stills[:one], stills[one:two], stills[two:]).fingerprint for one, two in cuts}
    assert (len(of_videos), len(of_stills)) == (3, 3)
