"""The plain version of `Execution` leaves everything as it is; another version sees what passes through it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from tests.examples.my_execution import TimedLoading
from tests.support.stages import stage_context
from trainables.config import TrialConfig
from trainables.execution.plain import PLAIN
from trainables.training import reconstruct


def test_one_process_has_the_whole_batch() -> None:
    rows = torch.rand(5, 2)
    assert PLAIN.share([3, 1, 2]) == [3, 1, 2]
    assert PLAIN.gathered(rows) is rows
    assert PLAIN.mean(rows, 5) is rows
    assert PLAIN.agreed(True, False) == (True, False)


def test_it_goes_on_with_the_random_generators_of_rank_0() -> None:
    """A trial over several GPUs may be resumed on one."""
    state = PLAIN.random_state()
    drawn = torch.rand(3)
    PLAIN.set_random_state({"ranks": [state, {"cpu": torch.zeros(0), "cuda": []}]})
    assert torch.equal(torch.rand(3), drawn)


def test_the_example_measures_a_stage_and_changes_nothing(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    context = stage_context("reconstruct", tiny_config, tiny_data, tmp_path)
    timed = TimedLoading()
    measured = reconstruct.run(replace(context, execution=timed, work=context.work.part("measured")))
    assert measured.history == reconstruct.run(context).history
    assert timed.batches_loaded > 0
    assert timed.seconds > 0.0
