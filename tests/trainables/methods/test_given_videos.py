"""Videos that were anonymized elsewhere: copies of the originals have the figures of raw, and what does not fit is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.stages import SilentReporter
from trainables.config import ConfigError, Runtime, TrialConfig, with_values
from trainables.data.items import DataError
from trainables.data.reading import read_frames
from trainables.data.trial_data import TrialData
from trainables.methods import method_of
from trainables.pipeline import TrialRecord, run_trial
from trainables.plan import plan_trial

SETTINGS = {
    "data.action.name": "ucf101",
    "data.privacy.name": "frames_of_clips",
    "attacks.names": ("retrained", "linkage"),
    "attacks.epochs": 1,
    "attacks.frames": 2,
    "attacks.ensemble": ("narrow2d",),
    "attacks.encoder": "narrow2d",
    "attacks.weights": None,
    "evaluate_action.epochs": 1,
    "evaluate_privacy.epochs": 1,
    "evaluate_privacy.clips": False,
    "clip.test_clips": 1,
}


def given(config: TrialConfig, folder: Path) -> TrialConfig:
    return with_values(config, {**SETTINGS, "method": "given_videos", "data.anonymized": str(folder)})


def run(config: TrialConfig, data: Path, storage: Path) -> TrialRecord:
    torch.set_num_threads(1)
    return run_trial(config, Runtime(data_root=str(data), storage=str(storage), device="cpu"), SilentReporter())[0]


def copied(data: Path, folder: Path) -> Path:
    """The videos of a data root, and nothing else of it, below a folder of other names."""
    videos = next(path for path in (data / "UCF-101", data / "videos") if path.is_dir())
    shutil.copytree(videos, folder)
    return folder


def test_copies_have_the_figures_of_raw(tiny_data: Path, tiny_config: TrialConfig, tmp_path: Path) -> None:
    folder = copied(tiny_data, tmp_path / "anonymized")
    raw = run(with_values(tiny_config, {**SETTINGS, "method": "raw"}), tiny_data, tmp_path / "storage")
    same = run(given(tiny_config, folder), tiny_data, tmp_path / "storage")
    figures = [{name: value for name, value in each.metrics.items() if name != "attack_share"} for each in (raw, same)]
    assert figures[0] == figures[1]
    assert same.metrics["rms_distortion"] == 0
    assert {"attack.retrained", "attack.linkage"} <= same.metrics.keys()
    controls = [role for role in same.stage_keys if role.endswith((".raw", ".blank", ".permuted"))]
    assert controls  # of the originals, and the same as those of the raw trial, which has them as its own stages
    assert set(same.reused) >= {role for role in controls if same.stage_keys[role] in raw.stage_keys.values()}


def test_networks_see_the_frames_of_the_anonymized_videos(tiny_data: Path, tiny_config: TrialConfig, tmp_path: Path) -> None:
    folder = copied(tiny_data, tmp_path / "anonymized")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    shuffled = [files[(number + 1) % len(files)].read_bytes() for number in range(len(files))]
    for path, content in zip(files, shuffled, strict=True):
        path.write_bytes(content)  # each original has another video beside it
    config = given(tiny_config, folder)
    item = TrialData(config, tiny_data).exchanged().action_evaluation.test[0]
    assert item.twin is not None
    assert not np.array_equal(read_frames(item.path, [0]), read_frames(item.twin, [0]))
    plain = with_values(config, {"attacks.names": ()})
    record = run(plain, tiny_data, tmp_path / "storage")
    assert record.metrics["rms_distortion"] > 0.05


def test_keys_hold_what_the_videos_show_and_not_where_they_lie(
    tiny_data: Path, tiny_config: TrialConfig, tmp_path: Path
) -> None:
    def keys(folder: Path, method: str = "given_videos") -> dict[str, str]:
        config = with_values(given(tiny_config, folder), {"method": method})
        return {stage.role: stage.key for stage in plan_trial(config, TrialData(config, tiny_data)).stages}

    here, there = copied(tiny_data, tmp_path / "here"), copied(tiny_data, tmp_path / "there")
    assert keys(here) == keys(there)
    before, raw = keys(here), keys(here, "raw")
    files = sorted(path for path in there.rglob("*") if path.is_file())
    files[0].write_bytes(files[1].read_bytes())
    after = keys(there)
    changed = {role for role in before if before[role] != after[role]}
    assert {"evaluate_action", "evaluate_privacy", "attack_retrained", "attack_linkage"} <= changed
    assert not any(role.endswith((".raw", ".blank", ".permuted")) for role in changed)
    assert keys(there, "raw") == raw


def test_what_does_not_fit_is_one_line_before_anything_is_trained(
    tiny_data: Path, tiny_config: TrialConfig, tmp_path: Path
) -> None:
    folder = copied(tiny_data, tmp_path / "anonymized")
    config = given(tiny_config, folder)
    TrialData(config, tiny_data).require()
    item = TrialData(config, tiny_data).exchanged().action_evaluation.test[0]
    assert item.twin is not None

    def said(asked: TrialConfig) -> str:
        with pytest.raises((DataError, ConfigError)) as caught:
            TrialData(asked, tiny_data).require()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    item.twin.unlink()
    assert "1 of " in said(config)
    assert item.path.stem in said(config)
    write_numbered(item.twin, 3, 16)
    assert "has 3 frames" in said(config)
    other = given(tiny_config, copied(tiny_data, tmp_path / "larger"))
    twin = TrialData(other, tiny_data).exchanged().action_evaluation.test[0].twin
    assert twin is not None
    write_numbered(twin, 12, 32)
    assert "has frames of 32x32" in said(other)
    config = given(tiny_config, copied(tiny_data, tmp_path / "whole"))
    assert "no such directory" in said(given(tiny_config, tmp_path / "nowhere"))
    assert "none of its images" in said(with_values(config, {"data.privacy.name": "vispr"}))
    assert method_of(config).exchanged


def write_numbered(path: Path, frames: int, side: int) -> None:
    """A video of so many grey frames."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            picture = np.full((side, side, 3), 10 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
