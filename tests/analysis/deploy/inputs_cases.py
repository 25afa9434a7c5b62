"""The inputs that people report troubles with, where they lie beside the repository."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.analysis.deploy.through import count, result
from tests.support import SHARED
from tests.support.inputs import Input

_CASES = SHARED.parent / "cases" / "anonymize"


def _case(name: str, folder: Path, output: str = "out.mp4", seen: Callable[[list[Any]], str] = count, **options: Any) -> str:
    path = _CASES / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    link = folder / name
    link.symlink_to(path)
    return result(link, output, seen, **options)


def _shape(frames: list[Any]) -> str:
    return f"{len(frames)} frames of {frames[0].height}x{frames[0].width}"


INPUTS = [
    Input("`annexb_named.mp4`", "50 frames, 2.00 s", partial(_case, "annexb_named.mp4")),
    Input(
        "`truncated_with_sound.mkv`",
        "75 frames, 3.00 s; sound dropped (--keep-audio keeps it); exit 1,"
        " truncated_with_sound.mkv ends early, at 3.02 of 6.02 s",
        partial(_case, "truncated_with_sound.mkv"),
    ),
    Input("`negative_times.ts`", "50 frames, 2.00 s", partial(_case, "negative_times.ts")),
    Input("`start_at_11_hours.ts`", "50 frames, 2.00 s", partial(_case, "start_at_11_hours.ts")),
    Input(
        "`times_start_again.ts`",
        "100 frames, 4.00 s; its times start again 1 time: the parts follow one another",
        partial(_case, "times_start_again.ts"),
    ),
    Input(
        "`aspect_and_rotation.mp4`",
        "25 frames of 128x96, 1.00 s; turned upright, as the file says",
        partial(_case, "aspect_and_rotation.mp4", seen=_shape),
    ),
    Input("`trimmed_edit_list.mp4`", "37 frames, 1.48 s", partial(_case, "trimmed_edit_list.mp4")),
    Input("`cover_art_first.mp4`", "50 frames, 2.00 s; left out: the cover picture", partial(_case, "cover_art_first.mp4")),
    Input("`hd_untagged_bt709.mp4`", "10 frames of 720x1280, 0.40 s", partial(_case, "hd_untagged_bt709.mp4", seen=_shape)),
    Input(
        "`iphone_like_hlg.mp4`",
        "10 frames, 0.40 s; HDR, mapped to the colours of ordinary screens",
        partial(_case, "iphone_like_hlg.mp4"),
    ),
    Input(
        "`mirrored_selfie.mp4`", "50 frames, 2.00 s; turned upright, as the file says", partial(_case, "mirrored_selfie.mp4")
    ),
    Input(
        "`interlaced_tff.mp4`",
        "50 frames, 2.00 s; interlaced: of each frame the upper field was taken",
        partial(_case, "interlaced_tff.mp4"),
    ),
    Input("`vfr.mp4`", "44 frames, 3.56 s", partial(_case, "vfr.mp4")),
    Input("`vfr.mp4` into AVI", "refused: AVI keeps no times", partial(_case, "vfr.mp4", output="out.avi")),
    Input("`gap_100s.mp4`", "50 frames, 102.00 s", partial(_case, "gap_100s.mp4")),
    Input("`camcorder.m2ts`", "50 frames, 2.00 s", partial(_case, "camcorder.m2ts")),
    Input("`with_sound.mp4`", "50 frames, 2.00 s; sound dropped (--keep-audio keeps it)", partial(_case, "with_sound.mp4")),
]
