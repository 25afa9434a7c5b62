"""VISPR as JSON lists and as pickles, and every way in which such data can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.data_sets import append, dump, refused, write, write_lines
from trainables.config import PrivacyData
from trainables.data.readers.vispr import ATTRIBUTE_SETS
from trainables.data.registry import load_stills

VISPR1 = ATTRIBUTE_SETS["vispr1"]
SIZES = {"train2017": 8, "test2017": 4}


@pytest.fixture
def vispr(tmp_path: Path) -> Path:
    """Images p0_0 to p3_1 of four people for training; image n shows attribute n of vispr1 and an unrelated one."""
    folder = tmp_path / "VISPR"
    for split, size in SIZES.items():
        stems = [f"p{n // 2}_{n % 2}" for n in range(size)]
        for n, stem in enumerate(stems):
            write(folder / "images" / split / f"{stem}.jpg")
            labels = {"image_path": f"images/{split}/{stem}.jpg", "labels": [VISPR1[n % 7], "a0_safe"], "id": stem}
            write(folder / "annotations" / split / f"{stem}.json", json.dumps(labels))
        write_lines(folder / f"{split}.txt", [f"annotations/{split}/{stem}.json" for stem in stems])
    return tmp_path


def load_vispr(root: Path, **config: object) -> Callable[[], object]:
    return lambda: load_stills(PrivacyData(**config), root)


def test_vispr(vispr: Path) -> None:
    splits = load_stills(PrivacyData(), vispr)
    assert splits.attributes == VISPR1
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (7, 1, 4)
    assert splits.test[1].name == "images/test2017/p0_1.jpg"
    assert splits.test[1].path == vispr / "VISPR" / "images" / "test2017" / "p0_1.jpg"
    assert splits.test[1].attributes == (0, 1, 0, 0, 0, 0, 0)
    assert splits.test[1].frame is None


def test_vispr_groups(vispr: Path) -> None:
    splits = load_stills(PrivacyData(group_pattern=r"^(p\d+)_"), vispr)
    assert len(splits.validation) == 2
    assert len({still.group for still in splits.validation}) == 1
    assert {still.group for still in (*splits.train, *splits.validation)} == {"p0", "p1", "p2", "p3"}
    refused(load_vispr(vispr, group_pattern="p0_(.)"), "train2017.txt:3: group_pattern 'p0_(.)' is not found in 'p1_0' (6 such")
    refused(load_vispr(vispr, group_pattern=r"p0_(x)?"), "train2017.txt:1: group_pattern", "is not found in 'p0_0'")
    refused(load_vispr(vispr, group_pattern="p.*"), "group_pattern 'p.*': has no group", "parentheses")
    refused(load_vispr(vispr, group_pattern="p("), "group_pattern 'p(': not a regular expression", "correct it")


def test_vispr_validation_list(vispr: Path) -> None:
    folder = vispr / "VISPR"
    lines = (folder / "train2017.txt").read_text().splitlines()
    write_lines(folder / "train2017.txt", lines[:5])
    write_lines(folder / "val2017.txt", lines[5:])
    splits = load_stills(PrivacyData(), vispr)
    assert [still.name for still in splits.validation] == [f"images/train2017/{s}.jpg" for s in ("p2_1", "p3_0", "p3_1")]
    assert len(splits.train) == 5


def test_vispr_attributes(vispr: Path) -> None:
    chosen = load_stills(PrivacyData(attributes=("a0_safe", "a17_color")), vispr)
    assert chosen.attributes == ("a0_safe", "a17_color")
    assert [still.attributes for still in chosen.test] == [(1, 1), (1, 0), (1, 0), (1, 0)]
    write_lines(vispr / "VISPR" / "attributes.txt", ["a0_safe"])
    assert load_stills(PrivacyData(), vispr).attributes == ("a0_safe",)
    assert load_stills(PrivacyData(attributes="vispr1"), vispr).attributes == VISPR1
    refused(load_vispr(vispr, attributes="vispr2"), "labels of", "VISPR: no attribute 'a6_hair_color'", "(7 such in all)")
    refused(load_vispr(vispr, attributes=("a4_gendr",)), "no attribute 'a4_gendr' (nearest: a4_gender)", "configuration")
    refused(load_vispr(vispr, attributes=("zzz",)), "no attribute 'zzz' (there are: a0_safe, a10_face_partial")
    refused(load_vispr(vispr, attributes="a4_gender"), "attributes 'a4_gender': write vispr1, vispr2, auto or a list")
    refused(load_vispr(vispr, attributes=()), "attributes []: name at least one")
    refused(load_vispr(vispr, attributes=("a0_safe", "a0_safe")), "each once")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("{", ["test2017.txt:2:", "p0_1.json: not JSON", "(1 such in all); put the annotations of every listed image there"]),
        ("[]", ["test2017.txt:2:", 'p0_1.json: no {"image_path": text']),
        ('{"labels": []}', ["test2017.txt:2:", 'p0_1.json: no {"image_path": text']),
        ('{"image_path": "x.jpg", "labels": "a"}', ["test2017.txt:2:", 'p0_1.json: no {"image_path": text']),
        ('{"image_path": "x.jpg", "labels": [1]}', ["test2017.txt:2:", 'p0_1.json: no {"image_path": text']),
        ('{"image_path": "x.jpg", "labels": []}', ["test2017.txt:2:", "VISPR/x.jpg is not there (1 of 12 files"]),
        ('{"image_path": "../x.jpg", "labels": []}', ["test2017.txt:2: '../x.jpg' points outside"]),
        ('{"image_path": "images/train2017/p0_0.jpg", "labels": []}', ["test2017.txt:2:", "already at", "train2017.txt:1"]),
    ],
)
def test_vispr_refuses_bad_annotations(vispr: Path, content: str, parts: list[str]) -> None:
    write(vispr / "VISPR" / "annotations" / "test2017" / "p0_1.json", content)
    refused(load_vispr(vispr), *parts)


def test_vispr_refuses_bad_lists(vispr: Path) -> None:
    folder = vispr / "VISPR"
    append(folder / "test2017.txt", "annotations/test2017/gone.json")
    refused(load_vispr(vispr), "test2017.txt:5:", "gone.json: cannot be read (No such file")
    append(folder / "test2017.txt", "/etc/passwd")
    refused(load_vispr(vispr), "test2017.txt:6: '/etc/passwd' points outside")
    (folder / "test2017.txt").unlink()
    refused(load_vispr(vispr), "no list test2017.txt with annotations/, and no test2017_labels.pkl; put one there")
    write(folder / "images" / "train2017" / "p0_0.jpg", "")
    write_lines(folder / "test2017.txt", ["annotations/test2017/p0_0.json"])
    refused(load_vispr(vispr), "train2017.txt:1:", "p0_0.jpg is an empty file (1 of 9 files")


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    for split, size in SIZES.items():
        for n in range(size):
            write(tmp_path / "VISPR" / split / f"2017_{n}.jpg")
        rows = {f"2017_{n}": np.eye(7, dtype=np.float32)[n % 7] for n in range(size)}
        dump(tmp_path / "VISPR" / f"{split}_labels.pkl", rows)
    return tmp_path


def test_vispr_pickles(pickled: Path) -> None:
    splits = load_stills(PrivacyData(), pickled)
    assert splits.attributes == VISPR1
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (7, 1, 4)
    assert splits.test[1].name == "test2017/2017_1.jpg"
    assert splits.test[1].attributes == (0, 1, 0, 0, 0, 0, 0)
    assert load_stills(PrivacyData(attributes=("a4_gender",)), pickled).test[1].attributes == (1,)
    refused(load_vispr(pickled, attributes="vispr2"), "no attribute 'a6_hair_color'", "(7 such in all)")


def test_vispr_pickles_with_short_names_and_images_folder(pickled: Path) -> None:
    folder = pickled / "VISPR"
    (folder / "images").mkdir()
    for split in SIZES:
        (folder / split).rename(folder / "images" / split)
        (folder / f"{split}_labels.pkl").rename(folder / f"{split.removesuffix('2017')}_labels.pkl")
    assert load_stills(PrivacyData(), pickled).test[0].name == "images/test2017/2017_0.jpg"


def test_vispr_refuses_bad_pickles(pickled: Path) -> None:
    folder = pickled / "VISPR"
    dump(folder / "test2017_labels.pkl", {"2017_0": np.ones(5)})
    refused(load_vispr(pickled), "test2017_labels.pkl: 5 labels for '2017_0', but 7 attributes: a17_color")
    dump(folder / "test2017_labels.pkl", {"../2017_0": np.ones(7)})
    refused(load_vispr(pickled), "test2017_labels.pkl: 'test2017/../2017_0.jpg' points outside")
    dump(folder / "test2017_labels.pkl", {"2017_0": np.ones(7)})
    (folder / "test2017").rename(folder / "elsewhere")
    refused(load_vispr(pickled), "no folder with the images of test2017_labels.pkl; put them at images/test2017 or test2017")
    (folder / "test2017_labels.pkl").unlink()
    refused(load_vispr(pickled), "no list test2017.txt with annotations/, and no test2017_labels.pkl")
