"""One trial: resumes bit for bit, shares stages, stops on NaN, and is the same from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from trainables.__main__ import main
from trainables.config import ConfigError, Runtime, TrialConfig, with_values
from trainables.data.items import DataError
from trainables.data.trial_data import TrialData
from trainables.execution.loop import Diverged
from trainables.failures import Stopped
from trainables.metrics import leakage_of
from trainables.pipeline import TrialRecord, run_trial
from trainables.plan import plan_trial
from trainables.store import Outcome


class Listener:
    """Notes epochs; `stop` says so when it has been asked `patience` times."""

    def __init__(self, patience: int = 10**6) -> None:
        self.epochs: list[tuple[str, int]] = []
        self.reused: list[str] = []
        self.patience = patience

    def epoch(self, stage: str, history: Sequence[Mapping[str, float]], epochs: int) -> None:
        self.epochs.append((stage, len(history) - 1))

    def waiting(self, stage: str, holder: str) -> None: ...

    def finished(self, stage: object, outcome: Outcome, reused: bool) -> None:
        if reused:
            self.reused.append(stage.name)  # type: ignore[attr-defined]

    def stop(self) -> bool:
        self.patience -= 1
        return self.patience <= 0


def run(
    config: TrialConfig, data: Path, storage: Path, patience: int = 10**6, workers: int = 0
) -> tuple[TrialRecord, dict[str, Outcome], Listener]:
    listener = Listener(patience)
    runtime = Runtime(data_root=str(data), storage=str(storage), device="cpu", workers=workers)
    record, outcomes = run_trial(config, runtime, listener, listener.stop)
    return record, outcomes, listener


def equal(a: object, b: object) -> bool:
    """Tensors bit for bit, whatever they are nested in."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    return a == b


@pytest.fixture(scope="module")
def undisturbed(
    tiny_config: TrialConfig, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrialRecord, dict[str, Outcome]]:
    record, outcomes, _ = run(tiny_config, tiny_data, tmp_path_factory.mktemp("undisturbed"))
    return record, outcomes


def test_a_trial_ends_with_the_figures_of_the_schema(undisturbed: tuple[TrialRecord, dict[str, Outcome]]) -> None:
    record, outcomes = undisturbed
    wanted = {"top1", "top5", "cmap", "macro_f1", "chance_cmap", "leakage", "rms_distortion", "penalty_active", "clip_leakage"}
    assert wanted <= record.metrics.keys()
    assert set(record.devices.values()) == {"CPU"}
    assert record.devices.keys() == outcomes.keys()
    assert {"python", "torch", "project"} <= record.versions.keys()
    assert {"ap.warm", "ap_chance.warm", "clip_ap.warm"} <= record.metrics.keys()
    assert outcomes["evaluate_action"].files["frames.png"].startswith(b"\x89PNG")
    actions = json.loads(outcomes["evaluate_action"].files["answers/evaluate_action.json"])
    assert np.mean(np.array(actions["rank"]) == 1) == record.metrics["top1"]
    on_clips = json.loads(outcomes["evaluate_clip_privacy"].files["answers/evaluate_clip_privacy.json"])
    assert on_clips["items"] == actions["items"]
    probabilities, labels = np.array(on_clips["probabilities"]), np.array(on_clips["labels"])
    found = leakage_of(probabilities, labels, tuple(on_clips["attributes"]), on_clips["groups"])
    assert found.leakage == record.metrics["clip_leakage"]
    assert found.prevalences["warm"] == labels.mean(axis=0)[on_clips["attributes"].index("warm")]
    assert record.metrics["clip_prevalence.warm"] == found.prevalences["warm"]
    for metric in ("top1", "leakage", "clip_leakage"):
        assert f"validation_{metric}" in record.metrics
        assert record.metrics[f"{metric}_low"] <= record.metrics[metric] <= record.metrics[f"{metric}_high"]
    assert [len(outcome.history) for outcome in outcomes.values()] == [2] * 6
    assert {"loss_anonymizer", "loss_action", "loss_privacy", "penalty", "rms_distortion"} <= outcomes["minimax"].history[
        0
    ].keys()


