"""What a worker warns of reaches whoever runs the study, with the reports of its trial."""

from __future__ import annotations

import logging
import threading

from trainables.trial import RUNNING, TrialState, _Warnings

LOG = logging.getLogger("trainables.failures")


def test_warnings_travel_with_the_reports() -> None:
    reported: list[TrialState] = []
    with _Warnings(reported.append) as report:
        report(TrialState(RUNNING, "minimax", 1))
        LOG.warning("the storage is\n full")
        LOG.info("nothing of interest")
        other = threading.Thread(target=lambda: [LOG.warning("MLflow, call %d", call) for call in range(9)])
        other.start()
        other.join()
        report(TrialState(RUNNING, "minimax", 2))
    LOG.warning("of nobody's trial")
    assert [(state.epoch, state.warnings) for state in reported] == [
        (1, ()),
        (1, ("the storage is full",)),  # at once: while the trial waits it reports nothing
        (2, tuple(f"MLflow, call {call}" for call in range(4, 9))),  # Tune takes reports of the trial's own thread only
    ]
