"""Tells what MLflow refuses from an MLflow that does not answer: the first fails again however often it is sent."""

from __future__ import annotations

from mlflow.exceptions import MlflowException

from study.environment import without_passwords
from trainables.config import ConfigError
from trainables.one_line import reason

TRIES = 3  # of what is refused: its run may have been deleted meanwhile, or be made by two at once
_DENIED = (401, 403)
_LATER = (408, 425, 429, 499)  # time limits and too many requests: they pass


class Refused(ConfigError):
    """MLflow answers, and does not take a record. The message is one line with MLflow's reason."""


def refusal(error: BaseException) -> str:
    """Why MLflow does not take what it was sent; empty where it does not answer, or denies access for now."""
    status = _status(error)
    return first_line(error) if 400 <= status < 500 and status not in (*_DENIED, *_LATER) else ""


def trouble(error: BaseException) -> str:
    """What is wrong with MLflow, in a few words that complete its name."""
    from sqlalchemy.exc import DBAPIError

    said = first_line(error)
    if _status(error) in _DENIED:
        return f"denies access ({said}); check user and password"
    if refusal(error):
        return f"refuses it ({said})"
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return f"has a certificate that is not trusted ({said}); name its authority in MLFLOW_TRACKING_SERVER_CERT_PATH"
    if isinstance(error, ImportError):
        return f"needs a package ({said}); install it on every node"
    if isinstance(error, MlflowException | OSError | DBAPIError):
        return f"does not answer ({said})"
    return f"could not be used ({said})"


def first_line(error: BaseException) -> str:
    """What an error says, on one line, without passwords."""
    return without_passwords(reason(error, 300, kind=True))


def _status(error: BaseException) -> int:
    return int(error.get_http_status_code()) if isinstance(error, MlflowException) else 500
