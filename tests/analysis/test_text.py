"""Every number, count, duration, size and list that a person reads."""

import math
from dataclasses import dataclass

import pytest

from analysis import text


@dataclass(frozen=True)
class Mean:
    mean: float
    half_width: float
    n: int


@dataclass(frozen=True)
class Bounds:
    value: float
    low: float
    high: float


@pytest.mark.parametrize(
    ("value", "options", "expected"),
    [
        (0.25, {}, "0.2"),
        (-1.26, {}, "−1.3"),
        (-0.01, {}, "0.0"),
        (1.5, {"signed": True}, "+1.5"),
        (2.0, {"digits": 3}, "2.000"),
        (math.nan, {}, "–"),
    ],
)
def test_numbers(value: float, options: dict[str, int], expected: str) -> None:
    assert text.number(value, **options) == expected  # type: ignore[arg-type]


def test_percent() -> None:
    assert text.percent(0.1234) == "12.3\N{NO-BREAK SPACE}%"
    assert text.percent(-0.5, space=" ") == "−50.0 %"
    assert text.percent(math.nan, unknown="not known") == "not known"


def test_means_say_how_sure_they_are() -> None:
    assert text.mean(Mean(0.921, 0.013, 3)) == "92.1 ± 1.3"
    assert text.mean(Mean(0.921, math.nan, 1)) == "92.1 (n = 1)"
    assert text.mean(Mean(0.921, math.nan, 1), count=False) == "92.1"
    assert text.mean(Mean(-0.02, 0.01, 2), signed=True) == "−2.0 ± 1.0"
    assert text.mean(Mean(math.nan, math.nan, 0)) == "–"


def test_means_of_metrics_have_the_digits_of_their_unit() -> None:
    assert text.metric_mean("top1", Mean(0.9, 0.01, 2)) == "90.0 ± 1.0"
    assert text.metric_mean("macro_f1", Mean(0.9, 0.01, 2)) == "0.900 ± 0.010"
    assert text.metric_mean("seconds", Mean(60, 1, 2)) == "60.0 ± 1.0"
    assert text.metric_mean_with_n("top1", Mean(0.9, math.nan, 1), space=" ") == "90.0 % (n = 1)"
    assert text.metric_value("top1", 0.2, space=" ") == "20.0 %"
    assert text.metric_value("macro_f1", math.nan) == "unknown"
    assert text.points("top1", 0.015) == "1.5 points"


def test_intervals() -> None:
    assert text.interval(Bounds(0.123, 0.101, 0.149)) == "12.3 (10.1 to 14.9)"
    assert text.interval(Bounds(0.5, math.nan, math.nan), share=False) == "0.500 (no interval)"
    assert text.percent_interval(0.1, 0.05, 0.2).replace("\N{NO-BREAK SPACE}", " ") == "10.0 % (interval 5.0 % to 20.0 %)"
    assert text.percent_interval(math.nan, math.nan, math.nan) == "not known (no interval)"


def test_counts_and_lists() -> None:
    assert text.counted(1, "trial") == "1 trial"
    assert text.counted(0, "trial") == "0 trials"
    assert text.n_range([3, 1, 3]) == "1 to 3"
    assert text.n_range([2, 2]) == "2"
    assert text.n_range([]) == ""
    assert text.listed("abcd", 2) == "a, b and 2 more"
    assert text.listed("ab", 2) == "a, b"
    assert text.values(["1", "2", "3", "4"], 3) == "1, 2, 3 … 4 (4 values)"
    assert text.clipped("anonymizer", 5) == "anon…"
    assert text.sentence("leakage") == "Leakage"
    assert text.sentence("cMAP") == "cMAP"


@pytest.mark.parametrize(
    ("seconds", "long", "clock", "age"),
    [
        (7, "0 min 07 s", "00:07", "7 s"),
        (247, "4 min 07 s", "04:07", "4.1 min"),
        (11100, "3 h 05 min", "3:05:00", "3.1 h"),
        (129600, "36 h 00 min", "36:00:00", "1.5 d"),
    ],
)
def test_durations(seconds: float, long: str, clock: str, age: str) -> None:
    assert text.duration(seconds) == long
    assert text.clock(seconds) == clock
    assert text.age(seconds) == age


@pytest.mark.parametrize(("amount", "expected"), [(12, "12 B"), (1500, "1.5 kB"), (3.2e6, "3.2 MB"), (4e12, "4000.0 GB")])
def test_sizes(amount: float, expected: str) -> None:
    assert text.size(amount) == expected
