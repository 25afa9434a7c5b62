"""Which training items choose the best epoch: whole groups, with the same share of every class and of every attribute."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trainables.data.items import DataError, Item, Still, StillSplits, Video, VideoSplits, digest_of

Splits = TypeVar("Splits", VideoSplits, StillSplits)

_WEIGHT_OF_ATTRIBUTES = 0.1  # of clips that have a class as well, which comes first


def hold_out_validation(splits: Splits, fraction: float) -> Splits:
    """`splits` with validation items cut from the training items, unless the data set has validation items of its own.

    Raises DataError as `cut_validation`.
    """
    if splits.validation or not splits.train:
        return splits
    train, validation = cut_validation(splits.train, fraction, splits.name)
    return dataclasses.replace(splits, train=train, validation=validation)


def cut_validation(items: Sequence[Item], fraction: float, name: str) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Splits training items into (train, validation) by whole groups, so that no source is on both sides.

    The cut is stratified: of every class, and of both values of every attribute, it takes `fraction` of the items and
    `fraction` of the groups, as nearly as whole groups allow. It lowers the sum over these strata of (taken - wanted)^2 /
    wanted, by one group more, less or exchanged at a time, once each class has one if it can spare one. No class loses its last
    training item, nor does a value where that can be helped. Equal choices are made in an order hashed from `name`:
    the cut is the same for every seed and machine.

    Raises DataError if the items come from a single group, or if no group can be spared.
    """
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    if len(groups) < 2:
        raise DataError(
            f"{name}: the {len(items)} training items come from {len(groups)} group, so none can be held out for validation;"
            " give items of at least two sources"
        )
    order = sorted(groups, key=lambda group: digest_of([name, group]))
    columns = {stratum: column for column, stratum in enumerate(sorted({s for item in items for s in strata(item)}))}
    alike: dict[tuple[tuple[int, int], ...], list[str]] = {}  # groups with equal counts are interchangeable
    for group in order:
        counted = Counter(columns[stratum] for item in groups[group] for stratum in strata(item))
        alike.setdefault(tuple(sorted(counted.items())), []).append(group)
    counts = np.zeros((len(alike), len(columns)), dtype=np.int64)
    for row, found in enumerate(alike):
        for column, count in found:
            counts[row, column] = count
    there = np.array([len(members) for members in alike.values()])
    kinds = np.array([kind for kind, _ in columns])
    weights = np.where((kinds >= 0) & (kinds == -1).any(), _WEIGHT_OF_ATTRIBUTES, 1.0)
    chosen = _Choice(counts, there, fraction, weights, needed=kinds < 0, keep=kinds > -2).take()
    if not chosen.any():  # so few groups that each is the only one of some attribute's value: let one of those go
        chosen = _Choice(counts, there, fraction, weights, needed=kinds < 0, keep=kinds == -1).take()
    held = {group for members, taken in zip(alike.values(), chosen, strict=True) for group in members[:taken]}
    if not held:
        raise DataError(
            f"{name}: each of the {len(groups)} groups of training items is the only one of a class, so none can be held out"
            " for validation; give classes items of at least two sources"
        )
    return (
        tuple(item for item in items if item.group not in held),
        tuple(item for item in items if item.group in held),
    )


def strata(item: Video | Still) -> list[tuple[int, int]]:
    """What a cut keeps in proportion: (-2, 0) for every item, (-1, its class), and (number of an attribute, its value)."""
    labels = [(-2, 0), *([(-1, item.label)] if isinstance(item, Video) else [])]
    return [*labels, *((number, int(value)) for number, value in enumerate(item.attributes or ()))]


