"""GPU hours, busy and idle, by a clock of the test's own."""

from __future__ import annotations

import pytest

from study.schedule.usage import Meter, Usage


def test_hours_are_told_apart() -> None:
    meter = Meter()
    meter.free(2.0, 0.0)
    meter.start("a", 1.0, 0.0)
    meter.start("b", 0.5, 0.0)
    meter.report("a", runs_for=1800.0, waited=0.0, now=3600.0)  # its worker took half an hour to start
    meter.free(0.0, 3600.0)
    meter.report("a", runs_for=5400.0, waited=900.0, now=7200.0)
    assert meter.total(7200.0) == Usage(busy=1.25, starting=0.5 + 1.0, waiting=0.25, unused=2.0)
    meter.end("a", 7200.0)
    meter.end("a", 9000.0)
    meter.end("b", 7200.0)
    meter.free(1.0, 10800.0)
    assert meter.total(99999.0) == Usage(busy=1.25, starting=1.5, waiting=0.25, unused=2.0)


def test_an_attempt_that_is_lost_counts_once() -> None:
    meter = Meter()
    meter.start("a", 1.0, 0.0)
    meter.report("a", 3600.0, 0.0, 3600.0)
    meter.start("a", 1.0, 7200.0)
    meter.report("a", 1800.0, 0.0, 9000.0)
    assert meter.total(9000.0).busy == pytest.approx(2.5)
    assert meter.total(9000.0).idle == 0.0
