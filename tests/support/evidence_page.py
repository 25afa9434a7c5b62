"""The evidence page as its readers get it: its words, and its data in the form that their schema demands."""

from __future__ import annotations

import json
import re
from typing import Any

from jsonschema import Draft202012Validator

from analysis.report.evidence.gather import TrialEvidence
from analysis.report.evidence.output import data_of, page, schema


def words(found: TrialEvidence) -> str:
    """The text of the page, without its markup."""
    told = re.sub(r"<[^>]+>", " ", page(found).partition("</style>")[2])
    return " ".join(told.replace("\N{NO-BREAK SPACE}", " ").replace("&nbsp;", " ").split())


def data(found: TrialEvidence) -> dict[str, Any]:
    """evidence.json, read again."""
    read = json.loads(json.dumps(data_of(found), allow_nan=False))
    Draft202012Validator(schema()).validate(read)
    return dict(read)


def led_to(found: TrialEvidence, section: str) -> list[str]:
    """For each row of the tables of a section the id that its heading leads to; empty where it leads nowhere."""
    part = page(found).partition(f'<h2 id="{section}">')[2].partition("</section>")[0]
    return re.findall(r'<th scope="row">(?:<a href="#([^"]+)">)?', part)
