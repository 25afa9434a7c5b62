"""The settings as a terminal shows them."""

from __future__ import annotations

from collections.abc import Callable

from analysis.measure.settings import settings_table
from analysis.read.study import RecordedStudy
from analysis.report.table_of_settings import settings_text
from tests.support.fake_studies import FakeTrial, metrics, on_clips


def test_the_table_in_a_terminal_fits_100_columns(make_study: Callable[..., RecordedStudy]) -> None:
    """One seed: the interval over test items stands in brackets; several: half of the interval over seeds after ±."""
    long = "B=0.1 lambda=10"
    raw = FakeTrial("raw", "raw", metrics=metrics(0.9, 0.8))
    one = FakeTrial(long, metrics={**metrics(0.8, 0.4), **on_clips(0.3)})
    several = [FakeTrial("a", seed=seed, metrics=metrics(0.7 + 0.02 * seed, 0.5)) for seed in range(3)]
    head, *rows = settings_text(settings_table(make_study([raw, one, *several]).trials)).splitlines()
    assert " ".join(head.split()) == "setting n top-1 % leakage % leakage on clips % front"
    of = {row.split("  ")[0]: row for row in rows}
    assert of.keys() == {"raw", long, "a"}
    assert "80.0 [76.0, 84.0]" in of[long]
    assert "40.0 [36.0, 44.0]" in of[long]
    assert "72.0 ± 5.0" in of["a"], "2 points of standard deviation, t = 4.303 for two degrees, by the root of three"
    assert max(map(len, [head, *rows])) <= 100
