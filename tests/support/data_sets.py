"""Small data sets in the layouts of UCF101, HMDB51 and PA-HMDB51, and what tests of readers write, load and refuse."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from trainables.config import ActionData, PrivacyData
from trainables.data.items import DataError
from trainables.data.registry import load_stills, load_videos


def write(path: Path, text: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(path) if text is None else text)  # no two files are copies
    return path


def write_lines(path: Path, lines: Sequence[str]) -> Path:
    return write(path, "".join(f"{line}\n" for line in lines))


def append(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(f"{line}\n")


def dump(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return path


def refused(load: Callable[[], object], *parts: str) -> None:
    """`load` raises one line of DataError with these parts in this order."""
    with pytest.raises(DataError) as caught:
        load()
    message = str(caught.value)
    assert "\n" not in message
    assert re.search(".*".join(map(re.escape, parts)), message), message


UCF_TRAIN = [f"{c}/v_{c}_g0{g}_c0{k}.avi" for g in (2, 3, 4, 5) for c in ("Jump", "Run") for k in (1, 2)]
UCF_TEST = [f"{c}/v_{c}_g01_c01.avi" for c in ("Jump", "Run")]
NUMBERS = {"Jump": 1, "Run": 2}


def load_ucf(root: Path, **config: object) -> Callable[[], object]:
    return lambda: load_videos(ActionData(name="ucf101", **config), root)


HMDB = {
    "run": {
        "#1_Fan;s&run(a)!+_run_f_nm_np1_ba_goo_0.avi": 1,
        "#1_Fan;s&run(a)!+_run_f_nm_np1_ba_goo_1.avi": 1,
        "My run_in a park_run_f_cm_np10_le_med_3.avi": 1,
        "Film_run_f_cm_np1_le_med_3.avi": 1,
        "Unused_run_f_cm_np1_le_med_3.avi": 0,
        "Match_run_f_cm_np1_le_med_0.avi": 2,
    },
    "kick_ball": {
        "kick_ball_fun_kick_ball_f_cm_np2_fr_bad_0.avi": 1,
        "Film_kick_ball_f_cm_np1_le_med_3.avi": 1,
        "Other [1]~@home_kick_ball_f_cm_np1_le_med_3.avi": 1,
        "Match_kick_ball_f_cm_np1_le_med_0.avi": 2,
    },
}


def load_hmdb(root: Path, name: str = "hmdb51", **config: object) -> Callable[[], object]:
    return lambda: load_videos(ActionData(name=name, **config), root)


PA_RUN = "#1_Fan;s&run(a)!+_run_f_nm_np1_ba_goo_0.avi"
PA_KICK = "Match_kick_ball_f_cm_np1_le_med_0.avi"


def pa_ranges(last: int = 40, **other: object) -> dict[str, object]:
    return {name: [[0, last, 1]] for name in ("skin_color", "face", "gender", "nudity", "relationship")} | other


def write_pa(root: Path, label_class: str, video: str, ranges: object) -> None:
    write(root / "PA-HMDB51" / "PrivacyAttributes" / f"{label_class}.json", json.dumps({video: ranges}))


def load_pa(root: Path, attributes: str | tuple[str, ...] = "auto") -> Callable[[], object]:
    return lambda: load_stills(PrivacyData(name="pa_hmdb51", attributes=attributes), root)


def hmdb_names(use: int) -> set[str]:
    return {f"{label_class}/{name}" for label_class, uses in HMDB.items() for name, u in uses.items() if u == use}
