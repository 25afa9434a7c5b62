"""Whether MLflow's server, or the schema of its database, fits the MLflow that is installed here. Imports MLflow when asked."""

from __future__ import annotations

from pathlib import Path

from study.environment import without_passwords

_ANSWER_SECONDS = 5.0
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def version_note(tracking_uri: str) -> str:
    """A line where a server runs another major or minor version than this client; empty where it does not, or says nothing."""
    if not tracking_uri.startswith("http"):
        return ""
    import mlflow
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        answer = http_request(get_default_host_creds(tracking_uri), "/version", "GET", timeout=_ANSWER_SECONDS, max_retries=0)
        server = str(answer.text).strip()
    except Exception:  # a server that says no version: whatever else it lacks is found out elsewhere
        return ""
    if not server[:1].isdigit() or answer.status_code != 200 or _minor(server) == _minor(mlflow.__version__):
        return ""
    return (
        f"MLflow {without_passwords(tracking_uri)} is version {server}, here it is {mlflow.__version__}; what they say to each"
        " other may differ: install one version on both sides"
    )


def schema_problem(tracking_uri: str) -> str:
    """A line where a database has the schema of another MLflow; empty where it fits, is new, or cannot be asked yet."""
    if not tracking_uri.startswith(_DATABASES):
        return ""
    database = tracking_uri.removeprefix("sqlite:///")
    if database != tracking_uri and not Path(database).is_file():
        return ""
    import mlflow
    from mlflow.store.db.utils import _get_latest_schema_revision, _get_schema_version
    from sqlalchemy import create_engine

    try:
        engine = create_engine(tracking_uri)
        try:
            found = _get_schema_version(engine)
        finally:
            engine.dispose()
    except Exception:  # a database that is away, or no database: said where it is opened
        return ""
    wanted = _get_latest_schema_revision()
    if found is None or found == wanted:
        return ""
    where = without_passwords(tracking_uri)
    return (
        f"MLflow {where}: the database has schema {found}, MLflow {mlflow.__version__} here has {wanted}; save a copy of it,"
        f" then run `mlflow db upgrade {where}`, or install the MLflow that wrote it"
    )


def _minor(version: str) -> tuple[str, ...]:
    return tuple(version.split(".")[:2])
