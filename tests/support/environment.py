"""The environment of the processes that tests start."""

from __future__ import annotations

import os

# Ray starts a worker for each CPU before anything asks for one: those that no trial takes cost a second each
FEW_WORKERS = {"RAY_prestart_worker_first_driver": "0"}
_OURS = ("ANONYMIZATION", "MLFLOW", "RAY_")


def as_in_a_new_shell(*without: str) -> dict[str, str]:
    """The variables of this process, but for those that say where our results, MLflow or Ray are, and those that begin with one
    of `without`.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith((*_OURS, *without))} | FEW_WORKERS
