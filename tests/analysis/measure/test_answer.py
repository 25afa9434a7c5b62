"""The setting that the answer of a report is about."""

from __future__ import annotations

from collections.abc import Callable

from analysis.measure.answer import answer, headline
from analysis.measure.plane import Plane
from analysis.measure.settings import settings_table
from analysis.measure.warnings import warnings_of
from analysis.read.study import RecordedStudy
from tests.support.fake_studies import FakeTrial, metrics, on_clips


def test_it_is_the_most_private_of_those_near_raw_or_else_the_most_useful(make_study: Callable[..., RecordedStudy]) -> None:
    figures = {
        "raw": (0.90, 0.50),
        "a": (0.89, 0.40),
        "b": (0.87, 0.20),
        "c": (0.86, 0.30),
        "d": (0.70, 0.01),
        "e": (0.80, 0.10),
    }
    trials = [
        FakeTrial(label, "raw" if label == "raw" else "penalty", metrics=metrics(*pair), values={"minimax.epochs": number})
        for number, (label, pair) in enumerate(figures.items())
    ]
    settings = settings_table(make_study(trials).trials)
    found = headline(settings)
    assert found is not None
    assert found["label"] == "b", "d and e have lost more than five points"
    far = headline(settings[~settings["label"].isin(["a", "b", "c"])])
    assert far is not None
    assert far["label"] == "e"


def test_differences_of_frames_are_not_judged_by_single_images(make_study: Callable[..., RecordedStudy]) -> None:
    """An image is grey to them, whatever their videos show: no leakage of images, though 0, makes them an answer or a front."""
    read = {"raw": (0.5, 0.6), "penalty": (0.3, 0.5), "grey_difference": (0.0, 0.4), "window": (0.0, 0.45)}
    values = {
        "grey_difference": {"anonymizer.name": "difference"},
        "window": {"anonymizer.target": "difference", "anonymizer.window": 2},
    }
    trials = [
        FakeTrial(
            name,
            name if name in ("raw", "grey_difference") else "penalty",
            seed,
            metrics(0.9, image) | on_clips(clip),
            {"anonymizer.name": "unetpp", "anonymizer.target": "frame", "minimax.epochs": number} | values.get(name, {}),
        )
        for number, (name, (image, clip)) in enumerate(read.items())
        for seed in range(3)
    ]
    study = make_study(trials)
    settings, clips = settings_table(study.trials), Plane(privacy="clip_leakage")
    best, of_clips = headline(settings), headline(settings_table(study.trials, clips), clips)
    assert (best is not None and best["label"], of_clips is not None and of_clips["label"]) == ("penalty", "grey_difference")
    assert set(settings.loc[settings["on_front"], "label"]) == {"penalty"}
    (said,) = (line for line in warnings_of(study, settings) if "a single image shows nothing" in line)
    assert "grey_difference" in said
    assert "window" in said
    assert "--privacy clip_leakage" in said
    assert not [line for line in warnings_of(study, settings, clips) if "single image" in line]
    alone = settings[settings["label"].isin(["raw", "grey_difference"])]
    assert headline(alone) is None
    assert "Images show nothing of any anonymized setting" in answer(alone)[1]
