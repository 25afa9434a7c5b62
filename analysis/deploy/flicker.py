"""Temporal flicker: how much successive frames differ, in the raw and in the anonymized video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from analysis.deploy.colour import RgbFrame


@dataclass
class Flicker:
    """The mean absolute difference of successive frames, as a share of the pixel range, summed over pairs of frames.

    Pairs with a black frame in place of a lost one do not count.
    """

    raw: float = 0.0
    anonymized: float = 0.0
    pairs: int = 0
    _last: tuple[RgbFrame, RgbFrame] | None = None

    def add(self, raw: RgbFrame | None, anonymized: RgbFrame) -> None:
        """Adds the next frame; `raw` is None if it was lost."""
        if raw is not None and self._last is not None:
            for name, ours, before in (("raw", raw, self._last[0]), ("anonymized", anonymized, self._last[1])):
                difference = (np.maximum(ours, before) - np.minimum(ours, before)).mean() / 255
                setattr(self, name, getattr(self, name) + float(difference))
            self.pairs += 1
        self._last = None if raw is None else (raw, anonymized)

    def means(self) -> tuple[float, float]:
        """The means over all pairs, (anonymized, raw); NaN without a pair."""
        return (self.anonymized / self.pairs, self.raw / self.pairs) if self.pairs else (float("nan"), float("nan"))

    def text(self) -> str:
        ours, theirs = self.means()
        if not self.pairs:
            return "temporal flicker: unknown, no two frames follow one another"
        ratio = f"ratio {ours / theirs:.2f}" if theirs else "no ratio, the raw video stands still"
        return f"temporal flicker (mean absolute difference of successive frames): {ours:.4f}, raw {theirs:.4f}, {ratio}"
