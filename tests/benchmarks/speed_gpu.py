"""What only a GPU can show: how exact bfloat16 is, and what the options of the runtime cost and save."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.speed_setup import ATTRIBUTES, Data, Ours, Size, context_of, timed
from trainables.config import NetworkConfig
from trainables.data.loader import close_loaders
from trainables.models.privacy import build_privacy_classifier


@torch.no_grad()
def blank(size: Size, folder: Path) -> dict[str, float]:
    """How far the probabilities of equal blank frames lie apart in batches of different sizes, by precision, and in batches of
    one size beside other frames.

    The negative control of the attacks rests on equal predictions for equal frames.
    """
    config, device = size.config, size.device
    context = context_of("evaluate_privacy", config, size, Data(folder / "data", size), folder)
    torch.manual_seed(0)
    network = NetworkConfig(name=config.evaluate_privacy.classifier.name)
    classifier = context.placed(build_privacy_classifier(network, len(ATTRIBUTES))).eval()
    frame = torch.full((1, 3, config.clip.size, config.clip.size), 0.5, device=device)

    def apart(frames: Sequence[Tensor]) -> float:
        found = torch.cat([classifier(rows)[-1:].float().sigmoid() for rows in frames])
        return float((found.amax(dim=0) - found.amin(dim=0)).max())

    batches = [frame.repeat(rows, 1, 1, 1) for rows in (1, 2, 3, 5, 8, 17, 32, 33)]
    beside = [torch.cat([torch.rand(31, *frame.shape[1:], device=device), frame]) for _ in range(3)]
    found = {}
    with context.autocast():
        found["as the runtime has it"] = apart(batches)
        found["in batches of one size"] = apart(beside)
    found["float32, convolutions in TF32"] = apart(batches)
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    found["float32"] = apart(batches)
    torch.backends.cudnn.allow_tf32 = allowed
    return found


def precision(size: Size, folder: Path) -> dict[str, float]:
    """How far the losses of the minimax in the precision of a GPU are from those in float32 on the same data, by step."""
    data = Data(folder / "data", size)
    loops = [
        Ours(context_of("minimax", size.config, size, data, folder, precision=precision)) for precision in ("auto", "float32")
    ]
    found = {}
    for step in range(1, 6):
        ours, exact = (loop.step() for loop in loops)
        for name in ours:
            found[f"step {step}, {name}"] = ours[name] - exact[name]
            found[f"step {step}, {name} in float32"] = exact[name]
    return found


def options(size: Size, folder: Path, compiled: bool = True) -> dict[str, float]:
    """Seconds and GiB of the minimax step with each option of the runtime, on a batch that lies on the device.

    compiled: `compile` too, which may take minutes.
    """
    data = Data(folder / "data", size)
    chosen: dict[str, dict[str, Any]] = {
        "as it is": {},
        "checkpointing": {"checkpointing": True},
        "float32": {"precision": "float32"},
        **({"compile": {"compile": True}} if compiled else {}),
    }
    found = {}
    for name, values in chosen.items():
        if size.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        loop = Ours(context_of("minimax", size.config, size, data, folder, **values))
        step = partial(loop.both, loop.inputs(*loop.next_batches()))
        found[f"{name}, first step s"] = timed(step, size.device)
        found[f"{name}, s"] = min(timed(step, size.device) for _ in range(size.steps))
        if size.device.type == "cuda":
            found[f"{name}, GiB"] = torch.cuda.max_memory_allocated() / 2**30
        del loop, step
        close_loaders()
    return found


MORE_ON_GPU: dict[str, Callable[[Size, Path], dict[str, float]]] = {
    "blank": blank,
    "precision": precision,
    "options": options,
}
