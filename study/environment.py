"""The environment variables that a study reads, and the defaults that it sets for Ray and MLflow."""

from __future__ import annotations

import os
import re

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from trainables import cluster
from trainables.cluster import ADDRESS_VARIABLE
from trainables.config import DATA_ROOT_VARIABLE, STORAGE_VARIABLE

TRACKING_URI_VARIABLE, NODES_COME_LATER_VARIABLE = "MLFLOW_TRACKING_URI", "ANONYMIZATION_NODES_COME_LATER"

# Ray Tune and MLflow read these when they are imported or at a call; a value that the user has set wins.
DEFAULTS = {
    "RAY_AIR_NEW_OUTPUT": "0",  # `StudyProgress` prints
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # `Halt` lets the trials save
    "TUNE_FORCE_TRIAL_CLEANUP_S": "10",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # MLflow holds the records
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # objectives are reported once, at the end
    "TUNE_MAX_PENDING_TRIALS_PG": "64",  # an autoscaler brings nodes for what is pending; `Queue` has the same number
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # MLflow and the storage know what is done: nobody reads Tune's snapshots
    # By default a call to a server that is away blocks for minutes; whoever keeps a record sends it again anyway.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


class Environment(BaseSettings):
    """What the environment says, as it is now. An empty variable counts as one that is not set.

    The first four stand in for options of the command line. Ray sets the address of its cluster for a submitted job.
    """

    model_config = SettingsConfigDict(frozen=True, case_sensitive=True, env_ignore_empty=True, extra="ignore")

    data_root: str | None = Field(default=None, validation_alias=DATA_ROOT_VARIABLE)
    storage: str | None = Field(default=None, validation_alias=STORAGE_VARIABLE)
    tracking_uri: str | None = Field(default=None, validation_alias=TRACKING_URI_VARIABLE)
    nodes_come_later: str = Field(default="", validation_alias=NODES_COME_LATER_VARIABLE)
    ray_address: str | None = Field(default=None, validation_alias=ADDRESS_VARIABLE)

    @property
    def joins_cluster(self) -> bool:
        """Whether RAY_ADDRESS names a Ray that runs already."""
        return cluster.names_cluster(self.ray_address)


def without_passwords(text: str) -> str:
    """`text` with *** for the password of each URI in it."""
    return re.sub(r"(://[^\s:/@]*:)[^\s@]+@", r"\1***@", text)


def set_defaults() -> None:
    """Sets DEFAULTS, and those of Ray that every command which uses it has."""
    cluster.set_defaults(Environment().joins_cluster)
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
