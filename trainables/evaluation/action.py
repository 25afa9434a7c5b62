"""Algorithm 1, step 2: a NEW action classifier f_T' on anonymized clips, tested video by video."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from trainables.config import ClipConfig
from trainables.data.items import Video
from trainables.data.loader import EvaluationClips, Loader, TrainingClips
from trainables.execution.context import StageContext, filled, validation_clip
from trainables.execution.loop import Best, Epoch, run_epochs
from trainables.losses import rms_distortion
from trainables.metrics import chance_top1, topk_accuracy
from trainables.models.action import build_action_classifier
from trainables.models.base import Anonymizer
from trainables.predictions import of_classes
from trainables.schema import ARTIFACT_FRAMES, OUTPUT_BEYOND, ends
from trainables.stages import RAW_ACTION
from trainables.statistics import interval, mean
from trainables.store import Outcome

_DATA = "action_evaluation"
_PICTURED_VIDEOS, _PICTURE_SIDE = 6, 112
_SLACK = 1e-3  # beyond [0, 1]: rounding, and filters that overshoot a little
_LEVELS = 10.0  # grey levels from which an output is meant to be 0 to 255


def run(context: StageContext) -> Outcome:
    config, settings = context.config, context.config.evaluate_action
    splits = context.data.action_evaluation
    best = Best("validation_top1", ("classifier",), last=config.selection == "last")
    classifier, anonymizer, history = _trained(context, splits.train, settings.epochs, best)
    if config.refit:  # the chosen number of epochs once more, from the start, on validation items too
        both = (*splits.train, *splits.validation)
        classifier, anonymizer, _ = _trained(context.again(history, best.epoch + 1), both, best.epoch + 1, None)
    test = _predict(context, classifier, anonymizer, _test_loader(context, splits.test, config.clip), config.clip)
    right = test["probabilities"].argmax(axis=1) == test["labels"]
    flickers = flicker_of("", test)
    if 0 <= best.epoch < len(history) and (known := history[best.epoch].get("validation_flicker")) is not None:
        flickers |= {"validation_flicker": known}
    sure = interval(mean([video.name for video in splits.test], [video.group for video in splits.test], right))
    metrics = {
        "top1": topk_accuracy(test["probabilities"], test["labels"], 1),
        "top5": topk_accuracy(test["probabilities"], test["labels"], 5),
        "chance_top1": chance_top1(test["labels"]),
        "rms_distortion": float(test["rms"].mean()),
        "rms_relative": float(test["rms_relative"].mean()),
        **flickers,
        "validation_top1": best.value,
        **ends("top1", sure.low, sure.high),
        "best_epoch": float(best.epoch),
    }
    low, high = float(test.pop("low").min()), float(test.pop("high").max())
    state = {"classifier": classifier.state_dict(), "test": {name: torch.from_numpy(value) for name, value in test.items()}}
    files = {ARTIFACT_FRAMES: _picture(context, anonymizer), **_predictions(context, test)}
    beyond = max(-low, high - 1.0)
    if beyond > _SLACK:
        metrics[OUTPUT_BEYOND] = beyond
    notes = [f"{splits.name}: top1 has no interval: {sure.lacking}"] if sure.lacking else []
    return Outcome(metrics, history, state, files, (*notes, *_of_output(config.anonymizer.name, low, high)))


def _of_output(anonymizer: str, low: float, high: float) -> list[str]:
    """What is to be said of an anonymizer whose output on test clips goes from `low` to `high`; nothing within [0, 1]."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return [f"the anonymizer {anonymizer} puts out values that are no numbers (NaN or infinite): no figure of it counts"]
    if low >= -_SLACK and high <= 1.0 + _SLACK:
        return []
    levels = ", as if it counted from 0 to 255" if high > _LEVELS else ""
    return [
        f"the anonymizer {anonymizer} puts out values from {low:.3g} to {high:.3g}{levels}; a video holds [0, 1] only, so that"
        " what is exported and written is clipped, and is not what was measured"
    ]


