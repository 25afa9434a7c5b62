"""Opens an MLflow store for reading, and says in one line why one cannot be read."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

# MLflow is imported where a store is opened: it takes seconds, and a command that reads none need not wait for it.
PAGE = 1000  # entities fetched by one call


class AnalysisError(Exception):
    """A study cannot be read or shown; the message is one line that says what is wrong, where, and what to do."""


@contextmanager
def open_store(tracking_uri: str | None = None) -> Iterator[MlflowClient]:
    """Yields a client of the store; raises AnalysisError where it cannot be opened, or a call fails while it is used."""
    from mlflow import MlflowClient

    uri = store_uri(tracking_uri)
    with reading(uri):
        # Without a registry URI MLflow takes that of the process, and creates a registry where there is none.
        yield MlflowClient(tracking_uri=uri, registry_uri=uri)


def store_uri(tracking_uri: str | None) -> str:
    """The given URI, else MLFLOW_TRACKING_URI. Raises AnalysisError where there is none, or no database at it."""
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        raise AnalysisError(
            "no MLflow store given: set MLFLOW_TRACKING_URI or pass --tracking-uri, e.g. sqlite:////abs/mlflow.db"
        )
    _check_sqlite(uri)
    return uri


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """Turns errors of MLflow and of the database into an AnalysisError of one line."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        gone = "Max retries exceeded" in str(error)
        reason = "the server does not answer; start it or give another --tracking-uri" if gone else first_line(error)
        raise AnalysisError(f"MLflow store {shown_uri(uri)} cannot be read: {reason}") from None


def _check_sqlite(uri: str) -> None:
    """Raises AnalysisError where there is no MLflow database, because MLflow itself would create one."""
    path = sqlite_file(uri)
    if path is None:
        return
    if not path.is_file():
        raise AnalysisError(f"no MLflow database at {path}: run a study first, or give the right --tracking-uri")
    try:
        with sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True) as connection:
            found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'experiments'").fetchone()
    except sqlite3.Error as error:
        raise AnalysisError(f"{path} cannot be read as a database ({error}); give the SQLite file of an MLflow store") from None
    if not found:
        raise AnalysisError(f"{path} holds no MLflow records; give the SQLite file of an MLflow store")


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite tracking URI; None for any other."""
    if not uri.startswith("sqlite"):
        return None
    from sqlalchemy.engine import make_url

    return Path(make_url(uri).database or "").absolute()


def is_database(uri: str) -> bool:
    """Whether a tracking URI names a database, which is read without a server."""
    from mlflow.store.db.db_types import DATABASE_ENGINES

    return uri.partition("://")[0].partition("+")[0] in DATABASE_ENGINES


def experiments(client: MlflowClient) -> list[Experiment]:
    """All experiments of a store."""
    found: list[Experiment] = []
    token: str | None = None
    while token is None or token:
        page = client.search_experiments(max_results=PAGE, page_token=token)
        found += page
        token = page.token or ""
    return found


def shown_uri(uri: str) -> str:
    """A tracking URI without user name and password, fit to print."""
    parts = urlsplit(uri)
    return uri.replace(f"{parts.netloc}", parts.netloc.rpartition("@")[2], 1) if "@" in parts.netloc else uri


def first_line(error: Exception) -> str:
    """The first line of an error's message, at most 300 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
