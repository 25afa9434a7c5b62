"""How many trials are put on a GPU, from what one, two, ... of them took of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.backend.packing import Load, choose, loads_of, packed, part_of_gpu, step_size
from study.run import main
from study.schedule.resources import Resources
from trainables.config import ConfigError, Runtime, TrialConfig, with_values

GIB = 2**30


def loads(*rates: float, each: float = 10.0, total: float = 80.0) -> list[Load]:
    """Of 1, 2, ... trials that take `each` GiB of `total`."""
    return [Load(n, rate, int(n * each * GIB), int(total * GIB), "H") for n, rate in enumerate(rates, start=1)]


@pytest.mark.parametrize(
    ("found", "most", "count", "why"),
    [
        (loads(2.0, 3.0, 3.3, 3.35), 8, 3, "4 get only 1.02 times as much done"),
        (loads(2.0, 2.0), 8, 1, "2 get only 1.00 times"),
        (loads(2.0, each=40.0), 8, 1, "2 would not fit"),
        (loads(2.0, 3.9, each=37.0), 8, 1, "2 do not fit"),
        (loads(2.0, 3.9, 5.8), 3, 3, "CPUs"),
        (loads(*(2.0 * n for n in range(1, 9)), each=1.0), 8, 8, "no more are tried"),
    ],
)
def test_trials_share_a_gpu_as_long_as_they_fit_and_get_more_done(found: list[Load], most: int, count: int, why: str) -> None:
    chosen, said = choose(found, most)
    assert chosen == count
    assert why in said


def test_one_trial_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"takes 75\.0 GiB of the 80\.0"):
        choose(loads(2.0, each=75.0), 8)


def test_the_parts_of_trials_on_one_gpu_add_up_to_no_more_than_one() -> None:
    for trials in range(1, 9):
        assert 1 - 1e-3 < trials * part_of_gpu(trials) <= 1.0


def test_the_largest_trial_is_measured_on_each_kind_and_the_smallest_gpu_decides(capsys: pytest.CaptureFixture[str]) -> None:
    paper = TrialConfig()
    configs = [paper, with_values(paper, {"clip.frames": 32}), with_values(paper, {"clip.size": 112})]
    kinds = {"A": loads(1.0, 1.9, 2.5, 3.0, 3.1), "B": loads(1.0, 1.9, 1.95)}
    asked = []

    def measure(config: TrialConfig, kind: str, most: int) -> list[Load]:
        asked.append((config, kind, most))
        return kinds[kind]

    resources = packed(Resources(None, 1.0, cpus_per_gpu=6.0), configs, list(kinds), measure)
    assert asked == [(configs[1], "A", 6), (configs[1], "B", 6)]
    assert resources.gpus == 0.5
    assert resources.of(paper).cpus == 3.0
    assert "GPUs per trial: 4 on one H" in capsys.readouterr().out


def test_of_two_trials_with_equal_pixels_the_larger_networks_count(tiny_config: TrialConfig) -> None:
    small = with_values(TrialConfig(), {"privacy_encoder.name": "narrow2d", "privacy_encoder.weights": None})
    assert step_size(small) < step_size(TrialConfig())
    assert step_size(tiny_config) < step_size(small)


def test_steps_are_measured_on_the_cpu(tiny_config: TrialConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes at most; whether the second was worth it is up to the machine."""
    monkeypatch.setattr("study.backend.packing._SECONDS", 0.1)
    found = loads_of(tiny_config, 2, Runtime(data_root="", storage=str(tmp_path), device="cpu"))
    assert [load.trials for load in found] == [1, 2]
    assert all(load.rate > 0 and load.device == "CPU" and 0 < load.taken < load.total for load in found)
    assert found[0].taken < found[1].taken


def test_the_command_takes_auto_or_a_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--space", "demo", "--profile", "generated", "--storage", str(tmp_path), "--gpus-per-trial", "auto"]
    assert main([*arguments, "--dry-run"]) == 0
    assert "a part of a GPU that is measured at the start" in capsys.readouterr().out
    assert main([*arguments[:-1], "some"]) == 2
    assert "--gpus-per-trial: 'some': give a number, such as 0.5 or 2, or auto" in capsys.readouterr().err


@pytest.mark.parametrize(("gpus", "what"), [("auto", "--gpus-per-trial auto"), ("2", "a trial asks for 2 GPUs")])
def test_a_gpu_that_is_not_here_is_said_before_anything_is_made(
    gpus: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    arguments = ["--space", "demo", "--profile", "generated", "--storage", str(tmp_path / "storage")]
    assert main([*arguments, "--gpus-per-trial", gpus]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {what}: PyTorch sees no GPU on this machine; give --gpus-per-trial 0")
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
