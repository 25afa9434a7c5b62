"""The paper's figures from a study: files that show something, and say what they do not show."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.__main__ import main
from analysis.paper.figures import figure_3, figure_5, frames
from analysis.read.study import RecordedStudy
from tests.support.fake_studies import FakeTrial, frames_png, metrics

Maker = Callable[..., RecordedStudy]


def two_rows(above: int, below: int) -> bytes:
    """A picture with raw frames of one grey above anonymized ones of another."""
    pixels = np.full((64, 256, 3), above, dtype=np.uint8)
    pixels[32:] = below
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(("which", "name"), [("3", "figure3"), ("5", "figure5"), ("frames", "frames")])
def test_files_exist_and_are_not_blank(
    store: str, tmp_path: Path, which: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["figures", "--figure", which, "--space", "ablation_B", "--tracking-uri", store, "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}_ablation_B.generated.{end}" for end in ("png", "svg")}
    with Image.open(tmp_path / f"{name}_ablation_B.generated.png") as image:
        assert image.width > 1000
        assert np.asarray(image.convert("L")).std() > 5
    said = capsys.readouterr().out
    assert {"3": "the paper's points", "5": "no loss curves: B=1 lambda=1", "frames": "no frames: B=1 lambda=1"}[which] in said


def test_figure_3_holds_ours_the_papers_and_both_chances(study: RecordedStudy) -> None:
    (drawn,) = figure_3(study)
    top1, cmap = drawn.figure.axes
    ours = top1.containers[0].lines[0]
    assert ours.get_xdata().tolist() == [0.0, 0.3, 0.5, 0.9, 1.0]
    (paper,) = (line for line in cmap.lines if line.get_marker() == "D")
    assert paper.get_xdata() == pytest.approx([0.3, 0.5, 0.7, 0.9])
    assert paper.get_ydata() == pytest.approx([57.56, 58.04, 57.1, 57.17])
    levels = {round(float(line.get_ydata()[0]), 1) for line in cmap.lines if line.get_linestyle() == ":"}
    assert levels == {50.0, 24.8}
    low, high = cmap.get_ylim()
    assert low < 24.8
    assert high > 58.04


def test_figure_5_turns_the_page_after_six_settings(make_study: Maker) -> None:
    trials = [FakeTrial(f"B={n}", metrics=metrics(0.9, 0.5), curves=True) for n in range(7)]
    first, second = figure_5(make_study(trials))
    assert len(first.figure.axes) == 3
    assert [len(drawn.figure.axes[0].lines) for drawn in (first, second)] == [6, 1]
    assert second.name.endswith("_2")


def test_raw_frames_stand_once_above_those_tested_on_the_same_videos(make_study: Maker) -> None:
    trials = [
        FakeTrial("raw", "raw", metrics=metrics(0.9, 0.5), frames=two_rows(200, 200)),
        FakeTrial("a", metrics=metrics(0.9, 0.5), frames=two_rows(200, 50)),
        FakeTrial("b", metrics=metrics(0.9, 0.5), frames=two_rows(90, 20)),
        FakeTrial("c", metrics=metrics(0.9, 0.5), frames=b"no image"),
        FakeTrial("d", metrics=metrics(0.9, 0.5)),
    ]
    (drawn,) = frames(make_study(trials))
    assert [text.get_text() for text in drawn.figure.texts] == ["raw", "a", "raw", "b"]
    assert [int(axes.images[0].get_array()[0, 0, 0]) for axes in drawn.figure.axes] == [200, 50, 90, 20]
    assert drawn.notes == ("no frames: c, d",)


def test_what_cannot_be_drawn_is_one_line(make_study: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uri = make_study([FakeTrial("a", metrics=metrics(0.9, 0.5), frames=frames_png())]).tracking_uri
    (tmp_path / "file").write_text("")
    for figure, out, expected in (
        ("9", "out", "no figure '9'; give one of 3, 5, frames"),
        ("3", "out", "nothing for figure 3: no two settings"),
        ("5", "out", "nothing for figure 5: no finished trial with loss curves"),
        ("frames", "file", "give another --out"),
    ):
        assert main(["figures", "--figure", figure, "--space", "toy", "--tracking-uri", uri, "--out", str(tmp_path / out)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert expected in line
