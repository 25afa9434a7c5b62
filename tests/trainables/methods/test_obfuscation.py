"""People are hidden exactly where the augmented pixels show them, with boxes from a file or from a detector."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from tests.support.stages import SilentReporter, stage_context
from trainables.config import (
    AnonymizerConfig,
    AugmentConfig,
    ConfigError,
    ObfuscationConfig,
    PrivacyData,
    Runtime,
    TrialConfig,
    with_values,
)
from trainables.data.augment import DRAWS, augment_boxes, augment_clips, centre_crop, centre_crop_boxes, to_float
from trainables.data.boxes import read_boxes
from trainables.data.items import DataError
from trainables.data.loader import EvaluationClips, Loader, Stills, TrainingClips
from trainables.data.reading import read_image
from trainables.data.registry import load_stills
from trainables.data.trial_data import TrialData
from trainables.failures import Stopped
from trainables.methods import resolved
from trainables.models import detector
from trainables.models.anonymizers import build_anonymizer
from trainables.models.check import check_weights
from trainables.models.detector import PeopleDetector, new_detector
from trainables.models.obfuscation import gaussian_blur, obfuscate_clips, people_mask
from trainables.pipeline import TrialRecord, run_trial
from trainables.plan import TrialPlan, plan_trial
from trainables.store import Outcome

SHORT = {"evaluate_action.epochs": 1, "evaluate_privacy.epochs": 1, "evaluate_privacy.clips": False}
GEOMETRY = AugmentConfig(brightness=0, contrast=0, saturation=0, hue=0, grey=0, erase=0, test_crop=0.7)
NOBODY = float("nan")


def run(config: TrialConfig, data: Path, storage: Path) -> tuple[TrialRecord, dict[str, Outcome]]:
    return run_trial(config, Runtime(data_root=str(data), storage=str(storage), device="cpu"), SilentReporter())


def planned(config: TrialConfig, data: Path) -> TrialPlan:
    return plan_trial(config, TrialData(config, data))


def keys(config: TrialConfig, data: Path) -> dict[str, str]:
    return {stage.name: stage.key for stage in planned(config, data).stages}


@pytest.fixture
def blackening(tiny_config: TrialConfig) -> TrialConfig:
    return with_values(tiny_config.model_copy(update={"method": "blackening"}), SHORT)


@pytest.fixture
def own_data(tiny_data: Path, tmp_path: Path) -> Path:
    """A copy of the data that a test may change."""
    return Path(shutil.copytree(tiny_data, tmp_path / "data"))


# Pixels --------------------------------------------------------------------------------------------------------------


def lit_videos(clips: int = 40, side: int = 32) -> tuple[Tensor, Tensor]:
    """Black clips of two frames with a white box each, and the boxes: two people a frame, the second often nobody."""
    generator = np.random.default_rng(0)
    videos = torch.zeros(clips, 2, 3, side, side, dtype=torch.uint8)
    boxes = torch.full((clips, 2, 2, 4), NOBODY)
    for clip in range(clips):
        for frame in range(2):
            for person in range(1 + (clip % 3 == 0)):
                x0, y0 = generator.integers(0, side - 4, 2)
                x1, y1 = (int(generator.integers(low + 2, side + 1)) for low in (x0, y0))
                videos[clip, frame, :, y0:y1, x0:x1] = 255
                boxes[clip, frame, person] = torch.tensor([x0, y0, x1, y1]) / side
    return videos, boxes


@pytest.mark.parametrize("training", [True, False])
def test_boxes_go_where_crop_and_flip_take_their_pixels(training: bool) -> None:
    videos, boxes = lit_videos()
    draws = torch.rand(len(videos), DRAWS, generator=torch.Generator().manual_seed(1))
    if training:
        view, moved = augment_clips(videos, draws, GEOMETRY, 48), augment_boxes(boxes, draws, GEOMETRY)
    else:
        view, moved = centre_crop(videos, GEOMETRY, 48), centre_crop_boxes(boxes, GEOMETRY)
    lit, mask = view.flatten(0, 1)[:, :1] > 0.5, people_mask(moved.flatten(0, 1), 48, 48)
    assert lit.any(dim=(1, 2, 3)).float().mean() > 0.8
    assert not (lit & ~mask).any()
    near = functional.max_pool2d(lit.float(), 3, stride=1, padding=1) > 0
    assert not (mask & ~near)[..., 1:-1, 1:-1].any()  # on the rim a box may be that only grazes the view
    black = obfuscate_clips(build_anonymizer(AnonymizerConfig(name="blackening")), view, moved)
    assert black.max() <= 0.5, "only what interpolation spreads around the box is left"
    assert torch.equal(black == 0, (view == 0) | mask.unflatten(0, (len(videos), 2)))


def test_a_mask_covers_whole_pixels_and_every_pixel_that_a_box_touches() -> None:
    boxes = torch.tensor([[0.25, 0.5, 0.75, 1.0], [0.3, 0.0, 0.45, 0.05], [NOBODY] * 4, [-0.5, 0.2, -0.1, 0.4]])
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[4:8, 2:6] = True
    expected[0, 2:4] = True
    assert torch.equal(people_mask(boxes[None], 8, 8)[0, 0], expected)
    assert not people_mask(torch.full((3, 1, 4), NOBODY), 8, 8).any()


@pytest.mark.parametrize("method", ["blackening", "weak_blur", "strong_blur"])
def test_only_people_change_and_a_frame_without_them_stays(method: str) -> None:
    config = resolved(TrialConfig(method=method))
    anonymizer = build_anonymizer(config.anonymizer, config.options)
    assert not list(anonymizer.parameters())
    clips = torch.rand(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    boxes = torch.full((2, 3, 2, 4), NOBODY)
    boxes[0, 1, 0] = torch.tensor([0.25, 0.25, 0.5, 0.75])
    out = obfuscate_clips(anonymizer, clips, boxes)
    inside = torch.zeros(2, 3, 1, 32, 32, dtype=torch.bool)
    inside[0, 1, :, 8:24, 8:16] = True
    assert torch.equal(out.where(~inside, 0), clips.where(~inside, 0))
    hidden = out[0, 1, :, 8:24, 8:16]
    assert hidden.std() < 0.2 < clips[0, 1, :, 8:24, 8:16].std()
    assert (hidden == 0).all() == (method == "blackening")


def test_the_strong_blur_hides_more_and_both_keep_to_the_side_of_the_frame() -> None:
    left = {}
    for side in (112, 224):
        frames = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
        frames = functional.interpolate(frames[..., : side // 4, : side // 4], (side, side))  # details of one size
        for method in ("weak_blur", "strong_blur"):
            config = resolved(TrialConfig(method=method))
            blur = build_anonymizer(config.anonymizer, config.options)
            left[method, side] = obfuscate_clips(blur, frames[None], torch.tensor([[[[0.0, 0, 1, 1]]]])).std().item()
    assert left["strong_blur", 112] < 0.8 * left["weak_blur", 112] < left["weak_blur", 112] < 0.29
    config = resolved(TrialConfig(method="weak_blur"))
    expected = gaussian_blur(frames, 25, 20.0)  # 13 and 10 of 112 pixels, at 224; a kernel is odd
    found = build_anonymizer(config.anonymizer, config.options)(frames, torch.tensor([[[0.0, 0, 1, 1]]]))
    torch.testing.assert_close(found, expected)


def test_the_blur_is_gaussian_and_keeps_a_flat_frame() -> None:
    spot = torch.zeros(1, 1, 9, 9)
    spot[..., 4, 4] = 1
    weights = torch.exp(-0.5 * (torch.arange(-2.0, 3.0) / 1.5) ** 2)
    weights /= weights.sum()
    torch.testing.assert_close(gaussian_blur(spot, 5, 1.5)[0, 0, 2:7, 2:7], weights.outer(weights))
    flat = torch.full((1, 3, 9, 9), 0.3)
    torch.testing.assert_close(gaussian_blur(flat, 5, 1.5), flat)


def test_never_a_whole_frame_silently() -> None:
    with pytest.raises(ConfigError, match="needs boxes of people; set method=blackening"):
        build_anonymizer(AnonymizerConfig(name="blackening"))(torch.rand(1, 3, 8, 8))
    with pytest.raises(ConfigError, match="changes whole frames"):
        obfuscate_clips(build_anonymizer(AnonymizerConfig(name="identity")), torch.rand(1, 1, 3, 8, 8), torch.rand(1, 1, 1, 4))


def test_an_impossible_blur_is_refused_before_anything_starts() -> None:
    config = TrialConfig(method="weak_blur", options={"sigma": 0.0})
    small = {"action_classifier.weights": None, "evaluate_action.classifier.weights": None}
    with pytest.raises(ConfigError, match=r"options.sigma = 0.0: give a share of the frame's side"):
        check_weights(with_values(config, small))


# From the file to the pixels -----------------------------------------------------------------------------------------


def test_the_boxes_of_the_generated_data_hold_the_figure(tiny_data: Path) -> None:
    stills = load_stills(PrivacyData(), tiny_data).train
    boxes = read_boxes(tiny_data / "boxes.csv", every=1)
    boxes.require(stills, "stills")
    for still in stills:
        picture = read_image(still.path).astype(float)
        mask = people_mask(torch.from_numpy(boxes.at(still, [0])), 16, 16)[0, 0].numpy()
        room = np.median(picture[~mask], axis=0)
        assert abs(picture - room).max(axis=2)[~mask].max() < 40
        assert 0.05 < mask.mean() < 0.8


def test_worker_processes_change_no_box(blackening: TrialConfig, tiny_data: Path) -> None:
    data, clip = TrialData(blackening, tiny_data), blackening.clip
    boxes = data.boxes(blackening.obfuscation, "action_evaluation")
    samples = TrainingClips(data.action_evaluation.train, clip, 3, boxes=boxes)
    alone, helped = (list(Loader(samples, 8, True, workers).epoch(1)) for workers in (0, 1))
    assert len(alone) == len(helped) > 2
    for one, other in zip(alone, helped, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=0, atol=0, equal_nan=True)  # type: ignore[literal-required]
    assert alone[0]["boxes"].shape == (8, clip.frames, boxes.most, 4)
    assert "boxes" not in next(Loader(TrainingClips(data.action_evaluation.train, clip, 3), 8, True).epoch(1))


@pytest.mark.parametrize("training", [True, False])
def test_the_judges_see_no_pixel_of_a_person(blackening: TrialConfig, tiny_data: Path, tmp_path: Path, training: bool) -> None:
    """Clip after clip of a video, with the frames' own boxes: compared with each clip on its own."""
    context = stage_context("evaluate_action", resolved(blackening), tiny_data, tmp_path)
    videos, boxes, clip = context.data.action_evaluation.test, context.boxes("action_evaluation"), context.config.clip
    assert boxes is not None
    anonymizer = context.anonymizer("anonymizer")
    if training:
        batch = next(Loader(TrainingClips(videos, clip, 0, boxes=boxes), 6, False).epoch(0))
        view, black = context.anonymized_view(anonymizer, batch, training=True)
        moved = augment_boxes(batch["boxes"], batch["draws"][:, 0], context.config.augment)
    else:
        batch = next(Loader(EvaluationClips(videos, clip, 0, boxes=boxes), 6, False).epoch(0))
        view, black = context.anonymized_view(anonymizer, batch, clips=clip.test_clips)
        moved = centre_crop_boxes(batch["boxes"], context.config.augment)
        assert torch.equal(view, context.test_view(batch, clip.test_clips))
    frames = [people_mask(people[None], 16, 16)[0] for sample in moved for people in sample]
    mask = torch.stack(frames).unflatten(0, view.shape[:2])
    assert torch.equal(black, torch.where(mask, 0.0, view))
    assert 0.1 < mask.float().mean() < 0.9


