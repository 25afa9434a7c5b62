"""What a video adds to what is known of a person without it, in words and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis import text
from analysis.measure.without_video import AddedByVideo
from analysis.report.evidence.groups import measure_words, section_of_measure
from analysis.report.page import Table

_CAPTION = (
    "Private attributes read from the anonymized video, beside who sees no video and infers each attribute from all others of"
    " the same test item. Learned beyond guessing; the difference is paired by test item. Each interval holds by itself."
)
_COLUMNS = (
    "attribute",
    "average precision %, from video",
    "without it %",
    "learned from video % (95 % interval)",
    "without it % (95 % interval)",
    "the video adds, points (95 % interval)",
)


def strongest(found: Sequence[AddedByVideo], measure: str) -> list[AddedByVideo]:
    """The rows of `measure`, the strongest attacker; where it has none, of the one that reads most."""
    means = [each for each in found if not each.attribute]
    if not means:
        return []
    shown = measure if any(each.measure == measure for each in means) else max(means, key=_read).measure
    return [each for each in found if each.measure == shown]


def sentence(found: Sequence[AddedByVideo], measure: str, titles: Mapping[str, str]) -> str:
    """What the strongest attacker learns beyond the baseline; empty where there is none."""
    rows = strongest(found, measure)
    if not rows:
        return ""
    mean, added = rows[0], rows[0].added
    if added.low > 0:
        verdict = "Surely"
    elif added.high < 0:
        verdict = "Who has the video alone surely reads less"
    else:
        verdict = "That is not shown"
    without, read, adds, least, most = (
        text.number(100 * value, 0) for value in (mean.without.value, mean.read.value, added.value, added.low, added.high)
    )
    by = measure_words(mean.measure, titles).removeprefix("learned by ")
    return (
        f"Does the video add anything to what is known without it? {verdict}: who sees no video and infers each private"
        f" attribute from all others of a person reads {without}; from the anonymized video {read} is read ({by}). The"
        f" difference is {adds} (interval {least} to {most})."
    )


def table(found: Sequence[AddedByVideo], measure: str) -> Table:
    shown = strongest(found, measure)
    rows = [
        [
            text.words(each.attribute) or "mean over all",
            text.number(100 * each.precision),
            text.number(100 * each.precision_without),
            text.interval(each.read),
            text.interval(each.without),
            text.interval(each.added, signed=True),
        ]
        for each in shown
    ]
    how = [section_of_measure(each.measure) for each in shown]
    return Table(_CAPTION, _COLUMNS, rows, narrow=True, how=how)


def _read(each: AddedByVideo) -> float:
    return each.read.value
