"""Anonymizes what a user names: a video, a live source, or every video of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analysis.deploy.folder import anonymize_folder
from analysis.deploy.one_video import Say, VideoOptions, anonymize_video, check_output

if TYPE_CHECKING:
    from analysis.deploy.anonymizers import FrameModel


def anonymize(source: str, output: Path, model: FrameModel, options: VideoOptions, say: Say = print) -> int:
    """Anonymizes a video, a live source, or every video of a folder; `say` is called with each line to print.

    Returns 0, or 1 where a frame is black, a file ends early, or a file of a folder failed. Raises AnalysisError when nothing
    can be made at all: input or output not usable, or `output` is there and `overwrite` is not given.
    """
    if Path(source).is_dir():
        return anonymize_folder(Path(source), output, model, options, say)
    check_output(source, output, options)
    return 0 if anonymize_video(source, output, model, options, say).whole else 1
