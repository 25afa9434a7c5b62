"""The evidence as a page for people who know no machine learning, and as JSON. It claims no legal compliance."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis import text
from analysis.measure.groups import UTILITY
from analysis.read.attacks import WORST
from analysis.report.evidence import attack_words, efforts, groups, membership, people, short, sizes, time, without_video
from analysis.report.evidence.classifiers import NO_CONTROL
from analysis.report.evidence.findings import UtilityFigure, reads
from analysis.report.evidence.gather import TrialEvidence
from analysis.report.evidence.verdict import RULE
from analysis.report.page import Table, cannot_write, render
from trainables.schema import ARTIFACT_CONFIG

_PAGE, _DATA = "evidence.html", "evidence.json"
_SCHEMA = Path(__file__).with_name("evidence.schema.json")
_HASHES = "Versions and hashes. Equal fingerprints are equal data, equal stage keys equal computations."
_SIZES = (
    "The same anonymizer where it works on frames of each size: what is learned beyond guessing, and what people do, with the"
    " 95 % interval over test items."
)
_ALL_TRAININGS = "all trainings of this setting %"
_UTILITY = (
    "share of test videos with",
    "anonymized % (95 % interval over test videos)",
    _ALL_TRAININGS,
    "raw",
    "guessing %",
)


def write_evidence(evidence: TrialEvidence, out: str | Path) -> Path:
    """Writes evidence.html, evidence.json with its schema and, where it is known, config.yaml into `out`; returns the page.

    Raises AnalysisError when `out` cannot be written.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _PAGE).write_text(page(evidence), encoding="utf-8")
        (folder / _DATA).write_text(json.dumps(data_of(evidence), indent=1, ensure_ascii=False), encoding="utf-8")
        (folder / _SCHEMA.name).write_bytes(_SCHEMA.read_bytes())
        if evidence.config:
            (folder / ARTIFACT_CONFIG).write_text(evidence.config, encoding="utf-8")
    except OSError as error:
        raise cannot_write("the evidence", folder, error) from None
    return (folder / _PAGE).absolute()


@dataclass(frozen=True)
class _Tables:
    sizes: Table
    anonymizer: Table
    utility: Table
    groups: Table
    without_video: Table
    time: Table
    hashes: Table


def page(evidence: TrialEvidence) -> str:
    """The page as HTML."""
    titles = {each.by: each.title for each in evidence.findings}
    made_in = {each.by: short.section_of(each.by) for each in evidence.classifiers}
    made_in |= {WORST: "overview"} if evidence.findings else {}
    made_in |= {UTILITY: "utility"} if evidence.utility else {}
    return render(
        "evidence",
        page=evidence,
        tables=_Tables(
            sizes.table(_SIZES, evidence.sizes, made_in),
            Table("", (), evidence.anonymizer, label="The anonymizer"),
            _utility(evidence.utility),
            groups.table(evidence.groups, titles),
            without_video.table(evidence.added_by_video, evidence.strongest),
            time.table(evidence.time),
            Table(_HASHES, (), evidence.hashes, label="Versions and hashes"),
        ),
        words=attack_words,
        rule=RULE,
        no_control=NO_CONTROL,
        legal=short.LEGAL,
        reads={each.by: text.sentence(reads(each)) for each in evidence.findings},
        section_of=short.section_of,
        for_whom=groups.sentences(evidence.groups, titles, evidence.people_with_few_items),
        over_time=time.sentences(evidence.time, evidence.flicker),
        people=people,
        efforts=efforts,
        membership=membership,
        percent=lambda value: text.percent(value, unknown="not known"),
        interval=text.percent_interval,
        place=_place,
    )


def _utility(figures: Sequence[UtilityFigure]) -> Table:
    """The mean of all trainings has a column only where there are more than the one of the page."""
    several = any(each.seeds.n > 1 for each in figures)
    columns = [column for column in _UTILITY if several or column != _ALL_TRAININGS]
    rows = [
        [
            each.name,
            text.interval(each.interval),
            *([text.mean(each.seeds)] if several else []),
            each.raw_text,
            text.number(100 * each.chance),
        ]
        for each in figures
    ]
    made = ["utility-made"] * len(rows)
    return Table("", columns, rows, "What the video is still good for", narrow=True, how=made)


def data_of(evidence: TrialEvidence) -> dict[str, Any]:
    """The evidence as JSON: figures as fractions of 1, null where not known; pictures are on the page only."""
    found = asdict(evidence)
    found["pictures"] = [{"title": picture.title, "caption": picture.caption} for picture in evidence.pictures]
    for attack in found["attacks"]:
        attack["pictures"] = [Path(path).name for path in attack["pictures"]]
        del attack["people_at_risk"]  # they are in `people`
    cleaned: dict[str, Any] = _as_json({"$schema": _SCHEMA.name, "evidence": 1, **found, "rule": RULE, "legal": short.LEGAL})
    return cleaned


def schema() -> dict[str, Any]:
    """The JSON schema of evidence.json."""
    found: dict[str, Any] = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    return found


def _place(value: float) -> float:
    """Where a share lies on a drawn scale from 0 to 100; NaN is 0."""
    return 0.0 if math.isnan(value) else round(100 * min(1.0, max(0.0, value)), 2)


def _as_json(value: Any) -> Any:
    """The value with null for numbers that JSON has not."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    return value
