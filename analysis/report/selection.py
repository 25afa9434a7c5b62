"""Which settings a section shows where there is no room for all."""

from __future__ import annotations

import pandas as pd

from analysis.measure.answer import headline
from analysis.measure.plane import Plane
from analysis.read.trials import RAW

MOST_ROWS = 150  # of a table on the page; the CSV files have all
MOST_NAMED = 4  # settings named with a remark on some of them


def of_interest(settings: pd.DataFrame, most: int, plane: Plane) -> pd.DataFrame:
    """Up to `most` settings in the order of the table: raw first, then the one of the answer, the front, and the rest."""
    best = headline(settings, plane)
    chosen = settings.index == (None if best is None else best.name)
    rank = (settings["method"] != RAW).astype(int) * (4 - 2 * chosen.astype(int) - settings["on_front"].astype(int))
    return settings.loc[settings.index.isin(rank.sort_values(kind="stable").index[:most])]


def left_out(count: int, what: str, file: str) -> str:
    """A sentence on the rows of a table that are in `file` only; empty where all `count` are shown."""
    return f"{MOST_ROWS} of {count} {what} are shown, the front first; {file} has all." if count > MOST_ROWS else ""
