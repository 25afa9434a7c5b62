"""Boxes of people: "nobody there" is not "nobody looked", and every fault of the file is one line that names it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.recording import numbered_config, recorded
from tests.support.stages import stage_context
from trainables.data.boxes import Boxes, boxes_file, read_boxes
from trainables.data.items import DataError, Still, Video

HEADER = "filename,frame,x0,y0,x1,y1\n"
ROWS = """a.avi,0,0.1,0.2,0.3,0.4
a.avi,0,0.5,0.5,1,1
a.avi,4,0,0,0.5,0.5
b.avi,0,,,,
"""


def video(name: str) -> Video:
    return Video(name, Path(name), 0, name)


def written(folder: Path, rows: str, header: str = HEADER) -> Path:
    path = folder / "boxes.csv"
    path.write_text(header + rows)
    return path


def test_a_frame_has_its_people_and_nobody_is_not_unknown(tmp_path: Path) -> None:
    boxes = read_boxes(written(tmp_path, ROWS), every=1)
    found = boxes.at(video("a.avi"), [4, 0])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[1], [[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 1, 1]], rtol=1e-6)
    np.testing.assert_allclose(found[0, 0], [0, 0, 0.5, 0.5])
    assert np.isnan(found[0, 1]).all()
    assert np.isnan(boxes.at(video("b.avi"), [0])).all()
    with pytest.raises(DataError, match=r"boxes.csv: no row for frame 1 of 'a.avi'; add its rows, .*obfuscation.every"):
        boxes.at(video("a.avi"), [0, 1])
    with pytest.raises(DataError, match=r"boxes.csv: no row for 'c.avi'; add"):
        boxes.at(video("c.avi"), [0])


def test_a_frame_between_has_the_boxes_of_the_nearest_one(tmp_path: Path) -> None:
    boxes = read_boxes(written(tmp_path, ROWS), every=4)
    assert [np.isfinite(people[:, 0]).sum() for people in boxes.at(video("a.avi"), [0, 1, 2, 3, 4, 7])] == [2, 2, 2, 1, 1, 1]
    with pytest.raises(DataError, match="frame 8 of"):
        boxes.at(video("a.avi"), [8])


def test_a_still_of_a_video_has_the_boxes_of_its_frame(tmp_path: Path) -> None:
    boxes = read_boxes(written(tmp_path, ROWS), every=1)
    still = Still("a.avi#4", Path("a.avi"), (), "a", frame=4)
    np.testing.assert_allclose(boxes.at(still, [4])[0, 0], [0, 0, 0.5, 0.5])
    boxes.require([still], "stills")
    with pytest.raises(DataError, match=r"no row for 1 of 2 items of stills, first 'a.avi#5'"):
        boxes.require([still, Still("a.avi#5", Path("a.avi"), (), "a", frame=5)], "stills")


def test_items_without_a_row_are_counted_and_named(tmp_path: Path) -> None:
    boxes = read_boxes(written(tmp_path, ROWS), every=1)
    with pytest.raises(DataError, match=r"no row for 5 of 6 items of mine, first 'v0', 'v1', 'v2'; add"):
        boxes.require([video("a.avi"), *(video(f"v{i}") for i in range(5))], "mine")


@pytest.mark.parametrize(
    "row",
    [
        "a.avi,0,0.1,0.2,0.3",
        "a.avi,0,0.1,0.2,0.3,0.4,0.9",
        "a.avi,x,0.1,0.2,0.3,0.4",
        "a.avi,-1,0.1,0.2,0.3,0.4",
        "a.avi,1.5,0.1,0.2,0.3,0.4",
        "a.avi,0,0.1,,0.3,0.4",
        "a.avi,0,0.3,0.2,0.1,0.4",
        "a.avi,0,10,20,30,40",
        "a.avi,0,nan,0.2,0.3,0.4",
        ",0,0.1,0.2,0.3,0.4",
    ],
)
def test_a_malformed_row_is_named_by_file_and_line(tmp_path: Path, row: str) -> None:
    path = written(tmp_path, f"{ROWS}\n{row}\n{row}\n")
    with pytest.raises(DataError) as found:
        read_boxes(path, every=1)
    assert str(found.value).startswith(f"{path}:7: {row!r} is no box (2 such in all); write filename,frame,x0,")


def test_other_faults_of_the_file_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"boxes.csv:6: frame 0 of 'b.avi' has a box and a row without one \(1 such"):
        read_boxes(written(tmp_path, ROWS + "b.avi,0,0,0,1,1\n"), every=1)
    with pytest.raises(DataError, match=r"boxes.csv:1: the header is 'file,x'; write filename,frame,x0,y0,x1,y1"):
        read_boxes(written(tmp_path, "", "file,x\n"), every=1)
    with pytest.raises(DataError, match=r"boxes.csv:1: the header is ''"):
        read_boxes(written(tmp_path, "", ""), every=1)
    with pytest.raises(DataError, match="cannot be read"):
        read_boxes(tmp_path / "nowhere.csv", every=1)


def test_a_margin_grows_boxes_about_their_centre_within_the_picture() -> None:
    boxes = Boxes.of("here", 1, {"a.avi": {0: [(0.4, 0.4, 0.6, 0.8), (0.0, 0.0, 0.2, 0.2)]}}).grown(0.5)
    np.testing.assert_allclose(boxes.at(video("a.avi"), [0])[0], [[0.35, 0.3, 0.65, 0.9], [0, 0, 0.25, 0.25]], atol=1e-6)


@pytest.mark.parametrize(("margin", "top"), [(0.0, 0.5), (0.5, 0.375)])
def test_boxes_reach_a_stage_grown_by_the_margin(numbered: Path, tmp_path: Path, margin: float, top: float) -> None:
    """Those of the numbered videos cover the lower half."""
    with recorded():
        config = numbered_config({"method": "blackening", "obfuscation.margin": margin})
        context = stage_context("evaluate_action", config, numbered, tmp_path)
        boxes = context.boxes("action_evaluation")
        assert boxes is not None
        np.testing.assert_allclose(boxes.at(context.data.action_evaluation.test[0], [0])[0], [[0, top, 1, 1]], atol=1e-6)


def test_columns_say_all_of_it(tmp_path: Path) -> None:
    boxes = read_boxes(written(tmp_path, ROWS), every=4)
    again = Boxes.of_columns("here", 4, list(boxes.files), boxes.columns())
    for name in ("a.avi", "b.avi"):
        np.testing.assert_array_equal(again.at(video(name), [0, 1]), boxes.at(video(name), [0, 1]))


def test_where_the_file_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no boxes of people, .*set/boxes.csv nor .*boxes.csv; put them there, or set obfusc"):
        boxes_file("auto", tmp_path, "set")
    in_root = written(tmp_path, ROWS)
    assert boxes_file("auto", tmp_path, "set") == boxes_file("auto", tmp_path, None) == in_root
    (tmp_path / "set").mkdir()
    in_set = written(tmp_path / "set", ROWS)
    assert boxes_file("auto", tmp_path, "set") == in_set
    assert boxes_file("set/boxes.csv", tmp_path, None) == boxes_file(str(in_set), tmp_path, None) == in_set
    with pytest.raises(DataError, match=r"obfuscation.boxes = 'other.csv': .*other.csv is no file"):
        boxes_file("other.csv", tmp_path, None)
