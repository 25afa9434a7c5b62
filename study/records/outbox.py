"""What a trial's MLflow run is to hold, and the outbox in the storage where it waits while MLflow cannot be reached."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace

from trainables.store.artifacts import digest
from trainables.store.files import Files

RUNNING = "RUNNING"
_VALUES = "account.json"  # in the zip file of a record that waits


def now() -> int:
    """Milliseconds since 1970, as MLflow has it."""
    return int(time.time() * 1000)


@dataclass(frozen=True)
class EpochMetrics:
    """The metrics of one epoch of a stage, and the time of its end (ms since 1970)."""

    time: int
    metrics: Mapping[str, float]


@dataclass
class RunContent:
    """Everything that the MLflow run of a trial is to hold so far.

    `rows` are the curves, by stage and epoch; `files` the artifacts, by their path; `final` the figures of a finished trial;
    `status` is MLflow's name for it, `ended` the time of its end (ms).
    """

    key: str
    name: str
    tags: dict[str, str]
    params: dict[str, str]
    rows: dict[str, dict[int, EpochMetrics]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    final: dict[str, float] = field(default_factory=dict)
    status: str = RUNNING
    ended: int = 0

    def copy(self) -> RunContent:
        """A copy that does not grow with this one. What it holds is never changed, only added to."""
        rows = {stage: dict(epochs) for stage, epochs in self.rows.items()}
        return replace(self, tags=dict(self.tags), rows=rows, files=dict(self.files), final=dict(self.final))

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(_VALUES, json.dumps(asdict(replace(self, files={}))))
            for path, content in self.files.items():
                archive.writestr(f"files/{path}", content)
        return buffer.getvalue()

    @staticmethod
    def of_bytes(content: bytes) -> RunContent:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            values = json.loads(archive.read(_VALUES))
            files = {name.removeprefix("files/"): archive.read(name) for name in archive.namelist() if name != _VALUES}
        rows = {
            stage: {int(epoch): EpochMetrics(**row) for epoch, row in epochs.items()}
            for stage, epochs in values.pop("rows").items()
        }
        return RunContent(**{**values, "rows": rows, "files": files})


def trials_folder(tracking_uri: str, experiment_id: str) -> str:
    """The folder in the storage with the leases of a study's trials: one worker at a time holds a trial's."""
    return f"trials/{digest([tracking_uri, experiment_id])}"


class Outbox:
    """The records that MLflow has not had yet, each in a file `<storage>/unsent/<study>/<trial key>.zip`."""

    def __init__(self, files: Files, tracking_uri: str, experiment_id: str) -> None:
        self._files = files
        self.folder = f"unsent/{digest([tracking_uri, experiment_id])}"

    def put(self, record: RunContent) -> None:
        self._files.replace(self._path(record.key), record.to_bytes())

    def get(self, key: str) -> RunContent | None:
        content = self._files.read(self._path(key))
        return None if content is None else RunContent.of_bytes(content)

    def drop(self, key: str) -> None:
        self._files.remove(self._path(key))

    def keys(self) -> Iterator[str]:
        for name in sorted(self._files.names(self.folder)):
            if name.endswith(".zip") and not name.startswith("."):
                yield name.removesuffix(".zip")

    def _path(self, key: str) -> str:
        return f"{self.folder}/{key}.zip"
