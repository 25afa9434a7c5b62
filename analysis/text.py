"""Numbers, counts, intervals, durations, sizes and lists as a person reads them; nothing else formats them for print.

A minus sign is printed as U+2212 and a missing number as a dash. Shares of 1 are printed in percent with one decimal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from trainables.schema import FINAL_METRICS

DASH, NO_BREAK = "–", "\N{NO-BREAK SPACE}"


class MeanOverSeeds(Protocol):
    """A mean of `n` values and the half-width of its 95 % interval (NaN where n < 2), such as `settings.Estimate`."""

    @property
    def mean(self) -> float: ...

    @property
    def half_width(self) -> float: ...

    @property
    def n(self) -> int: ...


class Bounded(Protocol):
    """A value and the ends of its 95 % interval (NaN where it has none), such as `statistics.Interval`."""

    @property
    def value(self) -> float: ...

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


def number(value: float, digits: int = 1, *, signed: bool = False) -> str:
    """`-0.25` as `−0.2`, `+0.2` if signed; a zero has no sign of its own, NaN is a dash."""
    return DASH if math.isnan(value) else f"{value:{'+' if signed else ''}z.{digits}f}".replace("-", "−")


def percent(share: float, digits: int = 1, *, space: str = NO_BREAK, unknown: str = DASH) -> str:
    """`0.123` as `12.3 %`; `space` stands before the sign, `unknown` is printed for NaN."""
    return unknown if math.isnan(share) else f"{number(100 * share, digits)}{space}%"


def mean(value: MeanOverSeeds, *, share: bool = True, digits: int = 1, signed: bool = False, count: bool = True) -> str:
    """`92.1 ± 1.3`, or `92.1 (n = 1)` for a single value, which has no interval; a dash for none.

    `share`: a share of 1, printed in percent without the sign. `count` False leaves `(n = 1)` to the caller.
    """
    if value.n == 0 or math.isnan(value.mean):
        return DASH
    scale = 100 if share else 1
    shown = number(scale * value.mean, digits, signed=signed)
    if value.n == 1:
        return f"{shown} (n = 1)" if count else shown
    return f"{shown} ± {number(scale * value.half_width, digits)}"


def interval(found: Bounded, *, share: bool = True, signed: bool = False) -> str:
    """`12.3 (10.1 to 14.9)`, shares in percent without the sign, others with three decimals; says so without an interval."""
    scale, digits = (100, 1) if share else (1, 3)
    if math.isnan(found.value):
        return DASH
    shown, low, high = (number(scale * value, digits, signed=signed) for value in (found.value, found.low, found.high))
    return f"{shown} (no interval)" if math.isnan(found.low) else f"{shown} ({low} to {high})"


def percent_interval(share: float, low: float, high: float) -> str:
    """`12.3 % (interval 10.1 % to 14.9 %)`, in whole words for a reader who knows no statistics."""
    known, least, most = (percent(value, unknown="not known") for value in (share, low, high))
    return f"{known} (no interval)" if math.isnan(low) else f"{known} (interval {least} to {most})"


def metric_mean(metric: str, value: MeanOverSeeds, *, signed: bool = False, count: bool = True) -> str:
    """The mean of a final metric as tables print it, without its unit: see `unit` for what the head of the column says."""
    return mean(value, share=FINAL_METRICS[metric].percent, digits=digits(metric), signed=signed, count=count)


def over_items(metric: str, ends: tuple[float, float], *, space: str = NO_BREAK) -> str:
    """`, 45.3 to 65.9 % over test items`: the interval of a figure over the test items; nothing where it is not known."""
    if math.isnan(ends[0]):
        return ""
    scale = 100 if FINAL_METRICS[metric].percent else 1
    low, high = (number(scale * end, digits(metric)) for end in ends)
    return f", {low} to {high}{unit(metric, space)} over test items"


def brief(metric: str, value: MeanOverSeeds, ends: tuple[float, float], *, count: bool = False) -> str:
    """`92.1 ± 1.3`: the mean of a final metric without its unit; of one seed, with the interval over test items, `92.1 [88.0,
    95.4]`. ends: of that interval, NaN where it is not known; then `count` says whether (n = 1) stands there.
    """
    if value.n != 1 or math.isnan(ends[0]):
        return metric_mean(metric, value, count=count)
    scale = 100 if FINAL_METRICS[metric].percent else 1
    low, high = (number(scale * end, digits(metric)) for end in ends)
    return f"{metric_mean(metric, value, count=False)} [{low}, {high}]"


def metric_mean_with_n(metric: str, value: MeanOverSeeds, *, space: str = NO_BREAK) -> str:
    """`92.1 ± 1.3 % (n = 3)`: the mean of a final metric with its unit and the number of seeds."""
    return f"{metric_mean(metric, value, count=False)}{unit(metric, space)} (n = {value.n})"


def metric_value(metric: str, value: float, *, space: str = NO_BREAK) -> str:
    """One value of a final metric, not a mean: `20.0 %` for a share, three significant digits for others."""
    if math.isnan(value):
        return "unknown"
    return percent(value, space=space) if FINAL_METRICS[metric].percent else f"{value:.3g}"


def unit(metric: str, space: str = NO_BREAK) -> str:
    """` %` with the given space before it where the metric is a share of 1, else nothing."""
    return f"{space}%" if FINAL_METRICS[metric].percent else ""


def points(metric: str, difference: float) -> str:
    """A difference between two values of a metric: shares differ by `1.5 points`."""
    return f"{number(100 * difference)} points" if FINAL_METRICS[metric].percent else f"{difference:.3g}"


def digits(metric: str) -> int:
    return 1 if FINAL_METRICS[metric].unit in ("%", "s") else 3


def counted(amount: int, noun: str) -> str:
    """`1 trial`, `3 trials`."""
    return f"{amount} {noun}" + ("" if amount == 1 else "s")


def n_range(counts: Iterable[int], to: str = " to ") -> str:
    """The least and the largest of some counts: `3`, `1 to 3`, or nothing for none."""
    different = sorted(set(counts))
    return to.join(map(str, dict.fromkeys((different[0], different[-1])))) if different else ""


def listed(texts: Iterable[object], most: int | None = None) -> str:
    """`a, b, c and 4 more`: the first `most`, and how many follow."""
    found = [str(text) for text in texts]
    shown = found if most is None else found[:most]
    return ", ".join(shown) + (f" and {len(found) - len(shown)} more" if len(found) > len(shown) else "")


def values(texts: Sequence[str], most: int) -> str:
    """All values up to `most` of them, else the first three, the last and their number."""
    return listed(texts) if len(texts) <= most else f"{', '.join(texts[:3])} … {texts[-1]} ({len(texts)} values)"


def clipped(text: str, most: int) -> str:
    """A text of at most `most` characters; an ellipsis stands for what was cut off."""
    return text if len(text) <= most else text[: most - 1] + "…"


def sentence(text: str) -> str:
    """The text with a capital letter at its start, but for words such as cMAP."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def words(name: str) -> str:
    """A name of the code, with spaces for underscores."""
    return name.replace("_", " ")