def _trained(
    context: StageContext, items: tuple[Video, ...], epochs: int, best: Best | None
) -> tuple[nn.Module, Anonymizer, list[dict[str, float]]]:
    """f_T' trained on `items`, with the weights of its `best` epoch (None: the last, and nothing is validated), the anonymizer,
    and the history.
    """
    config, settings = context.config, context.config.evaluate_action
    splits = context.data.action_evaluation
    torch.manual_seed(context.seed("weights"))
    anonymizer = context.anonymizer("anonymizer")
    classifier = context.placed(build_action_classifier(settings.classifier, len(splits.classes), config.clip))
    optimizer = context.adam(classifier.parameters(), settings.learning_rate)
    context.data_parallel(classifier)
    samples = TrainingClips(items, config.clip, context.seed("clips"), boxes=context.boxes(_DATA))
    clips = context.loader(samples, settings.batch_size, shuffle=True)
    choosing = splits.test if config.selection == "test" else splits.validation
    validation = _test_loader(context, choosing, validation_clip(config.clip))

    def epoch(now: Epoch) -> dict[str, float]:
        classifier.train()
        for batch in now.batches(clips):
            with context.autocast():
                _, anonymized = context.anonymized_view(anonymizer, batch, training=True)
                logits = context.through(classifier, classifier, anonymized)
                loss = F.cross_entropy(context.gathered(logits), context.gathered(batch["label"]))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            now.add(len(batch["clips"]), loss=loss)
        if best is None:
            return now.means()
        validated = _predict(context, classifier, anonymizer, validation, validation_clip(config.clip))
        top1 = topk_accuracy(validated["probabilities"], validated["labels"], 1)
        return now.means() | {"validation_top1": top1, **flicker_of("validation_", validated)}

    history = run_epochs(context, {"classifier": classifier, "optimizer": optimizer}, epochs, epoch, best)
    return classifier, anonymizer, history


def flicker_of(prefix: str, predicted: dict[str, np.ndarray]) -> dict[str, float]:
    """The metric `flicker` of what `_predict` has found, which it takes away; nothing of clips of one frame."""
    mean_of_all = float(predicted.pop("flicker").mean())
    return {} if math.isnan(mean_of_all) else {f"{prefix}flicker": mean_of_all}


def flicker(clips: Tensor) -> Tensor:
    """The mean absolute difference of successive frames of each clip (B, T, C, H, W), as a video shows them: within [0, 1].

    Returns (B,), in units of the pixel range; NaN for clips of one frame. Motion counts as well: it is to be read beside the
    figure of raw clips, which the trial `raw` of the same study has. A still picture has 0.
    """
    shown = clips.float().clamp(0.0, 1.0)
    return shown.diff(dim=1).abs().mean(dim=(1, 2, 3, 4))


def test_deployed(context: StageContext) -> Outcome:
    """The f_T' of the raw trial, just as it is, on anonymized test videos."""
    config, splits = context.config, context.data.action_evaluation
    network = config.evaluate_action.classifier.from_scratch
    classifier = context.placed(build_action_classifier(network, len(splits.classes), config.clip))
    classifier.load_state_dict(context.inputs[RAW_ACTION].state["classifier"])
    loader = _test_loader(context, splits.test, config.clip)
    test = _predict(context, classifier, context.anonymizer("anonymizer"), loader, config.clip)
    return Outcome(
        {"deployed_top1": topk_accuracy(test["probabilities"], test["labels"], 1)}, files=_predictions(context, test)
    )


@torch.no_grad()
def test_again(context: StageContext) -> dict[str, float]:
    """Figures of an anonymizer on test videos that need no training: how far it changes them, and, where the stored stage
    `evaluate_action` is among the inputs, `top1` and `top5` of its f_T' just as it is.
    """
    config, splits, anonymizer = context.config, context.data.action_evaluation, context.anonymizer("anonymizer")
    stored = context.inputs.get(context.stage)
    classifier: nn.Module = _Nobody(len(splits.classes))
    if stored is not None:
        untrained = config.evaluate_action.classifier.from_scratch
        classifier = context.placed(build_action_classifier(untrained, len(splits.classes), config.clip))
        classifier.load_state_dict(stored.state["classifier"])
    test = _predict(context, classifier, anonymizer, _test_loader(context, splits.test, config.clip), config.clip)
    found = {name: float(test[rows].mean()) for name, rows in (("rms_distortion", "rms"), ("rms_relative", "rms_relative"))}
    if stored is not None:
        found |= {f"top{best}": topk_accuracy(test["probabilities"], test["labels"], best) for best in (1, 5)}
    return found


