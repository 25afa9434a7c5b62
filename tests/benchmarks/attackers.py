"""Attackers that anybody can install, on real clips: networks trained elsewhere, and faces, text and people found.

    python -m tests.benchmarks.attackers --data DATA_ROOT --space identity --storage DIR

Prints a row for each attack, with its controls, and a column for each anonymizer; the last row of a set is no attack: how many
joints of people are found where they were. Nothing else is computed, and with `--storage` nothing twice: it goes on where it
stopped.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from search_spaces.plan import plan_study
from tests.support import SHARED
from trainables.attacks import ATTACKS
from trainables.attacks.shared.result import AttackResult
from trainables.attacks.shared.verdict import AttackFigures, figures_of
from trainables.config import Runtime, TrialConfig, with_values
from trainables.data.reading import decoder
from trainables.data.trial_data import TrialData
from trainables.execution.context import StageContext
from trainables.methods import METHODS, Method
from trainables.methods.obfuscation import DETECT
from trainables.models.anonymizers import ANONYMIZERS, Anonymizer
from trainables.models.packaged import POSE_DETECTOR
from trainables.plan import plan_trial
from trainables.stages import POSE, TEST_POSE, part_name
from trainables.store import Outcome, StageStore

NAMES = (
    *("pretrained_probe", "pretrained_neighbour"),
    *("face_found", "face_recognised", "face_traits", "text_found", "people_found"),
)
JUDGED = ("mild_blur", "downsample_4x", "exchanged_colours", "blackening")
HAS_POSE = POSE_DETECTOR.find() is not None
# People are detected in a few frames of a second, and rather somebody too many than nobody.
DETECTED = {"detector": "blazepose", "detector_weights": "package", "score": 0.2, "every": 8, "margin": 0.1}
ON_BOXES = {f"obfuscation.{name}": value for name, value in DETECTED.items()}
BY_POSE = {"attacks.people_detector": "blazepose", "attacks.people_detector_weights": "package", "test_pose": True}
SETS = {"care_mini": "attacks", "ixmas_mini": "identity"}  # folders of real clips, and a space that reads their layout


@ANONYMIZERS.register("exchanged_colours")
class ExchangedColours(Anonymizer):
    """Red, green and blue take each other's place: what looks strange, and hides nobody."""

    def __init__(self, config: object) -> None:
        super().__init__()

    def forward(self, frames: Tensor) -> Tensor:  # ((B T), 3, H, W)
        return frames[:, [2, 0, 1]]


METHODS.register("exchanged_colours")(Method("none: a control", fixed={"anonymizer.name": "exchanged_colours"}))


