"""Plug-in of the chaos runs of an archive: slow videos, a journal of who works on which, and nodes whose disk is full.

Where CHAOS_ARCHIVE names a folder, every process that anonymizes a video appends a line to its file `journal` when it looks at
the video and when the output has got its name. A node, by its name in CHAOS_NODE, has a full disk while `full/<its name>` is
there.
"""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

FOLDER = "CHAOS_ARCHIVE"
FRAME_SECONDS = 0.02  # that a frame waits, so that something can happen meanwhile and the machine has nothing to compute


def _change(folder: Path) -> None:
    """From now on in this process."""
    from analysis.deploy import archive
    from analysis.deploy.video_output import VideoOutput

    one, encode, finish = archive.anonymize_one, VideoOutput._encode, VideoOutput.finish
    full = folder / "full" / os.environ.get("CHAOS_NODE", "none")

    def write(what: str, target: Path) -> None:
        line = {"what": what, "name": target.name, "process": os.getpid()}
        with (folder / "journal").open("a") as file:  # appending a short line is one step, whoever else does
            file.write(json.dumps(line) + "\n")

    def begun_one(job: Any, *more: Any) -> Any:
        write("begun", job.target)
        return one(job, *more)

    def slow_encode(self: VideoOutput, frame: Any) -> None:
        if full.exists():
            raise self._failed(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        time.sleep(FRAME_SECONDS)
        encode(self, frame)

    def told_finish(self: VideoOutput) -> None:
        finish(self)
        write("made", self.path)

    archive.anonymize_one = begun_one  # type: ignore[assignment]
    VideoOutput._encode, VideoOutput.finish = slow_encode, told_finish  # type: ignore[method-assign]


if FOLDER in os.environ:
    _change(Path(os.environ[FOLDER]))
