"""What a trial's MLflow run is to hold, whether MLflow can be reached or not; unsent accounts wait in the storage."""

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
_ACCOUNT = "account.json"


def now() -> int:
    """Milliseconds since 1970, as MLflow has it."""
    return int(time.time() * 1000)


@dataclass(frozen=True)
class Row:
    """The metrics of an epoch, and when it ended (ms)."""

    time: int
    metrics: Mapping[str, float]


@dataclass
class Account:
    """`rows` by stage and epoch; `files` by their path among the run's artifacts; `status` as MLflow names it, with when."""

    key: str
    name: str
    tags: dict[str, str]
    params: dict[str, str]
    rows: dict[str, dict[int, Row]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    final: dict[str, float] = field(default_factory=dict)
    status: str = RUNNING
    ended: int = 0

    def copy(self) -> Account:
        """As it is now; what it holds is never changed, only added to."""
        rows = {stage: dict(epochs) for stage, epochs in self.rows.items()}
        return replace(self, tags=dict(self.tags), rows=rows, files=dict(self.files), final=dict(self.final))

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(_ACCOUNT, json.dumps(asdict(replace(self, files={}))))
            for path, content in self.files.items():
                archive.writestr(f"files/{path}", content)
        return buffer.getvalue()

    @staticmethod
    def of_bytes(content: bytes) -> Account:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            values = json.loads(archive.read(_ACCOUNT))
            files = {name.removeprefix("files/"): archive.read(name) for name in archive.namelist() if name != _ACCOUNT}
        rows = {
            stage: {int(epoch): Row(**row) for epoch, row in epochs.items()} for stage, epochs in values.pop("rows").items()
        }
        return Account(**{**values, "rows": rows, "files": files})


def trials_folder(tracking_uri: str, experiment_id: str) -> str:
    """Where, in the storage, the leases of a study's trials are: each has one worker at a time."""
    return f"trials/{digest([tracking_uri, experiment_id])}"


class Spool:
    """Accounts that MLflow has not had yet: `<storage>/unsent/<study>/<trial key>.zip`."""

    def __init__(self, files: Files, tracking_uri: str, experiment_id: str) -> None:
        self._files = files
        self.folder = f"unsent/{digest([tracking_uri, experiment_id])}"

    def put(self, account: Account) -> None:
        self._files.replace(self._path(account.key), account.to_bytes())

    def get(self, key: str) -> Account | None:
        content = self._files.read(self._path(key))
        return None if content is None else Account.of_bytes(content)

    def drop(self, key: str) -> None:
        self._files.remove(self._path(key))

    def keys(self) -> Iterator[str]:
        for name in sorted(self._files.names(self.folder)):
            if name.endswith(".zip") and not name.startswith("."):
                yield name.removesuffix(".zip")

    def _path(self, key: str) -> str:
        return f"{self.folder}/{key}.zip"
