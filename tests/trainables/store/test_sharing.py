"""Trials that need the same stages at the same time: each is computed once, and who waits does something else meanwhile."""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

import pytest

from trainables.config import Runtime, TrialConfig, with_values
from trainables.data.trial_data import TrialData
from trainables.failures import Stopped
from trainables.pipeline import TrialRecord, run_trial
from trainables.plan import plan_trial
from trainables.store import Lease, Outcome, StageStore, leases

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch._dynamo", "torchvision"])  # once for all processes


class Events:
    """What a trial told, in order; `on` is called with each."""

    def __init__(self, on: Callable[[str, str], None] = lambda what, stage: None) -> None:
        self.all: list[tuple[str, str]] = []
        self._on = on

    def epoch(self, stage: str, history: Sequence[Mapping[str, float]], epochs: int) -> None:
        self._add(f"epoch {len(history) - 1}", stage)

    def waiting(self, stage: str, holder: str) -> None:
        self._add("waiting", stage)

    def finished(self, stage: Any, outcome: Outcome, reused: bool) -> None:
        self._add("reused" if reused else "computed", stage.name)

    def of(self, *kinds: str) -> list[tuple[str, str]]:
        return [event for event in self.all if event[0] in kinds]

    def _add(self, what: str, stage: str) -> None:
        self.all.append((what, stage))
        self._on(what, stage)


@pytest.fixture
def raw(tiny_config: TrialConfig) -> TrialConfig:
    """Three stages, and none needs another."""
    return tiny_config.model_copy(update={"method": "raw"})


@pytest.fixture(autouse=True)
def fast_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.1)


def run(
    config: TrialConfig, data: Path, storage: object, events: Events | None = None, stop: Callable[[], bool] = lambda: False
) -> tuple[TrialRecord, dict[str, Outcome], Events]:
    events = events or Events()
    record, outcomes = run_trial(config, Runtime(data_root=str(data), storage=str(storage), device="cpu"), events, stop)
    return record, outcomes, events


def keys(config: TrialConfig, data: Path) -> dict[str, str]:
    return {stage.name: stage.key for stage in plan_trial(config, TrialData(config, data)).stages}


def claimed(storage: Path, stage: str, key: str) -> Lease:
    lease = StageStore(storage).try_claim(stage, key)
    assert lease is not None
    return lease


def _trial(config: dict[str, Any], data: Path, storage: Path, start: Barrier, out: Path) -> None:
    start.wait(120)
    record, _, _ = run(TrialConfig.model_validate(config), data, storage)
    out.write_text(json.dumps({"pid": os.getpid(), **json.loads(record.to_json())}))