def plain(value: object) -> str:
    """Any value in a label: numbers without trailing zeros."""
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def duration(seconds: float) -> str:
    """`4 min 07 s`, or `3 h 05 min` from an hour on; nothing negative."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"


def clock(seconds: float) -> str:
    """`04:07`, or `3:05:00` from an hour on."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes:02d}:{rest:02d}"


def age(seconds: float) -> str:
    """A time span in the largest unit it fills: `1.5 d`, `2.0 h`, `3.0 min`, `12 s`."""
    for name, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.1f} {name}"
    return f"{seconds:.0f} s"


def size(amount: float) -> str:
    """Bytes in powers of 1000: `12 B`, `1.5 kB`, `3.2 GB`."""
    if amount < 1000:
        return f"{amount:.0f} B"
    for name in ("kB", "MB"):
        amount /= 1000
        if amount < 1000:
            return f"{amount:.1f} {name}"
    return f"{amount / 1000:.1f} GB"


def frame_size(height_width: tuple[int, int]) -> str:
    """Height and width in pixels, as command lines take them: `240x320`."""
    return f"{height_width[0]}x{height_width[1]}"


def fields(found: Mapping[str, object]) -> str:
    """`name value, name value`."""
    return ", ".join(f"{name} {value}" for name, value in found.items())
