"""What the front costs: hypervolume against seconds of computing, for a grid and for what may be cheaper.

    python tests/benchmarks/search.py --storage DIR [--seeds 3] [--jobs 2] [--picture FILE.png]

On generated data, in small. For each seed every strategy tries points of B and lambda, by the pipeline alone: a grid of 5 x
3; the same with each budget going on from the one before it; searches of the space `pareto_search`, of as many points; one
anonymizer with a dial. Stages that several need are computed once, but each strategy is charged for all of its own
(`search_trials.py`). The hypervolume is that of the test figures of what validation figures chose: accuracy above chance,
leakage below raw, so that 0 is no front at all. Early stopping of the grid is replayed from what its trials reported, by the
scheduler of the studies, in many orders; a search with early stopping is run. Run again, it goes on from what is stored.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from analysis.measure.pareto import hypervolume, non_dominated
from analysis.text import DASH, mean
from search_spaces.registry import grid
from study.options import Options
from study.schedule.early import Rungs
from study.schedule.search import SAMPLERS, Point, optimiser, with_options, worst
from study.study import Study
from tests.benchmarks.search_trials import Lab, Prices, Tried, replayed
from trainables.config import TrialConfig, value_of, with_values
from trainables.early import EarlyStopping
from trainables.methods import resolved
from trainables.schema import VALIDATION
from trainables.statistics import estimate
from trainables.store.files import Files

B, LAMBDA = "minimax.distortion_budget", "minimax.penalty_weight"
BUDGETS = (0.0, 0.1, 0.2, 0.3, 0.4)
GRID = grid({B: BUDGETS, LAMBDA: (1.0, 10.0, 100.0)})
ONE_WEIGHT = 10.0  # of the dial, and of the row of the grid that it is compared with
DIALS = ("blend", "plane")
FIVE = "five of the grid (lambda = 10)"
STOPPED = {"grid, early stopping": 1.0, "the same with half the margin": 0.5, "the same without margin": 0.0}
SEARCH = "tpe"  # the sampler that is tried with early stopping: the default of the space
# Choosing needs validation data: with 15 clips each is 7 % of an accuracy, and any setting comes to the front by chance.
DATA = {"train_clips": 240, "test_clips": 180, "train_images": 160, "val_images": 120, "test_images": 180}
SETTING = {"minimax.epochs": 6, "data.action.validation_fraction": 0.4}  # two rungs; 144 clips train, 96 validate
AFTER_ANOTHER = {
    "method": "continued",
    "minimax.epochs": 3,
}  # of a trial that goes on from its neighbour: the first has as above
ORDERS, WORKERS = 100, (1, 2, 5)  # a grid has no order: its figures are means over so many, and numbers of workers
Array = NDArray[np.float64]
Curve = list[tuple[float, float]]  # seconds spent, hypervolume reached


@dataclass(frozen=True)
class Setting:
    """The trials of one seed: `raw`, and what has points of B and lambda."""

    storage: Path
    seed: int

    @cached_property
    def study(self) -> Study:
        options = Options(
            space="pareto_search", profile="generated", storage=str(self.storage), seeds=(self.seed,), overrides=SETTING
        )
        study = Study(options)
        study.plan = replace(study.plan, generated=DATA)
        return study

    @cached_property
    def lab(self) -> Lab:
        return Lab(self.storage, self.study.data_root)

    def config(self, values: Mapping[str, Any]) -> TrialConfig:
        """The trial with these values; raw for none."""
        raw, *others = self.study.plan.trials
        return resolved(with_values(others[0].config, values)) if values else raw.config

    def searched(self, sampler: str, count: int, stop_early: Callable[[Sequence[Tried]], bool] | None) -> list[Tried]:
        """The trials of a search as a study runs it: the settings of the space, then what the sampler proposes, one after
        another. stop_early: whether one that stops trials early has spent enough; None: none is stopped, and there are `count`.
        """
        search = self.study.plan.search
        assert search is not None
        starts = [{axis: value_of(one.config, axis) for axis in search.axes} for one in self.study.plan.trials[1:]]
        tried: list[Tried] = []
        with tempfile.TemporaryDirectory() as folder:
            hear = None if stop_early is None else Rungs(EarlyStopping("early"), Files(folder)).hear

            def run(values: Mapping[str, float]) -> Mapping[str, float]:
                tried.append(self.lab.run(self.config(values), hear))
                return tried[-1].metrics if not tried[-1].stopped else worst(search, tried[-1].config)

            first = [run(values) for values in starts]
            points = [
                Point(values, tuple(found[name] for name in search.objectives))
                for values, found in zip(starts, first, strict=True)
            ]
            proposing = optimiser(with_options(search, sampler, None), points, self.seed)
            while len(tried) < count if stop_early is None else not stop_early(tried):
                name = str(len(tried))
                values = proposing.suggest(name)
                found = run({axis: values[axis] for axis in search.axes})
                proposing.on_trial_complete(name, {objective: found[objective] for objective in search.objectives})
        return tried


@cache
def setting(storage: Path, seed: int) -> Setting:
    return Setting(storage, seed)


def tried(storage: Path, seed: int, values: Mapping[str, Any]) -> Tried:
    """In a process of its own: a trial."""
    here = setting(storage, seed)
    return here.lab.run(here.config(values))


def searched(storage: Path, seed: int, sampler: str, seconds: float | None) -> list[Tried]:
    """In a process of its own: a search of as many trials as the grid has, or with early stopping for so many seconds."""
    if seconds is None:
        return setting(storage, seed).searched(sampler, len(GRID), None)
    prices = Prices.of(storage)
    return setting(storage, seed).searched(sampler, len(GRID), lambda done: prices.of_trials(done, True)[-1] >= seconds)


def dialled(kind: str) -> list[dict[str, Any]]:
    """The points of one anonymizer with a dial: the budgets of the grid."""
    most = max(BUDGETS)
    fixed = {"method": "dial", "anonymizer.dial": kind, "options.budget_to": most, LAMBDA: ONE_WEIGHT}
    return [{**fixed, "options.at": budget / most} for budget in BUDGETS]


def continued() -> list[dict[str, Any]]:
    """The points of the grid that go on from the budget before theirs."""
    return [{**values, **AFTER_ANOTHER} for values in GRID if values[B] > min(BUDGETS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    storage, seeds = options.storage.absolute(), range(options.seeds)
    setting(storage, 0).study.data_root  # noqa: B018 - makes the data, once
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        rows = measured(storage, seeds, pool)
    found = Found(rows, Prices.of(storage))
    print(found.table())
    for sentence in (*map(found.of_early_stopping, STOPPED), *(found.of_dial(kind) for kind in DIALS)):
        print(f"\n{sentence}")
    if options.picture is not None:
        found.draw(options.picture)


@dataclass(frozen=True)
class Row:
    """A strategy: for each seed its trials, in one order or in several."""

    orders: Sequence[Sequence[Sequence[Tried]]]
    watched: bool = False


def measured(storage: Path, seeds: Sequence[int], pool: Executor) -> dict[str, Row]:
    """All strategies by name, and `raw`: the corner that hypervolumes are measured from."""
    kinds = {"raw": [{}], "grid": GRID, "continuation": continued(), **{_dial(kind): dialled(kind) for kind in DIALS}}
    jobs = {
        name: [[pool.submit(tried, storage, seed, values) for values in points] for seed in seeds]
        for name, points in kinds.items()
    }
    done = {name: [[job.result() for job in of_seed] for of_seed in of_seeds] for name, of_seeds in jobs.items()}
    of_grid = done["grid"]
    prices = Prices.of(storage)
    whole = [prices.of_trials(of_seed, False)[-1] for of_seed in of_grid]
    searches = {name: [pool.submit(searched, storage, seed, name, None) for seed in seeds] for name in SAMPLERS}
    early = [pool.submit(searched, storage, seed, SEARCH, seconds) for seed, seconds in zip(seeds, whole, strict=True)]
    orders = [np.random.default_rng(number).permutation(len(GRID)) for number in range(ORDERS)]
    shuffled = [[[of_seed[place] for place in order] for order in orders] for of_seed in of_grid]
    replays = {
        name: [
            [replayed(one, WORKERS[number % len(WORKERS)], prices, margin) for number, one in enumerate(of_seed)]
            for of_seed in shuffled
        ]
        for name, margin in STOPPED.items()
    }
    one_weight = [[one for one in of_seed if value_of(one.config, LAMBDA) == ONE_WEIGHT] for of_seed in of_grid]
    starts = [[one for one in of_seed if value_of(one.config, B) == min(BUDGETS)] for of_seed in of_grid]
    return {
        "raw": Row([[of_seed] for of_seed in done["raw"]]),
        "grid": Row(shuffled),
        **{name: Row(orders, watched=True) for name, orders in replays.items()},
        "continuation": Row([[[*first, *rest]] for first, rest in zip(starts, done["continuation"], strict=True)]),
        **{name: Row([[job.result()] for job in jobs]) for name, jobs in searches.items()},
        f"{SEARCH}, early stopping": Row([[job.result()] for job in early], watched=True),
        FIVE: Row([[of_seed] for of_seed in one_weight]),
        **{_dial(kind): Row([[of_seed] for of_seed in done[_dial(kind)]]) for kind in DIALS},
    }


def _dial(kind: str) -> str:
    return f"one dial ({kind})"


def reached(trials: Iterable[Tried], raw: Tried) -> float:
    """The hypervolume of the test figures of those that validation figures choose; trials that were stopped are no points."""
    done = [one.metrics for one in trials if not one.stopped]
    if not done:
        return 0.0
    points, choosing = (np.array([(found[f"{of}leakage"], found[f"{of}top1"]) for found in done]) for of in ("", VALIDATION))
    return hypervolume(points[non_dominated(choosing)], (raw.metrics["leakage"], raw.metrics["chance_top1"]))


def front(trials: Sequence[Tried]) -> set[str]:
    """The anonymizers, by their keys, of the settings that validation figures choose; all were run to their end."""
    choosing = [(one.metrics[f"{VALIDATION}leakage"], one.metrics[f"{VALIDATION}top1"]) for one in trials]
    return {one.place.anonymizer for one, chosen in zip(trials, non_dominated(choosing), strict=True) if chosen and one.place}


class Found:
    """What was measured, and what is said of it."""

    def __init__(self, rows: Mapping[str, Row], prices: Prices) -> None:
        self._prices, self._rows = prices, {name: row for name, row in rows.items() if name != "raw"}
        self._raw = [of_seed[0][0] for of_seed in rows["raw"].orders]
        self._curves = {
            name: [
                [self._curve(done, raw, row.watched) for done in orders]
                for orders, raw in zip(row.orders, self._raw, strict=True)
            ]
            for name, row in self._rows.items()
        }

    def _curve(self, done: Sequence[Tried], raw: Tried, watched: bool) -> Curve:
        spent = self._prices.of_trials(done, watched)
        return [(seconds, reached(done[: number + 1], raw)) for number, seconds in enumerate(spent)]

    def seconds(self, name: str) -> Array:
        """All that a strategy spends, by seed: the mean over its orders."""
        return np.array([np.mean([curve[-1][0] for curve in curves]) for curves in self._curves[name]])

    def at(self, name: str, seconds: Array) -> Array:
        """The hypervolume that a strategy has reached after so many seconds, by seed: the mean over its orders."""
        return np.array(
            [np.mean([_after(curve, end) for curve in curves]) for curves, end in zip(self._curves[name], seconds, strict=True)]
        )

    def end(self, name: str) -> Array:
        return self.at(name, np.full(len(self._raw), np.inf))

    def table(self) -> str:
        whole = self.seconds("grid")
        head = (
            "",
            "trials",
            "to their end",
            "seconds % of the grid's",
            "hypervolume at half of these",
            "at its end",
            "beyond the grid for equal seconds",
        )
        lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
        for name, row in self._rows.items():
            every = [done for orders in row.orders for done in orders]
            counts = [np.mean([len(done) for done in every]), np.mean([sum(not one.stopped for one in done) for done in every])]
            spent = self.seconds(name)
            beyond = self.at(name, np.minimum(spent, whole)) - self.at("grid", np.minimum(spent, whole))
            cells = [
                *(f"{count:.3g}" for count in counts),
                f"{100 * np.mean(spent / whole):.0f}",
                *(_mean(found) for found in (self.at(name, whole / 2), self.end(name))),
            ]
            lines.append(f"| {' | '.join([name, *cells, DASH if name == 'grid' else _mean(beyond, signed=True)])} |")
        return "\n".join(lines)

    def of_early_stopping(self, name: str) -> str:
        """How much of the grid is kept for how much of its seconds, and how many of its front are stopped."""
        lost, fronts, ever = [], [], set[str]()
        for orders, full in zip(self._rows[name].orders, self._rows["grid"].orders, strict=True):
            best = front(full[0])
            fronts.append(len(best))
            for done in orders:
                stopped = {one.place.anonymizer for one in done if one.stopped and one.place} & best
                lost.append(len(stopped))
                ever |= stopped
        kept, spent = self.end(name) / self.end("grid"), self.seconds(name) / self.seconds("grid")
        return (
            f"{name.capitalize()}: it keeps {mean(estimate(kept))} % of the hypervolume of the grid for"
            f" {mean(estimate(spent))} % of its seconds."
            f" Of the {np.mean(fronts):.1f} settings of a seed's front {np.mean(lost):.2f} are stopped, in the worst"
            f" order {max(lost)}; {len(ever)} of {sum(fronts)} in any order."
        )

    def of_dial(self, kind: str) -> str:
        """What one anonymizer keeps of what five cover, and what its training costs of theirs."""
        kept = self.end(_dial(kind)) / self.end(FIVE)
        one, five = (
            self._prices.of_stages(self._rows[name].orders[0][0], stage)
            for name, stage in ((_dial(kind), "dial"), (FIVE, "minimax"))
        )
        return (
            f"One dial ({kind}) covers {mean(estimate(kept))} % of what {FIVE} cover, for {100 * one / five:.0f} % of the"
            " seconds of their minimax."
        )

    def draw(self, picture: Path) -> None:
        mpl.use("Agg")
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
        shares = np.linspace(0.02, 1.0, 99)
        for name in self._rows:
            curve = [np.mean(self.at(name, share * self.seconds("grid"))) for share in shares]
            axes.plot(100 * shares, curve, label=name, linewidth=2 if name == "grid" else 1.2)
        axes.set_xlabel("seconds, % of the grid's")
        axes.set_ylabel("hypervolume")
        axes.legend(frameon=False, fontsize=7)
        picture.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(picture, dpi=110)


def _after(curve: Curve, seconds: float) -> float:
    return max((step for step in curve if step[0] <= seconds + 1e-9), default=(0.0, 0.0))[1]


def _mean(values: Array, signed: bool = False) -> str:
    return mean(estimate(values), share=False, digits=3, signed=signed)


if __name__ == "__main__":
    sys.exit(main())
