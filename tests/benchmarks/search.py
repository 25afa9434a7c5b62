"""Does a search reach a better front than a grid or chance, for equally many trials? On generated data, several seeds.

    python tests/benchmarks/search.py --storage DIR [--seeds 3] [--trials 15] [--picture FILE.png]

Every arm is a study of its own (`study/run.py`, its own MLflow database) over one storage, so that equal stages are shared.
Prints the hypervolume after every few trials: accuracy up, leakage down, against the fixed corner (accuracy at chance,
leakage of raw), so that 0 is no front at all. As a plug-in this file adds the space `search_grid`, the grid to compare with.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from mlflow.tracking import MlflowClient

from analysis.measure.pareto import hypervolume, non_dominated
from search_spaces.pareto_search import SIZES
from search_spaces.registry import RAW, SPACES, Space, grid

ROOT = Path(__file__).resolve().parents[2]
SEARCHES = ("gp", "tpe", "nsga2", "random")
GRID = grid(
    {
        "minimax.distortion_budget": (0.0, 0.1, 0.2, 0.3, 0.5),
        "minimax.penalty_weight": (1.0, 10.0, 100.0),
    }
)
_METRICS = ("top1", "leakage", "chance_top1", "validation_top1", "validation_leakage")
ORDERS = 200  # a grid has no order: its curve is the mean over so many

if "search_grid" not in SPACES:
    SPACES.register("search_grid")(Space("none", "How far does a grid get?", (RAW, *GRID), **SIZES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=len(GRID))
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    storage = options.storage.absolute()
    curves: dict[str, list[np.ndarray]] = {}
    for seed in range(options.seeds):
        for arm in (*SEARCHES, "grid"):
            curves.setdefault(arm, []).append(_curve(_study(arm, seed, options.trials, storage), arm, options.trials))
    _print(curves, options.trials)
    if options.picture is not None:
        _draw(curves, options.picture)


def _study(arm: str, seed: int, trials: int, storage: Path) -> list[dict[str, Any]]:
    """Runs or continues one study; the method and the figures of its runs, in the order they ended."""
    uri = f"sqlite:///{storage}/{arm}-{seed}.db"
    storage.mkdir(parents=True, exist_ok=True)
    what = ["--space", "search_grid", "--plugin", __file__]
    if arm != "grid":
        what = ["--space", "pareto_search", "--sampler", arm, "--trials", str(trials)]
    command = [sys.executable, str(ROOT / "study" / "run.py"), *what, "--profile", "generated", "--seeds", f"{seed},"]
    subprocess.run([*command, "--storage", str(storage), "--tracking-uri", uri], check=True, stdout=subprocess.DEVNULL)
    client = MlflowClient(uri)
    name = "search_grid.generated" if arm == "grid" else "pareto_search.generated"
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    runs = client.search_runs(
        [experiment.experiment_id], "attributes.status = 'FINISHED'", order_by=["attributes.end_time ASC"]
    )
    return [{"method": run.data.tags["method"], **{metric: run.data.metrics[metric] for metric in _METRICS}} for run in runs]


def _curve(rows: list[dict[str, Any]], arm: str, trials: int) -> np.ndarray:
    """Hypervolume after 1 .. `trials` trials; the raw trial is the corner, not a trial.

    It is that of the test figures of the front, which is chosen by validation figures.
    """
    raw = next(row for row in rows if row["method"] == "raw")
    tried = [row for row in rows if row["method"] != "raw"]
    points = np.array([(row["leakage"], row["top1"]) for row in tried])
    choosing = np.array([(row["validation_leakage"], row["validation_top1"]) for row in tried])
    reference = (raw["leakage"], raw["chance_top1"])

    def reached(first: np.ndarray) -> float:
        return hypervolume(points[first][non_dominated(choosing[first])], reference)

    orders = [np.arange(len(points))]
    if arm == "grid":
        orders = [np.random.default_rng(number).permutation(len(points)) for number in range(ORDERS)]
    counts = range(1, min(trials, len(points)) + 1)
    return np.mean([[reached(order[:n]) for n in counts] for order in orders], axis=0)


def _print(curves: dict[str, list[np.ndarray]], trials: int) -> None:
    steps = sorted({*range(6, trials + 1, 4), trials})
    print(f"| trials | {' | '.join(map(str, steps))} |")
    print("|---" * (len(steps) + 1) + "|")
    for arm, of_seeds in curves.items():
        values = np.array([[curve[step - 1] for step in steps] for curve in of_seeds])
        cells = (f"{m:.3f} ± {s:.3f}" for m, s in zip(values.mean(0), values.std(0, ddof=1), strict=True))
        print(f"| `{arm}` | {' | '.join(cells)} |")
    print(f"mean and standard deviation over {len(next(iter(curves.values())))} seeds")


def _draw(curves: dict[str, list[np.ndarray]], picture: Path) -> None:
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for arm, of_seeds in curves.items():
        mean = np.mean(of_seeds, axis=0)
        (line,) = axes.plot(range(1, len(mean) + 1), mean, label=arm)
        for curve in of_seeds:
            axes.plot(range(1, len(curve) + 1), curve, color=line.get_color(), alpha=0.25, linewidth=0.8)
    axes.set_xlabel("trials")
    axes.set_ylabel("hypervolume")
    axes.legend(frameon=False)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