def main(arguments: Sequence[str]) -> int:
    """Returns 0, or 1 after one line on standard error where none of the data are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a data root (default: the real clips beside the repository)")
    parser.add_argument("--space", default="attacks", help="a space that reads its layout")
    parser.add_argument("--storage", type=Path, help="a folder that keeps what is computed (default: one that is removed)")
    options = parser.parse_args(arguments)
    sets = {options.data: options.space} if options.data else {SHARED / name: space for name, space in SETS.items()}
    there = {root: space for root, space in sets.items() if root.is_dir()}
    if not there:
        print(f"none of these folders is there: {', '.join(map(str, sets))}", file=sys.stderr)
        return 1
    print(f"| clips | attack | raw | blank | labels exchanged | {' | '.join(f'`{name}`' for name in JUDGED)} |")
    print(f"|{' --- |' * (5 + len(JUDGED))}")
    with tempfile.TemporaryDirectory() as removed:
        for root, space in there.items():
            for row in rows(root, space, options.storage or Path(removed)):
                print(row, flush=True)
    return 0


def rows(root: Path, space: str, storage: Path) -> list[str]:
    """The rows of the table for one data root; an attack that is not tried there says what it needs."""
    config = plan_study(space, "small", [0], {"attacks.names": ",".join(NAMES)}).trials[0].config
    config = with_values(config, BY_POSE) if HAS_POSE else config
    judged = [method for method in JUDGED if HAS_POSE or method != "blackening"]
    outcomes = {method: stages(of_method(config, method), root, storage) for method in ("raw", *judged)}
    found = {method: figures(of_roles) for method, of_roles in outcomes.items()}
    lines = []
    for name in NAMES:
        stage = ATTACKS[name].stage.name
        if stage not in found["raw"]:
            need = ATTACKS[name].needs
            lines.append(
                f"| {root.name} | `{name}` | not tried: it needs {need.text if need else ''} |{'  |' * (2 + len(JUDGED))}"
            )
            continue
        cells = [(found["raw"], stage), *((found["raw"], part_name(stage, control)) for control in ("blank", "permuted"))]
        cells += [(found.get(method, {}), stage) for method in JUDGED]
        shown = [cell(figures_there.get(role)) for figures_there, role in cells]
        lines.append(f"| {root.name} | `{name}` | {' | '.join(shown)} |")
    if HAS_POSE:
        outcomes["blank"] = stages(of_method(with_values(config, {"attacks.names": ()}), "blank"), root, storage)
        raw = outcomes["raw"][TEST_POSE.name].metrics["pose_found_raw"]
        shown = [pose_cell(outcomes[method][TEST_POSE.name]) for method in ("blank", *JUDGED)]
        shown = [f"found in {100 * raw:.0f} of frames", shown[0], "", *shown[1:]]
        lines.append(f"| {root.name} | joints kept (utility) | {' | '.join(shown)} |")
    return lines


def of_method(config: TrialConfig, method: str) -> TrialConfig:
    config = config.model_copy(update={"method": method, "options": {}})
    return with_values(config, ON_BOXES) if method == "blackening" else config


def stages(config: TrialConfig, root: Path, storage: Path) -> dict[str, Outcome]:
    """By role, the outcomes of all attacks, controls and poses; what is stored is not computed again."""
    data, runtime = TrialData(config, root), Runtime(data_root=str(root), storage=str(storage), device="cpu")
    store, outcomes = StageStore(storage), {}
    for planned in plan_trial(config, data).stages:
        if planned.name == "attacks" or not (planned.attack or planned.name in (DETECT.name, POSE.name, TEST_POSE.name)):
            continue
        outcome = store.read(planned.name, planned.key)
        if outcome is None:
            inputs = {name: outcomes[role] for name, role in planned.inputs.items()}
            context = StageContext.of(planned, runtime, data, inputs, store.work(planned.name, planned.key))
            outcome = planned.stage.run(context)
            store.write(planned.name, planned.key, outcome, planned.depends_on, {"decoder": decoder()})
        outcomes[planned.role] = outcome
    return outcomes


def figures(outcomes: Mapping[str, Outcome]) -> dict[str, AttackFigures]:
    """The figures of every attack and control, by role."""
    evidence = {role: outcome.state["evidence"] for role, outcome in outcomes.items() if "evidence" in outcome.state}
    return {role: figures_of(AttackResult(**found)) for role, found in evidence.items()}


def pose_cell(outcome: Outcome) -> str:
    """The share of the joints of raw frames that are found where they were, with its interval, in percent."""
    low, value, high = (outcome.metrics.get(f"pose_kept{end}") for end in ("_low", "", "_high"))
    if value is None:
        return ""
    return f"{100 * value:.0f}" + ("" if low is None or high is None else f" [{100 * low:.0f}, {100 * high:.0f}]")


def cell(figures: AttackFigures | None) -> str:
    """The score, its chance, and the interval of the leakage above it, in percent."""
    if figures is None:
        return ""
    sure = figures.sure
    bounds = "" if sure.lacking else f"; leakage {100 * sure.value:.0f} [{100 * sure.low:.0f}, {100 * sure.high:.0f}]"
    return f"{100 * figures.score:.0f} (chance {100 * figures.chance:.0f}{bounds})"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
