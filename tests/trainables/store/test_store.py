"""Artifacts: all or nothing, verified when read, computed by one worker at a time; on a directory and on an object store."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fsspec.registry import known_implementations

from tests.support.claims import OUTCOME, Clock, stored
from trainables.config import ConfigError
from trainables.store import StageStore, artifacts
from trainables.store.artifacts import Progress


def test_what_is_written_is_read(store: StageStore) -> None:
    assert store.read("minimax", "k") is None
    assert not store.has("minimax", "k")
    store.write("minimax", "k", OUTCOME, {"seed": 0}, {})
    assert store.has("minimax", "k")
    found = store.read("minimax", "k")
    assert found is not None
    assert (found.metrics, found.history, found.files, found.notes) == (
        {"top1": 0.5}, [{"loss": 1.0}], {"a.png": b"picture"}, ("a note",)
    )  # fmt: skip
    assert torch.equal(found.state["w"], torch.arange(3.0))


def test_the_records_of_a_stage_say_how_it_was_computed(store: StageStore) -> None:
    store.write("minimax", "a", replace(OUTCOME, device="CPU"), {"seed": 0}, {})
    store.write("minimax", "b", replace(OUTCOME, device="H200"), {"seed": 1}, {})
    store.write("warm_up", "c", OUTCOME, {}, {})
    store.work("minimax", "d").write(b"checkpoint")
    found = {record["key"]: (record["device"], record["seconds"]) for record in store.records("minimax")}
    assert found == {"a": ("CPU", 2.0), "b": ("H200", 2.0)}


def test_a_uri_of_a_directory_is_that_directory(tmp_path: Path) -> None:
    StageStore(f"file://{tmp_path}").write("minimax", "k", OUTCOME, {}, {})
    assert (tmp_path / "stages" / "minimax" / "k" / "record.json").is_file()
    assert StageStore(tmp_path).read("minimax", "k") is not None


def test_writing_twice_keeps_the_first_and_leaves_nothing_else(store: StageStore) -> None:
    store.work("minimax", "k").write(b"checkpoint")
    store.write("minimax", "k", OUTCOME, {}, {})
    record = store.files.read(stored(store)["record.json"])
    store.work("minimax", "k").write(b"of one who was taken over and did not notice")
    store.write("minimax", "k", OUTCOME, {}, {})
    assert sorted(stored(store)) == ["a.png", "record.json", "state.pt"]
    assert len(store.files.tree("stages")) == 3
    assert store.files.read(stored(store)["record.json"]) == record


def test_a_writer_that_died_before_its_record_is_not_seen(store: StageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    replace = store.files.replace

    def dies_at_the_second(path: str, content: bytes) -> None:
        written.append(path)
        if len(written) == 2:
            raise KeyboardInterrupt
        replace(path, content)

    monkeypatch.setattr(store.files, "replace", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        store.write("minimax", "k", OUTCOME, {}, {})
    assert store.read("minimax", "k") is None
    monkeypatch.undo()
    store.write("minimax", "k", OUTCOME, {}, {})
    assert store.read("minimax", "k") is not None


@pytest.mark.parametrize("name", ["state.pt", "a.png", "record.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_artifact_is_said_and_computed_again(
    store: StageStore, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.write("minimax", "k", OUTCOME, {}, {})
    path = stored(store)[name]
    content = store.files.read(path)
    assert content is not None
    store.files.remove(path)
    if damage == "cut":
        store.files.replace(path, content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        assert store.read("minimax", "k") is None
    never_committed = (damage, name) == ("gone", "record.json") and store.directory is None
    assert ("damaged" in caplog.text) is not never_committed
    store.write("minimax", "k", OUTCOME, {}, {})
    assert store.read("minimax", "k") is not None
    if store.directory is None:
        assert len(store.files.tree("stages")) == 3, "what was damaged is gone"
    else:
        assert len(list(store.directory.glob("stages/minimax/k.damaged-*"))) == 1


def test_what_another_one_has_computed_anew_is_not_set_aside(store: StageStore) -> None:
    store.write("minimax", "k", OUTCOME, {}, {})
    store._set_aside("minimax", "k", b"the record that was damaged", "")
    assert store.read("minimax", "k") is not None


def test_a_checkpoint_is_found_by_another_worker(store: StageStore) -> None:
    assert store.work("minimax", "k").read() is None
    store.work("minimax", "k").write(b"1")
    store.work("minimax", "k").write(b"2")
    assert StageStore(store.files.storage).work("minimax", "k").read() == b"2"


def test_the_seconds_of_a_stage_are_those_of_all_its_workers_once(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "time", clock)
    progress, clock.now = Progress(), 5.0
    assert progress.seconds == 5.0
    progress.load_state_dict({"seconds": 100.0, "notes": []})
    assert progress.seconds == 105.0
    progress.load_state_dict({"seconds": 60.0, "notes": []})  # of a part that ended before the one above was saved
    assert progress.seconds == 105.0
    progress.load_state_dict({"seconds": 200.0, "notes": []})
    progress.leave_out(2.0)
    assert progress.seconds == progress.state_dict()["seconds"] == 203.0


def test_a_protocol_that_cannot_be_used_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^storage sss://a/b: .*give a directory, or a URI such as s3://bucket/path$"):
        StageStore("sss://a/b")
    missing = {"class": "no_such_package.FileSystem", "err": "Install no_such_package to access it"}
    monkeypatch.setitem(known_implementations, "nosuch", missing)
    with pytest.raises(ConfigError, match=r"^storage nosuch://a/b: .*no_such_package.*install it"):
        StageStore("nosuch://a/b")


def test_a_storage_that_cannot_be_written_or_not_exclusively_is_said(store: StageStore, tmp_path: Path) -> None:
    store.require()
    assert store.files.tree("") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        StageStore(tmp_path / "file" / "storage").require()


def test_a_storage_that_overwrites_instead_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    store = StageStore("memory://overwrites")
    pipe = type(store.files._fs).pipe_file
    monkeypatch.setattr(store.files._fs, "pipe_file", lambda path, content, mode="": pipe(store.files._fs, path, content))
    with pytest.raises(ConfigError, match="cannot create files exclusively"):
        store.require()


@pytest.mark.parametrize("harm", ["truncated", "empty", "flipped"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(tmp_path: Path, harm: str) -> None:
    work = StageStore(tmp_path).work("minimax", "k")
    for content in (b"first", b"second", b"third"):
        work.write(content)
    older, newer = sorted(tmp_path.glob("stages/minimax/k.work/*"))
    assert work.read() == b"third"
    whole = newer.read_bytes()
    newer.write_bytes({"truncated": whole[:-2], "empty": b"", "flipped": whole[:-1] + b"x"}[harm])
    again = StageStore(tmp_path).work("minimax", "k")
    assert again.read() == b"second"
    assert again.progress.notes == [f"checkpoint stages/minimax/k.work/{newer.name} was damaged; went on from the one before"]
    again.write(b"fourth")
    assert again.read() == b"fourth"
    assert {path.name for path in tmp_path.glob("stages/minimax/k.work/*")} == {older.name, newer.name}
