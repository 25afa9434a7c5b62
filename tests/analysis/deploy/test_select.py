"""Which setting a rule chooses, what is told of it, and the model registry."""

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from analysis.__main__ import main
from analysis.deploy import register
from analysis.deploy.anonymizers import refuse_other_than_frames
from analysis.deploy.choice_text import choice_text
from analysis.deploy.export import checked_onnx
from analysis.deploy.exportable import UNTRAINED, refusal
from analysis.deploy.load import load_model
from analysis.deploy.select import Choice, choose, median_trial, parse_constraint, parse_rule
from analysis.read.store import AnalysisError
from analysis.read.study import RecordedStudy, read_study
from tests.support.fake_studies import FakeTrial, metrics, on_clips, write_study
from trainables.config import AnonymizerConfig
from trainables.methods import METHODS
from trainables.models.anonymizers import build_anonymizer

Maker = Callable[..., RecordedStudy]
NARROW = AnonymizerConfig(encoder="narrow", depth=2, decoder_channels=(8, 4))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def trials_of(points: dict[str, tuple[float, float]], seeds: int = 3, wobble: float = 0.0) -> list[FakeTrial]:
    """Settings at (top1, leakage), their seeds apart by `wobble` in leakage; raw at (0.95, 0.8)."""
    made = []
    for label, (top1, leakage) in {"raw": (0.95, 0.8), **points}.items():
        method = "raw" if label == "raw" else "penalty"
        values = {} if label == "raw" else {"minimax.distortion_budget": 0.1 + 0.01 * list(points).index(label)}
        for seed in range(seeds):
            made.append(FakeTrial(label, method, seed, metrics(top1, leakage + wobble * (seed - 1)), values))
    return made


