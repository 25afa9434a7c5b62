"""A metric of one's own: how much of the change from frame to frame is left in the anonymized test clips."""

from trainables.data.loader import EvaluationClips
from trainables.methods import METHODS, Method
from trainables.methods.penalty import MINIMAX
from trainables.schema import Metric, declare
from trainables.stages import TEST_VIEW, Stage
from trainables.store import Outcome

declare(Metric("motion_kept", "motion kept", "higher", "%", "change from frame to frame, anonymized over raw test clips"))


def measure(context):
    f_a, raw, kept = context.anonymizer(MINIMAX.name), 0.0, 0.0
    samples = EvaluationClips(context.data.action_evaluation.test, context.config.clip, context.seed("test"))
    for batch in context.evaluation_batches(context.loader(samples, 8, shuffle=False)):
        view, anonymized = context.anonymized_view(f_a, batch)
        raw += view.diff(dim=1).abs().sum().item()
        kept += anonymized.diff(dim=1).abs().sum().item()
    return Outcome({"motion_kept": kept / raw})


MOTION = Stage("motion", measure, (*TEST_VIEW, "anonymizer"), ("action_evaluation",), (MINIMAX.name,))
METHODS.register("penalty_and_motion")(Method("mine", (*METHODS["penalty"].stages, MOTION), MINIMAX.name))
