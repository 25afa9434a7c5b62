"""`python -m tests.benchmarks.bare DATA STORAGE VALUES N`: every second trial of `demo` from N on, nothing else."""

from __future__ import annotations

import json
import sys

from study.plan import plan_study
from trainables.config import Runtime
from trainables.pipeline import run_trial


class Quiet:
    def epoch(self, *_: object) -> None: ...
    def waiting(self, *_: object) -> None: ...
    def finished(self, *_: object) -> None: ...


def main() -> None:
    data, storage, values, number = sys.argv[1:]
    trials = plan_study("demo", "generated", (0, 1), json.loads(values)).trials
    runtime = Runtime(data_root=data, storage=storage, device="cpu", threads=1)
    for trial in trials[int(number) :: 2]:
        run_trial(trial.config, runtime, Quiet())


if __name__ == "__main__":
    main()
