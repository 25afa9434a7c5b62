"""The sizes of frames at which an anonymizer was measured: that of the page, and those of other records of the same one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import text
from analysis.deploy.measured import MeasuredAt
from analysis.measure.same_anonymizer import tests_of_the_same
from analysis.measure.settings import bounds
from analysis.read.attacks import WORST
from analysis.read.study import RecordedStudy
from analysis.read.trials import PARAM
from analysis.report.page import Table
from search_spaces.plan import EVALUATE_AT
from trainables.statistics import UNKNOWN, Interval

SHOWN = {
    WORST: "the strongest attacker learns %",
    "leakage": "a new classifier learns, on pictures %",
    "clip_leakage": "a new classifier learns, on the videos %",
    "top1": "the right action is recognised %",
}
# What may differ between two measurements of one anonymizer.
_FREE = (EVALUATE_AT, "attacks.")


@dataclass(frozen=True)
class SizeFigures:
    """What was measured where the anonymizer works on frames of one size.

    frames: the size, in words. side: of the clips that were shown, in pixels. here: these are the figures of the page. figures:
    those of SHOWN that the run has, with their intervals over test items.
    """

    frames: str
    side: int
    run: str
    here: bool
    figures: Mapping[str, Interval]


def measured_at(trial: pd.Series) -> MeasuredAt | None:
    """What the networks of a trial's tests were shown; None where that is not recorded."""
    values = {str(name).removeprefix(PARAM): value for name, value in trial.items() if str(name).startswith(PARAM)}
    return MeasuredAt.of_config(values)


def by_size(study: RecordedStudy, trial: pd.Series, record: Mapping[str, Any]) -> list[SizeFigures]:
    """The figures of a trial, and of those of its study that measured the same anonymizer at other sizes, the smallest first.

    The size of use and the attacks may differ (`record`: that of the trial). Of several records at one size the newest counts.
    """
    found: dict[int, SizeFigures] = {}
    for other in tests_of_the_same(study, trial, record, _FREE):
        at = measured_at(other)
        if at is None or at.clip_size in found:
            continue
        figures = {
            name: Interval(float(other[name]), *bounds(other, name), 0, 0) for name in SHOWN if pd.notna(other.get(name))
        }
        run, here = str(other.name), other.name == trial.name
        found[at.clip_size] = SizeFigures(text.frame_size(at.whole_frame), at.clip_size, run, here, figures)
    return [found[side] for side in sorted(found)]


def sentences(trial: pd.Series, sizes: Sequence[SizeFigures]) -> list[str]:
    """At which sizes the figures of a page hold, for its first lines."""
    at = measured_at(trial)
    if at is None:
        return ["At which size of frames these figures were measured is not recorded: they hold for no other."]
    found = [
        f"All figures of this page were measured with {at.words()}, and hold for no other size: where an anonymizer works on"
        " larger frames, more may be recognised than this page says."
    ]
    trained = trial.get(PARAM + "clip.size")
    if trained is not None and int(trained) != at.clip_size:
        found.append(
            f"The anonymizer works at that size here, and was trained on {text.frame_size((int(trained),) * 2)} pixels."
        )
    others = [each.frames for each in sizes if not each.here]
    if others:
        found.append(f"The same anonymizer was measured on frames of {text.listed(others)} pixels too: all sizes are below.")
    else:
        found.append("It was measured at no other size.")
    return found


def table(caption: str, sizes: Sequence[SizeFigures], made_in: Mapping[str, str]) -> Table:
    """A row for each size: the frames, and those figures of SHOWN that are known at some size; `made_in`: the id of the part of
    the page that says how a figure was made.
    """
    known = [name for name in SHOWN if any(name in each.figures for each in sizes)]
    rows = [
        [
            each.frames + (" (this page)" if each.here else ""),
            *(text.interval(each.figures.get(name, UNKNOWN)) for name in known),
        ]
        for each in sizes
    ]
    columns = ("frames of", *(SHOWN[name] for name in known))
    return Table(caption, columns, rows, narrow=True, how_columns=("", *(made_in.get(name, "") for name in known)))
