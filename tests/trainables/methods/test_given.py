"""An anonymizer from a file: one that changes nothing has the figures of raw, a black one gives nothing away."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.support.stages import SilentReporter
from tests.support.tiny_onnx import write_onnx
from trainables.config import AnonymizerConfig, ConfigError, Runtime, TrialConfig, with_values
from trainables.data.trial_data import TrialData
from trainables.models.anonymizers import build_anonymizer
from trainables.models.base import Anonymizer
from trainables.models.check import check_weights
from trainables.models.given import GivenModel
from trainables.pipeline import TrialRecord, run_trial
from trainables.plan import plan_trial

ATTACKED = {
    "attacks.names": ("retrained",),
    "evaluate_action.epochs": 1,
    "evaluate_privacy.epochs": 1,
    "attacks.epochs": 1,
    "attacks.frames": 2,
    "attacks.ensemble": ("narrow2d",),
    "attacks.weights": None,
    "evaluate_privacy.clips": False,
    "clip.test_clips": 1,
}


def given(config: TrialConfig, file: Path) -> TrialConfig:
    return with_values(config, {"method": "given", "anonymizer.weights": str(file)})


def run(config: TrialConfig, data: Path, storage: Path) -> TrialRecord:
    torch.set_num_threads(1)
    return run_trial(config, Runtime(data_root=str(data), storage=str(storage), device="cpu"), SilentReporter())[0]


def model_of(file: Path) -> Anonymizer:
    return build_anonymizer(AnonymizerConfig(name="given", weights=str(file)))


def figures(record: TrialRecord) -> Mapping[str, float]:
    """Without those that are seconds."""
    return {name: value for name, value in record.metrics.items() if name != "attack_share"}


def test_what_changes_nothing_has_the_figures_of_raw_and_black_has_none(
    tiny_data: Path, tiny_config: TrialConfig, tmp_path: Path
) -> None:
    config = with_values(tiny_config, ATTACKED)
    raw = run(with_values(config, {"method": "raw"}), tiny_data, tmp_path / "raw")
    same = run(given(config, write_onnx(tmp_path / "same.onnx", 1.0)), tiny_data, tmp_path / "raw")
    assert figures(same) == figures(raw)  # to the last bit: the same seeds, batches and pixels
    assert same.metrics["rms_distortion"] == 0
    assert "attack.retrained" in same.metrics
    assert any("same.onnx, SHA-256 " in note for note in same.notes)

    plain = with_values(config, {"attacks.names": ()})
    black = run(given(plain, write_onnx(tmp_path / "black.onnx", 0.0)), tiny_data, tmp_path / "raw")
    assert black.metrics["leakage"] == pytest.approx(0, abs=1e-6)
    assert black.metrics["top1"] == pytest.approx(black.metrics["chance_top1"], abs=0.1)


def test_keys_hold_what_is_in_the_file_and_not_where_it_lies(tiny_data: Path, tiny_config: TrialConfig, tmp_path: Path) -> None:
    data = TrialData(tiny_config, tiny_data)

    def keys(file: Path) -> list[str]:
        return [stage.key for stage in plan_trial(given(tiny_config, file), data).stages]

    one = write_onnx(tmp_path / "one.onnx", 0.5)
    (tmp_path / "elsewhere").mkdir()
    copy = Path(shutil.copy(one, tmp_path / "elsewhere" / "two.onnx"))
    assert keys(one) == keys(copy)
    assert not set(keys(one)) & set(keys(write_onnx(tmp_path / "other.onnx", 0.6)))
    raw = with_values(tiny_config, {"method": "raw"})
    with_file = with_values(raw, {"anonymizer.weights": str(one)})
    assert plan_trial(raw, data).key == plan_trial(with_file, data).key  # of raw it means nothing


def written(path: Path, nodes: list[Any], frames: list[Any], kept: list[Any], constants: Mapping[str, Any]) -> Path:
    sides = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("frames", frames), ("anonymized", kept))
    ]
    held = [numpy_helper.from_array(np.array(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", sides[:1], sides[1:], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def test_a_window_is_each_frame_after_those_before_it(tmp_path: Path) -> None:
    """The earlier frame of a window of two: what a clip shows is the clip a frame late, its first frame twice."""
    node = helper.make_node("Gather", ["frames", "first"], ["anonymized"], axis=1)
    shapes = ["n", 2, 3, "h", "w"], ["n", 3, "h", "w"]
    earlier = model_of(written(tmp_path / "earlier.onnx", [node], *shapes, {"first": np.int64(0)}))
    clips = torch.rand(3, 5, 3, 8, 6)
    assert earlier.sees_time
    assert torch.equal(earlier.clips(clips), torch.cat([clips[:, :1], clips[:, :-1]], dim=1))
    assert torch.equal(model_of(write_onnx(tmp_path / "same.onnx")).clips(clips), clips)


def test_a_model_of_one_frame_at_a_time_and_one_of_another_size(tmp_path: Path) -> None:
    clips = torch.rand(2, 5, 3, 8, 8)
    single = helper.make_node("Mul", ["frames", "half"], ["anonymized"])
    shape = [1, 3, "h", "w"]
    one = model_of(written(tmp_path / "one.onnx", [single], shape, shape, {"half": np.float32(0.5)}))
    assert torch.equal(one.clips(clips), clips * 0.5)
    other = model_of(write_onnx(tmp_path / "other.onnx", 0.5, size=(6, 12)))
    flat = torch.full((1, 2, 3, 8, 8), 0.8)
    assert torch.allclose(other.clips(flat), flat * 0.5)


def test_what_is_no_anonymizer_is_refused_in_one_line(tiny_config: TrialConfig, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    grey = helper.make_node("ReduceMean", ["frames", "axis"], ["anonymized"])
    shrunk = written(tmp_path / "grey.onnx", [grey], ["n", 3, "h", "w"], ["n", 1, "h", "w"], {"axis": np.array([1])})
    last = written(
        tmp_path / "last.onnx", [helper.make_node("Identity", ["frames"], ["anonymized"])], *[["n", "h", "w", 3]] * 2, {}
    )
    for file, says in (
        (tmp_path / "nothing.onnx", "no such file"),
        (broken, "no ONNX model that can be loaded"),
        (shrunk, "an anonymizer keeps their shape"),
        (last, "(N, 3, H, W)"),
    ):
        with pytest.raises(ConfigError) as caught:
            check_weights(given(tiny_config, file))
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"give FILE\.onnx"):
        GivenModel(AnonymizerConfig(name="given"))
