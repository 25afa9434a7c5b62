"""`audit`: a model from elsewhere gets a study of its own, and the page of that."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from analysis.__main__ import main
from analysis.audit import Audit, audit, data_settings, run_study, study_arguments
from analysis.read.store import AnalysisError
from search_spaces.plan import plan_study
from study.options import read_options
from tests.support.fake_studies import FakeTrial, metrics, write_study
from tests.support.tiny_onnx import write_onnx


def test_the_study_it_runs_is_raw_video_beside_the_model(tmp_path: Path) -> None:
    model = write_onnx(tmp_path / "model.onnx")
    (tmp_path / "data" / "videos").mkdir(parents=True)
    asked = Audit(tmp_path / "out", model, data_root=tmp_path / "data", seeds="2", settings=("clip.size=16",))
    options = read_options(study_arguments(asked))
    assert options.space is not None
    plan = plan_study(options.space, options.profile, options.seeds, options.overrides)
    assert [trial.config.method for trial in plan.trials] == ["raw", "given", "raw", "given"]
    config = plan.trials[1].config
    assert config.anonymizer.weights == str(model)
    assert config.attacks.names == ("standard",)
    assert (config.data.action.name, config.data.privacy.name) == ("folders", "frames_of_clips")
    assert config.clip.size == 16
    assert options.places.stages_at == str(tmp_path / "out" / "stages")

    options = read_options(study_arguments(Audit(tmp_path / "out", videos=tmp_path, data_root=tmp_path / "data")))
    assert options.space is not None
    plan = plan_study(options.space, options.profile, options.seeds, options.overrides)
    assert [trial.config.method for trial in plan.trials] == ["raw", "given_videos"]
    assert plan.trials[1].config.data.anonymized == str(tmp_path)
    assert plan.trials[1].config.data.privacy.name == "frames_of_clips"


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        (("clips.csv",), ("clips", "frames_of_clips")),
        (("videos", "images"), ("folders", "folders")),
        (("videos",), ("folders", "frames_of_clips")),
        (("UCF-101", "VISPR"), ("ucf101", "vispr")),
    ],
)
def test_the_layout_of_the_data_is_found_out(tmp_path: Path, there: tuple[str, ...], wanted: tuple[str, str]) -> None:
    for name in there:
        (tmp_path / name).mkdir()
    assert data_settings(tmp_path, None) == [f"data.action.name={wanted[0]}", f"data.privacy.name={wanted[1]}"]


def test_the_page_is_that_of_the_given_model(tmp_path: Path, empty_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_onnx(tmp_path / "model.onnx")
    asked = Audit(tmp_path / "out", model, profile="generated")

    def study(arguments: Sequence[str]) -> int:
        shutil.copy(empty_store, tmp_path / "out" / "mlflow.db")
        record = '{"notes": ["not trained here: model.onnx, SHA-256 12ab"]}'
        trials = [
            FakeTrial("raw", "raw", metrics=metrics(0.9, 0.8)),
            FakeTrial("given", "given", metrics=metrics(0.7, 0.4), record=record, values={"data.action.name": "ucf101"}),
        ]
        write_study(asked.tracking_uri, tmp_path / "out" / "artifacts", "audit", "generated", trials)
        return 0

    assert audit(asked, study) == 0
    said = capsys.readouterr().out
    assert "was not trained here" in said
    assert "trained once" not in said
    page = (tmp_path / "out" / "evidence.html").read_text()
    assert "model.onnx, SHA-256 12ab" in page
    assert "Trained on videos" not in page
    assert "Attackers were trained and tested on data in the layout ucf101" in page


def test_a_study_that_did_not_finish_gives_its_exit_code_and_no_page(tmp_path: Path) -> None:
    asked = Audit(tmp_path / "out", write_onnx(tmp_path / "model.onnx"), profile="generated")
    assert audit(asked, lambda arguments: 1) == 1
    assert not (tmp_path / "out" / "evidence.html").exists()


def test_bad_input_is_one_line_before_anything_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, out = write_onnx(tmp_path / "model.onnx"), ["--out", str(tmp_path / "out")]
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    (tmp_path / "empty").mkdir()
    for options, says in (
        (["--model", str(tmp_path / "nothing.onnx"), "--profile", "generated"], "no such file"),
        (["--model", str(broken), "--profile", "generated"], "no ONNX model"),
        (["--model", str(model)], "give the data"),
        (["--model", str(model), "--data-root", str(tmp_path), "--profile", "generated"], "not both"),
        (["--model", str(model), "--data-root", str(tmp_path / "nowhere")], "no such directory"),
        (["--model", str(model), "--data-root", str(tmp_path / "empty")], "neither clips.csv nor videos"),
        (["--videos", str(tmp_path / "nowhere"), "--originals", str(tmp_path)], "no such directory"),
        (["--videos", str(tmp_path / "empty"), "--profile", "generated"], "nobody has anonymized them"),
    ):
        assert main(["audit", *options, *out]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
        assert not (tmp_path / "out").exists()
    with pytest.raises(AnalysisError):
        study_arguments(Audit(model, model, profile="generated"))


STUDY = """
import signal, sys, time
from pathlib import Path
from types import SimpleNamespace

def save(number, frame):
    Path(sys.argv[1], "saved").touch()
    sys.exit(7)

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, save)
Path(sys.argv[1], "runs").touch()
while True:
    time.sleep(0.05)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_ends_an_audit_ends_its_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    script = tmp_path / "run.py"
    script.write_text(STUDY)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: SimpleNamespace(origin=str(script)))
    before = signal.signal(number, signal.default_int_handler)

    def end() -> None:
        while not (tmp_path / "runs").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    try:
        threading.Thread(target=end).start()
        assert run_study([str(tmp_path)]) == 7
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    assert (tmp_path / "saved").exists()