def test_two_processes_compute_each_stage_once(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    """Two judges of one anonymizer, started together."""
    configs = [tiny_config, with_values(tiny_config, {"evaluate_action.epochs": 1})]
    start = CONTEXT.Barrier(2)
    outs = [tmp_path / "first.json", tmp_path / "second.json"]
    workers = [
        CONTEXT.Process(target=_trial, args=(config.model_dump(mode="json"), tiny_data, tmp_path / "storage", start, out))
        for config, out in zip(configs, outs, strict=True)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(240)
        assert worker.exitcode == 0
    records = [json.loads(out.read_text()) for out in outs]
    wanted = {(name, key) for config in configs for name, key in keys(config, tiny_data).items()}
    computed = Counter((name, record["stage_keys"][name]) for record in records for name in record["computed"])
    assert computed == dict.fromkeys(wanted, 1)
    for record in records:
        assert {*record["computed"], *record["reused"]} == set(record["stage_keys"])
        assert list(record["stage_seconds"]) == list(keys(configs[0], tiny_data))
        assert record["pipeline_seconds"] == pytest.approx(sum(record["stage_seconds"].values()))
        assert record["seconds"] == pytest.approx(sum(record["stage_seconds"][name] for name in record["computed"]))
        for name in record["computed"]:
            stored = tmp_path / "storage" / "stages" / name / record["stage_keys"][name] / "record.json"
            assert json.loads(stored.read_text())["pid"] == record["pid"]
    left = [path.name for path in tmp_path.glob("storage/stages/*/*") if not (path / "record.json").is_file()]
    assert left == [], "no lease, checkpoint or half-written artifact is left"


def _first_epoch_then_sleep(config: dict[str, Any], data: Path, storage: Path, reached: Event) -> None:
    def sleep(what: str, stage: str) -> None:
        reached.set()
        time.sleep(300)

    run(TrialConfig.model_validate(config), data, storage, Events(sleep))


def test_the_stage_of_a_killed_worker_goes_on_from_its_checkpoint(raw: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    reached = CONTEXT.Event()
    worker = CONTEXT.Process(
        target=_first_epoch_then_sleep, args=(raw.model_dump(mode="json"), tiny_data, tmp_path / "storage", reached)
    )
    worker.start()
    assert reached.wait(120)

    def kill(what: str, stage: str) -> None:
        if what == "waiting" and worker.is_alive():
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()

    record, outcomes, events = run(raw, tiny_data, tmp_path / "storage", Events(kill))
    of_first = [what for what, stage in events.all if stage == "evaluate_action"]
    assert of_first == ["waiting", "epoch 1", "computed"], "its epoch 0 is the other one's"
    alone, expected, _ = run(raw, tiny_data, tmp_path / "alone")
    assert record.metrics == alone.metrics
    assert [outcome.history for outcome in outcomes.values()] == [outcome.history for outcome in expected.values()]


def test_while_another_one_has_a_stage_the_other_ready_ones_are_done(raw: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    held = contextlib.ExitStack()
    held.enter_context(claimed(tmp_path / "storage", "evaluate_action", keys(raw, tiny_data)["evaluate_action"]))
    record, outcomes, events = run(
        raw, tiny_data, tmp_path / "storage", Events(lambda what, stage: held.close() if what == "waiting" else None)
    )
    assert events.of("waiting", "computed") == [
        ("computed", "evaluate_privacy"),
        ("computed", "evaluate_clip_privacy"),
        ("waiting", "evaluate_action"),
        ("computed", "evaluate_action"),
    ]
    alone, _, _ = run(raw, tiny_data, tmp_path / "alone")
    order = ["evaluate_action", "evaluate_privacy", "evaluate_clip_privacy"]
    assert list(outcomes) == list(record.stage_seconds) == list(record.computed) == order
    assert list(record.metrics.items()) == list(alone.metrics.items()), "in the planned order, bit for bit"


def test_a_stage_that_another_one_finishes_meanwhile_is_reused(raw: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    _, outcomes, _ = run(raw, tiny_data, tmp_path / "before")
    key = keys(raw, tiny_data)["evaluate_action"]
    held = contextlib.ExitStack()
    held.enter_context(claimed(tmp_path / "storage", "evaluate_action", key))

    def finish(what: str, stage: str) -> None:
        if what == "waiting":
            StageStore(tmp_path / "storage").write("evaluate_action", key, outcomes["evaluate_action"], {}, {})
            held.close()

    record, _, events = run(raw, tiny_data, tmp_path / "storage", Events(finish))
    assert events.all[-1] == ("reused", "evaluate_action")
    assert record.reused == ("evaluate_action",)
    assert record.pipeline_seconds == pytest.approx(record.seconds + outcomes["evaluate_action"].seconds)


def test_who_waits_can_be_stopped(raw: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    events = Events()
    with (
        claimed(tmp_path, "evaluate_action", keys(raw, tiny_data)["evaluate_action"]),
        pytest.raises(Stopped, match=f"evaluate_action: stopped while .* {os.getpid()} computes it"),
    ):
        run(raw, tiny_data, tmp_path, events, lambda: bool(events.of("waiting")))


def test_an_artifact_cut_in_half_is_said_and_computed_again(
    raw: TrialConfig, tiny_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before, _, _ = run(raw, tiny_data, tmp_path)
    state = tmp_path / "stages" / "evaluate_privacy" / before.stage_keys["evaluate_privacy"] / "state.pt"
    state.write_bytes(state.read_bytes()[: state.stat().st_size // 2])
    with caplog.at_level(logging.WARNING):
        after, _, _ = run(raw, tiny_data, tmp_path)
    assert "evaluate_privacy" in caplog.text
    assert "state.pt fails its checksum" in caplog.text
    assert after.computed == ("evaluate_privacy",)
    assert after.metrics == before.metrics


def test_a_trial_on_an_object_store_is_stopped_resumed_and_reused(raw: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    storage = f"memory://test-{uuid.uuid4().hex}"
    first = Events()
    with pytest.raises(Stopped):
        run(raw, tiny_data, storage, first, lambda: bool(first.all))
    record, _, events = run(raw, tiny_data, storage)
    assert events.all[0] == ("epoch 1", "evaluate_action")
    alone, _, _ = run(raw, tiny_data, tmp_path)
    assert record.metrics == alone.metrics
    again, _, _ = run(raw, tiny_data, storage)
    assert again.computed == ()
    assert again.seconds == 0.0
    assert again.pipeline_seconds == record.pipeline_seconds
    StageStore(storage).files.remove_tree("stages")
