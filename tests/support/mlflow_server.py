"""A real MLflow server in a thread of the test's process, whose answers can be made late or bad.

Lateness costs no time: the client does its request and gets the answer, but is told that it did not come in time if it would
not have waited for so long.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import pytest
from urllib3 import HTTPConnectionPool, Timeout
from urllib3.exceptions import ReadTimeoutError
from werkzeug.serving import make_server

_REQUEST = HTTPConnectionPool._make_request


@dataclass
class Disturbed:
    """A WSGI application around another one. By a part of the path, `late`: the seconds after which its answers come, once
    their work is done; `refused`: the status instead of an answer.
    """

    app: Callable[..., Iterable[bytes]]
    uri: str = ""
    late: dict[str, float] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        for part, status in self.refused.items():
            if part in path:
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                start_response(status, [("Content-Length", "0")])
                return [b""]
        return self.app(environ, start_response)

    def request(self, pool: HTTPConnectionPool, *given: Any, timeout: Timeout, **named: Any) -> Any:
        """In place of the client's own method."""
        answer = _REQUEST(pool, *given, timeout=Timeout(300), **named)
        if any(part in given[2] and seconds > (timeout.read_timeout or 0) for part, seconds in self.late.items()):
            raise ReadTimeoutError(pool, given[2], "too late")
        return answer


@contextlib.contextmanager
def mlflow_server(folder: Path) -> Iterator[Disturbed]:
    """Database and artifacts are in `folder`. Once a process: MLflow's server keeps them in the environment."""
    os.environ |= {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder}/server.db",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    from mlflow.server import app

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    disturbed = Disturbed(app.wsgi_app)
    server = make_server("127.0.0.1", 0, disturbed, threaded=True)
    disturbed.uri = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def request(pool: HTTPConnectionPool, *given: Any, **named: Any) -> Any:  # bound to a pool, where a bound method is not
        return disturbed.request(pool, *given, **named)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(HTTPConnectionPool, "_make_request", request)
        yield disturbed
    server.shutdown()
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # the server named its database to the whole process
