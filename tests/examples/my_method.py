"""A method of one's own: keep what changes from frame to frame, draw everything else towards the mean colour."""

import torch

from trainables.execution.loop import run_epochs
from trainables.methods import METHODS, Method, MethodOptions, Weight
from trainables.stages import RECONSTRUCT, TRAINING_DATA, VIEW, Stage
from trainables.store import Outcome


class FlatOptions(MethodOptions):
    pull: Weight = 1.0  # towards the mean colour


def run(context):
    pull = FlatOptions.of(context.config).pull
    f_a = context.anonymizer("reconstruct").train().requires_grad_(True)
    optimizer = torch.optim.Adam(f_a.parameters(), lr=1e-3)
    clips = context.training_clips(context.config.minimax.batch_size)

    def epoch(now):
        for batch in now.batches(clips):
            view = context.training_view(batch)
            shown = context.anonymize(f_a, view)
            moved = (shown.diff(dim=1) - view.diff(dim=1)).abs().mean()
            flat = (shown - view.mean(dim=(1, 3, 4), keepdim=True)).abs().mean()
            optimizer.zero_grad()
            (moved + pull * flat).backward()
            optimizer.step()
            now.add(len(view), moved=moved, flat=flat)
        return now.means()

    history = run_epochs(context, {"anonymizer": f_a, "optimizer": optimizer}, context.config.minimax.epochs, epoch)
    return Outcome({}, history, {"anonymizer": f_a.state_dict()})


FLATTEN = Stage("flatten", run, (*VIEW, "anonymizer", "minimax", "options"), TRAINING_DATA, ("reconstruct",), trains="minimax")
METHODS.register("flat")(Method("mine", (RECONSTRUCT, FLATTEN), anonymizer="flatten", options=FlatOptions))