class _Choice:
    """How many groups of each kind are taken. A kind is a row of `counts`, the items of each stratum; there are `there` of it.

    needed: the strata of which at least one item is taken. keep: those of which at least one stays for training.
    """

    def __init__(
        self,
        counts: NDArray[np.int64],
        there: NDArray[np.int64],
        fraction: float,
        weights: NDArray[np.float64],
        needed: NDArray[np.bool_],
        keep: NDArray[np.bool_],
    ) -> None:
        self._items, self._needed, self._keep = counts, needed, keep
        self._counts = np.asfortranarray(np.hstack([counts, counts > 0])).astype(float)  # items, and groups, of a stratum
        self._there, self._taken = there, np.zeros(len(there), dtype=int)
        self._left, self._held = there @ counts, np.zeros(counts.shape[1], dtype=int)
        weight = np.concatenate([weights, weights])
        self._price = weight / (fraction * (there @ self._counts))  # of a squared deviation
        # a group more adds constant + 2 * slope to the cost, one less constant - 2 * slope: summed column by column and rounded
        # where compared, so that equal choices are equal on every machine
        self._slope, self._constant = np.zeros(len(there)), np.zeros(len(there))
        for column, price in enumerate(self._price):
            self._slope -= self._counts[:, column] * weight[column]
            self._constant += self._counts[:, column] ** 2 * price

    def take(self) -> NDArray[np.int_]:
        """The number of groups taken of each kind."""
        sources = self._there @ (self._items > 0)
        for stratum in np.argsort(sources, kind="stable"):  # first those that few groups can bring
            if self._needed[stratum] and not self._held[stratum]:
                self._move(1, self._items[:, stratum] > 0, np.inf)
        anywhere = np.ones(len(self._there), dtype=bool)
        while self._move(1, anywhere, 0.0) or self._move(-1, anywhere, 0.0):
            pass
        while any([self._exchange(kind, anywhere) for kind in np.flatnonzero(self._taken).tolist()]):
            pass
        return self._taken

    def _move(self, by: int, allowed: NDArray[np.bool_], limit: float) -> bool:
        """Takes (`by` 1) or gives back (-1) the allowed group that adds least to the cost, and less than `limit`, if any."""
        if by > 0 and self._taken.sum() == self._there.sum() - 1:
            return False
        usable = allowed & (self._taken < self._there if by > 0 else self._taken > 0)
        added = np.where(usable, self._added(by), np.inf)
        for kind in np.argsort(added, kind="stable").tolist():
            if not added[kind] < limit:
                return False
            items = self._items[kind]
            last = (self._keep & (self._left == items) if by > 0 else self._needed & (self._held == items)) & (items > 0)
            if not last.any():
                self._change(kind, by)
                return True
        return False

    def _exchange(self, kind: int, anywhere: NDArray[np.bool_]) -> bool:
        """Gives back a group of `kind` for another one where that lowers the cost and no stratum loses its last item."""
        before, returned = self._needed & (self._held > 0), float(self._added(-1)[kind])
        self._change(kind, -1)
        taken = self._taken.copy()
        anywhere[kind] = False
        moved = self._move(1, anywhere, -returned)
        anywhere[kind] = True
        if moved and (self._held[before] > 0).all():
            return True
        for other in np.flatnonzero(self._taken - taken).tolist():
            self._change(other, -1)
        self._change(kind, 1)
        return False

    def _added(self, by: int) -> NDArray[np.float64]:
        """What one group more (`by` 1) or less (-1) of each kind adds to the cost."""
        return (self._constant + 2.0 * by * self._slope).round(9)

    def _change(self, kind: int, by: int) -> None:
        self._left -= by * self._items[kind]
        self._held += by * self._items[kind]
        self._taken[kind] += by
        for column in np.flatnonzero(self._counts[kind]):
            self._slope += by * self._counts[:, column] * self._counts[kind, column] * self._price[column]


@dataclass(frozen=True)
class HeldOut:
    """The share of a stratum's training items that is for validation. `what` names the stratum for people."""

    what: str
    validation: int
    items: int

    @property
    def share(self) -> float:
        return self.validation / self.items


def held_out(splits: VideoSplits | StillSplits) -> list[HeldOut]:
    """The share held out for validation of every class, or of the images with each attribute, smallest first."""
    found = []
    if isinstance(splits, VideoSplits):
        for label, name in enumerate(splits.classes):
            parts = [sum(item.label == label for item in part) for part in (splits.train, splits.validation)]
            found.append(HeldOut(f"class {name}", parts[1], sum(parts)))
    for column, name in enumerate(splits.attributes):
        parts = [
            sum(item.attributes is not None and item.attributes[column] == 1.0 for item in part)
            for part in (splits.train, splits.validation)
        ]
        found.append(HeldOut(f"attribute {name}", parts[1], sum(parts)))
    return sorted((one for one in found if one.items), key=lambda one: one.share)
