"""The sentence under the answer that says by which rule its setting was chosen."""

from __future__ import annotations

from analysis.measure.answer import near_raw
from analysis.measure.plane import Plane
from analysis.measure.settings import DEFAULT
from trainables.schema import FINAL_METRICS


def rule(plane: Plane) -> str:
    """How `measure.answer.headline` chooses in this plane, and on what data."""
    if plane.names == DEFAULT.names:
        chosen = f"least leakage among the settings within {near_raw(plane)} top-1, else the highest top-1."
    else:
        least, most = ("least" if direction == "lower" else "most" for direction in plane.directions)
        privacy, utility = FINAL_METRICS[plane.privacy].label, FINAL_METRICS[plane.utility].label
        chosen = f"{least} {privacy} among the settings within {near_raw(plane)} in {utility}, else the {most} {utility}."
    if plane.chosen_on == "test":
        return (
            f"Chosen by rule from the test figures below: {chosen} The figures that chose the setting are those reported, so"
            " they flatter it."
        )
    return f"Chosen by rule from validation figures: {chosen} The figures reported are of test data, which had no part in it."
