"""Files of a storage, on a directory or an object store: written whole or not at all, and created exclusively on request."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from trainables.config import ConfigError
from trainables.one_line import reason

_AT_ONCE = 1000  # files that an object store is asked for in one go


@dataclass(frozen=True)
class FileInfo:
    """A file below the root, with its size in bytes and when it was last written (seconds since 1970)."""

    path: str
    size: int
    modified: float


class Files:
    """Paths are relative to `storage`: a directory, or a URI that fsspec knows.

    Needs a rename that is atomic on directories; elsewhere single objects that are written whole and
    `pipe_file(mode="create")` that is exclusive, as on S3 and Google Cloud Storage.
    Raises ConfigError when the protocol is unknown or its package is not installed.
    """

    def __init__(self, storage: str | Path) -> None:
        self.storage = str(storage)
        where = self.storage if "://" in self.storage else str(Path(storage).absolute())
        try:
            # other workers write here too, so listings must not be cached
            self._fs, self._root = url_to_fs(where, use_listings_cache=False)
        except ImportError as error:
            missing = " ".join(str(error).split())
            raise ConfigError(
                f"storage {self.storage}: a package is missing ({missing}); install it, or give a directory"
            ) from None
        except ValueError as error:
            raise ConfigError(f"storage {self.storage}: {error}; give a directory, or a URI such as s3://bucket/path") from None
        self._root = self._root.rstrip("/")

    @property
    def directory(self) -> Path | None:
        """The directory that holds the files; None for an object store."""
        return Path(self._root) if isinstance(self._fs, LocalFileSystem) else None

    def read(self, path: str) -> bytes | None:
        """Returns the content of a file, or None if there is no such file."""
        try:
            content: bytes = self._fs.cat_file(self._at(path))
        except FileNotFoundError:
            return None
        return content

    def glance(self, path: str) -> bytes | None:
        """What `read` returns, of a small file that is not empty, for one request: `read` asks an object store for a size
        first, to fetch parts of a large file side by side, and lists what lies below a path that is no file.
        """
        return self._part(path, None)

    def read_all(self, paths: Sequence[str]) -> dict[str, bytes]:
        """The contents of those files that are there, by path. An object store is asked for many of them at once."""
        if self.directory is not None:
            return {path: content for path in paths if (content := self.read(path)) is not None}
        found: dict[str, bytes] = {}
        for first in range(0, len(paths), _AT_ONCE):
            at = {self._at(path): path for path in paths[first : first + _AT_ONCE]}
            contents = self._fs.cat(list(at), on_error="return")
            for where, content in contents.items():
                if isinstance(content, bytes):
                    found[at[where]] = content
                elif not isinstance(content, FileNotFoundError):
                    raise content
        return found

    def exists(self, path: str) -> bool:
        """Whether there is such a file, which is not empty, or on a directory such a folder."""
        if self.directory is not None:
            return bool(self._fs.exists(self._at(path)))
        return self._part(path, 1) is not None

    def names(self, folder: str, start: str = "") -> list[str]:
        """Returns the names in a folder, those that begin with `start`; none if the folder does not exist.

        With a `start` an object store lists no others, however many there are.
        """
        try:
            if self.directory is not None:  # fsspec asks for the size of each file, and fails if one is deleted meanwhile
                return [name for name in os.listdir(self._at(folder)) if name.startswith(start)]
            if start:
                below = (path[len(self._at(folder)) + 1 :] for path in self._fs.find(self._at(folder), prefix=start))
                return list(dict.fromkeys(name.partition("/")[0] for name in below if name.startswith(start)))
            return [name.rstrip("/").rpartition("/")[2] for name in self._fs.ls(self._at(folder), detail=False)]
        except FileNotFoundError:
            return []

    def tree(self, folder: str) -> list[FileInfo]:
        """Returns every file below a folder; files that are deleted meanwhile may be missing."""
        if self.directory is not None:
            return list(_walk(self.directory, folder))
        found: Mapping[str, Mapping[str, Any]] = self._fs.find(self._at(folder), detail=True)
        return [FileInfo(name[len(self._root) + 1 :], info["size"] or 0, _modified(info)) for name, info in found.items()]

    def create(self, path: str, content: bytes) -> bool:
        """Creates a file with its whole content; returns False if it exists already.

        `content` must be unique to the caller: after an error it tells whether an earlier try of the same request succeeded.
        """
        if self.directory is not None:
            aside = _write_aside(Path(self._at(path)), content)
            try:
                os.link(aside, self._at(path))
                return True
            except FileExistsError:
                return False
            finally:
                aside.unlink()
        try:
            self._fs.pipe_file(self._at(path), content, mode="create")
            return True
        except OSError as error:  # the backends say "exists" in several ways
            found = self.read(path)
            if found is None and not isinstance(error, FileExistsError):
                raise
            return found == content

    def replace(self, path: str, content: bytes) -> None:
        """Writes a file; a reader sees either the old content or the new one."""
        if self.directory is not None:
            os.replace(_write_aside(Path(self._at(path)), content), self._at(path))
            _sync_folder(Path(self._at(path)).parent)
        else:
            self._fs.pipe_file(self._at(path), content)

    def rename(self, source: str, target: str) -> bool:
        """Moves a folder, on directories only; False if the target is there already, or the source no longer."""
        try:
            os.rename(self._at(source), self._at(target))
            _sync_folder(Path(self._at(target)).parent)
            return True
        except (FileNotFoundError, FileExistsError):
            return False
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            return False

    def remove(self, path: str) -> None:
        """Deletes a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._at(path))

    def remove_tree(self, path: str) -> None:
        """Deletes a folder with its content, or a file, if it is there."""
        if self.directory is not None and not Path(self._at(path)).is_file():
            shutil.rmtree(self._at(path), ignore_errors=True)
        else:
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm(self._at(path), recursive=True)

    def require(self) -> None:
        """Raises ConfigError unless files can be made here, and made exclusively."""
        probe = f".probe-{uuid.uuid4().hex[:8]}"
        try:
            exclusive = self.create(probe, b"1") and not self.create(probe, b"2")
            self.remove(probe)
        except Exception as error:  # each backend has errors of its own
            raise ConfigError(
                f"storage {self.storage}: cannot be written ({reason(error, kind=True)}); check the place and your rights"
            ) from None
        if not exclusive:
            raise ConfigError(f"storage {self.storage}: cannot create files exclusively; give a directory, s3:// or gs://")

    def _part(self, path: str, end: int | None) -> bytes | None:
        """The first `end` bytes of a file, or all, or None if there is no such file."""
        try:
            content: bytes = self._fs.cat_file(self._at(path), start=0, end=end)
        except FileNotFoundError:
            return None
        return content

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"


def _write_aside(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return aside


def _sync_folder(path: Path) -> None:
    """Makes a rename in the folder `path` survive a loss of power."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # not every network file system can
            raise
    finally:
        os.close(folder)


def _walk(root: Path, folder: str) -> Iterator[FileInfo]:
    for parent, _, names in os.walk(root / folder):
        for name in names:
            path = Path(parent, name)
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                yield FileInfo(path.relative_to(root).as_posix(), status.st_size, status.st_mtime)


def _modified(info: Mapping[str, Any]) -> float:
    """Returns the time of the last write in seconds since 1970; each backend of fsspec has its own name for it."""
    value = next((info[name] for name in ("mtime", "LastModified", "updated", "created") if name in info), 0.0)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.timestamp() if isinstance(value, datetime) else float(value)
