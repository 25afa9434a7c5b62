"""What only a GPU can show: how exact bfloat16 is, and what the options of the runtime cost and save."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.speed_setup import ATTRIBUTES, Data, Ours, Size, context_of, peak, timed
from trainables.config import NetworkConfig
from trainables.metrics import DIGITS
from trainables.models.privacy import build_privacy_classifier


@torch.no_grad()
def blank(size: Size, folder: Path) -> dict[str, float]:
    """How far the predictions for equal blank frames lie apart when they are computed in batches of other sizes.

    The negative control of the attacks rests on equal answers for equal frames: after rounding to DIGITS nothing may be left.
    """
    context = context_of("evaluate_privacy", size.config, size, Data(folder / "data", size), folder)
    torch.manual_seed(0)
    network = NetworkConfig(name=size.config.evaluate_privacy.classifier.name)
    classifier = context.placed(build_privacy_classifier(network, len(ATTRIBUTES))).eval()
    frame = torch.full((1, 3, size.config.clip.size, size.config.clip.size), 0.5, device=size.device)
    found = []
    for rows in (1, 2, 3, 5, 8, 17, 32, 33):
        with context.autocast():
            found.append(classifier(frame.expand(rows, -1, -1, -1).contiguous()).float().sigmoid().double().cpu())
    every = torch.cat(found)
    spread = (every.amax(dim=0) - every.amin(dim=0)).max()
    within = max(float((part.amax(dim=0) - part.amin(dim=0)).max()) for part in found)
    rounded = every.round(decimals=DIGITS)
    left = (rounded.amax(dim=0) - rounded.amin(dim=0)).max()
    return {"probabilities apart": float(spread), "within one batch": within, "after rounding": float(left)}


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


def options(size: Size, folder: Path) -> dict[str, float]:
    """Clips/s and GiB of the minimax step with each option of the runtime; `compile` also the seconds of its first step."""
    data = Data(folder / "data", size)
    chosen: dict[str, dict[str, Any]] = {
        "as it is": {},
        "checkpointing": {"checkpointing": True},
        "float32": {"precision": "float32"},
        "compile": {"compile": True},
    }
    found = {}
    for name, values in chosen.items():
        loop = Ours(context_of("minimax", size.config, size, data, folder, **values))
        found[f"{name}, first step s"] = timed(loop.step, size.device)
        loop.step()
        seconds = min(timed(loop.step, size.device) for _ in range(size.steps))
        found[f"{name}, clips/s"] = loop.settings.batch_size / seconds
        memory = peak(size, partial(_again, loop))
        found[f"{name}, GiB"] = float("nan") if memory is None else memory
        del loop
        torch.cuda.empty_cache()
    return found


def _again(loop: Ours) -> Ours:
    return loop


MORE_ON_GPU: dict[str, Callable[[Size, Path], dict[str, float]]] = {
    "blank": blank,
    "precision": precision,
    "options": options,
}
