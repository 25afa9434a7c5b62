"""The minimax as one writes it first: what `speed.py` measures against.

The networks, the losses and every random decision are those of the project, so that the losses can be compared. What is plain:
each clip is decoded and augmented frame by frame in the loader, memory is laid out as PyTorch does by itself, each network has
an optimizer of its own, on a GPU autocast is fp16 with loss scaling, and both steps anonymize everything themselves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from trainables.config import AugmentConfig, TrialConfig
from trainables.data.augment import _CONTRAST, _colours, _crop, _erase, _random_crop
from trainables.data.items import Video
from trainables.data.loader import SampleId, Stills, TrainingClips, _Seeded
from trainables.data.reading import count_frames
from trainables.data.sampling import clip_indices
from trainables.execution.context import frozen
from trainables.losses import anonymizer_loss, distortion_penalty, nt_xent, rms_distortion
from trainables.models.action import build_action_classifier
from trainables.models.anonymizers import build_anonymizer
from trainables.models.privacy import build_privacy_encoder


class Frames(Dataset[tuple[Tensor, ...]]):
    """Views (T, C, S, S) and the label of a sample; `samples` says what is drawn for it."""

    def __init__(self, samples: _Seeded, augment: AugmentConfig) -> None:
        self.samples, self.augment = samples, augment

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, sample: SampleId) -> tuple[Tensor, ...]:
        item, (position, draws) = self.samples.items[sample.item], self.samples.draw(sample)
        side = self.samples.clip.decode_size
        if isinstance(item, Video):
            frames = _decoded(item, self.samples, position)
        else:
            with Image.open(item.path) as image:
                frames = np.array(image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR))[None]
        views = [augmented(frames, torch.from_numpy(row), self.augment, self.samples.clip.size) for row in draws]
        return (*views, torch.tensor(item.label if isinstance(item, Video) else -1))


def augmented(frames: np.ndarray, draws: Tensor, config: AugmentConfig, size: int) -> Tensor:
    """(T, H, W, C) uint8 -> (T, C, size, size), frame by frame; only the mean grey that contrast goes by is the clip's."""
    row, plain = draws[None], config.model_copy(update={"contrast": 0.0, "saturation": 0.0, "hue": 0.0, "grey": 0.0})
    done = []
    for frame in frames:
        pixels = torch.from_numpy(frame).permute(2, 0, 1).float().div(255.0)[None, None]
        done.append(_colours(_crop(pixels, *_random_crop(row, config), size), row, plain))
    weights = torch.tensor((0.299, 0.587, 0.114)).view(3, 1, 1)
    grey = torch.stack([(frame * weights).sum(dim=2).mean() for frame in done]).mean()
    after = config.model_copy(update={"brightness": 0.0, "contrast": 0.0})
    views = []
    share = row[:, _CONTRAST] / config.contrast_probability
    factor = torch.where(share < 1.0, 1.0 + config.contrast * (share * 2 - 1), 1.0)
    for frame in done:
        contrasted = (frame * factor + grey * (1.0 - factor)).clamp(0.0, 1.0)
        views.append(_erase(_colours(contrasted, row, after), row, config)[0, 0])
    return torch.stack(views)


class Contiguous(nn.Module):
    """An encoder-decoder f_A in PyTorch's own layout."""

    def __init__(self, built: Any) -> None:
        super().__init__()
        self.normalize, self.network = built.normalize, built.network.to(memory_format=torch.contiguous_format)
        self.multiple, self.bounded = built.multiple, built.bounded

    def forward(self, clips: Tensor) -> Tensor:
        frames = clips.flatten(0, 1)
        height, width = frames.shape[-2:]
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        padded = F.pad(self.normalize(frames), padding, mode="replicate") if any(padding) else self.normalize(frames)
        output = self.network(padded)[..., :height, :width].float()
        return (output.sigmoid() if self.bounded else output).unflatten(0, clips.shape[:2])


