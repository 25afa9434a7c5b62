"""What every table of the paper would cost on GPUs, each alone and all in one storage, by traced steps.

    python -m tests.benchmarks.programme [--data-root DIR] [--gpu A100-80] [--price 2]

The trials of each space are planned by the profile `paper` with one seed, and the step of every kind of stage is traced on fake
tensors, as `study/run.py --dry-run` does. Without --data-root the data sets are their official lists and labels with files of a
few bytes, which is enough to count steps; these lists lie beside the repository on the developers' machines.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from search_spaces.plan import plan_study
from search_spaces.registry import load_spaces
from study.dry_run import data_of, title
from study.schedule.estimates import Estimates
from study.schedule.gpus import DEFAULT_GPU, GPUS, MEASURED_SHARE, Expected
from study.study import plan_stages, read_data
from tests.support.official import ANNOTATIONS, make_official
from trainables.data.trial_data import TrialData
from trainables.plan import PlannedStage

PROFILE = "paper"
# Otherwise a file has to say where people are.
DETECTOR = {
    "obfuscation.detector": "fasterrcnn_resnet50_fpn",
    "obfuscation.detector_weights": "coco",
}


@dataclass(frozen=True)
class Cost:
    """Seconds of a table: if every trial computed all of its stages, if its trials share them, and what is not stored yet once
    the tables before it have been run in the same storage.
    """

    space: str
    trials: int
    alone: float
    shared: float
    further: float


class Lab:
    """Prices the stages of spaces on the data in `data_root`, each kind of step traced once."""

    def __init__(self, data_root: Path, expected: Expected) -> None:
        self._data_root, self._expected, self._estimates = data_root, expected, Estimates()
        self._known: dict[str, float] = {}  # seconds of a step, by what it costs most by

    def costs(self, spaces: Sequence[str]) -> list[Cost]:
        """The spaces in this order, all in one storage, without attacks: what these see depends on the videos."""
        stored, found = set[str](), []
        for space in spaces:
            plan = plan_study(space, PROFILE, [0], {"attacks.names": "none", **DETECTOR})
            by_data = read_data(plan, self._data_root)
            plans = plan_stages(plan, self._data_root, by_data)
            data = data_of(plan, plans, by_data)
            seconds = {
                stage.key: stage.steps * self._seconds(stage, data[stage.key]) for trial in plans for stage in trial.stages
            }
            alone = sum(seconds[stage.key] for trial in plans for stage in trial.stages)
            further = sum(value for key, value in seconds.items() if key not in stored)
            stored |= seconds.keys()
            found.append(Cost(space, len(plans), alone, sum(seconds.values()), further))
            print(f"{space}: {len(plans)} trials", file=sys.stderr, flush=True)
        return found

    def _seconds(self, stage: PlannedStage, data: TrialData) -> float:
        """Of a step. One on obfuscated data, whose boxes need values, costs what it costs on raw data, which comes first."""
        if (step := self._estimates.step(stage, data)) is None:
            return self._known.get(title(stage), 0.0)
        seconds = self._expected.seconds(step.trace.flops)
        self._known.setdefault(title(stage), seconds)
        return seconds


def table(found: Sequence[Cost], price: float) -> str:
    """As Markdown, in hours of a GPU; the last row is all of them in one storage."""
    head = (
        "table",
        "trials",
        "each trial alone",
        "shared within the table",
        "beyond the tables above",
        f"at {price:g} an hour",
    )
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    sums = (sum(getattr(one, name) for one in found) for name in ("trials", "alone", "shared", "further"))
    for one in (*found, Cost("all in one storage", *sums)):
        alone, shared, further = (value / 3600 for value in (one.alone, one.shared, one.further))
        lines.append(f"| {one.space} | {one.trials} | {alone:,.0f} | {shared:,.0f} | {further:,.0f} | {price * further:,.0f} |")
    return "\n".join(lines)


def _order(space: str) -> tuple[int, str]:
    """Tables 1, 2, 5 ... and after them the ablations, whose anonymizers are mostly those of the tables."""
    return space.startswith("ablation"), space


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data-root", type=Path, help="with all data sets of the tables (default: their lists alone)")
    parser.add_argument("--gpu", choices=GPUS, default=DEFAULT_GPU, help="(default: %(default)s)")
    parser.add_argument("--share-of-peak", type=float, default=MEASURED_SHARE, help="that steps reach (default: %(default)s)")
    parser.add_argument("--price", type=float, default=2.0, help="of a GPU hour (default: %(default)s)")
    options = parser.parse_args(arguments)
    expected = Expected.of(options.gpu, options.share_of_peak)
    spaces = sorted((name for name in load_spaces() if name.startswith(("table", "ablation"))), key=_order)
    with tempfile.TemporaryDirectory() as folder:
        if options.data_root is None:
            if not ANNOTATIONS.is_dir():
                parser.error(f"the official lists are not at {ANNOTATIONS}; give --data-root DIR")
            make_official(Path(folder), every=1, images=None)
        lab = Lab(options.data_root or Path(folder), expected)
        found = lab.costs(spaces)
    print(table(found, options.price))
    gpu = f"an {expected.gpu.name} at {expected.share:g} of its peak"
    print(f"\nHours of {gpu}, one seed, without attacks. Loading, passes over validation and test data, and finding people")
    print("for the obfuscations are not in it.")


if __name__ == "__main__":
    sys.exit(main())
