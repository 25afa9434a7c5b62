"""What the preflight finds wrong with a node, check by check; the nodes themselves are in tests/integration."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from study.backend import preflight
from study.backend.base import Demands
from study.backend.preflight import (
    Gpu,
    Needs,
    NodeUnfit,
    check,
    data_problems,
    disk_problems,
    gpu_problems,
    needs_of,
    storage_problems,
    tracking_problems,
    version_problems,
)
from study.schedule.resources import Resources, Share
from trainables.config import ConfigError, TrialConfig
from trainables.data.trial_data import TrialData
from trainables.plan import plan_trial
from trainables.plugins import Plugin
from trainables.versions import versions

GIB = 2**30


@pytest.fixture
def needs(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> Needs:
    plan = plan_trial(tiny_config, TrialData(tiny_config, tiny_data))
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    return needs_of(Demands([plan], tiny_data, str(tmp_path / "storage"), uri, Resources(1.0, 0.0)))


def test_the_drivers_own_node_is_fit(needs: Needs, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    assert check(needs, "me", lambda: (), 0.0).problems == ()
    assert [prints.keys() for _, prints in needs.data] == [
        {"action", "privacy", "action_evaluation", "privacy_evaluation", "clips_with_attributes"}
    ]


def test_other_versions_are_named(needs: Needs) -> None:
    here = needs.versions
    assert {"python", "ray", "torch", "mlflow", "numpy", "av", "project"} <= here.keys()
    assert here["project"] != versions()["project"], "of the trainables only, for the records"
    assert version_problems(here, here) == []
    lines = version_problems({**here, "ray": "1.0", "jax": "2.0"}, here)
    assert len(lines) == 2
    assert lines[0].startswith(f"ray is {here['ray']}, on the driver 1.0; install the same environment")
    assert lines[1].startswith("jax is missing, on the driver 2.0")


def test_other_data_and_missing_data_and_weights(needs: Needs, tmp_path: Path) -> None:
    settings, prints = needs.data[0]
    other = replace(needs, data=((settings, {**prints, "privacy": "0123"}),))
    (line,) = data_problems(other)
    assert f"has fingerprint {prints['privacy']}, on the driver 0123" in line
    assert data_problems(replace(needs, data_root=str(tmp_path / "no"))) == [
        f"data root {tmp_path}/no: not there; mount it on this node at the same path"
    ]
    (tmp_path / "empty").mkdir()
    assert data_problems(replace(needs, data_root=str(tmp_path / "empty"))), "a root without the data sets"
    weights = tmp_path / "f_a.pt"
    weights.write_bytes(b"123")
    assert data_problems(replace(needs, files={str(weights): 3})) == []
    assert "other bytes" in data_problems(replace(needs, files={str(weights): 4}))[0]
    assert "not there" in data_problems(replace(needs, files={f"{weights}2": 4}))[0]


def test_storage_must_be_writable_and_shared(needs: Needs, tmp_path: Path) -> None:
    probe = replace(needs, probe=".preflight-1")
    assert "what the driver wrote is not seen here" in storage_problems(probe, "me")[0]
    (tmp_path / "storage" / ".preflight-1" / "driver").write_bytes(b"driver")
    assert storage_problems(probe, "me") == []
    assert (tmp_path / "storage" / ".preflight-1" / "me").read_bytes() == b"me"
    (line,) = storage_problems(replace(needs, storage="/proc/nothing"), "me")  # root may write anywhere else
    assert line.startswith("storage /proc/nothing: cannot be written")


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert disk_problems(str(tmp_path / "not" / "there")) == []
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: usage(GIB / 2))
    lines = disk_problems(str(tmp_path))
    assert [line.partition(":")[0].split()[0] for line in lines] == ["storage", "temporary"]
    assert "0.5 GiB free, needs 2; make room" in lines[0]


def test_mlflow_that_is_not_there_is_said_within_seconds(tmp_path: Path) -> None:
    (line,) = tracking_problems("http://127.0.0.1:9")
    assert line.startswith("MLflow http://127.0.0.1:9: does not answer (")
    assert "the file is not there" in tracking_problems(f"sqlite:///{tmp_path}/no.db")[0]
    assert not (tmp_path / "no.db").exists()


@pytest.mark.parametrize(
    ("gpus", "memory", "found", "free", "problem"),
    [
        (1.0, None, [Gpu("A100", 79 * GIB, 80 * GIB)], 1.0, None),
        (1.0, None, [], 1.0, "PyTorch sees none here"),
        (1.0, None, [Gpu("A100", 79 * GIB, 80 * GIB), Gpu("A100", 3 * GIB, 80 * GIB)], 2.0, "one has 3.0 of 80.0 GiB free"),
        (1.0, None, [Gpu("A100", 79 * GIB, 80 * GIB), Gpu("A100", 3 * GIB, 80 * GIB)], 1.0, None),  # another study's
        (1.0, 40.0, [Gpu("T4", 16 * GIB, 16 * GIB)], 1.0, "T4: 16 GiB for a trial, needs 40"),
        (0.5, 40.0, [Gpu("A100", 79 * GIB, 80 * GIB)], 1.0, None),
        (0.25, 40.0, [Gpu("A100", 79 * GIB, 80 * GIB)], 1.0, "A100: 20 GiB for a trial, needs 40"),
    ],
)
def test_gpus(needs: Needs, gpus: float, memory: float | None, found: list[Gpu], free: float, problem: str | None) -> None:
    lines = gpu_problems(replace(needs, gpus=gpus, gpu_memory=memory), found, free)
    assert len(lines) == (problem is not None)
    assert problem is None or problem in lines[0]


def test_a_trial_that_fits_no_node_is_refused_before_any_is_asked(needs: Needs, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [(preflight.Node(name, name, 1.0, 1.0, 1.0), {"CPU": 1.0, "GPU": 1.0}) for name in ("a", "b")]
    monkeypatch.setattr(preflight, "_nodes", lambda: nodes)
    with pytest.raises(ConfigError, match=r"no node can hold a trial of 1 CPUs and 4 GPUs \(a: 1 CPUs, .*; b: .*start one"):
        preflight.preflight(needs, [Share(1.0, 4.0)], later=False)
    assert not Path(needs.storage).exists()


def test_a_plug_in_that_cannot_be_run_there(needs: Needs) -> None:
    plugin = Plugin("broken_here", "broken_here.py", "import no_such_module")
    assert any(
        "broken_here.py, line 1: ModuleNotFoundError" in line
        for line in check(replace(needs, plugins=(plugin,)), "me", tuple, 0).problems
    )


def test_the_only_machine_says_one_line(
    needs: Needs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    preflight.preflight_here(needs)
    assert capsys.readouterr().out == "preflight: this machine is ready\n"
    monkeypatch.setattr(preflight, "gpus_here", tuple)
    with pytest.raises(ConfigError, match="PyTorch sees none here"):
        preflight.preflight_here(replace(needs, gpus=1.0))


def test_a_node_that_comes_later_is_asked_by_its_first_trial(needs: Needs, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    class Context:
        def get_node_id(self) -> str:
            return "late00"

    asked: list[str] = []

    def no_problem(needs: Needs, node: str, *more: object) -> preflight.Answer:
        asked.append(node)
        return preflight.Answer()

    monkeypatch.setattr(ray, "get_runtime_context", Context)
    monkeypatch.setattr(preflight, "UNFIT_SECONDS", 0.0)
    monkeypatch.setattr(preflight, "_passed", [])
    monkeypatch.setattr(preflight, "check", lambda *given: preflight.Answer(problems=("its disk is full",)))
    preflight.require_here(replace(needs, checked=frozenset({"late00"})))
    with pytest.raises(NodeUnfit, match=r"\(late00\): its disk is full"):
        preflight.require_here(needs)
    monkeypatch.setattr(preflight, "check", no_problem)
    preflight.require_here(needs)
    preflight.require_here(needs)
    assert asked == ["late00"]