class _Nobody(nn.Module):
    """In place of a classifier: clips (B, T, C, H, W) -> logits (B, classes) that say nothing."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, clips: Tensor) -> Tensor:
        return clips.new_zeros(len(clips), self.classes)


def _predictions(context: StageContext, test: dict[str, np.ndarray]) -> dict[str, bytes]:
    videos = context.data.action_evaluation.test
    return of_classes(context.stage, videos, test["probabilities"], test["labels"])


def _test_loader(context: StageContext, items: tuple[Video, ...], clip: ClipConfig) -> Loader:
    batch_size = max(1, context.config.evaluate_action.batch_size // clip.test_clips)
    samples = EvaluationClips(items, clip, context.seed("test"), boxes=context.boxes(_DATA))
    return context.loader(samples, batch_size, shuffle=False)


@torch.no_grad()
def _predict(
    context: StageContext, classifier: nn.Module, anonymizer: Anonymizer, loader: Loader, clip: ClipConfig
) -> dict[str, np.ndarray]:
    """Per video: softmax averaged over its clips, label, and the means over its clips of the RMS distortion, in both norms, and
    of the flicker; per clip: the lowest and the highest value of its anonymized pixels.
    """
    classifier.eval()
    names = ("probabilities", "labels", "rms", "rms_relative", "flicker", "low", "high")
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    for batch in context.evaluation_batches(loader):
        videos = len(batch["label"])
        view, anonymized = context.anonymized_view(anonymizer, batch, clips=clip.test_clips)
        with context.autocast():
            logits = classifier(filled(anonymized, loader.batch_size * clip.test_clips))[: len(anonymized)]
        rows = {
            "probabilities": logits.float().softmax(dim=1),
            "rms": rms_distortion(view, anonymized),
            "rms_relative": rms_distortion(view, anonymized, norm="relative"),
            "flicker": flicker(anonymized),
        }
        pixels = anonymized.flatten(1).float()
        ends_of_clips = {"low": pixels.amin(dim=1), "high": pixels.amax(dim=1)}
        for name, values in rows.items():
            of_videos = values.unflatten(0, (videos, clip.test_clips)).mean(dim=1)
            found[name].append(context.gathered(of_videos).double().cpu())
        for name, values in ends_of_clips.items():
            found[name].append(context.gathered(values).double().cpu())
        found["labels"].append(context.gathered(batch["label"]).cpu())
    return {name: torch.cat(values).numpy() for name, values in found.items()}


@torch.no_grad()
def _picture(context: StageContext, anonymizer: Anonymizer) -> bytes:
    """A PNG of the middle frames of some test videos: raw above, anonymized below."""
    items = context.data.action_evaluation.test
    chosen = items[:: max(1, len(items) // _PICTURED_VIDEOS)][:_PICTURED_VIDEOS]
    clip = context.config.clip.model_copy(update={"test_clips": 1, "frames": 1})
    samples = EvaluationClips(chosen, clip, 0, boxes=context.boxes(_DATA))
    batch = next(context.to_device(context.loader(samples, len(chosen), shuffle=False).epoch(0)))
    view, anonymized = (context.gathered(part) for part in context.anonymized_view(anonymizer, batch))
    rows = torch.stack([view, anonymized.clamp(0.0, 1.0)])[:, :, 0]  # (2, N, C, H, W)
    factor = max(1, _PICTURE_SIDE // view.shape[-1])
    pixels = rows.repeat_interleave(factor, dim=-1).repeat_interleave(factor, dim=-2)
    height, width = pixels.shape[-2:]
    canvas = (pixels.permute(0, 3, 1, 4, 2) * 255).round().byte().cpu().numpy()  # (2, H, N, W, C)
    buffer = io.BytesIO()
    Image.fromarray(canvas.reshape(2 * height, len(chosen) * width, 3)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
