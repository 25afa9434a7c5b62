"""What is behind a minimax step: where its time goes, what it achieves of the device's peaks, and how it grows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from tests.benchmarks.speed_setup import (
    ATTRIBUTES,
    CLASSES,
    Data,
    Ours,
    Size,
    context_of,
    product_of_matrices,
    timed,
)
from trainables.config import NetworkConfig, TrialConfig, with_values
from trainables.data.loader import Loader, TrainingClips
from trainables.models.action import build_action_classifier
from trainables.models.anonymizers import build_anonymizer
from trainables.models.privacy import build_privacy_classifier


def parts(size: Size, folder: Path) -> dict[str, float]:
    """Where the milliseconds of a minimax step go, each part alone; `wait` is what is left of the whole."""
    data, device = Data(folder / "data", size), size.device
    loop = Ours(context_of("minimax", size.config, size, data, folder))
    context, players, config = loop.context, loop.players, size.config
    batches = loop.next_batches()
    clips, _, views, *_ = inputs = loop.inputs(*batches)
    on_host = {name: value.cpu() for name, value in batches[0].items()}  # type: ignore[attr-defined]
    grown = clips.clone().requires_grad_()
    frames = torch.cat([view.flatten(0, 1) for view in views])

    def forth_and_back(compute: Callable[[], Tensor], networks: Sequence[torch.nn.Module]) -> Callable[[], None]:
        def run() -> None:
            with context.autocast():
                value = compute().float().square().mean()
            value.backward()
            for network in networks:
                network.zero_grad(set_to_none=True)

        return run

    def anonymize_only() -> None:
        with torch.no_grad(), context.autocast():
            for values in (clips, *views):
                context.anonymize(players.anonymizer, values)

    samples = loop.clips.samples
    alone = itertools.count()
    decode = Loader(samples, config.minimax.batch_size, shuffle=True)
    work: dict[str, Callable[[], Any]] = {
        "decode (one core)": lambda: next(decode.stretch(next(alone), 1)),
        "copy": lambda: {name: value.to(device) for name, value in on_host.items()},
        "augment": lambda: loop.inputs(*batches),
        "f_A, step 1": forth_and_back(
            lambda: sum(
                (context.anonymize(players.anonymizer, v).mean() for v in (clips, *views)), torch.zeros((), device=device)
            ),
            [players.anonymizer],
        ),
        "f_A, step 2": anonymize_only,
        "f_T, both steps": lambda: [
            forth_and_back(lambda: players.action(grown), [players.action])(),
            forth_and_back(lambda: players.action(clips), [players.action])(),
        ],
        "f_B, both steps": lambda: [forth_and_back(lambda: players.privacy(frames), [players.privacy])() for _ in range(2)],
    }
    found = {}
    for name, run in work.items():
        run()
        found[name] = 1000 * median(timed(run, device) for _ in range(size.rounds))
    loop.both(inputs)
    optimizers = players.anonymizer_optimizer, players.opponents_optimizer
    found["optimizers"] = 1000 * median(timed(lambda: [o.step() for o in optimizers], device) for _ in range(size.rounds))
    loop.waited = 0.0
    steps = size.rounds * size.steps
    found["whole step"] = 1000 * timed(lambda: [loop.step() for _ in range(steps)], device) / steps
    found["of it wait for data"] = 1000 * loop.waited / steps
    return found


class _Bytes(TorchDispatchMode):
    """Counts the bytes of the tensors that every operation takes and makes: an upper bound of what goes over the bus."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if not func.is_view:
            flat = torch.utils._pytree.tree_leaves((args, kwargs, found))
            self.total += sum(value.numel() * value.element_size() for value in flat if isinstance(value, Tensor))
        return found


