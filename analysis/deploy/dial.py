"""The dial of an anonymizer that was trained for a range of operating points, and where on it something was measured.

Between two points that trials have measured nothing is known of it: figures are never interpolated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from analysis import text
from analysis.read.store import AnalysisError

KEY = "dial"  # of the metadata of an ONNX file, and of the content of a file of PyTorch
INPUT = "dial"  # of an ONNX file: (1,), which may be left out
_SAME = 1e-6


@dataclass(frozen=True)
class Dial:
    """Where an anonymizer stands.

    at: from 0 to 1. budgets: B at 0 and at 1. privacy_weights: the weight of L_B at 0 and at 1. measured: where trials have
    evaluated this very anonymizer.
    """

    at: float
    budgets: tuple[float, float]
    privacy_weights: tuple[float, float]
    measured: tuple[float, ...]

    def turned(self, at: float) -> Dial:
        """The same anonymizer elsewhere. Raises AnalysisError for what is not from 0 to 1."""
        if not 0 <= at <= 1:
            raise AnalysisError(f"--dial {at:g}: give a number from 0 to 1")
        return replace(self, at=at)

    @property
    def holds(self) -> bool:
        """Whether its figures were measured here."""
        return any(abs(self.at - one) < _SAME for one in self.measured)

    def words(self) -> str:
        """`dial 0.3, B = 0.12` for a reader."""
        found = [f"dial {self.at:g}", f"B = {_between(self.budgets, self.at):.4g}"]
        if self.privacy_weights[0] != self.privacy_weights[1]:
            found.append(f"privacy weight {_between(self.privacy_weights, self.at):.4g}")
        return ", ".join(found)

    def warning(self) -> str:
        """One line where nothing was measured, with the nearest points that were; else nothing."""
        if self.holds:
            return ""
        below = [one for one in self.measured if one < self.at]
        above = [one for one in self.measured if one > self.at]
        near = text.listed([f"{one:g}" for one in (*below[-1:], *above[:1])])
        return (
            f"warning: {self.words()}: no trial has measured this anonymizer there, and figures between two points are not"
            f" known; the nearest that {'were' if below and above else 'was'} measured: {near}"
        )

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def of_json(given: str) -> Dial | None:
        """None for what is not the JSON of one."""
        try:
            content = json.loads(given)
            budgets, weights = (tuple(map(float, content[name])) for name in ("budgets", "privacy_weights"))
            measured = tuple(sorted({float(one) for one in content["measured"]}))
            return Dial(float(content["at"]), (budgets[0], budgets[1]), (weights[0], weights[1]), measured)
        except (ValueError, TypeError, KeyError, IndexError):
            return None

    @staticmethod
    def of_options(options: Mapping[str, Any], measured: Iterable[float] = ()) -> Dial:
        """Of the options of a trial of the method `dial`, which has measured its own point."""
        at = float(options["at"])
        budgets = float(options["budget_from"]), float(options["budget_to"])
        weights = float(options["privacy_from"]), float(options["privacy_to"])
        return Dial(at, budgets, weights, tuple(sorted({at, *measured})))


def _between(ends: tuple[float, float], at: float) -> float:
    return ends[0] + at * (ends[1] - ends[0])
