"""Whatever a stage's numbers depend on is in the fingerprint of its data: names, labels, groups, and what is in the files."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from trainables.data.contents import PART, PARTS, contents_of
from trainables.data.items import DataError, Still, StillSplits, Video, VideoSplits


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
