"""What is known of an anonymized video, in a file beside it: `out.mp4.json` for `out.mp4`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.deploy.whole import whole
from analysis.read.store import shown_uri

SUFFIX = ".json"


@dataclass(frozen=True)
class Origin:
    """The file that a video was made from, or the address, without a password."""

    name: str
    bytes: int = 0
    modified_ns: int = 0
    sha256: str = ""

    @staticmethod
    def of(source: str, live: bool) -> Origin:
        """Reads the whole file for its hash."""
        if live:
            return Origin(shown_uri(source))
        path = Path(source.removeprefix("file://"))
        found = path.stat()
        return Origin(path.name, found.st_size, found.st_mtime_ns, _hash(path))

    def is_now(self, path: Path) -> bool:
        """Whether `path` is still this file: of one of the same size and time of change that is believed, else its hash."""
        found = path.stat()
        if found.st_size != self.bytes:
            return False
        return found.st_mtime_ns == self.modified_ns or _hash(path) == self.sha256


@dataclass(frozen=True)
class Record:
    """`made_with`: everything besides the input that changes the output. `output_bytes`: the size of the output.

    `found`: how it turned out, as it is written to the file.
    """

    source: Origin
    made_with: Mapping[str, Any]
    output_bytes: int
    found: Mapping[str, Any]

    @property
    def black(self) -> int:
        return int(self.found.get("black", 0))

    @property
    def cut(self) -> str:
        return str(self.found.get("cut", ""))

    def write(self, output: Path, token: str = "") -> None:
        """Raises AnalysisError where it cannot be written; it is never half written."""
        path = path_of(output)
        content = {
            "input": vars(self.source),
            "made_with": dict(self.made_with),
            "output_bytes": self.output_bytes,
            **self.found,
        }
        with whole(path, token) as beside:
            beside.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @staticmethod
    def read(output: Path) -> Record | None:
        """None where there is none, or none that can be read."""
        try:
            content = json.loads(path_of(output).read_text(encoding="utf-8"))
            source, made_with = Origin(**content.pop("input")), dict(content.pop("made_with"))
            return Record(source, made_with, int(content.pop("output_bytes")), content)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def differences(self, source: Path, made_with: Mapping[str, Any]) -> list[str]:
        """What would be made otherwise now, in words; none where all is the same."""
        names = [*made_with, *(name for name in self.made_with if name not in made_with)]
        found = [name for name in names if self.made_with.get(name) != made_with.get(name)]
        changed = [f"{name} was {self.made_with.get(name)}, is {made_with.get(name)}" for name in found]
        return changed + ([] if self.source.is_now(source) else ["the input is another file"])


def path_of(output: Path) -> Path:
    return output.with_name(output.name + SUFFIX)


def _hash(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
