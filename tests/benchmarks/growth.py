"""What planning costs the driver as a study grows, in seconds of CPU: `python -m tests.benchmarks.growth [--trials 1000]`.

A space of so many budgets with all standard attacks is planned on generated data, and one of as many classifiers of one
anonymizer. Nothing is trained.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
import time
from pathlib import Path

from search_spaces.plan import plan_study
from search_spaces.registry import RAW, SPACES, Space, grid
from study.schedule.order import in_order
from study.study import plan_stages, read_data
from trainables.data.generated import DOMAINS, GeneratedSpec, ensure
from trainables.plan import neighbours

FEW = {"train_clips": 24, "test_clips": 12, "train_images": 24, "val_images": 12, "test_images": 12}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    trials: int = parser.parse_args().trials
    budgets = tuple(number / trials for number in range(trials))
    rates = tuple((number + 1) / trials for number in range(trials))
    penalty = {"minimax.distortion_budget": 0.3, "minimax.penalty_weight": 1.0}
    SPACES.register("of_budgets")(
        Space(
            "none",
            "?",
            (RAW, *grid({"minimax.distortion_budget": budgets, "minimax.penalty_weight": (1.0,)})),
            attacks="standard",
        )
    )
    SPACES.register("of_classifiers")(
        Space("none", "?", tuple({**penalty, "evaluate_action.learning_rate": rate} for rate in rates))
    )
    plan_study("demo", "generated", (0,), {})  # imports
    with tempfile.TemporaryDirectory() as folder:
        for domain in DOMAINS:
            root = ensure(Path(folder), GeneratedSpec(**FEW, domain=domain)).parent
        for space in ("of_budgets", "of_classifiers"):
            start = time.process_time()
            plan = plan_study(space, "generated", (0,), {})
            configured = time.process_time()
            data = read_data(plan, root)
            read = time.process_time()
            staged = plan_stages(plan, root, data)
            planned = time.process_time()
            near = neighbours(staged)
            found = time.process_time()
            in_order(plan.trials, staged)
            ordered = time.process_time()
            print(f"{space}: {len(staged)} trials, {sum(len(one.stages) for one in staged):,} stages")
            print(f"  configs {configured - start:.1f} s, stages {planned - read:.1f} s, order {ordered - found:.1f} s")
            size = len(pickle.dumps([trial.config for trial in plan.trials]))
            print(f"  companions {found - planned:.1f} s, {sum(map(len, near)):,} named; all configs {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