def roofline(size: Size, folder: Path) -> dict[str, float]:
    """What a minimax step achieves of the peaks that a product of matrices and a copy reach on this device."""
    data, device = Data(folder / "data", size), size.device
    loop = Ours(context_of("minimax", size.config, size, data, folder))
    inputs = loop.inputs(*loop.next_batches())
    loop.both(inputs)
    with FlopCounterMode(display=False) as counted:
        loop.both(inputs)
    with _Bytes() as moved:
        loop.both(inputs)
    seconds = median(timed(lambda: loop.both(inputs), device) for _ in range(size.rounds))
    source = torch.empty((2**30 if device.type == "cuda" else 2**26) // 4, device=device)
    target = torch.empty_like(source)
    peak_flops = product_of_matrices(device)
    peak_bytes = 2 * source.numel() * 4 / min(timed(lambda: target.copy_(source), device) for _ in range(5))
    return {
        "TFLOP a step": counted.get_total_flops() / 1e12,
        "GB a step, unfused": moved.total / 1e9,
        "TFLOP/s": counted.get_total_flops() / seconds / 1e12,
        "peak TFLOP/s": peak_flops / 1e12,
        "GB/s, unfused": moved.total / seconds / 1e9,
        "peak GB/s": peak_bytes / 1e9,
    }


def curves(size: Size, folder: Path) -> dict[str, dict[str, float]]:
    """Clips/s of the minimax step (of the loader alone for `workers`), one size changed at a time."""
    small = size.rounds <= 2
    data = Data(folder / "data", size)
    config = size.config
    changes: dict[str, tuple[str, Sequence[int]]] = {
        "batch": ("minimax.batch_size", (4, 8) if small else (2, 4, 8, 16)),
        "resolution": ("clip.size", (32, 48) if small else tuple(config.clip.size * part // 4 for part in (2, 4, 6, 8))),
        "frames": ("clip.frames", (4, 8) if small else (4, 8, 16)),
    }
    found: dict[str, dict[str, float]] = {}
    for name, (key, values) in changes.items():
        found[name] = {}
        for value in values:
            changed = {key: value, **({"clip.decode_size": value} if name == "resolution" else {})}
            loop = Ours(context_of("minimax", with_values(config, changed), size, data, folder))
            for _ in range(2):
                loop.step()
            seconds = min(timed(loop.step, size.device) for _ in range(size.steps))
            found[name][str(value)] = loop.settings.batch_size / seconds
    found["workers"] = {}
    for workers in (0, 1) if small else (0, 1, 2, *((4, 8) if size.workers >= 8 else ())):
        samples = TrainingClips(data.labels.action.train, config.clip, 0)
        loader = Loader(samples, config.minimax.batch_size, True, workers)
        epochs = itertools.count()

        def load(loader: Loader = loader, epochs: Iterator[int] = epochs) -> None:
            for _ in loader.epoch(next(epochs)):
                pass

        load()
        found["workers"][str(workers)] = len(samples) / min(timed(load, size.device) for _ in range(3))
    return found


def flops(size: Size, folder: Path) -> dict[str, float]:
    """GFLOP of the paper's networks for one clip (no data, no device): f_A once, each judge forth and back; and what a pass
    over training clips for all judges of a table costs at the least, as a share of one pass for each.
    """
    config = TrialConfig()
    shape = config.clip.frames, 3, config.clip.size, config.clip.size
    tables = {
        "Table 5": ("r3d_18", "r2plus1d_18", "r2plus1d_18", "mvit_v2_s", "i3d_r50", "c3d"),
        "Tables 7, 8": ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    }
    found = {}
    with torch.device("meta"):
        clip = torch.empty(1, *shape)
        anonymizer = build_anonymizer(config.anonymizer.from_scratch)
        with torch.no_grad(), FlopCounterMode(display=False) as counted:
            anonymizer.clips(clip)
        found["f_A"] = counted.get_total_flops() / 1e9
        for table, names in tables.items():
            for name in names:
                network: torch.nn.Module
                judge = NetworkConfig(name=name).from_scratch
                if table == "Table 5":
                    network, seen = build_action_classifier(judge, CLASSES, config.clip), clip
                else:
                    network, seen = build_privacy_classifier(judge, len(ATTRIBUTES)), clip.flatten(0, 1)
                with FlopCounterMode(display=False) as counted:
                    network(seen).mean().backward()
                found[name] = counted.get_total_flops() / 1e9
            judges = sum(found[name] for name in names)
            found[f"{table}, at least"] = (found["f_A"] + judges) / (len(names) * found["f_A"] + judges)
    return found


# What is measured beside the rows, by name.
MORE: dict[str, Callable[[Size, Path], Any]] = {"parts": parts, "roofline": roofline, "curves": curves, "flops": flops}
