"""Data sets that several tests of readers start from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.data_sets import HMDB, NUMBERS, PA_KICK, PA_RUN, UCF_TEST, UCF_TRAIN, pa_ranges, write, write_lines


@pytest.fixture
def ucf(tmp_path: Path) -> Path:
    for name in UCF_TRAIN + UCF_TEST:
        write(tmp_path / "UCF-101" / name)
    lists = tmp_path / "ucfTrainTestlist"
    write_lines(lists / "classInd.txt", ["1 Jump\r", "2 Run\r"])
    write_lines(lists / "trainlist01.txt", [f"{name} {NUMBERS[name.split('/')[0]]}\r" for name in UCF_TRAIN])
    write_lines(lists / "testlist01.txt", [f"{name}\r" for name in UCF_TEST])
    return tmp_path


@pytest.fixture
def hmdb(tmp_path: Path) -> Path:
    for label_class, uses in HMDB.items():
        for name in uses:
            write(tmp_path / "hmdb51" / label_class / name)
        lines = [f"{name} {use} " for name, use in uses.items()]
        write_lines(tmp_path / "testTrainMulti_7030_splits" / f"{label_class}_test_split1.txt", lines)
    return tmp_path


@pytest.fixture
def pa(hmdb: Path) -> Path:
    folder = hmdb / "PA-HMDB51" / "PrivacyAttributes"
    odd = pa_ranges(
        gender=[[0, 19, [1, 2]], [20, 40, [0, 0]]],  # several people; all of them 0
        face=[[0, 15, 0], [17, 40, 2]],  # a gap at 16
        nudity=[[1, 30, 0], [30, 40, 1]],  # a later start, an overlap at 30
        relationship=[[0, 40, 0]],
        review=True,
        note="seen twice",
    )
    write(folder / "run.json", json.dumps({PA_RUN: odd}))
    write(folder / "kick_ball.json", json.dumps({PA_KICK: pa_ranges()}))
    return hmdb
