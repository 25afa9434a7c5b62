"""Anonymizes what a user names: a video, a live source, or every video of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analysis.deploy.folder import Work, anonymize_folder, one_after_another
from analysis.deploy.one_video import Say, anonymize_video, check_output
from analysis.deploy.told import size_warning
from analysis.deploy.video import VideoOptions

if TYPE_CHECKING:
    from analysis.deploy.frame_model import FrameModel


def anonymize(
    source: str, output: Path, model: FrameModel, options: VideoOptions, say: Say = print, work: Work | None = None
) -> int:
    """Anonymizes a video, a live source, or every video of a folder; `say` is called with each line to print. `work` works on
    the videos of a folder; if it is not given, they are worked on here, one after another.

    Returns 0, or 1 where a frame is black, a file ends early, or a file of a folder failed. Raises AnalysisError when nothing
    can be made at all: input or output not usable, or `output` is there and `overwrite` is not given.
    """
    for warning in (size_warning(model, options), model.dial.warning() if model.dial else ""):
        if warning:
            say(warning)
    if Path(source).is_dir():
        return anonymize_folder(Path(source), output, work or one_after_another(model, options, say), say)
    check_output(source, output, options)
    return 0 if anonymize_video(source, output, model, options, say).whole else 1
