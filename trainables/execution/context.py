"""`StageContext`: the config, data and inputs of a stage, and everything a stage does that depends on how it is executed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.optimizer import ParamsT
from torch.utils.checkpoint import checkpoint

from trainables.config import ClipConfig, ObfuscationConfig, Runtime, TrialConfig
from trainables.data.augment import augment_boxes, augment_clips, centre_crop, centre_crop_boxes
from trainables.data.boxes import Boxes
from trainables.data.coding import coded
from trainables.data.loader import Batch, Loader, TrainingClips, _Seeded
from trainables.data.trial_data import TrialData
from trainables.execution.plain import PLAIN, Execution
from trainables.failures import Stopped
from trainables.methods.obfuscation import DETECT
from trainables.models.anonymizers import build_anonymizer
from trainables.models.base import Anonymizer, anonymize_clips
from trainables.models.obfuscation import obfuscate_clips
from trainables.store import Outcome, Work

if TYPE_CHECKING:
    from trainables.plan import PlannedStage

Network = TypeVar("Network", bound=nn.Module)
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


@dataclass(frozen=True)
class StageContext:
    """What a stage is called with.

    stage: the name of the stage.
    config, data: what its key holds of the trial's configuration and data sets; reading anything else raises ConfigError.
    inputs: the outcomes of the stages it builds on, by input name.
    work: where its checkpoints are kept.
    report(history, epochs): called after each of `epochs` epochs with the metrics of all epochs so far.
    stop(): whether to save and end; asked after every step.
    people: where people are, for a stage that reads what a method made that changes people only.
    watch(context, parts, history): called before each further epoch of a training with the parts that are trained and the
    metrics of the epochs that are done; it changes none of them, and may raise StoppedEarly.
    """

    stage: str
    config: TrialConfig
    runtime: Runtime
    data: TrialData
    inputs: Mapping[str, Outcome]
    work: Work
    report: Callable[[Sequence[Mapping[str, float]], int], None]
    stop: Callable[[], bool]
    people: ObfuscationConfig | None = None
    execution: Execution = PLAIN
    watch: Callable[[StageContext, Mapping[str, Any], Sequence[Mapping[str, float]]], None] = lambda *_: None

    @staticmethod
    def of(planned: PlannedStage, runtime: Runtime, data: TrialData, inputs: Mapping[str, Outcome], work: Work) -> StageContext:
        """The context of a planned stage, with nobody who listens or stops it."""
        stage = planned.stage
        data = data.exchanged() if planned.exchanged else data
        seen = data.only(stage.data, f"stage {stage.name!r} ({stage.where})")
        return StageContext(
            stage.name, planned.visible, runtime, seen, inputs, work, lambda *_: None, lambda: False, planned.people
        )

    @property
    def device(self) -> torch.device:
        return device_of(self.runtime)

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Mixed precision: bfloat16 on GPUs that support it (it needs no loss scaling), float32 elsewhere."""
        wanted, device = self.runtime.precision, self.device
        if self.config.departures.float16:
            return torch.autocast(device.type, dtype=torch.float16)
        if wanted == "float32" or (wanted == "auto" and not (device.type == "cuda" and torch.cuda.is_bf16_supported())):
            return contextlib.nullcontext()
        return torch.autocast(device.type, dtype=torch.bfloat16)

    def seed(self, purpose: str) -> int:
        """A seed derived from the trial's seed, the stage and `purpose`; the same on every machine."""
        words = np.frombuffer(f"{self.stage}/{purpose}".encode(), dtype=np.uint8)
        return int(np.random.SeedSequence([self.config.seed, *words.tolist()]).generate_state(1)[0])

    def loader(self, samples: _Seeded, batch_size: int, shuffle: bool) -> Loader:
        """Batches of `samples`; `shuffle` for training, where `departures.drop_last` may leave out a partial batch."""
        drop_last = shuffle and self.config.departures.drop_last
        execution, pin = self.execution, self.device.type == "cuda"
        return Loader(samples, batch_size, shuffle, self.runtime.workers, pin, drop_last, execution.batches, execution.share)

    def gathered(self, rows: Tensor) -> Tensor:
        """(n, ...) for this process's share of a batch -> (N, ...) for the whole batch, differentiable."""
        return self.execution.gathered(rows)

    def mean(self, value: Tensor, rows: int) -> Tensor:
        """A scalar that is a mean over the `rows` rows of this process's share -> the mean over the whole batch."""
        return self.execution.mean(value, rows)

    def data_parallel(self, *networks: nn.Module) -> None:
        """Prepares networks that the stage trains; each is then called through `through` (or `anonymize`)."""
        for network in networks:
            self.execution.data_parallel(network)

    def training_clips(self, batch_size: int) -> Loader:
        """The clips that train the anonymizer, shuffled."""
        samples = TrainingClips(self.data.action.train, self.config.clip, self.seed("clips"))
        return self.loader(samples, batch_size, shuffle=True)

    def paired(self, clips: Loader, others: Loader, epoch: int, done: int = 0) -> Iterator[tuple[Batch, Batch]]:
        """Pairs of batches on the device: epoch `epoch` of `clips` from batch `done` on, and the stream of `others`."""
        first, count = epoch * len(clips) + done, len(clips) - done
        streams = (self.to_device(loader.stretch(first, count)) for loader in (clips, others))
        yield from zip(*streams, strict=True)

    def evaluation_batches(self, loader: Loader) -> Iterator[Batch]:
        """All batches of a loader, on the device, outside of training. Raises Stopped between two."""
        for batch in self.to_device(loader.epoch(0)):
            yield batch
            if self.should_stop():
                raise Stopped(f"{self.stage}: stopped while it evaluates; saved")

    def again(self, history: Sequence[Mapping[str, float]], epochs: int) -> StageContext:
        """The context of a second training of the same stage for `epochs` epochs, after one that left `history`."""

        def report(rows: Sequence[Mapping[str, float]], _: int) -> None:
            self.report([*history, *rows], len(history) + epochs)

        return replace(self, work=self.work.part("again"), report=report)

    def should_stop(self) -> bool:
        """Whether all processes of the stage are to save and end now."""
        return self.execution.agreed(self.stop())[0]

    def to_device(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches on the device; a GPU receives the next one in a stream of its own while it computes with the last."""
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

        return self.execution.once("moved", batch["clips"], move)

    def placed(self, network: Network) -> Network:
        """The network on the device; on a GPU in the channels-last layout, and compiled if `runtime.compile` is set."""
        network.to(self.device)
        if self.device.type == "cuda":
            channels_last(network)
        if self.runtime.compile:
            network.compile()
        return network

    def adam(self, parameters: ParamsT, learning_rate: float) -> torch.optim.Adam:
        """Adam, fused on a GPU; on a CPU the default implementation, whose results the recorded traces contain."""
        return torch.optim.Adam(parameters, lr=learning_rate, fused=self.device.type == "cuda" or None)

    def through(self, network: nn.Module, compute: Callable[[Tensor], Tensor], values: Tensor, rows_at: int = 0) -> Tensor:
        """`compute(values)`, a forward pass of `network`. Dimension `rows_at` of the result are the rows of `values`.

        values: clips (B, T, C, H, W) or frames (N, C, H, W). With `runtime.checkpointing`, activations are computed again in
        the backward pass instead of being kept.

        With `config.microbatch` the rows are computed in parts, each of at most so many frames (of one clip at least), and the
        backward pass computes one part after another again: activations take the memory of one part. The loss is computed
        from the rows of all parts, so that one over the whole batch such as NT-Xent keeps all its pairs, and gradients are
        those of the whole batch, as in GradCache (https://arxiv.org/abs/2101.06983). Two things differ: batch norm in training
        normalises by the rows of a part and takes its running statistics from them, and dropout draws other masks.
        """
        parts = self._parts(values)
        if torch.is_grad_enabled() and (self.runtime.checkpointing or parts > 1):
            compute = partial(
                checkpoint,
                compute,
                use_reentrant=False,
                context_fn=lambda: (contextlib.nullcontext(), _statistics_kept(network)),
                preserve_rng_state=True,
            )
        if parts > 1:
            compute = partial(_in_parts, compute, parts, rows_at)
        return self.execution.call(network, compute, values)

    def _parts(self, values: Tensor) -> int:
        """How many parts `values` are computed in."""
        most = self.config.microbatch
        if most is None:
            return 1
        frames = values.shape[1] if values.dim() == 5 else 1
        return math.ceil(len(values) / max(1, most // frames))

    def training_view(self, batch: Batch, view: int = 0) -> Tensor:
        """(B, T, C, S, S) in [0, 1], augmented according to row `view` of the batch's random draws."""
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
        """The training view or the test view of a batch, and what leaves the camera of it, both ((B clips), T, C, S, S): f_A of
        it, through `codec`.

        Boxes of people, where the batch has them, are transformed like the pixels. Evaluators in one pass share the result:
        do not change it in place.
        """
        compute = partial(self._delivered_view, anonymizer, batch, training, clips)
        return self.execution.once((anonymizer, training, clips), batch["clips"], compute)

    @torch.no_grad()
    def _delivered_view(self, anonymizer: Anonymizer, batch: Batch, training: bool, clips: int) -> tuple[Tensor, Tensor]:
        view, anonymized = self._anonymized_view(anonymizer, batch, training, clips)
        return view, coded(anonymized, self.config.codec, repeated=not training)

    def _anonymized_view(self, anonymizer: Anonymizer, batch: Batch, training: bool, clips: int) -> tuple[Tensor, Tensor]:
        view = self.training_view(batch) if training else self.test_view(batch, clips)
        if "twins" in batch:
            twin = cast(Batch, {**batch, "clips": batch["twins"]})
            return view, self.training_view(twin) if training else self.test_view(twin, clips)
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
        """The boxes of people in the data set `name` (a member of TrialData); None for a method that uses none."""
        settings = self.people
        if settings is None:
            return None
        if DETECT.name in self.inputs:
            kept = self.inputs[DETECT.name].state[name]
            columns = {column: values.numpy() for column, values in kept["columns"].items()}
            found = Boxes.of_columns(f"detections of {settings.detector}", settings.every, kept["names"], columns)
        else:
            found = self.data.boxes(settings, name)
        return found.grown(settings.margin)

    def _colours(self, batch: Batch, view: Tensor) -> Tensor:
        of_videos = bool((batch["label"] >= 0).all())
        return view.flip(2) if of_videos and self.config.departures.bgr_clips else view

    def anonymizer(self, source: str) -> Anonymizer:
        """The anonymizer that input `source` holds, or one that needs no training; in eval mode and frozen."""
        trained = source in self.inputs
        settings = self.config.anonymizer.from_scratch if trained else self.config.anonymizer
        anonymizer = build_anonymizer(settings, self.config.options)
        if trained:
            anonymizer.load_state_dict(self.inputs[source].state["anonymizer"])
        return self.execution.anonymizer(source, self.placed(anonymizer).eval().requires_grad_(False))

    def anonymize(self, anonymizer: Anonymizer, view: Tensor) -> Tensor:
        """f_A of (B, T, C, H, W), frame by frame; `departures.scrambled_frames` mixes the axes as the released code does."""
        if view.shape[1] == 1 or not self.config.departures.scrambled_frames:  # a single frame has no times to mix
            return self.through(anonymizer, partial(anonymize_clips, anonymizer), view)
        planes = view.transpose(1, 2)  # (B, C, T, H, W): a "frame" is one colour at three times, the inverse hides it
        mixed = anonymizer(planes.reshape(-1, 3, *view.shape[-2:]))
        return mixed.reshape(planes.shape).transpose(1, 2)


def channels_last(network: nn.Module) -> None:
    """Lays the weights of convolutions out as tensor cores want them; their values stay."""
    for parameter in network.parameters():
        if parameter.dim() in _CHANNELS_LAST:
            parameter.data = parameter.data.contiguous(memory_format=_CHANNELS_LAST[parameter.dim()])


def _in_parts(compute: Callable[[Tensor], Tensor], parts: int, rows_at: int, values: Tensor) -> Tensor:
    """`compute` of `parts` parts of the rows of `values`, of equal size but for one row."""
    return torch.cat([compute(part) for part in values.tensor_split(parts)], dim=rows_at)


def device_of(runtime: Runtime) -> torch.device:
    if runtime.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(runtime.device)


def filled(values: Tensor, rows: int) -> Tensor:
    """(N, ...) -> (rows, ...), N <= rows, with the last row repeated.

    Kernels differ with the size of a batch: on a GPU in bfloat16, probabilities of equal frames differ by some 1e-4 between the
    last, smaller batch of a data set and the others, and an attacker would seem to tell them apart. So networks whose
    predictions are compared see batches of one size.
    """
    return values if len(values) == rows else torch.cat([values, values[-1:].expand(rows - len(values), *values.shape[1:])])


def validation_clip(clip: ClipConfig) -> ClipConfig:
    """One clip a video, from its middle; enough to choose an epoch by."""
    return clip.model_copy(update={"test_clips": 1})


@contextlib.contextmanager
def frozen(*modules: nn.Module, batch_statistics: bool = False) -> Iterator[None]:
    """Within it the modules are in eval mode and their parameters take no gradients; batch norm does not update its statistics.

    With `batch_statistics` batch norm normalises by the current batch, as in training. Running statistics lag behind an
    anonymizer that is being trained: it could blind a frozen opponent by a mere shift away from them, which the opponent, in
    its own training step, normalises by the batch and does not see.
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
    """Within it batch norm, in either mode, does not update its running statistics."""
    kept = [(layer, layer.momentum, layer.num_batches_tracked) for layer in _norms(*modules)]
    for layer, _, _ in kept:
        layer.momentum, layer.num_batches_tracked = 0.0, torch.tensor(0)  # SyncBatchNorm insists on a counter
    try:
        yield
    finally:
        for layer, momentum, batches in kept:
            layer.momentum, layer.num_batches_tracked = momentum, batches