def test_a_trial_hides_people_wherever_it_judges(blackening: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    config = with_values(blackening, {"evaluate_privacy.clips": True, "attacker": "raw"})
    record, outcomes = run(config, tiny_data, tmp_path)
    assert list(outcomes) == ["evaluate_action", "evaluate_privacy", "test_privacy", "evaluate_clip_privacy"]
    assert record.metrics["rms_distortion"] > 0.1
    assert {"top1", "cmap", "clip_cmap"} <= record.metrics.keys()


def test_boxes_are_part_of_the_keys_of_methods_that_use_them(blackening: TrialConfig, own_data: Path) -> None:
    raw = blackening.model_copy(update={"method": "raw"})
    first, first_raw = keys(blackening, own_data), keys(raw, own_data)
    for name, value in (("margin", 0.2), ("every", 2)):
        other = with_values(blackening, {f"obfuscation.{name}": value})
        assert not set(keys(other, own_data).values()) & set(first.values())
        assert keys(other.model_copy(update={"method": "raw"}), own_data) == first_raw
    boxes = own_data / "boxes.csv"
    content = boxes.read_bytes()
    boxes.write_bytes(content + b"another.avi,0,,,,\n")
    assert not set(keys(blackening, own_data).values()) & set(first.values())
    assert keys(raw, own_data) == first_raw
    boxes.unlink()
    assert keys(raw, own_data) == first_raw
    (own_data / "elsewhere").mkdir()
    (own_data / "elsewhere" / "people.csv").write_bytes(content)
    assert keys(with_values(blackening, {"obfuscation.boxes": "elsewhere/people.csv"}), own_data) == first


def test_an_attacker_trained_on_raw_images_is_that_of_the_raw_trial(blackening: TrialConfig, tiny_data: Path) -> None:
    attacked = with_values(blackening, {"attacker": "raw"})
    raw = keys(blackening.model_copy(update={"method": "raw"}), tiny_data)
    assert keys(attacked, tiny_data)["evaluate_privacy"] == raw["evaluate_privacy"]


def test_without_boxes_it_says_so_and_stops(blackening: TrialConfig, own_data: Path, tmp_path: Path) -> None:
    boxes = own_data / "boxes.csv"
    lines = boxes.read_text().splitlines(keepends=True)
    [first, second, *_] = dict.fromkeys(line.split(",")[0] for line in lines[1:])
    boxes.write_text("".join(line for line in lines if not line.startswith((first, second))))
    with pytest.raises(DataError, match=rf"boxes.csv: no row for 2 of 60 items of ucf101, first '{first}', '{second}'; add"):
        run(blackening, own_data, tmp_path / "out")
    boxes.write_text("".join([*lines[:-1], "half a row\n"]))
    with pytest.raises(DataError, match=rf"boxes.csv:{len(lines)}: 'half a row' is no box"):
        run(blackening, own_data, tmp_path / "out")
    boxes.unlink()
    with pytest.raises(DataError, match=r"no boxes of people, and this method changes people only: there is no \S+boxes.csv;"):
        run(blackening, own_data, tmp_path / "out")
    assert not list(tmp_path.glob("out/stages/*/*"))


def test_a_frame_that_nobody_looked_at_ends_the_stage(blackening: TrialConfig, own_data: Path, tmp_path: Path) -> None:
    """How long a video is shows when it is opened."""
    boxes = own_data / "boxes.csv"
    rows = boxes.read_text().splitlines(keepends=True)
    boxes.write_text("".join(row for row in rows if ".avi,9," not in row))
    with pytest.raises(DataError, match=r"boxes.csv: no row for frame 9 of '\w+/v_\w+.avi'; add its rows"):
        run(blackening, own_data, tmp_path / "out")
    found = read_boxes(boxes, every=2)
    assert found.at(load_stills(PrivacyData(), own_data).test[0], [0]).shape == (1, found.most, 4)


def test_stills_bring_the_boxes_of_their_image(blackening: TrialConfig, tiny_data: Path) -> None:
    data = TrialData(blackening, tiny_data)
    boxes = data.boxes(blackening.obfuscation, "privacy_evaluation")
    stills = data.privacy_evaluation.test
    batch = next(Loader(Stills(stills, blackening.clip, 0, boxes=boxes), 4, False).epoch(0))
    for still, found in zip(stills, batch["boxes"], strict=False):
        np.testing.assert_array_equal(found.numpy(), boxes.at(still, [0]))


# From a detector -----------------------------------------------------------------------------------------------------


def tiny_detector(name: str, field: str = "") -> nn.Module:
    """A Faster R-CNN of torchvision on a backbone of one layer."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU())
    backbone.out_channels = 8  # type: ignore[assignment]
    return FasterRCNN(
        backbone,
        num_classes=91,
        min_size=32,
        max_size=32,
        rpn_anchor_generator=AnchorGenerator(((8, 16),), ((1.0,),)),
        box_roi_pool=MultiScaleRoIAlign(["0"], output_size=2, sampling_ratio=1),
        rpn_post_nms_top_n_test=4,
    )


def sees_people(model: nn.Module) -> nn.Module:
    """Random weights, but for a head that takes everything for a person."""
    model.roi_heads.box_predictor.cls_score.bias.data[1] = 8.0  # type: ignore[union-attr, index]
    return model


@pytest.fixture
def detecting(blackening: TrialConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrialConfig:
    monkeypatch.setattr(detector, "new_detector", tiny_detector)
    torch.save(sees_people(tiny_detector("")).state_dict(), tmp_path / "detector.pt")
    source = {"detector": "fasterrcnn_resnet50_fpn", "detector_weights": str(tmp_path / "detector.pt"), "every": 6}
    return with_values(blackening, {f"obfuscation.{name}": value for name, value in source.items()})


def test_detections_are_made_once_and_used_by_every_method(detecting: TrialConfig, own_data: Path, tmp_path: Path) -> None:
    (own_data / "boxes.csv").unlink()
    first, outcomes = run(detecting, own_data, tmp_path)
    assert list(outcomes) == ["detect", "evaluate_action", "evaluate_privacy"]
    assert first.metrics["rms_distortion"] > 0.05
    assert any("people in 100.0% of the frames looked at of action_evaluation" in note for note in first.notes)
    state = outcomes["detect"].state
    assert set(state) == {"action_evaluation", "privacy_evaluation", "privacy_test", "clips_with_attributes"}
    assert len(state["action_evaluation"]["names"]) == 60
    assert state["action_evaluation"]["columns"]["frames"].tolist() == [0, 6] * 60
    second, _ = run(detecting.model_copy(update={"method": "weak_blur"}), own_data, tmp_path)
    assert second.reused == ("detect",)
    assert second.metrics["rms_distortion"] != first.metrics["rms_distortion"]
    grown, _ = run(with_values(detecting, {"obfuscation.margin": 0.5}), own_data, tmp_path)
    assert grown.reused == ("detect",)
    assert grown.metrics["rms_distortion"] > first.metrics["rms_distortion"]


def test_interrupted_detections_go_on_and_end_the_same(detecting: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    whole = run(detecting, tiny_data, tmp_path / "whole")[1]["detect"]
    runtime = Runtime(data_root=str(tiny_data), storage=str(tmp_path / "halves"), device="cpu")
    with pytest.raises(Stopped, match="detect: stopped after step 1 of epoch 0; saved"):
        run_trial(detecting, runtime, SilentReporter(), stop=lambda: True)
    halves = run(detecting, tiny_data, tmp_path / "halves")[1]["detect"]
    assert halves.history == whole.history
    for name, kept in whole.state.items():
        assert halves.state[name]["names"] == kept["names"]
        assert all(torch.equal(halves.state[name]["columns"][column], values) for column, values in kept["columns"].items())


def test_detections_depend_on_the_content_of_the_weights(detecting: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    first = keys(detecting, tiny_data)
    weights = Path(detecting.obfuscation.detector_weights or "")
    shutil.copy(weights, tmp_path / "same.pt")
    assert keys(with_values(detecting, {"obfuscation.detector_weights": str(tmp_path / "same.pt")}), tiny_data) == first
    weights.write_bytes(weights.read_bytes() + b"more")
    assert not set(keys(detecting, tiny_data).values()) & set(first.values())


def test_a_detector_of_torchvision_from_a_file_of_its_weights(tmp_path: Path) -> None:
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    torch.manual_seed(0)
    torch.save(sees_people(new_detector(name)).state_dict(), tmp_path / "detector.pt")
    settings = ObfuscationConfig(detector=name, detector_weights=str(tmp_path / "detector.pt"))
    [found] = PeopleDetector.of(settings, torch.device("cpu"))(np.zeros((1, 24, 32, 3), dtype=np.uint8))
    assert found
    assert all(0.0 <= x0 < x1 <= 1.0 and 0.0 <= y0 < y1 <= 1.0 for x0, y0, x1, y1 in found)


def test_a_wrong_detector_is_one_line_before_anything_starts(tiny_config: TrialConfig, tmp_path: Path) -> None:
    blackening = tiny_config.model_copy(update={"method": "blackening"})
    with pytest.raises(ConfigError, match="detector 'fcos_resnet50_fpn' without detector_weights finds nobody"):
        with_values(blackening, {"obfuscation.detector": "fcos_resnet50_fpn"})
    with pytest.raises(ConfigError, match="give one of them"):
        with_values(
            blackening, {"obfuscation.detector": "x", "obfuscation.boxes": "a.csv", "obfuscation.detector_weights": "y"}
        )
    torch.save({"head.weight": to_float(torch.zeros(1, dtype=torch.uint8))}, tmp_path / "other.pt")
    for name, weights, message in (
        ("yolo", "coco", r"obfuscation.detector = 'yolo': no such detector; there are: fasterrcnn_resnet50_fpn, "),
        ("ssdlite320_mobilenet_v3_large", "nowhere.pt", r"obfuscation.detector_weights = 'nowhere.pt': no such file"),
        ("ssdlite320_mobilenet_v3_large", str(tmp_path / "other.pt"), r"does not fit ssdlite320\w+: \d+ missing .*=coco$"),
    ):
        config = with_values(blackening, {"obfuscation.detector": name, "obfuscation.detector_weights": weights})
        with pytest.raises(ConfigError, match=message):
            check_weights(config)
        check_weights(config.model_copy(update={"method": "raw"}))
