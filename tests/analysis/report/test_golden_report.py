"""What the report says of a half-run study, word by word, from the records in `golden/records.json`.

After a change to the page that is meant, renew the text and read its difference before it is committed:

    RENEW_GOLDEN=1 python -m pytest tests/analysis/test_golden_report.py; git diff tests/analysis/golden
"""

import json
import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from analysis.read.study import RecordedStudy
from analysis.report.report import write_report
from tests.support.fake_studies import FakeTrial, metrics, on_clips

GOLDEN = Path(__file__).with_name("golden")
BLOCKS = {"p", "h1", "h2", "h3", "li", "tr", "figcaption", "caption", "summary", "div", "section", "details", "dt"}
RECORD = {
    "fingerprints": {"action": "8f4a1fe8", "privacy": "35ad196f"},
    "computed": ["minimax", "evaluate_action"],
    "stage_seconds": {"minimax": 45.0, "evaluate_action": 15.0},
    "devices": {"minimax": "NVIDIA H200", "evaluate_action": "CPU"},
    "versions": {"python": "3.11.4", "torch": "2.9.0", "project": "0123456789ab"},
}


class Lines(HTMLParser):
    """The text that a reader sees, a line a block, a bar between cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self._hidden = "", 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("style", "script", "svg")
        self.text += "\n" if tag in BLOCKS else " | " if tag in ("td", "th", "dd") else ""

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "script", "svg")
        self.text += "\n" if tag in BLOCKS else ""

    def handle_data(self, data: str) -> None:
        self.text += "" if self._hidden else data


def read(page: Path, study: RecordedStudy) -> str:
    """Without what is another each time (run ids, dates, places) and the parameters that all trials have at their defaults."""
    text = Lines(page.read_text()).text.replace(study.tracking_uri, "STORE").replace(str(Path.cwd()), "HERE")
    text = re.sub(r"\b[0-9a-f]{32}\b", "RUN", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "WHEN", text)
    text = re.sub(r"\d+ parameters common to all trials.*?(?=What each figure is)", "PARAMETERS\n", text, flags=re.DOTALL)
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line) + "\n"


def trial(values: dict[str, Any]) -> FakeTrial:
    found = {"status": values["status"]} if "status" in values else {}
    return FakeTrial(
        label=values["label"],
        method=values.get("method", "penalty"),
        seed=values["seed"],
        metrics=metrics(values["top1"], values["leakage"], **on_clips(values["on_clips"])) if "top1" in values else None,
        values={"minimax.distortion_budget": values["budget"]} if "budget" in values else {},
        reason=values.get("reason", ""),
        record=json.dumps(RECORD) if "top1" in values else None,
        **found,
    )


@pytest.fixture
def page(make_study: Callable[..., RecordedStudy], tmp_path: Path) -> str:
    study = make_study([trial(values) for values in json.loads((GOLDEN / "records.json").read_text())])
    return read(write_report(study, tmp_path / "out"), study)


def test_the_text_of_the_report(page: str) -> None:
    golden = GOLDEN / "report.txt"
    if os.environ.get("RENEW_GOLDEN"):
        golden.write_text(page)
    assert page.splitlines() == golden.read_text().splitlines(), "if this is meant: RENEW_GOLDEN=1, and read the difference"


def test_a_study_that_is_half_done_says_so(page: str) -> None:
    assert "B=0.5 lambda=1 seed=0 | running" in page
    assert "minimax: loss = nan at step 3" in page
    assert "hours of computed stages (about 0.06 of them on GPUs)" in page
    assert "project 0123456789ab, python 3.11.4, torch 2.9.0" in page
    assert "CPU, NVIDIA H200" in page