def test_an_interrupted_trial_ends_in_the_same_numbers_bit_for_bit(
    undisturbed: tuple[TrialRecord, dict[str, Outcome]], tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    """Stopped within epochs, between them, while an epoch is judged and in the final test, at another step each time."""
    record, outcomes = undisturbed
    stops = 0
    while True:
        try:
            again, found, _ = run(tiny_config, tiny_data, tmp_path, patience=(1, 2, 3, 5, 8, 13)[stops % 6])
            break
        except Stopped:
            stops += 1
            assert stops < 40
    assert stops > 8
    assert again.pipeline_seconds > 0
    assert again.metrics == record.metrics
    assert again.key == record.key
    for name, outcome in outcomes.items():
        assert equal(outcome.state, found[name].state), name
        assert outcome.history == found[name].history


def test_a_damaged_checkpoint_starts_the_stage_over_and_ends_the_same(
    undisturbed: tuple[TrialRecord, dict[str, Outcome]], tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        run(tiny_config, tiny_data, tmp_path, patience=1)
    [checkpoint] = tmp_path.glob("stages/reconstruct/*.work/checkpoint.*.pt")
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    record = run(tiny_config, tiny_data, tmp_path)[0]
    assert record.metrics == undisturbed[0].metrics
    assert any("checkpoint.1.pt was damaged" in note for note in record.notes)


def test_the_number_of_workers_changes_nothing(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    """That the batches are the same is shown by the tests of the loader: here, that each stage leaves them as they are."""
    raw = with_values(
        tiny_config.model_copy(update={"method": "raw"}), {"evaluate_action.epochs": 1, "evaluate_privacy.epochs": 1}
    )
    alone, _, _ = run(raw, tiny_data, tmp_path / "alone")
    helped, _, _ = run(raw, tiny_data, tmp_path / "helped", workers=1)
    assert alone.metrics == helped.metrics
    assert alone.metrics["rms_distortion"] == 0.0


def test_trials_share_the_stages_they_have_in_common(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    data = TrialData(tiny_config, tiny_data)
    base = plan_trial(tiny_config, data)
    other_budget = plan_trial(with_values(tiny_config, {"minimax.distortion_budget": 0.9}), data)
    other_judge = plan_trial(with_values(tiny_config, {"evaluate_action.epochs": 3}), data)

    def shared(a: object, b: object) -> list[str]:
        return [x.name for x, y in zip(a.stages, b.stages, strict=True) if x.key == y.key]  # type: ignore[attr-defined]

    assert shared(base, other_budget) == ["reconstruct", "warm_up"]
    assert shared(base, other_judge) == ["reconstruct", "warm_up", "minimax", "evaluate_privacy", "evaluate_clip_privacy"]
    assert len({base.key, other_budget.key, other_judge.key}) == 3
    first = run(tiny_config, tiny_data, tmp_path)[2]
    second = run(with_values(tiny_config, {"evaluate_action.epochs": 1}), tiny_data, tmp_path)[2]
    assert first.reused == []
    assert second.reused == ["reconstruct", "warm_up", "minimax", "evaluate_privacy", "evaluate_clip_privacy"]
    assert second.epochs == [("evaluate_action", 0)]


def test_keys_depend_on_the_data_and_not_on_where_they_are(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    import shutil

    moved = tmp_path / "elsewhere"
    shutil.copytree(tiny_data, moved)
    key = plan_trial(tiny_config, TrialData(tiny_config, tiny_data)).key
    assert plan_trial(tiny_config, TrialData(tiny_config, moved)).key == key
    labels = moved / "clip_attributes.csv"
    text = labels.read_text().splitlines()
    flipped = text[1].replace(",0", ",x").replace(",1", ",0").replace(",x", ",1")
    labels.write_text("\n".join([text[0], flipped, *text[2:]]) + "\n")
    assert plan_trial(tiny_config, TrialData(tiny_config, moved)).key != key


def test_weights_are_part_of_the_key_by_their_content(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    data = TrialData(tiny_config, tiny_data)
    keys = []
    for name, content in (("a.pt", b"1"), ("b.pt", b"1"), ("c.pt", b"2")):
        (tmp_path / name).write_bytes(content)
        keys.append(plan_trial(with_values(tiny_config, {"action_classifier.weights": str(tmp_path / name)}), data).key)
    assert keys[0] == keys[1] != keys[2]


def test_a_network_whose_weights_are_given_is_not_warmed_up(
    undisturbed: tuple[TrialRecord, dict[str, Outcome]], tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    """Kinetics and SimCLR weights, in miniature."""
    trained = undisturbed[1]["warm_up"].state
    given = {}
    for name in ("action_classifier", "privacy_encoder"):
        torch.save(trained[name], tmp_path / f"{name}.pt")
        given[f"{name}.weights"] = str(tmp_path / f"{name}.pt")
    both = run(with_values(tiny_config, {**given, "minimax.epochs": 1}), tiny_data, tmp_path / "both")[1]["warm_up"]
    assert both.history == []
    assert equal(both.state, trained)
    one = {"action_classifier.weights": given["action_classifier.weights"], "minimax.epochs": 1}
    half = run(with_values(tiny_config, one), tiny_data, tmp_path / "half")[1]["warm_up"]
    assert [set(row) for row in half.history] == [{"loss_privacy"}] * 2
    assert equal(half.state["action_classifier"], trained["action_classifier"])


def test_bfloat16_autocast_runs_every_stage(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    """On a GPU it is the default; on a CPU it can be asked for."""
    runtime = Runtime(data_root=str(tiny_data), storage=str(tmp_path), device="cpu", precision="bfloat16")
    record, outcomes = run_trial(tiny_config, runtime, Listener())
    assert 0.0 <= record.metrics["top1"] <= 1.0
    assert all(tensor.dtype != torch.bfloat16 for tensor in outcomes["minimax"].state["anonymizer"].values())


def test_pairs_of_two_frames_of_a_clip(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    config = with_values(tiny_config, {"minimax.pair": "frames", "minimax.epochs": 1, "warm_up.epochs": 1})
    assert run(config, tiny_data, tmp_path)[1]["minimax"].history[0]["loss_privacy"] > 0


def test_a_nan_loss_stops_the_trial_with_step_loss_and_config(
    tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    config = with_values(tiny_config, {"minimax.learning_rate_anonymizer": 1e30, "minimax.epochs": 5})
    with pytest.raises(Diverged, match=r"minimax: \w+ = (nan|inf|-inf) at step \d+ of epoch \d+.*B 0.3.*lambda 1.0.*seed 0"):
        run(config, tiny_data, tmp_path)


def test_unknown_names_and_unusable_data_end_before_training(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no method named 'penalti' .nearest: penalty.; there are: .*penalty, raw"):
        run(tiny_config.model_copy(update={"method": "penalti"}), tiny_data, tmp_path)
    with pytest.raises(ConfigError, match=r"no action data set named 'ucf' .nearest: "):
        run(with_values(tiny_config, {"data.action.name": "ucf"}), tiny_data, tmp_path)
    with pytest.raises(DataError):
        run(tiny_config, tmp_path / "nowhere", tmp_path)


def test_from_the_command_line_without_ray_and_mlflow(
    undisturbed: tuple[TrialRecord, dict[str, Outcome]], tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "trial.yaml").write_text(yaml.safe_dump(tiny_config.model_dump(mode="json")))
    code = (
        "import runpy, sys; sys.modules.update(dict.fromkeys(['ray', 'mlflow', 'optuna', 'matplotlib']));"
        "runpy.run_module('trainables', run_name='__main__', alter_sys=True)"
    )
    arguments = ["--config", "trial.yaml", "--out", "out", "--data-root", str(tiny_data), "--device", "cpu"]
    command = [sys.executable, "-c", code, *arguments]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert found.returncode == 0, found.stderr
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["metrics"] == pytest.approx(dict(undisturbed[0].metrics))
    assert (tmp_path / "out" / "frames.png").is_file()


def test_without_a_data_root_it_says_that_the_data_are_generated(
    tiny_config: TrialConfig,
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("ANONYMIZATION_DATA_ROOT", raising=False)
    monkeypatch.setattr("trainables.__main__.ensure", lambda *_: tiny_data)  # that of the default has 600 clips
    raw = with_values(
        tiny_config.model_copy(update={"method": "raw"}), {"evaluate_action.epochs": 1, "evaluate_privacy.epochs": 1}
    )
    (tmp_path / "trial.yaml").write_text(yaml.safe_dump(raw.model_dump(mode="json")))
    assert main(["--config", str(tmp_path / "trial.yaml"), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert capsys.readouterr().out.startswith(f"no --data-root: on generated data, {tiny_data}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "minimax.epoch=3"], "unknown setting 'minimax.epoch'; did you mean minimax.epochs"),
        (["--set", "minimax.epochs=-1"], "minimax.epochs = -1"),
        (["--set", "minimax.epochs=many"], "minimax.epochs = 'many'"),
        (["--set", "minimax.epochs"], "write KEY=VALUE"),
        (["--set", "action_classifier.weights=nowhere.pt"], "nowhere.pt"),
    ],
)
def test_bad_settings_are_one_clear_line(
    tiny_config: TrialConfig,
    tiny_data: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "trial.yaml").write_text(yaml.safe_dump(tiny_config.model_dump(mode="json")))
    where = ["--config", str(tmp_path / "trial.yaml"), "--out", str(tmp_path / "out"), "--data-root", str(tiny_data)]
    assert main([*where, *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