@pytest.fixture(scope="module")
def front(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> RecordedStudy:
    """Settings of FRONT that tests only read."""
    folder = tmp_path_factory.mktemp("front")
    shutil.copy(empty_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    write_study(uri, folder / "artifacts", "toy", "small", trials_of(FRONT))
    return read_study("toy", "small", uri)


FRONT = {"a": (0.90, 0.6), "b": (0.88, 0.3), "c": (0.60, 0.1), "d": (0.70, 0.5)}


def chosen(
    study: RecordedStudy, at_most: Sequence[str] = (), at_least: Sequence[str] = (), prefer: str | None = "top1"
) -> Choice:
    return choose(study, parse_rule(at_most, at_least, prefer, prefer is None))


@pytest.mark.parametrize(
    ("at_most", "at_least", "prefer", "expected"),
    [
        (["leakage=0.35"], [], "top1", "b"),
        (["leakage=35%"], [], "top1", "b"),
        (["leakage=10%"], [], "top1", "c"),
        ([], ["top1=0.65"], "leakage", "b"),
        ([], ["top1=89%"], "leakage", "a"),
        (["leakage=0.7", "cmap=0.76"], ["top1=0.65"], "top1", "b"),
        ([], [], "top1", "a"),
        ([], [], "leakage", "c"),
        ([], [], None, "b"),
        (["leakage=0.55"], ["top1=0.65"], "leakage", "b"),
    ],
)
def test_rules(front: RecordedStudy, at_most: list[str], at_least: list[str], prefer: str | None, expected: str) -> None:
    assert chosen(front, at_most, at_least, prefer).setting["label"] == expected


def test_raw_is_never_chosen(make_study: Maker) -> None:
    choice = chosen(make_study(trials_of({"a": (0.9, 0.6)})), prefer="top1")
    assert choice.setting["label"] == "a"
    assert "against raw" in choice_text(choice)


def test_text_says_why_what_it_costs_and_how_sure(make_study: Maker) -> None:
    choice = chosen(make_study(trials_of(FRONT, wobble=0.1), profile="generated"), ["leakage=0.32"])
    text = choice_text(choice)
    assert text.startswith("toy.generated: b\n")
    assert "highest top-1 accuracy of the 2 of 4 settings with leakage above chance at most 32.0 %" in text
    assert "leakage above chance 30.0 ± 24.8 % (n = 3)" in text
    assert "−2.0 ± 0.0 points (n = 3, paired by seed) top-1 accuracy against a, the highest on validation data" in text
    assert "on test data met by 2 of 3 seeds; the 95 % interval reaches 54.8 %, beyond it: unsure" in text
    assert "each seed alone chooses it in 2 of 3 cases (seed 2: c)" in text
    assert [run_id in text for run_id in choice.trials.index] == [True] * 3
    assert "generated data" in text


def test_the_best_gives_up_nothing(make_study: Maker) -> None:
    text = choice_text(chosen(make_study(trials_of({"a": (0.9, 0.2), "b": (0.8, 0.3)}))))
    assert "nothing in top-1 accuracy: it has the highest" in text
    assert "nothing in leakage above chance: it has the lowest" in text


def test_nothing_meets_it_names_the_nearest(front: RecordedStudy) -> None:
    with pytest.raises(AnalysisError) as caught:
        chosen(front, ["leakage=0.05"])
    assert str(caught.value) == (
        "no setting of toy.small meets leakage above chance at most 5.0 % on validation data:"
        " nearest is c with 10.0 ± 0.0 % (n = 3), 5.0 points too much"
    )


def test_nearest_of_two_bounds(front: RecordedStudy) -> None:
    with pytest.raises(AnalysisError, match=r"nearest is b with 30\.0 ± 0\.0 % \(n = 3\), 5\.0 points too much$"):
        chosen(front, ["leakage=0.25"], ["top1=0.85"])


def test_one_seed_says_so(make_study: Maker) -> None:
    text = choice_text(chosen(make_study(trials_of(FRONT, seeds=1)), ["leakage=0.4"]))
    over = "on test data met by 1 of 1 seeds, 26.0 to 34.0 % over test items"
    assert f"{over}; one seed has no interval over seeds, it may be chance" in text
    assert "30.0 % (n = 1)" in text
    assert "(n = 1: it may be chance)" in text
    assert "nan" not in text


def test_ties_are_parted_by_the_other_metric_and_said(make_study: Maker) -> None:
    choice = chosen(make_study(trials_of({"x": (0.9, 0.5), "y": (0.9, 0.3), "z": (0.9, 0.4)})))
    assert (choice.setting["label"], choice.tied) == ("y", ("x", "z"))
    assert "as good there: x, z" in choice_text(choice)


def test_settings_without_the_metric_are_no_choice(make_study: Maker) -> None:
    trials = trials_of({"a": (0.9, 0.5)}) + [
        FakeTrial("nan", seed=seed, metrics=metrics(math.nan, 0.1), values={"minimax.distortion_budget": 0.9})
        for seed in range(3)
    ]
    choice = chosen(make_study(trials), prefer="leakage")
    assert choice.setting["label"] == "a"
    assert len(choice.candidates) == 1
    with pytest.raises(AnalysisError, match="no trial has validation_clip_leakage, the figures to choose by"):
        chosen(choice.study, ["clip_leakage=0.5"])


def test_a_seed_without_a_figure_does_not_count(make_study: Maker) -> None:
    trials = trials_of({"a": (0.9, 0.3)})
    trials[-1].metrics = {**(trials[-1].metrics or {}), "leakage": math.nan}
    text = choice_text(chosen(make_study(trials), ["leakage=0.4"]))
    assert "met by 2 of 2 seeds" in text
    assert "leakage unknown" in text


@pytest.mark.parametrize("points", [{"a": (0.9, 0.5), "b": (0.8, 0.3)}, {"a": (0.9, 0.5), "b": (0.7, 0.45), "c": (0.6, 0.1)}])
def test_no_knee_is_an_error(make_study: Maker, points: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(AnalysisError, match=r"has no knee: .*a.*; give --prefer"):
        chosen(make_study(trials_of(points)), prefer=None)


def test_protocols_are_not_mixed(make_study: Maker) -> None:
    trials = trials_of({"a": (0.9, 0.5)})
    other = trials_of({"b": (0.8, 0.3)})
    for trial in other:
        trial.values = {**trial.values, "clip.frames": 8}
        trial.label += "8"
    for trial, protocol in [(trial, "one") for trial in trials] + [(trial, "two") for trial in other]:
        trial.protocol = protocol
    study = make_study(trials + other)
    with pytest.raises(AnalysisError, match=r"2 protocols; choose one: --protocol one \| two"):
        chosen(study)
    rule = parse_rule([], [], "top1", False)
    assert choose(study, rule, protocol="two").setting["label"] == "b8"
    assert choose(study, rule, where=["clip.frames=8"]).setting["label"] == "b8"
    assert choose(study, rule, where=["clip.frames= 8.0"]).setting["label"] == "b8", (
        "a number is a number however it is written"
    )
    with pytest.raises(AnalysisError, match=r"give FIELD=VALUE, such as clip\.frames="):
        choose(study, rule, where=["clip.frames"])
    with pytest.raises(AnalysisError, match="there are: one, two"):
        choose(study, rule, protocol="three")
    with pytest.raises(AnalysisError, match=r"nearest field: clip\.frames"):
        choose(study, rule, where=["clip.frame=8"])


def test_what_is_gained_is_no_loss(make_study: Maker) -> None:
    """`a` has less of top-1 than `b` on validation data, by which the best is named, and more on test data."""
    trials = trials_of({"a": (0.9, 0.2), "b": (0.8, 0.3)})
    validation = {"raw": 0.95, "a": 0.82, "b": 0.85}
    for trial in trials:
        trial.metrics = {**(trial.metrics or {}), "validation_top1": validation[trial.label]}
    said = choice_text(chosen(make_study(trials), prefer="leakage"))
    assert "  gains      +10.0 ± 0.0 points" in said
    assert "  gives up   nothing in leakage" in said
    assert "  changes    −5.0 ± 0.0 points" in said


@pytest.mark.parametrize(("top1", "remarked"), [(0.5, True), (0.6, False)])
def test_little_utility_is_remarked_on(make_study: Maker, top1: float, remarked: bool) -> None:
    """Raw is at 0.95 and guessing at 0.1: 0.5 is 47 % of the way."""
    said = choice_text(chosen(make_study(trials_of({"a": (top1, 0.1)}))))
    assert ("remark     of what raw video is good for beyond guessing 47 % is left" in said) is remarked


def test_median_trial(make_study: Maker) -> None:
    choice = chosen(make_study(trials_of({"a": (0.9, 0.3)}, wobble=0.1)), prefer="leakage")
    assert choice.trials.loc[median_trial(choice), "seed"] == 1
    even = chosen(make_study(trials_of({"a": (0.9, 0.3)}, seeds=2, wobble=0.1), space="even"), prefer="leakage")
    assert even.trials.loc[median_trial(even), "leakage"] == pytest.approx(0.3)  # the worse of two


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("leakge=0.2", r"nearest: leakage"),
        ("leakage", r"give METRIC=VALUE"),
        ("leakage=much", r"is no number"),
        ("leakage=nan", r"is no number"),
        ("leakage=20", r"for 20 per cent give leakage=20%"),
        ("leakage=150%", r"a share is 100 % at most"),
        ("leakage=150", r"a share is 100 % at most"),
    ],
)
def test_wrong_constraints(text: str, message: str) -> None:
    with pytest.raises(AnalysisError, match=message) as caught:
        parse_constraint(text, at_most=True)
    assert "\n" not in str(caught.value)


def test_seconds_are_no_share() -> None:
    assert parse_constraint("seconds=3600", at_most=True).value == 3600


@pytest.mark.parametrize(("prefer", "knee"), [(None, False), ("top1", True), ("rms_distortion", False), ("top11", False)])
def test_wrong_rules(prefer: str | None, knee: bool) -> None:
    with pytest.raises(AnalysisError):
        parse_rule([], [], prefer, knee)


def test_command(front: RecordedStudy, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["select", "--space", "toy", "--tracking-uri", front.tracking_uri]
    assert main([*command, "--max", "leakage=0.35", "--prefer", "top1"]) == 0
    assert capsys.readouterr().out.startswith("toy.small: b\n")
    assert main([*command, "--max", "leakage=0.01", "--prefer", "top1"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1


def test_registered_model_loads_and_runs(
    make_study: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    trials = trials_of({"a": (0.9, 0.3)}, wobble=0.1)
    for trial in trials:
        trial.record = json.dumps({"fingerprints": {"action": "abc", "privacy": "def"}})
    study = make_study(trials)
    client = MlflowClient(tracking_uri=study.tracking_uri, registry_uri=study.tracking_uri)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    networks = {}
    for run_id, seed in study.trials["seed"].items():
        torch.manual_seed(int(seed))
        networks[str(run_id)] = build_anonymizer(NARROW).eval()
        file = tmp_path / "anonymizer.pt"
        torch.save({"config": NARROW.model_dump(mode="json"), "state_dict": networks[str(run_id)].state_dict()}, file)
        client.log_artifact(str(run_id), str(file), "anonymizer")
    command = ["select", "--space", "toy", "--tracking-uri", study.tracking_uri, "--prefer", "leakage", "--max", "leakage=0.35"]
    made: list[Any] = []  # the second version is of the same model, which takes seconds to make
    monkeypatch.setattr(register, "checked_onnx", lambda given: (made or [made.append(checked_onnx(given)), *made])[-1])
    assert main([*command, "--register", "camera"]) == 0
    assert main([*command, "--register", "camera"]) == 0
    said = capsys.readouterr().out
    run_id = median_trial(chosen(study, ["leakage=0.35"], prefer="leakage"))
    assert f"registered models:/camera/1: seed 1, run {run_id}" in said
    assert "registered models:/camera/2" in said
    assert "frames of any size" in said

    version = client.get_model_version("camera", "1")
    assert version.run_id == run_id
    assert (version.tags["data.action"], version.tags["data.privacy"]) == ("abc", "def")
    assert version.tags["setting.leakage"] == "30.0 ± 24.8 % (n = 3)"
    assert float(version.tags["trial.leakage"]) == pytest.approx(0.3)
    assert "toy.small: a" in (version.description or "")
    assert client.get_run(run_id).info.status == "FINISHED"

    ours = load_model("models:/camera/1", study.tracking_uri)
    newest = load_model("models:/camera/2", study.tracking_uri).digest
    assert load_model("models:/camera/latest", study.tracking_uri).digest == newest
    with pytest.raises(AnalysisError, match="no model models:/camera/9"):
        load_model("models:/camera/9", study.tracking_uri)
    assert not list(elsewhere.iterdir())  # no store of the process's own is made or read

    monkeypatch.setenv("MLFLOW_TRACKING_URI", study.tracking_uri)
    model = mlflow.pyfunc.load_model("models:/camera/1")
    frames = np.random.default_rng(0).random((2, 3, 37, 51), dtype=np.float32)
    with torch.inference_mode():
        expected = networks[run_id](torch.from_numpy(frames)).numpy()
    for given in ({"frames": frames}, frames):
        np.testing.assert_allclose(model.predict(given)["anonymized"], expected, rtol=0, atol=1e-4)
    assert [spec.shape for spec in model.metadata.signature.inputs.inputs] == [(-1, 3, -1, -1)]

    np.testing.assert_allclose(ours(frames), expected, rtol=0, atol=1e-4)


def test_a_run_without_an_anonymizer_is_not_registered(make_study: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    uri = make_study(trials_of({"a": (0.9, 0.3)})).tracking_uri
    assert main(["select", "--space", "toy", "--tracking-uri", uri, "--prefer", "top1", "--register", "camera"]) == 2
    assert "has no anonymizer/anonymizer.json" in capsys.readouterr().err
    assert MlflowClient(tracking_uri=uri, registry_uri=uri).search_registered_models() == []


def test_what_cannot_be_exported_is_not_chosen_and_the_choice_says_why(empty_store: Path, tmp_path: Path) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    better = {"blackening": "blackening", "stprivacy": "tubelets", "blank": "blank"}
    trials = trials_of(FRONT)
    for method, anonymizer in better.items():  # each beats every other setting
        values = {"anonymizer.name": anonymizer}
        trials += [FakeTrial(method, method, seed, metrics(0.99, 0.01), values) for seed in range(3)]
    write_study(uri, tmp_path / "artifacts", "toy", "small", trials)
    found = choose(read_study("toy", "small", uri), parse_rule((), (), "top1", False))
    assert found.setting["label"] == "a"
    assert set(found.kept_out) == set(better)
    said = choice_text(found)
    assert "blackening: needs boxes of people" in said
    assert "stprivacy: needs whole clips, and not a few frames before each" in said
    assert "blank: stores no anonymizer" in said


def test_differences_of_frames_are_not_chosen_by_what_is_read_of_images(make_study: Maker) -> None:
    values = {"anonymizer.name": "difference"}
    more = [FakeTrial("d", "grey_difference", seed, metrics(0.99, 0.0) | on_clips(0.5), values) for seed in range(3)]
    plain = [replace(trial, metrics={**(trial.metrics or {}), **on_clips(0.6)}) for trial in trials_of(FRONT)]
    study = make_study([*plain, *more])
    by_images = choose(study, parse_rule((), (), "leakage", False))
    assert by_images.setting["method"] == "penalty"
    assert len(by_images.kept_out) == 1
    assert ": show nothing in a single image, which leakage is of (choose by clip_leakage)" in choice_text(by_images)
    assert choose(study, parse_rule((), (), "clip_leakage", False)).setting["method"] == "grey_difference"


def test_refusals_are_those_of_export() -> None:
    """What is refused by its name is what `export` refuses when it has built the network, and nothing else."""
    for method in METHODS:
        declared = METHODS[method]
        if declared.given:  # what is in its file was exported elsewhere
            assert refusal(method), method
            continue
        name = declared.fixed.get("anonymizer.name", AnonymizerConfig().name)
        said = ""
        try:
            refuse_other_than_frames(build_anonymizer(NARROW.model_copy(update={"name": name})), name)
        except AnalysisError as error:
            said = str(error).removeprefix(f"the anonymizer {name} ")
        stored = declared.anonymizer is not None or method in UNTRAINED
        assert refusal(method) == said if said else bool(refusal(method)) != stored, method
