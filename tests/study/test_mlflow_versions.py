"""Server and database of MLflow are compared with the client: one line where they do not fit."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import mlflow
import pytest
from mlflow.store.db.utils import _get_latest_schema_revision

from study.mlflow_versions import schema_problem, version_note
from study.options import Options
from study.study import Study
from trainables.config import ConfigError


class Answer(BaseHTTPRequestHandler):
    said, status = b"", 200

    def do_GET(self) -> None:
        assert self.path == "/version"
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.said)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_server_of_another_version_is_told(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    major, minor = mlflow.__version__.split(".")[:2]
    for said, status, noted in (
        (f"{major}.{minor}.99", 200, False),
        (f"{major}.{int(minor) + 1}.0", 200, True),
        ("2.9.2", 200, True),
        ("<html>", 200, False),
        ("2.9.2", 404, False),
    ):
        monkeypatch.setattr(Answer, "said", said.encode())
        monkeypatch.setattr(Answer, "status", status)
        note = version_note(server)
        assert bool(note) is noted, (said, status)
        assert not noted or f"is version {said}, here it is {mlflow.__version__}" in note
    assert version_note("http://127.0.0.1:9") == ""
    assert version_note("sqlite:///x.db") == ""


def test_a_database_of_another_schema_ends_the_study_before_it_begins(tmp_path: Path, tiny_data: Path) -> None:
    file = tmp_path / "s" / "mlflow.db"
    uri = f"sqlite:///{file}"
    assert schema_problem(uri) == "", "a new one fits"
    file.parent.mkdir()

    def made_by(revision: str) -> None:
        with sqlite3.connect(file) as database:
            database.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL)")
            database.execute("DELETE FROM alembic_version")
            database.execute("INSERT INTO alembic_version VALUES (?)", (revision,))

    made_by(_get_latest_schema_revision())
    assert schema_problem(uri) == ""
    made_by("0123456789ab")
    assert "the database has schema 0123456789ab" in schema_problem(uri)
    assert f"`mlflow db upgrade {uri}`" in schema_problem(uri)
    assert schema_problem("postgresql://nobody:secret@127.0.0.1:9/x") == "", "one that is away is said where it is opened"
    options = Options(space="ablation_B", profile="small", data_root=str(tiny_data), storage=str(tmp_path / "s"))
    with pytest.raises(ConfigError, match="the database has schema 0123456789ab"):
        Study(options.model_copy(update={"overrides": {"attacks.names": "none"}})).check()
