"""Exposure over time: how long a clip is read at a stretch, in which frame most surely, and how much the video flickers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis import text
from analysis.read.attacks import AttackRecord
from analysis.report.evidence.short import LinkedLine, section_of
from analysis.report.page import Table

_WORST = 5  # clips of each attack in the table
_CAPTION = (
    "The most exposed clips of each attack, the longest run first: for how many of the frames that were looked at, in a row,"
    " and in which frame most surely."
)
_COLUMNS = ("test clip", "attack", "person or source", "longest run, frames", "looked at in a row", "worst frame")


@dataclass(frozen=True)
class ExposedClip:
    """One test clip. longest_run: frames in a row that give it away. worst_frame: the number of the surest; None for none."""

    clip: str
    source: str
    longest_run: int
    worst_frame: int | None


@dataclass(frozen=True)
class ExposureOverTime:
    """What one attack that looks at single frames found. what: in a frame that gives a clip away, in words.

    clips, exposed: of how many clips how many have such a frame. frames: looked at in a row; None where that differs from clip
    to clip. guess: the share of clips of which a guesser would say as much; NaN where there is no guessing. worst: the clips
    with the longest runs.
    """

    attack: str
    title: str
    what: str
    clips: int
    exposed: int
    frames: int | None
    guess: float
    worst: Sequence[ExposedClip]


@dataclass(frozen=True)
class FlickerFigures:
    """The mean absolute difference of successive frames, a share of the pixel range; NaN where it was not measured."""

    anonymized: float
    raw: float


def over_time(attacks: Sequence[AttackRecord]) -> list[ExposureOverTime]:
    """Of the attacks that have recorded it, and whose controls hold, in their order."""
    return [_of(attack) for attack in attacks if attack.valid and any("longest_run" in item for item in attack.items)]


def sentences(found: Sequence[ExposureOverTime], flicker: FlickerFigures) -> list[LinkedLine]:
    lines = []
    for each in found:
        of = f" of {each.frames} looked at in a row" if each.frames else ""
        guess = (
            "" if math.isnan(each.guess) else f" Guessing would be right in all frames of {text.percent(each.guess)} of them."
        )
        longest = ""
        if each.exposed:
            worst = each.worst[0]
            longest = f" The longest run is {text.counted(worst.longest_run, 'frame')}{of}, in {worst.clip}."
        told = f"{each.title}: in {each.exposed} of {text.counted(each.clips, 'test clip')} {each.what}.{longest}{guess}"
        lines.append(LinkedLine(told, section_of(each.attack)))
    if not math.isnan(flicker.anonymized):
        raw = "" if math.isnan(flicker.raw) else f"; in raw video by {flicker.raw:.4f}"
        told = (
            f"Flicker: successive frames of the anonymized video differ by {flicker.anonymized:.4f} of the range from black to"
            f" white, on average{raw}. What moves counts as well."
        )
        lines.append(LinkedLine(told))
    return lines


def table(found: Sequence[ExposureOverTime]) -> Table:
    rows = [
        [
            clip.clip,
            each.title,
            clip.source,
            str(clip.longest_run),
            str(each.frames or text.DASH),
            text.DASH if clip.worst_frame is None else str(clip.worst_frame),
        ]
        for each in found
        for clip in each.worst
    ]
    how = [section_of(each.attack) for each in found for _ in each.worst]
    return Table(_CAPTION, _COLUMNS, rows, narrow=True, how=how)


def _of(attack: AttackRecord) -> ExposureOverTime:
    clips = [
        ExposedClip(str(item["id"]), str(item.get("group", "")), int(item["longest_run"]), item.get("worst_frame"))
        for item in attack.items
        if "longest_run" in item
    ]
    looked_at = {item.get("frames") for item in attack.items}
    reads = "all_right_by_guess" in attack.others
    return ExposureOverTime(
        attack=attack.name,
        title=attack.title,
        what="there is a frame in which every private attribute is read rightly" if reads else "a face is found in some frame",
        clips=len(clips),
        exposed=sum(clip.longest_run > 0 for clip in clips),
        frames=looked_at.pop() if len(looked_at) == 1 else None,
        guess=attack.others.get("all_right_by_guess", math.nan),
        worst=sorted(clips, key=lambda clip: -clip.longest_run)[:_WORST],
    )
