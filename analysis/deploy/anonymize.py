"""Anonymizes what a user names: a video, a live source, or every video of a folder."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.deploy.folder import anonymize_folder
from analysis.deploy.one_video import Say, anonymize_video, check_output
from analysis.deploy.told import size_warning
from analysis.deploy.video import VideoOptions

if TYPE_CHECKING:
    from analysis.deploy.frame_model import FrameModel


def anonymize(source: str, output: Path, model: FrameModel, options: VideoOptions, say: Say = print) -> int:
    """Anonymizes a video, a live source, or every video of a folder; `say` is called with each line to print.

    Returns 0, or 1 where a frame is black, a file ends early, or a file of a folder failed. Raises AnalysisError when nothing
    can be made at all: input or output not usable, or `output` is there and `overwrite` is not given.
    """
    for warning in (size_warning(model, options), model.dial.warning() if model.dial else ""):
        if warning:
            say(warning)
    if Path(source).is_dir():
        return anonymize_folder(Path(source), output, model, options, say)
    check_output(source, output, options)
    return 0 if anonymize_video(source, output, model, options, say).whole else 1


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Lets SIGTERM and SIGHUP end the work as Ctrl-C does, so that nothing half written is left."""
    before: dict[int, Any] = {}

    def end(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    try:
        for name in ("SIGTERM", "SIGHUP"):
            if os.name == "posix" and threading.current_thread() is threading.main_thread():  # the only one that may
                number = getattr(signal, name)
                before[number] = signal.signal(number, end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
