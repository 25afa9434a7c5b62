"""What stages take on GPUs that nobody has measured them on: from tracing their steps (`trainables.execution.tracing`).

Imports torch only when something is traced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from study.schedule.costs import cost_of
from study.schedule.gpus import FILLED, GIB, GpuModel
from trainables.config import Runtime
from trainables.data.trial_data import TrialData
from trainables.plan import PlannedStage

if TYPE_CHECKING:
    from trainables.execution.tracing import Trace


@dataclass(frozen=True)
class StepCost:
    """A step of a stage with batches of `batch`."""

    batch: int
    trace: Trace

    def largest_batch(self, gpu: GpuModel) -> int:
        """The largest batch whose step fits a GPU, if what a batch takes grows with its size; 0: none."""
        free = gpu.gib * GIB * FILLED - self.trace.still
        return max(0, int(self.batch * free / max(1, self.trace.peak - self.trace.still)))


@dataclass
class Estimates:
    """Traces stages, each kind once: stages whose steps cost the same are one kind."""

    reasons: dict[str, str] = field(default_factory=dict)
    _known: dict[str, StepCost | None] = field(default_factory=dict)

    def kind(self, stage: PlannedStage) -> str:
        """What a step of a stage depends on, as text."""
        return f"{stage.name} {cost_of(stage)}"

    def step(self, stage: PlannedStage, data: TrialData) -> StepCost | None:
        """What a step takes in bfloat16; None for a stage that has no steps or cannot be traced (see `reasons`)."""
        group = stage.stage.trains or stage.stage.tests
        if not group or not stage.steps:
            return None
        kind = self.kind(stage)
        if kind not in self._known:
            self._known[kind] = self._traced(stage, data, group)
        return self._known[kind]

    def _traced(self, stage: PlannedStage, data: TrialData, group: str) -> StepCost | None:
        from trainables.execution.tracing import Untraceable, trace

        runtime = Runtime(data_root="", storage="memory://traced", device="cpu", precision="bfloat16")
        batch: int = getattr(stage.config, group).batch_size
        try:
            return StepCost(batch, trace(stage, runtime, data))
        except Untraceable as error:
            self.reasons[stage.name] = str(error)
            return None
