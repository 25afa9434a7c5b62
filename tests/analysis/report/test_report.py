"""The page, the command, and the page in a browser."""

import html
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.text import Text
from mlflow import MlflowClient
from PIL import Image

from analysis.measure.plane import Plane, scale
from analysis.measure.settings import settings_table
from analysis.read.artifacts import read_curves
from analysis.read.study import RecordedStudy, read_study
from analysis.report import drawing, losses, sweeps
from analysis.report.front import front_text
from analysis.report.front_figure import front_figure
from analysis.report.report import write_report
from analysis.report.table_of_settings import settings_text
from study.schedule.usage import Usage
from tests.support import ROOT
from tests.support.fake_studies import FakeTrial, frames_png, metrics, on_clips, planned_trials
from trainables.schema import GPU_HOURS, STUDY_RUN, TAG_KIND

Maker = Callable[..., RecordedStudy]


class Structure(HTMLParser):
    """Collects what a test asks of a page: ids, headings, what it loads, the text a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self._hidden = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._hidden += tag in ("style", "script")
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("src", "srcset", "href", "xlink:href", "action") and value:
                self.loads.append(value)

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "script")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="session")
def report(study: RecordedStudy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(study, tmp_path_factory.mktemp("report"))


def written(study: RecordedStudy, folder: Path, plane: Plane | None = None) -> Structure:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "save", lambda *given: None)  # files of figures take as long as the page
        return Structure(write_report(study, folder / "out", plane or Plane()).read_text())


def test_files(report: Path, study: RecordedStudy) -> None:
    tables = {"report.html", "trials.csv", "settings.csv", "attainment.csv"}
    drawn = {"front", "front-on-clips", "attributes-of-images", "attributes-of-clips"}
    drawn |= {f"{metric}-against-B" for metric in ("top1", "leakage", "clip_leakage")}
    drawn |= {f"minimax-{curve}" for curve in ("loss_anonymizer", "loss_action", "loss_privacy", "rms_distortion")}
    files = {f"{name}.{kind}" for name in drawn for kind in ("png", "pdf")}
    assert {path.name for path in report.parent.iterdir()} == tables | files
    assert all((report.parent / name).read_bytes().startswith(b"%PDF") for name in files if name.endswith("pdf"))
    assert report.stat().st_size < 5_000_000
    with Image.open(report.parent / "front.png") as image:
        assert image.width > 1000
    trials = pd.read_csv(report.parent / "trials.csv", index_col="run_id")
    assert trials["state"].value_counts().to_dict() == {"finished": 15, "incomplete": 1, "failed": 1, "killed": 1}
    settings = pd.read_csv(report.parent / "settings.csv", index_col="setting")
    assert settings.loc["raw", "top1_n"] == 3
    assert settings["leakage_half_width"].notna().sum() == 5


def test_page_reads_like_a_paper(report: Path) -> None:
    page = Structure(report.read_text())
    for expected in (
        "B=0.3 lambda=1 keeps top-1 accuracy",
        "Leakage above chance falls from",
        "The clips and images are generated",
        "Leakage on the action clips themselves",
        "Knee, furthest beyond the line through the ends of the front: B=0.3 lambda=1. On test data 1 of 5 settings",
        "4 of 5 settings on the front, chosen on validation data.",
        "from the fixed corner, top-1 accuracy at chance (10.0 %) and leakage above chance of raw (81.4 %), to the best",
        "Dashed: median attainment surface, what at least half of the seeds attain (3 seeds, 4 of 4 settings",
        "Dashed: median attainment surface, as above.",
        "Table 1 of the paper beside this study",
        "Other data, other networks",
        "57.6 (prevalence 24.8)",
        "CUDA out of memory in minimax",
        "B=1 lambda=1: no result for seeds 0, 1, 2",
        "parameters common to all trials",
        "minimax.distortion_budget",
        "No frames could be shown of: B=1 lambda=1.",
    ):
        assert expected in page.text, expected
    assert page.tags.count("h1") == 1
    assert len(page.ids) == len(set(page.ids))
    # 5 frames, clips front, 3 sweeps, 2 attribute figures, 4 curves
    assert page.tags.count("img") == 15


def test_the_median_surface_is_drawn_and_its_quartiles_written(report: Path) -> None:
    assert report.read_text().count('-median-0"') == 2
    surfaces = pd.read_csv(report.parent / "attainment.csv")
    assert list(surfaces) == ["protocol", "percent", "leakage", "top1"]
    assert set(surfaces["percent"]) == {25, 50, 75}
    settings = pd.read_csv(report.parent / "settings.csv")
    assert set(surfaces["protocol"]) <= set(settings["protocol"])


def test_page_in_other_axes(study: RecordedStudy, tmp_path: Path) -> None:
    path = write_report(study, tmp_path, Plane("top5", "clip_leakage", "test"))
    page = Structure(path.read_text())
    for expected in (
        "keeps top-5 accuracy",
        "Leakage on clips falls from",
        "least leakage on clips among the settings within 5 points of raw in top-5 accuracy, else the most top-5 accuracy.",
        "top-5 accuracy 0.0 % and leakage on clips of raw (70.0 %)",
        "leakage on clips [%] ← better",
        "top-5 accuracy [%] better →",
        "setting n top-5 accuracy % against raw top-1 %",
    ):
        assert expected in page.text, expected
    assert "Leakage on the action clips themselves" not in page.text  # the front shows it
    said = [html.unescape(words) for words in re.findall(r'data-card="[^"]*" aria-label="([^"]*)"', path.read_text())]
    assert said
    assert all("top-5 accuracy" in words and "leakage on clips" in words for words in said)
    assert set(pd.read_csv(tmp_path / "attainment.csv")) == {"protocol", "percent", "clip_leakage", "top5"}


@pytest.mark.parametrize("plane", [Plane("macro_f1", "seconds"), Plane("top1", "cmap"), Plane("seconds", "top5")])
def test_any_two_metrics_make_a_front(study: RecordedStudy, plane: Plane) -> None:
    """Whatever their units and directions; equal figures of all trials (seconds) included."""
    settings = settings_table(study.trials, plane)
    figure, told = front_figure(study.trials, settings, plane)
    low, high = figure.axes[0].get_ylim()
    assert all(low < scale(plane.utility) * value < high for value in settings[plane.utility].dropna())
    assert len([name for name in told if name.startswith("mean")]) == len(settings.dropna(subset=list(plane.names)))
    assert front_text(settings, plane).count("\n") == 0
    assert "front (" in front_text(settings, plane)


def test_axes_that_no_trial_has_are_said(study: RecordedStudy, tmp_path: Path) -> None:
    plane = Plane("deployed_top1", "leakage")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "attainment.csv").write_text("of an earlier report in other axes")
    page = written(study, tmp_path, plane)
    assert "This study gives no answer yet." in page.text
    assert "no finished trial has both metrics" in page.text
    assert "15 of 15 trials with a result have no top-1 of a deployed classifier (deployed_top1)" in page.text
    assert not (tmp_path / "out" / "attainment.csv").exists()
    assert front_text(settings_table(study.trials, plane), plane).endswith("no finished trial has both metrics")


def test_every_image_has_words(report: Path) -> None:
    images = re.findall(r"<img [^>]*>", report.read_text())
    assert all(re.search(r'alt="[^"]{10,}"', image) for image in images)


def test_page_loads_nothing_from_outside(report: Path) -> None:
    page = Structure(report.read_text())
    assert page.loads
    assert all(target.startswith(("data:", "#")) for target in page.loads)
    assert "@import" not in report.read_text()
    assert "default-src 'none'" in report.read_text()


def test_points_of_the_front_speak(report: Path, study: RecordedStudy) -> None:
    text = report.read_text()
    said = [html.unescape(words) for words in re.findall(r'aria-label="([^"]*)" role="button" tabindex="0"', text)]
    assert len(said) == 2 * 5  # means, on the wide figure and on the narrow one
    assert any(words.startswith("B=0.3 lambda=1, mean of 3: top-1 accuracy 9") for words in said)
    assert text.count('class="point"') == 2 * (5 + 15)
    assert text.count("<template data-card=") == 5 + 15
    assert len(re.findall(r'data-frames="frames-\w+"', text)) == 5 + 15
    for run_id in study.complete.index:
        assert text.count(f"<code>{run_id}</code>") == 2  # its own card, and its setting's
    assert f"mlflow server --backend-store-uri {study.tracking_uri}" in text


def test_hostile_names_stay_text(make_study: Maker, tmp_path: Path) -> None:
    name = "<script>alert(1)</script>\"'&$x_1^{$ {{ 7*7 }}"
    reason = "</table><img src=x onerror=alert(1)>"
    values = {"anonymizer.weights": "<b>bold.pt</b>"}
    trials = [FakeTrial(name, seed=seed, metrics=metrics(0.9, 0.5), values=values, curves=True) for seed in (0, 1)]
    study = make_study([*trials, FakeTrial(name, seed=3, status="FAILED", reason=reason)], space="<i>space</i>")
    text = write_report(study, tmp_path / "out").read_text()
    page = Structure(text)
    assert f"The front is one setting: {name}" in page.text
    assert text.count("<script>") == 1
    assert "onerror" not in re.sub(r"&lt;[^<]*", "", text)
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7*7 }}" in page.text
    assert "<b>bold.pt</b>" in page.text


def test_empty_study(make_study: Maker, tmp_path: Path) -> None:
    page = written(make_study([]), tmp_path)
    assert "This study gives no answer yet." in page.text
    assert "No trial of this study has finished" in page.text
    assert "This study has no runs." in page.text
    settings = settings_table(make_study([], space="again").trials)
    assert settings_text(settings) == "no finished trials"
    assert front_text(settings) == ("front (top-1 accuracy against leakage above chance): no finished trial has both metrics")


def test_all_failed(make_study: Maker, tmp_path: Path) -> None:
    page = written(make_study([FakeTrial("a", seed=seed, status="FAILED", reason="no GPU") for seed in (0, 1)]), tmp_path)
    assert "2 trials failed" in page.text
    assert page.words.count("no GPU") == 2
    assert "This study gives no answer yet." in page.text


def test_one_trial(make_study: Maker, tmp_path: Path) -> None:
    page = written(make_study([FakeTrial("a", metrics=metrics(0.9, 0.5), curves=True, frames=frames_png(2000, 500))]), tmp_path)
    assert "There is no raw trial" in page.text
    assert "a reaches top-1 accuracy 90.0 [86.0, 94.0] % with leakage above chance 50.0 [46.0, 54.0] %." in page.text
    assert page.text.count("One seed: in brackets the 95 % intervals over test items") == 1
    assert "n = 1 per setting; bars: 95 % interval over test items" in page.text
    assert "leakage above chance 100.0 % (there is no raw trial), to the best there can be" in page.text
    assert "No median attainment surface: it takes settings of the front that share three seeds." in page.text


def test_one_seed_gives_no_confidence_and_it_is_said(make_study: Maker, tmp_path: Path) -> None:
    pairs = {"raw": (0.9, 0.8), "a": (0.8, 0.4), "b": (0.7, 0.5)}
    trials = [FakeTrial(name, "raw" if name == "raw" else "penalty", metrics=metrics(*pair)) for name, pair in pairs.items()]
    study = make_study(trials)
    page = written(study, tmp_path)
    assert "No knee: the front nowhere bends" in page.text
    assert "1 of 3 settings dominated, with no confidence (n = 1)." in page.text
    assert "n = 1: no confidence, of a setting with one seed" in page.text


def test_raw_that_leaks_nothing_leaves_no_area(make_study: Maker, tmp_path: Path) -> None:
    elsewhere = {"attack.linkage": 0.5, "attack_low.linkage": 0.4}  # something leaks, or the study could not answer at all
    raw = FakeTrial("raw", "raw", metrics=metrics(0.9, -0.01, **elsewhere))
    study = make_study([raw, FakeTrial("a", metrics=metrics(0.8, -0.02))])
    page = written(study, tmp_path)
    assert "No hypervolume: nothing lies between top-1 accuracy at chance (10.0 %) and leakage above chance of raw" in page.text
    assert "hypervolume – from" in front_text(settings_table(study.trials))


def test_metrics_that_are_no_numbers(make_study: Maker, tmp_path: Path) -> None:
    nothing = dict.fromkeys(metrics(0, 0), float("nan"))
    page = written(
        make_study([FakeTrial("raw", "raw", metrics=nothing), FakeTrial("a", metrics=nothing, curves=True)]), tmp_path
    )
    assert "This study gives no answer yet." in page.text
    assert "no finished trial has both metrics" in page.text
    assert page.words.count("finished without top1 and leakage") == 2


def test_busy_and_idle_hours_are_those_of_the_studys_own_run(make_study: Maker, tmp_path: Path) -> None:
    study = make_study([FakeTrial("raw", "raw", metrics=metrics(0.9, 0.8))], plan=[])
    assert "of the study" not in written(study, tmp_path).text
    client = MlflowClient(study.tracking_uri)
    (own,) = client.search_runs([study.experiment_id], f"tags.{TAG_KIND} = '{STUDY_RUN}'")
    for name, hours in asdict(Usage(busy=12.5, starting=0.25, waiting=1, unused=2)).items():
        client.log_metric(own.info.run_id, GPU_HOURS + name, hours / 2, step=0)
        client.log_metric(own.info.run_id, GPU_HOURS + name, hours, step=1)
    read = read_study("toy", tracking_uri=study.tracking_uri)
    idle = "3.25 idle (0.25 starting workers, 1.00 waiting for stages of other trials, 2.00 held by no trial)"
    assert f"GPU hours of the study 12.50 busy, {idle}" in written(read, tmp_path).text
    assert not any("hours" in name for name in read.trials)


def test_frames_that_cannot_be_read_are_said(make_study: Maker, tmp_path: Path) -> None:
    page = written(make_study([FakeTrial("a", metrics=metrics(0.9, 0.5), frames=b"not an image")]), tmp_path)
    assert "No frames could be shown of: a." in page.text


def test_many_settings_stay_below_five_megabytes_and_say_what_they_leave_out(make_study: Maker, tmp_path: Path) -> None:
    png = frames_png(1600, 500)
    trials = [
        FakeTrial(
            f"B={number / 50:g}",
            metrics=metrics(0.5 + number / 120, 0.3 + number / 120) | on_clips(0.5),
            frames=png,
            curves=True,
        )
        for number in range(52)
    ]
    text = written(make_study(trials), tmp_path).text
    assert (tmp_path / "out" / "report.html").stat().st_size < 5_000_000
    assert "4 more settings are not shown." in text
    assert "Drawn: 6 of 52 settings" in text


def test_a_profile_of_the_paper_is_not_called_other_data(make_study: Maker, tmp_path: Path) -> None:
    values = {"minimax.distortion_budget": 0.3}
    study = make_study([FakeTrial("B=0.3", metrics=metrics(0.9, 0.5), values=values)], "ablation_B", "paper")
    page = written(study, tmp_path)
    assert "Table 1 of the paper" in page.text
    assert "Other data" not in page.text


def test_the_papers_rows_with_other_judges_are_set_against_no_raw(make_study: Maker, tmp_path: Path) -> None:
    trials = planned_trials("table1_ucf101", "paper", seeds=1)
    page = written(make_study(trials, "table1_ucf101", "paper"), tmp_path)
    assert "spact 62.0 90.0 (n = 1) – +0.0 (n = 1) 57.4" in page.text
    assert "B=0.3 lambda=1 78.3 86.0 (n = 1) −0.6" in page.text
    assert "spact: f_T' i3d_r50 (from kinetics400); the paper: r3d_18 (from scratch)." in page.text


def test_labels_of_the_front_never_overlap(make_study: Maker) -> None:
    study = make_study(
        [FakeTrial(f"setting {number}", metrics=metrics(0.8 + number % 4 / 200, 0.5 + number / 300)) for number in range(16)]
    )
    settings = settings_table(study.trials)
    for size in (drawing.WIDE, drawing.NARROW):
        figure, _ = front_figure(study.trials, settings, size=size)
        figure.draw_without_rendering()
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        boxes = [Text.get_window_extent(text, renderer) for text in figure.axes[0].texts]
        assert len(boxes) >= 4
        assert not [1 for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


def test_sweep_lines_part_by_what_else_varies(make_study: Maker) -> None:
    trials = [
        FakeTrial(
            f"B={budget:g} lambda={weight:g}",
            metrics=metrics(0.9 - budget / 5, 0.5),
            values={
                "minimax.distortion_budget": budget,
                "minimax.penalty_weight": weight,
                "anonymizer.weights": f"f_A of {budget}",
            },
        )
        for budget in (0.1, 0.3)
        for weight in (1.0, 10.0)
    ]
    settings = settings_table(make_study(trials).trials)
    (_, _, figure), _ = sweeps.sweep_figures(settings, "params.minimax.distortion_budget")
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["chance", "lambda=1 (n = 1)", "lambda=10 (n = 1)"]
    assert sweeps.sweep_figures(settings, "params.minimax.none") == []


def test_a_setting_without_penalty_is_no_point_on_the_line_of_those_with_one(make_study: Maker) -> None:
    """As in the demo: lambda = 0 carries the default B, which no other setting has."""
    trials = [
        FakeTrial(
            f"B={budget:g} lambda={weight:g}",
            metrics=metrics(0.9, 0.5),
            values={"minimax.distortion_budget": budget, "minimax.penalty_weight": weight},
        )
        for budget, weight in ((0.0, 10.0), (0.1, 10.0), (0.3, 0.0))
    ]
    settings = settings_table(make_study(trials).trials)
    (_, _, figure), *_ = sweeps.sweep_figures(settings, "params.minimax.distortion_budget")
    lines = [container.lines[0].get_xdata().tolist() for container in figure.axes[0].containers]
    assert lines == [[0.0, 0.1]]


def test_loss_curves_show_the_mean_over_seeds(study: RecordedStudy) -> None:
    runs = [str(run) for run in study.trials.index[study.trials["label"] == "B=0.3 lambda=1"]]
    (_, title, figure), *others = losses.loss_figures(read_curves(study, losses.LOSSES, runs))
    assert "f_A" in title
    assert len(others) == 3
    assert figure.axes[0].lines[0].get_ydata()[0] == pytest.approx(2 + 0.02 + 0.03)


def test_neither_torch_nor_ray_is_imported(make_study: Maker, tmp_path: Path) -> None:
    uri = make_study([FakeTrial("a", metrics=metrics(0.9, 0.8), curves=True, frames=frames_png())], "demo").tracking_uri
    code = (
        "import sys; from analysis.__main__ import main;"
        f"code = main(['report', '--space', 'demo', '--tracking-uri', {uri!r}, '--out', {str(tmp_path)!r}]);"
        "found = {'torch', 'ray', 'plotly'} & set(sys.modules); sys.exit(str(found) if found else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
