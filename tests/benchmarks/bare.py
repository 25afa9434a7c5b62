"""`python -m tests.benchmarks.bare DATA STORAGE SEEDS VALUES`: the trials of `demo` in two processes, and nothing else.

In the order in which a study starts them.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from search_spaces.plan import parse_seeds, plan_study
from study.schedule.costs import Costs
from study.schedule.order import in_order
from study.study import plan_stages
from tests.support.stages import SilentReporter
from trainables.config import Runtime, TrialConfig
from trainables.pipeline import run_trial
from trainables.store import StageStore


def run(config: TrialConfig, runtime: Runtime) -> None:
    run_trial(config, runtime, SilentReporter())


def main() -> None:
    data, storage, seeds, values = sys.argv[1:]
    plan = plan_study("demo", "generated", parse_seeds(seeds), json.loads(values))
    plans = plan_stages(plan, Path(data))
    stages = {stage.key: stage for trial in plans for stage in trial.stages}
    costs = Costs(StageStore(storage), (stage.name for stage in stages.values()))
    ordered = in_order(plan.trials, plans, {key: costs.guessed(stage) for key, stage in stages.items()})
    runtime = Runtime(data_root=data, storage=storage, device="cpu", threads=1)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for end in [pool.submit(run, trial.config, runtime) for trial, _ in ordered]:
            end.result()


if __name__ == "__main__":
    main()
