"""The section of `tests/examples/my_section.py` is on the page."""

from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.read.study import RecordedStudy
from analysis.report import report
from tests.support.fake_studies import FakeTrial, metrics


def test_a_section_of_ones_own(
    make_study: Callable[..., RecordedStudy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "FURTHER_SECTIONS", [*report.FURTHER_SECTIONS])
    import tests.examples.my_section  # noqa: F401  (registers itself)

    page = report.write_report(make_study([FakeTrial("a", metrics=metrics(0.9, 0.3))]), tmp_path).read_text()
    assert "How long it took" in page
    assert "60.0 (n = 1)" in page
