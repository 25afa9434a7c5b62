"""The paper's own numbers (`published_results.csv`, percent), beside the settings of a study that reproduce them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from analysis.records import RAW
from analysis.tables import BUDGET, WEIGHT

# The table of the paper a search space reproduces, all trained on UCF101 + VISPR1 and tested on the same.
TABLE_OF_SPACE = {"ablation_B": 1, "ablation_lambda": 3}
CHANCE_CMAP = 0.248  # mean prevalence of the VISPR1 attributes in its test images; the paper prints none

_FILE = Path(__file__).with_name("published_results.csv")


def published_settings(space: str) -> pd.DataFrame:
    """Columns method, B, penalty_weight, top1, cmap, macro_f1, leakage as fractions; raw (of Table 1) first.

    `leakage` is computed from the printed cMAP and CHANCE_CMAP. Empty for a space that reproduces no table.
    """
    columns = ["method", "B", "penalty_weight", "top1", "cmap", "macro_f1", "leakage"]
    if space not in TABLE_OF_SPACE:
        return pd.DataFrame(columns=columns)
    rows = pd.read_csv(_FILE)
    rows = rows[rows["trained_on"].eq("ucf101+vispr1") & rows["evaluated_on"].isin(["ucf101", "vispr1"])]
    rows = rows[rows["table"].eq(TABLE_OF_SPACE[space]) | (rows["table"].eq(1) & rows["method"].eq(RAW))]
    wide = rows.pivot_table(
        index=["method", "B", "penalty_weight"], columns="metric", values="value", dropna=False, aggfunc="first"
    )
    wide = wide.dropna(subset=["top1", "cmap"]).reset_index().rename(columns={"f1": "macro_f1"})
    wide[["top1", "cmap"]] /= 100
    wide["leakage"] = (wide["cmap"] - CHANCE_CMAP) / (1 - CHANCE_CMAP)
    order = wide["method"].ne(RAW)
    return wide.assign(order=order).sort_values(["order", "method", "B", "penalty_weight"], ignore_index=True)[columns]


def beside(settings: pd.DataFrame, space: str) -> list[tuple[pd.Series, pd.Series]]:
    """Pairs (published row, row of our settings table) with equal method and, where the method has them, equal B and lambda."""
    pairs = []
    for _, theirs in published_settings(space).iterrows():
        for _, ours in settings.iterrows():
            if ours["method"] == theirs["method"] and (np.isnan(theirs["B"]) or _same_penalty(ours, theirs)):
                pairs.append((theirs, ours))
    return pairs


def _same_penalty(ours: pd.Series, theirs: pd.Series) -> bool:
    given = pd.to_numeric(pd.Series([ours.get(BUDGET), ours.get(WEIGHT)]), errors="coerce").to_numpy(dtype=float)
    return bool(np.allclose(given, [theirs["B"], theirs["penalty_weight"]]))
