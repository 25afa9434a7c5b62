"""What a stage is given: the config, its data, the outcomes it builds on, and a place for checkpoints."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT
from torch.utils.checkpoint import checkpoint

from trainables.config import ClipConfig, Runtime, TrialConfig
from trainables.data.augment import augment_boxes, augment_clips, centre_crop, centre_crop_boxes
from trainables.data.boxes import Boxes
from trainables.data.loader import Batch, Loader, TrainingClips, _Seeded
from trainables.data.trial_data import TrialData
from trainables.failures import Stopped
from trainables.methods import method_of
from trainables.methods.obfuscation import DETECT
from trainables.models.anonymizers import build_anonymizer
from trainables.models.base import Anonymizer, anonymize_clips
from trainables.models.obfuscation import obfuscate_clips
from trainables.store import Outcome, Work

if TYPE_CHECKING:
    from trainables.execution.ranks import Ranks
    from trainables.execution.together import Member


Network = TypeVar("Network", bound=nn.Module)
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


@dataclass(frozen=True)
class StageContext:
    """`report(history, epochs)` is called once an epoch with all so far; `stop()` asks, at every step, whether to end now.

    `together`: the stage is one of several judges that run side by side; see `trainables.execution.together`.
    `ranks`: it runs in several processes, of which each has a share of every batch; see `trainables.execution.ranks`.
    """

    stage: str
    config: TrialConfig
    runtime: Runtime
    data: TrialData
    inputs: Mapping[str, Outcome]
    work: Work
    report: Callable[[Sequence[Mapping[str, float]], int], None]
    stop: Callable[[], bool]
    together: Member | None = None
    ranks: Ranks | None = None

    @property
    def device(self) -> torch.device:
        return device_of(self.runtime)

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """bfloat16 on GPUs that have it (it needs no loss scaling); float32 elsewhere."""
        wanted, device = self.runtime.precision, self.device
        if self.config.departures.float16:
            return torch.autocast(device.type, dtype=torch.float16)
        if wanted == "float32" or (wanted == "auto" and not (device.type == "cuda" and torch.cuda.is_bf16_supported())):
            return contextlib.nullcontext()
        return torch.autocast(device.type, dtype=torch.bfloat16)

    def seed(self, purpose: str) -> int:
        """A seed for one purpose of this stage, from the trial's seed: equal on every machine."""
        words = np.frombuffer(f"{self.stage}/{purpose}".encode(), dtype=np.uint8)
        return int(np.random.SeedSequence([self.config.seed, *words.tolist()]).generate_state(1)[0])

    def loader(self, samples: _Seeded, batch_size: int, shuffle: bool) -> Loader:
        """`shuffle` is for training: only there may a partial batch be left out."""
        drop_last = shuffle and self.config.departures.drop_last
        share = None if self.together is None else self.together.batches
        part = None if self.ranks is None else self.ranks.share
        return Loader(samples, batch_size, shuffle, self.runtime.workers, self.device.type == "cuda", drop_last, share, part)

    def gathered(self, rows: Tensor) -> Tensor:
        """(n, ...) of this rank's share of a batch -> (N, ...) of the whole batch, with the gradient of its own rows."""
        return rows if self.ranks is None else self.ranks.gathered(rows)

    def mean(self, value: Tensor, rows: int) -> Tensor:
        """The mean over the whole batch of what is a mean over the `rows` of this rank's share: a scalar."""
        return value if self.ranks is None else self.ranks.mean(value, rows)

    def join_ranks(self, optimizer: Optimizer, *networks: nn.Module) -> None:
        """Has `optimizer` step down the gradient of the whole batch, and `networks` normalise by it."""
        if self.ranks is not None:
            self.ranks.join(optimizer, *networks)

    def training_clips(self, batch_size: int) -> Loader:
        """The clips that train the anonymizer, shuffled."""
        samples = TrainingClips(self.data.action.train, self.config.clip, self.seed("clips"))
        return self.loader(samples, batch_size, shuffle=True)

    def paired(self, clips: Loader, others: Loader, epoch: int, done: int = 0) -> Iterator[tuple[Batch, Batch]]:
        """One epoch of `clips` from batch `done` on, each beside the next of the endless stream of `others`, on the device."""
        first, count = epoch * len(clips) + done, len(clips) - done
        streams = (self.to_device(loader.stretch(first, count)) for loader in (clips, others))
        yield from zip(*streams, strict=True)

    def judged(self, loader: Loader) -> Iterator[Batch]:
        """All batches of a loader, on the device, for who only looks at them. Raises Stopped between two."""
        for batch in self.to_device(loader.epoch(0)):
            yield batch
            if self.stop():
                raise Stopped(f"{self.stage}: stopped while it judges; saved")

    def to_device(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """On a GPU the next batch is on its way, in a stream of its own, while the last one is computed with."""
        if self.device.type != "cuda":
            yield from (self._moved(batch) for batch in batches)
            return
        copying = torch.cuda.Stream(self.device)
        ahead: Batch | None = None
        for batch in batches:
            with torch.cuda.stream(copying):
                coming = self._moved(batch)
            if ahead is not None:
                yield ahead
            torch.cuda.current_stream(self.device).wait_stream(copying)
            for value in coming.values():
                value.record_stream(torch.cuda.current_stream(self.device))  # type: ignore[attr-defined]
            ahead = coming
        if ahead is not None:
            yield ahead

    def _moved(self, batch: Batch) -> Batch:
        def move() -> Batch:
            return {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}  # type: ignore[attr-defined, return-value]

        return move() if self.together is None else self.together.once("moved", batch["clips"], move)

    def placed(self, network: Network) -> Network:
        """The network on the device; on a GPU in the layout that its tensor cores take, and compiled if that is asked for."""
        network.to(self.device)
        if self.device.type == "cuda":
            for parameter in network.parameters():
                if parameter.dim() in _CHANNELS_LAST:
                    parameter.data = parameter.data.contiguous(memory_format=_CHANNELS_LAST[parameter.dim()])
        if self.runtime.compile:
            network.compile()
        return network

    def adam(self, parameters: ParamsT, learning_rate: float) -> torch.optim.Adam:
        """One kernel for all parameters on a GPU; on a CPU one after another, so that no number moves."""
        return torch.optim.Adam(parameters, lr=learning_rate, fused=self.device.type == "cuda" or None)

    def through(self, network: nn.Module, compute: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
        """`compute(values)`, which leads through `network`; with `runtime.checkpointing` what it keeps for the gradients is
        computed a second time instead of kept.
        """
        if not self.runtime.checkpointing or not torch.is_grad_enabled():
            return compute(values)
        again = partial(_statistics_kept, network)
        found: Tensor = checkpoint(
            compute,
            values,
            use_reentrant=False,
            context_fn=lambda: (contextlib.nullcontext(), again()),
            preserve_rng_state=True,
        )
        return found

    def training_view(self, batch: Batch, view: int = 0) -> Tensor:
        """(B, T, C, S, S) in [0, 1], augmented by row `view` of the batch's draws."""
        return self._colours(
            batch, augment_clips(batch["clips"], batch["draws"][:, view], self.config.augment, self.config.clip.size)
        )

    def test_view(self, batch: Batch, clips: int = 1) -> Tensor:
        """((B clips), T, C, S, S) in [0, 1], central crop; `clips` lie one after another on the batch's time axis."""
        view = self._colours(batch, centre_crop(batch["clips"], self.config.augment, self.config.clip.size))
        return view.unflatten(1, (clips, view.shape[1] // clips)).flatten(0, 1)

    def anonymized_view(
        self, anonymizer: Anonymizer, batch: Batch, training: bool = False, clips: int = 1
    ) -> tuple[Tensor, Tensor]:
        """The training view or the test view of a batch, and f_A of it: what the judges see. Both ((B clips), T, C, S, S).

        Boxes of people, where the batch has them, take the way of the pixels. Not to be changed in place.
        """
        compute = partial(self._anonymized_view, anonymizer, batch, training, clips)
        if self.together is None:
            return compute()
        return self.together.once((anonymizer, training, clips), batch["clips"], compute)

    @torch.no_grad()
    def _anonymized_view(self, anonymizer: Anonymizer, batch: Batch, training: bool, clips: int) -> tuple[Tensor, Tensor]:
        view = self.training_view(batch) if training else self.test_view(batch, clips)
        with self.autocast():
            if "boxes" not in batch:
                return view, self.anonymize(anonymizer, view)
            augment = self.config.augment
            moved = (
                augment_boxes(batch["boxes"], batch["draws"][:, 0], augment)
                if training
                else centre_crop_boxes(batch["boxes"], augment)
            )
            return view, obfuscate_clips(anonymizer, view, moved.flatten(0, 1).unflatten(0, view.shape[:2]))

    def boxes(self, name: str) -> Boxes | None:
        """Where people are in the data set `name` (a member of TrialData); None for a method that does not ask."""
        if not method_of(self.config).boxes:
            return None
        settings = self.config.obfuscation
        if DETECT.name in self.inputs:
            kept = self.inputs[DETECT.name].state[name]
            columns = {column: values.numpy() for column, values in kept["columns"].items()}
            found = Boxes.of_columns(f"detections of {settings.detector}", settings.every, kept["names"], columns)
        else:
            found = self.data.boxes(settings, name)
        return found.grown(settings.margin)

    def _colours(self, batch: Batch, view: Tensor) -> Tensor:
        of_videos = bool((batch["label"] >= 0).all())
        return view.flip(2) if self.config.departures.bgr_clips and of_videos else view

    def anonymizer(self, source: str) -> Anonymizer:
        """The anonymizer that stage `source` trained, in eval mode and frozen; without such an input, one that needs no
        training.
        """
        anonymizer = build_anonymizer(self.config.anonymizer, self.config.options)
        if source in self.inputs:
            anonymizer.load_state_dict(self.inputs[source].state["anonymizer"])
        anonymizer = self.placed(anonymizer).eval().requires_grad_(False)
        return anonymizer if self.together is None else self.together.anonymizer(source, anonymizer)

    def anonymize(self, anonymizer: Anonymizer, view: Tensor) -> Tensor:
        """f_A of (B, T, C, H, W), frame by frame, or with the axes mixed up as in the released code."""
        if not self.config.departures.scrambled_frames:
            return self.through(anonymizer, partial(anonymize_clips, anonymizer), view)
        planes = view.transpose(1, 2)  # (B, C, T, H, W): a "frame" is one colour at three times, the inverse hides it
        mixed = anonymizer(planes.reshape(-1, 3, *view.shape[-2:]))
        return mixed.reshape(planes.shape).transpose(1, 2)


def device_of(runtime: Runtime) -> torch.device:
    if runtime.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(runtime.device)


def validation_clip(clip: ClipConfig) -> ClipConfig:
    """One clip a video, from its middle: enough to choose an epoch."""
    return clip.model_copy(update={"test_clips": 1})


@contextlib.contextmanager
def frozen(*modules: nn.Module, batch_statistics: bool = False) -> Iterator[None]:
    """No gradients for parameters, and eval mode: neither weights nor batch-norm statistics can move.

    With `batch_statistics` batch norm normalises by the batch in hand, as it does while its network is trained, and still
    keeps nothing of it. Running statistics lag behind an anonymizer that moves: what then blinds the frozen copy of a judge
    is a shift away from them, which the judge itself, in its own step, does not even see.
    """
    states = [(module, module.training, [p.requires_grad for p in module.parameters()]) for module in modules]
    for module in modules:
        module.eval().requires_grad_(False)
    if batch_statistics:
        for layer in _norms(*modules):
            layer.train()
    try:
        with _statistics_kept(*modules):
            yield
    finally:
        for module, training, gradients in states:
            module.train(training)
            for parameter, wanted in zip(module.parameters(), gradients, strict=True):
                parameter.requires_grad_(wanted)


def _norms(*modules: nn.Module) -> list[_BatchNorm]:
    return [layer for module in modules for layer in module.modules() if isinstance(layer, _BatchNorm)]


@contextlib.contextmanager
def _statistics_kept(*modules: nn.Module) -> Iterator[None]:
    """Batch norm, in whatever mode, leaves its running statistics as they are."""
    kept = [(layer, layer.momentum, layer.num_batches_tracked) for layer in _norms(*modules)]
    for layer, _, _ in kept:
        layer.momentum, layer.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for layer, momentum, batches in kept:
            layer.momentum, layer.num_batches_tracked = momentum, batches
