"""What an attacker has, in words: every attack declares it, and its record and the pages say it. Needs no torch.

An attack says no more than what its attacker had: the method is published, f_A may be given away, and whoever runs it can make
pairs (Kerckhoffs; Tramèr and others, On Adaptive Attacks to Adversarial Example Defenses, 2020). Whoever had less and failed
shows nothing of those who have more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Asset = Literal["method", "runs", "weights", "labels", "ordinary", "pairs", "public", "pretrained", "features"]


@dataclass(frozen=True)
class AssetWords:
    """`name`: a noun, for columns and lists. `had`: completes "The attacker ..." for who knows no machine learning."""

    name: str
    had: str


ASSETS: Mapping[Asset, AssetWords] = {
    "method": AssetWords("the method", "knows how the anonymizer works, and was built against it"),
    "runs": AssetWords("use of the anonymizer", "can put any video through the anonymizer, as often as it wants"),
    "weights": AssetWords(
        "the anonymizer itself",
        "has the anonymizer with all its inner numbers (weights), and can try to compute backwards what it was given",
    ),
    "labels": AssetWords("labelled anonymized video", "has anonymized video of people, and knows who or what they are"),
    "ordinary": AssetWords("labelled ordinary video", "has ordinary video of people, and knows who or what they are"),
    "pairs": AssetWords("pairs", "has the same video both ordinary and anonymized"),
    "public": AssetWords("other video", "has further video without labels, and anonymizes it"),
    "pretrained": AssetWords("networks from elsewhere", "may start from a network that was trained on other pictures"),
    "features": AssetWords("features only", "gets only what the action classifier computes from a video, and never the video"),
}
_LIMITS: tuple[Asset, ...] = ("features",)  # of these it is no lack to have none


def lacking(has: Iterable[Asset]) -> list[Asset]:
    """What an attacker that `has` these has not."""
    given = set(has)
    return [asset for asset in ASSETS if asset not in (*given, *_LIMITS)]


def checked(assets: Iterable[str]) -> tuple[Asset, ...]:
    """The assets in the order of ASSETS. Raises ValueError, which names them all, for one that is none."""
    given = set(assets)
    if unknown := sorted(given - ASSETS.keys()):
        raise ValueError(f"no asset {unknown[0]!r}; there are {', '.join(ASSETS)}")
    return tuple(asset for asset in ASSETS if asset in given)
