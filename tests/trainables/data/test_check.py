"""`python -m trainables.data check`: what it says and the exit code."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.numbered import write_numbered
from tests.support.odd_videos import cut, turned_video
from trainables.data import check as check_module
from trainables.data import reading, verify
from trainables.data.__main__ import main
from trainables.data.decoding import care
from trainables.data.decoding.index import Index
from trainables.data.decoding.video import VideoReader

CLASSES = ("Jump", "Run")
Check = Callable[..., tuple[int, list[list[str]], str]]


def write(path: Path, text: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.name if text is None else text)  # no two files are copies
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """UCF101's layout with two training sources and one test source, split 1 and 2, and one labelled image each way."""
    train = [f"{c}/v_{c}_g0{g}_c01.avi" for g in (2, 3) for c in CLASSES]
    test = [f"{c}/v_{c}_g01_c01.avi" for c in CLASSES]
    for name in train + test:
        write(tmp_path / "UCF-101" / name)
    lists = tmp_path / "ucfTrainTestlist"
    write(lists / "classInd.txt", "1 Jump\n2 Run\n")
    for split in (1, 2):
        write(lists / f"trainlist0{split}.txt", "\n".join(train))
        write(lists / f"testlist0{split}.txt", "\n".join(test))
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        write(tmp_path / "images" / name)
    write(tmp_path / "splits" / "images_train.txt", "1.jpg\n2.jpg\n")
    write(tmp_path / "splits" / "images_test.txt", "3.jpg\n")
    write(tmp_path / "image_attributes.csv", "filename,tall\n1.jpg,0\n2.jpg,1\n3.jpg,1\n")
    return tmp_path


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs the command; returns the exit code, the rows of the table as words, and what stands under the table."""

    def run(*arguments: object) -> tuple[int, list[list[str]], str]:
        code = main(["check", *map(str, arguments)])
        table, _, below = capsys.readouterr().out.partition("\n\n")
        return code, [line.split() for line in table.splitlines()], below

    return run


def test_what_is_found_and_what_is_missing(root: Path, check: Check) -> None:
    code, rows, below = check(root)
    assert code == 0
    uneven = "folders images: of attribute tall, 0 of 1 training items are for validation (0 %; 50 % of all items are); more"
    assert below.startswith(uneven)
    assert below.count("\n") == 1, "nothing else"
    differs = ["differs:", "9,537", "train", "+", "validation,", "3,783", "test"]
    assert ["ucf101", "split", "1", "found", "2", "2", "2", "50%", *differs] in rows
    assert [row[:4] for row in rows if row[0] == "ucf101"] == [["ucf101", "split", str(n), "found"] for n in (1, 2)]
    assert ["folders", "images", "found", "1", "1", "1", "0%", "-"] in rows
    assert ["folders", "split", "1", "missing", "-", "-", "-", "-", "-"] in rows
    assert {row[0] for row in rows if "missing" in row} == {
        "clips",
        "folders",
        "hmdb51",
        "kinetics",
        "pa_hmdb51",
        "vispr",
        "vp_hmdb51",
        "vp_ucf101",
    }


def test_a_broken_data_set_fails(root: Path, check: Check) -> None:
    write(root / "UCF-101" / "Run" / "v_Run_g01_c01.avi", "")
    code, rows, below = check(root)
    assert code == 1
    assert [row[3] for row in rows if row[0] == "ucf101"] == ["broken", "broken"]
    assert "ucf101 split 1: " in below
    assert "v_Run_g01_c01.avi is an empty file (1 of 6 files" in below
    # what is not asked for does not fail
    code, rows, below = check(root, "--only", "folders")
    assert (code, "broken" in below) == (0, False)
    assert {row[0] for row in rows[1:]} == {"folders"}


def test_videos_without_lists_are_broken_not_missing(root: Path, check: Check) -> None:
    for path in (root / "ucfTrainTestlist").glob("trainlist*"):
        path.unlink()
    code, rows, below = check(root)
    assert code == 1
    assert [row[:4] for row in rows if row[0] == "ucf101"] == [["ucf101", "split", "1", "broken"]]
    assert "no trainlist01.txt (splits there: none)" in below


def test_labels_without_videos_are_broken(root: Path, check: Check) -> None:
    write(root / "PrivacyAttributes" / "run.json", "{")
    code, rows, below = check(root)
    assert code == 1
    assert [row[-6] for row in rows if row[0] == "pa_hmdb51"] == ["broken", "broken"]
    assert "pa_hmdb51 images: " in below
    assert "run.json: not JSON" in below


def test_only_fails_for_what_is_missing(root: Path, check: Check) -> None:
    code, _, below = check(root, "--only", "vispr", "ucf101")
    assert code == 1
    assert below.startswith("vispr images: ")
    assert "no folder with VISPR" in below


def test_label_files_are_checked(root: Path, check: Check) -> None:
    labels = write(root / "ucf101_privacy_attribute_label.csv", "filename,tall\nRun/v_Run_g01_c01.mp4,1\n")
    code, rows, below = check(root, "--only", "vp_ucf101")
    assert code == 1
    assert ["vp_ucf101", "labels", "found", "0", "0", "1"] in [row[:6] for row in rows]
    assert "csv: no row for" in below
    write(labels, "filename,tall\nRun/v_Run_g01_c01.mp4,7\n")
    code, rows, _ = check(root, "--only", "vp_ucf101")
    assert ["vp_ucf101", "labels", "broken"] in [row[:3] for row in rows]


def test_an_empty_root_fails(tmp_path: Path, check: Check) -> None:
    code, _, below = check(tmp_path)
    assert code == 1
    assert "none of the data sets is there" in below


def test_a_wrong_root_or_name_fails(root: Path, check: Check) -> None:
    code, rows, _ = check(root / "nowhere")
    assert code == 1
    assert "no such folder" in " ".join(rows[0])
    code, rows, _ = check(root, "--only", "ucf10")
    assert code == 1
    assert "no data set named 'ucf10' (nearest: " in " ".join(rows[0])


def test_decode_opens_every_video_and_image(root: Path, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: set[str] = set()

    def problem_of(path: Path, frames: int | None, decode: bool) -> str:
        assert decode
        opened.add(path.name)
        return ""

    monkeypatch.setattr(verify, "problem_of", problem_of)
    monkeypatch.setattr(check_module, "_ways", lambda files: check_module.Ways(1, len(files) - 1, {"sound": 2}))
    code, _, below = check(root, "--decode")
    assert code == 0
    assert len(opened) == 9
    assert "ucf101 split 1: 1 videos by the times in the file, 5 by one whole decode; to be read with care" in below
    assert "\n  2 with sound\n" in below


def test_decode_reports_broken_videos(root: Path, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    def problem_of(path: Path, frames: int | None, decode: bool) -> str:
        return f"{path}: not a readable video" if "Run" in path.name or "g01" in path.name else ""

    monkeypatch.setattr(verify, "problem_of", problem_of)
    code, rows, below = check(root, "--decode", "--only", "ucf101")
    assert code == 1
    assert ["ucf101", "split", "1", "broken"] in [row[:4] for row in rows]
    assert "not a readable video (4 such in all)" in below


def test_decode_compares_labelled_frames_with_the_video(
    tmp_path: Path,
    check: Check,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ["a_run_f_nm_np1_ba_goo_0.avi", "b_run_f_nm_np1_ba_goo_0.avi", "c_run_f_nm_np1_ba_goo_0.avi"]
    for name in names:
        write(tmp_path / "HMDB51" / "run" / name)
    write(
        tmp_path / "testTrainMulti_7030_splits" / "run_test_split1.txt",
        "".join(f"{n} {u} \n" for n, u in zip(names, "112", strict=True)),
    )
    ranges = "".join(f'"{name}": [[0, 20, 1]], ' for name in ("skin_color", "face", "gender", "nudity"))
    write(tmp_path / "PrivacyAttributes" / "run.json", f'{{"{names[2]}": {{{ranges} "relationship": [[0, 20, 0]]}}}}')
    index = Index(16, np.arange(16), (), timed=True)
    monkeypatch.setattr(reading, "find_frames", lambda path: index)
    monkeypatch.setattr(VideoReader, "check", lambda self: None)
    code, rows, below = check(tmp_path, "--decode")
    assert code == 1
    assert ["pa_hmdb51", "images", "broken"] in [row[:3] for row in rows]
    assert ["pa_hmdb51", "split", "1", "found"] in [row[:4] for row in rows]
    assert "c_run_f_nm_np1_ba_goo_0.avi: 16 frames, but the labels go to frame 16" in below


def test_decode_of_files_that_are_no_videos(root: Path, check: Check) -> None:
    code, _, below = check(root, "--decode", "--only", "ucf101")
    assert code == 1
    assert "(6 such in all)" in below


def test_the_command_imports_no_torch(root: Path) -> None:
    command = (
        "import sys, trainables.data.__main__ as m; code = m.main(sys.argv[1:]); sys.exit(code or 3 * ('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", command, "check", str(root)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_line(root: Path) -> None:
    command = [sys.executable, "-m", "trainables.data", "check", str(root), "--only", "vispr"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert done.returncode == 1
    head = ["data", "set", "part", "state", "train", "validation", "test", "of", "a", "class", "official"]
    assert done.stdout.splitlines()[0].split() == head
    assert "Traceback" not in done.stderr


def test_videos_that_need_care_are_counted_by_what_they_have(tmp_path: Path) -> None:
    forms = {"both.avi": (12, 2), "keys.avi": (12, 0), "b_frames.avi": (300, 2)}
    for name, (keys, b_frames) in forms.items():
        write_numbered(tmp_path / name, range(40), "mpeg4", {"g": str(keys), "bf": str(b_frames), "sc_threshold": "1000000000"})
    x264 = {"preset": "ultrafast", "x264-params": "keyint=12:min-keyint=12:bframes=2:b-adapt=0:scenecut=0"}
    whole = write_numbered(tmp_path / "timed.mp4", range(40), "libx264", x264)
    cut(whole, tmp_path / "cut.mp4", 17, 35)
    turned_video(tmp_path / "turned.mp4", 90, False)
    found = check_module._ways({path: 1 for path in tmp_path.iterdir()})
    assert (found.timed, found.decoded) == (3, 3)
    assert found.care == {care.REORDERED: 2, care.EDITED: 1, care.TURNED: 1}
    assert str(found) == (
        "3 videos by the times in the file, 3 by one whole decode; to be read with care, and not by decord:\n"
        "  2 with B-frames without times of their own\n"
        "  1 with an edit list that hides frames\n"
        "  1 with pictures to be turned upright"
    )
