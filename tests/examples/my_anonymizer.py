"""An anonymizer of one's own that needs no training: edges instead of frames. `--set method=edges`, or in a space."""

import torch
from torch.nn.functional import pad

from trainables.methods import METHODS, Method, MethodOptions, Weight
from trainables.models.anonymizers import ANONYMIZERS, Anonymizer


class EdgesOptions(MethodOptions):
    strength: Weight = 2.0


@ANONYMIZERS.register("edges")
class Edges(Anonymizer):
    def __init__(self, config: object) -> None:
        super().__init__()
        self.strength = 1.0

    def configure(self, options) -> None:
        self.strength = options["strength"]

    def forward(self, frames: torch.Tensor) -> torch.Tensor:  # ((B T), 3, H, W) in [0, 1], and so is what is returned
        grey = pad(frames.mean(dim=1, keepdim=True), (1, 0, 1, 0), mode="replicate")
        edges = (grey[..., 1:, 1:] - grey[..., 1:, :-1]).abs() + (grey[..., 1:, 1:] - grey[..., :-1, 1:]).abs()
        return (self.strength * edges).clamp(0.0, 1.0).expand_as(frames)


METHODS.register("edges")(Method("mine", fixed={"anonymizer.name": "edges"}, options=EdgesOptions))
