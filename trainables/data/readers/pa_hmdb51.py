"""PA-HMDB51: 515 videos of HMDB51 with private attributes labelled frame by frame; both data sets must be under the root.

Actions: train on a split of HMDB51 without any of the 515, test on the 515. Privacy: frames of the 515, for testing only.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from trainables.config import ActionData, PrivacyData
from trainables.data.items import DataError, Still, StillSplits, VideoSplits
from trainables.data.readers import hmdb51
from trainables.data.readers.common import (
    ListEntry,
    nearest,
    refuse,
    refuse_attributes,
    refuse_unknown,
    refuse_unusable,
)
from trainables.data.readers.pa_annotations import ATTRIBUTES, Annotation, frame_labels, read_annotations
from trainables.data.readers.places import find_folder
from trainables.data.registry import STILL_SETS, VIDEO_SETS
from trainables.data.validation import hold_out_validation

FRAME_STEP = 16  # of the labelled frames of a video, every 16th is a still: neighbours are nearly the same image


@VIDEO_SETS.register("pa_hmdb51")
def pa_hmdb51_videos(config: ActionData, root: Path) -> VideoSplits:
    """Training videos of HMDB51 without those of PA-HMDB51 (unless `train_on_pa_hmdb51`), which are the test videos."""
    refuse_attributes(config.attributes, config.name)
    annotations = read_annotations(root)
    paths = _video_paths(root, annotations)
    splits = hmdb51.read_splits(config, root)
    refuse(
        [
            f"{annotation.where}: class {annotation.label_class!r} is not in the lists of HMDB51"
            f" ({nearest(annotation.label_class, splits.classes)})"
            for annotation in annotations
            if annotation.label_class not in splits.classes
        ],
        "name the label files after HMDB51's classes",
    )
    test = tuple(hmdb51.make_video(annotation.name, paths, splits.classes) for annotation in annotations)
    return hold_out_validation(dataclasses.replace(splits, test=test), config.validation_fraction)


@STILL_SETS.register("pa_hmdb51")
def pa_hmdb51_stills(config: PrivacyData, root: Path) -> StillSplits:
    """Every FRAME_STEP-th labelled frame of the PA-HMDB51 videos as test stills; there is nothing to train on."""
    annotations = read_annotations(root)
    paths = _video_paths(root, annotations)
    wanted = ATTRIBUTES if config.attributes == "auto" else config.attributes
    if isinstance(wanted, str):
        raise DataError(f"pa_hmdb51 has no attributes {wanted!r}; write auto or a list of {', '.join(ATTRIBUTES)}")
    refuse_unknown(wanted, ATTRIBUTES, "pa_hmdb51")
    columns = [ATTRIBUTES.index(name) for name in wanted]
    stills = []
    for annotation in annotations:
        labels = frame_labels(annotation)
        for frame in list(labels)[::FRAME_STEP]:
            row = tuple(labels[frame][column] for column in columns)
            name = f"{annotation.name}#{frame}"
            stills.append(Still(name, paths[annotation.name], row, hmdb51.source(annotation.name), frame))
    return StillSplits(config.name, tuple(wanted), (), (), tuple(stills))


def _video_paths(root: Path, annotations: list[Annotation]) -> dict[str, Path]:
    """The file of every annotated video by its name. The absence of HMDB51 beside label files is no mere "not there"."""
    folder = find_folder(root, hmdb51.VIDEO_FOLDERS)
    if folder is None:
        places = " or ".join(str(root / name) for name in hmdb51.VIDEO_FOLDERS)
        raise DataError(f"{root}: the labels of PA-HMDB51 are there, the videos of HMDB51 are not; put them at {places}")
    return refuse_unusable(folder, [ListEntry(annotation.name, annotation.where) for annotation in annotations])