class Plain:
    """The loop. `states` are the weights that it starts from."""

    def __init__(
        self,
        config: TrialConfig,
        clips: TrainingClips,
        images: Stills,
        classes: int,
        states: Mapping[str, Mapping[str, Tensor]],
        device: torch.device,
        workers: int,
    ) -> None:
        self._config, self._device = config, device
        anonymizer = build_anonymizer(config.anonymizer)
        anonymizer.load_state_dict(dict(states["anonymizer"]))
        self.anonymizer = Contiguous(anonymizer).to(device)
        self.action = build_action_classifier(config.action_classifier, classes, config.clip).to(device)
        self.action.load_state_dict(dict(states["action_classifier"]))
        self.privacy = build_privacy_encoder(config.privacy_encoder).to(device)
        self.privacy.load_state_dict(dict(states["privacy_encoder"]))
        settings = config.minimax
        self._of_anonymizer = torch.optim.Adam(self.anonymizer.parameters(), lr=settings.learning_rate_anonymizer)
        self._of_action = torch.optim.Adam(self.action.parameters(), lr=settings.learning_rate_action)
        self._of_privacy = torch.optim.Adam(self.privacy.parameters(), lr=settings.learning_rate_privacy)
        self._scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
        loaders = [
            _endless(Frames(samples, config.augment), settings.batch_size, workers, device.type == "cuda")
            for samples in (clips, images)
        ]
        self._batches = zip(*loaders, strict=True)

    def step(self) -> dict[str, float]:
        """Loads a batch and takes both steps."""
        clip_batch, image_batch = next(self._batches)
        clips, labels = (value.to(self._device) for value in clip_batch)
        views = [view.to(self._device) for view in image_batch[:2]]
        settings = self._config.minimax
        self.anonymizer.train()
        with frozen(self.action, self.privacy, batch_statistics=True):
            with self._autocast():
                anonymized = self.anonymizer(clips)
                action_loss = F.cross_entropy(self.action(anonymized), labels)
                privacy_loss = self._pair_loss(views)
                penalty = distortion_penalty(rms_distortion(clips, anonymized), settings.distortion_budget)
                loss = anonymizer_loss(action_loss, privacy_loss, penalty, settings.penalty_weight, settings.privacy_weight)
            self._descend(loss, self._of_anonymizer)
        self.action.train()
        self.privacy.train()
        with frozen(self.anonymizer), self._autocast():
            with torch.no_grad():
                anonymized = self.anonymizer(clips)
            action_loss = F.cross_entropy(self.action(anonymized), labels)
            privacy_loss = self._pair_loss(views)
        self._descend(action_loss + privacy_loss, self._of_action, self._of_privacy)
        return {
            "loss_anonymizer": float(loss.detach()),
            "loss_action": float(action_loss.detach()),
            "loss_privacy": float(privacy_loss.detach()),
        }

    def _pair_loss(self, views: Sequence[Tensor]) -> Tensor:
        hidden = torch.cat([self.anonymizer(view).flatten(0, 1) for view in views])
        first, second = self.privacy(hidden).chunk(2)
        return nt_xent(first, second, self._config.minimax.temperature)

    def _descend(self, loss: Tensor, *optimizers: torch.optim.Optimizer) -> None:
        for optimizer in optimizers:
            optimizer.zero_grad()
        self._scaler.scale(loss).backward()
        for optimizer in optimizers:
            self._scaler.step(optimizer)
        self._scaler.update()

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast("cuda", dtype=torch.float16) if self._device.type == "cuda" else contextlib.nullcontext()


def _endless(frames: Frames, batch_size: int, workers: int, pin: bool) -> Iterator[list[Tensor]]:
    order = _Order(frames.samples, batch_size)
    context = "forkserver" if workers else None
    yield from DataLoader(frames, batch_sampler=order, num_workers=workers, pin_memory=pin, multiprocessing_context=context)


class _Order:
    """The batches of the project's own loader, epoch after epoch."""

    def __init__(self, samples: _Seeded, batch_size: int) -> None:
        self._samples, self._size = samples, batch_size

    def __iter__(self) -> Iterator[list[SampleId]]:
        epoch = 0
        while True:
            order = np.random.default_rng([self._samples.seed, epoch]).permutation(len(self._samples)).tolist()
            for first in range(0, len(order), self._size):
                yield [SampleId(epoch, index) for index in order[first : first + self._size]]
            epoch += 1


def _decoded(item: Video, samples: _Seeded, position: float) -> np.ndarray:
    return decoded_in_order(item.path, clip_indices(count_frames(item.path), samples.clip, position), samples.clip.decode_size)


def decoded_in_order(path: Path, indices: Sequence[int], side: int) -> np.ndarray:
    """Frames (T, side, side, C) as PyAV gives them when it decodes the file from its start."""
    wanted, found = set(indices), {}
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                found[number] = frame.reformat(side, side, "rgb24", threads=1).to_ndarray()
                if len(found) == len(wanted):
                    break
    return np.stack([found[index] for index in indices])
