"""The paper's tables beside our numbers: what is matched, what is left empty, what is said to differ."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.measure.settings import settings_table
from analysis.paper.as_csv import as_csv
from analysis.paper.as_latex import as_latex, escaped
from analysis.paper.as_text import as_text
from analysis.paper.cells import Block, Line, report_blocks
from analysis.paper.table import PaperTable, not_run, read_tables, total_seconds
from analysis.paper.wording import stage_seconds_line
from analysis.read.artifacts import StageSeconds, stage_seconds
from analysis.read.study import RecordedStudy, list_studies
from tests.support import ROOT
from tests.support.fake_studies import FakeTrial, metrics, planned_trials

Maker = Callable[..., RecordedStudy]

GOLDEN = """\
f_A, f_T' and f_B' on UCF101 split 1 and VISPR1, tested on their test sets [known_ucf101; space ablation_lambda]
prevalence in the paper's vispr1, of which its leakage is computed: 24.8 %
                      | top-1 %, ucf101               | cMAP %, vispr1                | macro F1, vispr1           |
setting               |       here paper diff. chance |       here paper diff. chance |          here paper  diff. |   n notes
--------------------------------------------------------------------------------------------------------------------------------
raw                   | 90.5 ± 6.4 78.88 +11.6   10.0 | 75.5 ± 6.4 64.41 +11.1   50.0 | 0.570 ± 0.042 0.555 +0.015 |   2 a,b,c
ours B=0.3 lambda=0   | 87.5 ± 6.4 63.90 +23.6   10.0 | 74.0 ± 6.4 57.21 +16.8   50.0 | 0.560 ± 0.042 0.461 +0.099 |   2 d,e
ours B=0.3 lambda=0.1 | 87.4 ± 6.4 64.80 +22.6   10.0 | 73.9 ± 6.4 57.51 +16.4   50.0 | 0.560 ± 0.042 0.461 +0.099 |   2 d,e
ours B=0.3 lambda=0.3 | 87.2 ± 6.4 65.20 +22.0   10.0 | 73.9 ± 6.4 57.29 +16.6   50.0 | 0.559 ± 0.042 0.456 +0.103 |   2 d,e
ours B=0.3 lambda=0.5 | 87.0 ± 6.4 71.90 +15.1   10.0 | 73.8 ± 6.4 57.51 +16.2   50.0 | 0.558 ± 0.042 0.467 +0.091 |   2 d,e
ours B=0.3 lambda=0.7 | 86.8 ± 6.4 74.28 +12.5   10.0 | 73.7 ± 6.4 57.60 +16.0   50.0 | 0.558 ± 0.042 0.466 +0.092 |   2 d,e
ours B=0.3 lambda=1   | 86.5 ± 6.4 78.26  +8.2   10.0 | 73.5 ± 6.4 57.56 +15.9   50.0 | 0.557 ± 0.042 0.468 +0.089 |   2 a,c,f,g
"""


@pytest.fixture(scope="module")
def tables(paper_store: str) -> dict[tuple[int, str], PaperTable]:
    read = {profile: read_tables(numbers, profile, paper_store) for profile, numbers in WANTED.items()}
    return {(table.number, profile): table for profile, found in read.items() for table in found}


WANTED = {"generated": [1, 2, 3, 6, 7, 8], "paper": [1, 5]}


def block_of(table: PaperTable, name: str) -> Block:
    """The block of a protocol or of a classifier."""
    return next(b for b in table.blocks if name in (b.protocol.name, b.classifier.text if b.classifier else ""))


def line_of(block: Block, name: str) -> Line:
    return next(line for line in block.lines if line.name == name)


def test_text_of_table_3(tables: dict[tuple[int, str], PaperTable]) -> None:
    text = as_text(tables[3, "generated"])
    assert GOLDEN in text
    assert text.startswith("Table 3: the penalty weight lambda at B = 0.3\nprofile generated in sqlite:///")
    below = text.partition(GOLDEN)[2]
    for expected in (
        "differs in every cell: generated data",
        "only the direction of a change may be compared",
        "not run: nothing, every cell is there",
        "n = 2 seeds",
        "stage-seconds: computed 840 of 3,360 (25 %) that one full pipeline per cell would take",
        "a: f_T' narrow3d (from scratch); the paper: i3d_r50 (from kinetics400)",
        "b: the raw row is Table 1's; Table 3 prints none",
        "d: f_T' narrow3d (from scratch); the paper does not name its own",
        "f: evaluated with i3d_r50 (from kinetics400): Table 1 prints the same figure",
    ):
        assert expected in below, expected


def test_no_line_is_wider_than_a_screen(tables: dict[tuple[int, str], PaperTable]) -> None:
    assert max(len(line) for table in tables.values() for line in as_text(table).splitlines()) <= 140


def test_cells_that_were_not_run_are_empty_and_named(tables: dict[tuple[int, str], PaperTable]) -> None:
    table = tables[1, "generated"]
    line = line_of(block_of(table, "known_vp_hmdb51"), "downsample 2x")
    assert line.ours is None
    assert all(cell.ours.n == 0 and cell.difference is None for cell in line.cells.values())
    assert "downsample 2x           |            40.80              |            71.35" in as_text(table)
    assert not_run(table)[:2] == ["known_ucf101: every cell", "known_pa_hmdb51: every cell"]
    assert not_run(table)[2].startswith(
        "known_vp_hmdb51: downsample 2x, downsample 4x, blackening, strong blur, weak blur, vita"
    )
    assert "to run: python study/run.py --space table1_pahmdb51 --profile generated" in as_text(table)


def test_a_cell_beyond_the_print_is_ours_alone(tables: dict[tuple[int, str], PaperTable]) -> None:
    spact = line_of(block_of(tables[1, "generated"], "known_vp_hmdb51"), "spact").cells["cmap"]
    assert (spact.ours.n, spact.printed, spact.difference) == (2, None, None)


def test_on_labelled_clips_the_leakage_of_the_clips_counts(tables: dict[tuple[int, str], PaperTable]) -> None:
    cell = line_of(block_of(tables[1, "generated"], "known_vp_hmdb51"), "raw").cells["cmap"]
    assert (cell.ours.mean, cell.chance.mean) == (pytest.approx(0.72), pytest.approx(0.6))
    assert cell.difference == pytest.approx(0.72 - 0.7662)


def test_doubtful_print_and_chance_are_said(tables: dict[tuple[int, str], PaperTable]) -> None:
    text = as_text(tables[1, "generated"])
    assert "printed with cMAP and F1 swapped" in text
    assert "prevalence in the paper's pa_hmdb51, of which its leakage is computed: 69.1 %" in text
    assert "stprivacy (approximate)" in text
    block = block_of(tables[1, "generated"], "known_pa_hmdb51")
    assert line_of(block, "raw").cells["cmap"].notes == ("the paper's cMAP is near chance (leakage under 10 %)",)
    assert "below chance" in line_of(block, "ours B=0.3 lambda=1").cells["cmap"].notes[0]
    far = line_of(block_of(tables[1, "generated"], "known_vp_hmdb51"), "raw").cells["cmap"]
    assert far.notes == ()
    attacked = line_of(block_of(tables[6, "generated"], "raw_attacker_vispr1"), "ours B=0.3 lambda=1").cells["cmap"]
    assert "near chance" in attacked.notes[0]


@pytest.mark.parametrize(
    ("leakage", "said"),
    [
        (0.05, ["our cMAP is near chance (leakage under 10 %)"]),
        (-0.05, ["our cMAP is below chance: it measures the attacker, not the anonymizer"]),
        (0.5, []),
    ],
)
def test_a_cell_is_our_figure_beside_the_printed_one(make_study: Maker, leakage: float, said: list[str]) -> None:
    study = make_study([FakeTrial("raw", "raw", metrics=metrics(0.9, leakage))], "ablation_lambda", "generated")
    (block,) = report_blocks("ablation_lambda", "generated", settings_table(study.trials))
    cells = block.lines[0].cells
    assert [note for note in cells["cmap"].notes if note.startswith("our")] == said
    ours = {"top1": 0.9, "cmap": 0.5 + leakage / 2, "f1": 0.4 + leakage / 3}
    printed = {"top1": 0.7888, "cmap": 0.6441, "f1": 0.555}
    assert {name: cell.ours.mean for name, cell in cells.items()} == pytest.approx(ours)
    assert {name: cell.difference for name, cell in cells.items()} == pytest.approx({n: ours[n] - printed[n] for n in ours})


def test_equal_classifiers_are_no_difference_and_spacts_is_one(tables: dict[tuple[int, str], PaperTable]) -> None:
    block = block_of(tables[1, "paper"], "known_ucf101")
    assert line_of(block, "ours B=0.3 lambda=1").cells["top1"].differs == ()
    assert line_of(block, "spact").cells["top1"].differs == (
        "f_T' i3d_r50 (from kinetics400); the paper: r3d_18 (from scratch)",
    )


def test_table_5_is_matched_by_classifier_and_weights(tables: dict[tuple[int, str], PaperTable]) -> None:
    table = tables[5, "paper"]
    assert not_run(table) == []
    for classifier, paper in (
        ("r2plus1d_18 (from scratch)", 0.6318),
        ("r2plus1d_18 (from kinetics400)", 0.8672),
        ("mvit_v2_s (weights not stated)", 0.7321),
        ("i3d_r50 (from scratch)", 0.589),
    ):
        cell = line_of(block_of(table, classifier), "ours B=0.3 lambda=1").cells["top1"]
        assert cell.printed is not None
        assert cell.printed.value == pytest.approx(paper)
        assert cell.ours.n == 1
        assert cell.classifier.name == classifier.split()[0]
    unstated = line_of(block_of(table, "mvit_v2_s (weights not stated)"), "raw").cells["top1"]
    assert unstated.differs == ("f_T' mvit_v2_s (from kinetics400); the paper does not say from which weights",)
    no_print = line_of(block_of(table, "i3d_r50 (from scratch)"), "spact").cells["top1"]
    assert (no_print.ours.n, no_print.printed) == (1, None)


@pytest.mark.parametrize("number", [7, 8])
def test_classifiers_of_the_small_profiles_stand_beside_the_print_only_where_they_are_the_same(
    tables: dict[tuple[int, str], PaperTable], number: int
) -> None:
    table = tables[number, "generated"]
    scratch = line_of(block_of(table, "resnet18 (from scratch)"), "raw").cells["cmap"]
    own = block_of(table, "narrow2d (from scratch)")
    assert (scratch.printed is not None, own.is_printed) == (number == 7, False)
    assert line_of(own, "raw").cells["cmap"].ours.n == 1
    weights = "scratch" if number == 7 else "imagenet"
    assert f"known_ucf101, f_B' resnet50 (from {weights}): every cell (not in profile generated)" in not_run(table)
    assert f"--space {table.spaces[0]} --profile paper" in as_text(table)
    assert "f_B' narrow2d (from scratch), which the paper has not" in as_text(table)


def test_what_a_run_was_given_otherwise_is_said(make_study: Maker) -> None:
    trials = planned_trials("ablation_lambda", "generated", seeds=1)
    changed = [
        FakeTrial(
            t.label, t.method, 1, t.metrics, {**t.values, "minimax.epochs": 1, "minimax.batch_size": 4}, protocol=t.protocol
        )
        for t in trials
    ]
    study = make_study([*trials, *changed], "ablation_lambda", "generated")
    (block,) = report_blocks("ablation_lambda", "generated", settings_table(study.trials))
    first, second = (line for line in block.lines if line.row.weight == 1.0)
    assert not any("otherwise" in text for text in first.cells["top1"].differs)
    assert "run otherwise than the space says (in brackets): minimax.epochs=1 (3), minimax.batch_size=4 (8)" in (
        second.cells["top1"].differs
    )
    assert second.name.startswith("ours B=0.3 lambda=1 [")


def test_of_two_settings_of_a_row_the_one_with_most_seeds_stands_beside_the_paper(make_study: Maker) -> None:
    raw = [trial for trial in planned_trials("ablation_lambda", "generated") if trial.method == "raw"]
    trials = [
        FakeTrial(
            f"raw {epochs}", "raw", t.seed, t.metrics, {**t.values, "evaluate_action.epochs": epochs}, protocol=t.protocol
        )
        for epochs, seeds in ((1, 1), (5, 2), (7, 1))
        for t in raw[:seeds]
    ]
    study = make_study(trials, "ablation_lambda", "generated")
    (block,) = report_blocks("ablation_lambda", "generated", settings_table(study.trials))
    assert [line.cells["top1"].ours.n for line in block.lines if line.row.method == "raw"] == [2, 1, 1]


def test_csv_is_one_cell_a_row(tables: dict[tuple[int, str], PaperTable]) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(tables.values()))))
    keys = [tuple(row[name] for name in ("table", "profile", "protocol", "setting", "metric", "judge_here")) for row in rows]
    assert len(set(keys)) >= len([row for row in rows if int(row["n"])])
    (cell,) = (
        row
        for row in rows
        if (row["table"], row["method"], row["penalty_weight"], row["metric"]) == ("3", "penalty", "0.5", "cmap")
    )
    assert [cell[name] for name in ("here", "paper", "difference", "n")] == ["73.75", "57.51", "16.24", "2"]
    assert [cell[name] for name in ("chance_here", "chance_paper")] == ["50.0", "24.8"]
    (leakage,) = (
        row
        for row in rows
        if (row["table"], row["method"], row["penalty_weight"], row["metric"]) == ("3", "penalty", "0.5", "leakage")
    )
    assert float(leakage["paper"]) == pytest.approx(100 * (0.5751 - 0.248) / 0.752, abs=0.001)
    assert any(row["metric"] == "clip_leakage" and row["evaluated_on"] == "the action clips" for row in rows)
    lacking = [row for row in rows if row["n"] == "0"]
    assert lacking
    assert all(row["here"] == row["difference"] == "" for row in lacking)


def test_latex_is_whole_and_escaped(tables: dict[tuple[int, str], PaperTable]) -> None:
    text = as_latex(tables[1, "generated"])
    for name in ("table", "tabular", "itemize"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") > 0
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 3
    body = [line for line in text.splitlines() if line.endswith(r"\\") and not line.startswith(" &")]
    assert {line.count(" & ") for line in body} == {12}
    assert r"90.5 $\pm$ 6.4" in text
    assert r"pa\_hmdb51" in text
    assert escaped("a_b & 5 % #1 {x} ~ ^ \\") == (
        r"a\_b \& 5 \% \#1 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )


def test_stage_seconds_are_summed_once_a_run(tables: dict[tuple[int, str], PaperTable]) -> None:
    found = [table for (_, profile), table in tables.items() if profile == "generated"]
    total = total_seconds(found)
    assert total.runs == sum(table.seconds.runs for table in found) == total.known
    assert total.whole == 4 * total.computed


def test_stage_seconds_of_older_runs_come_from_their_record(make_study: Maker) -> None:
    record = json.dumps({"stage_seconds": {"reconstruct": 100.0, "minimax": 60.0}})
    study = make_study(
        [
            FakeTrial("a", metrics=metrics(0.9, 0.5), record=record),
            FakeTrial("b", metrics=metrics(0.9, 0.5), record="no json"),
            FakeTrial("c", metrics=metrics(0.9, 0.5)),
        ]
    )
    found = stage_seconds(study)
    assert found == StageSeconds(60.0, 160.0, known=1, runs=3)
    assert stage_seconds_line(found).endswith("(38 %) that one full pipeline per cell would take; not recorded for 2 of 3 runs")
    assert stage_seconds_line(StageSeconds(runs=2)) == "stage-seconds: not recorded"


def test_a_table_without_a_study_is_printed_empty(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", "--table", "2", "--tracking-uri", store]) == 0
    said = capsys.readouterr().out
    assert "no study of its spaces in sqlite:///" in said
    assert "not run: novel_vpucf101: every cell" not in said
    assert "not run: novel_vp_ucf101: every cell" in said
    assert "to run: python study/run.py --space table2_vispr2 --profile PROFILE" in said
    assert "stage-seconds: none, nothing was run" in said


def test_runs_without_a_result_are_named(make_study: Maker) -> None:
    study = make_study([FakeTrial("raw", "raw", status="FAILED", reason="no GPU")], "ablation_lambda", "small")
    (table,) = read_tables([3], None, study.tracking_uri)
    assert table.profile == "small"
    assert "without a usable result: ablation_lambda: raw seed=0 (failed: no GPU)" in as_text(table)


def test_commands(paper_store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = ["--profile", "generated", "--tracking-uri", paper_store]
    assert main(["tables", "--table", "all", *here, "--out", str(tmp_path / "new")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [Path(line).name for line in said[:-1]] == [f"table{n}.txt" for n in (1, 2, 3, 5, 6, 7, 8)]
    assert said[-1].startswith("all tables: stage-seconds: computed ")
    assert all(Path(line).read_text().startswith("Table ") for line in said[:-1])
    assert main(["tables", "--format", "csv", *here]) == 0
    told = capsys.readouterr()
    assert {row["table"] for row in csv.DictReader(io.StringIO(told.out))} == {"1", "2", "3", "5", "6", "7", "8"}
    assert told.err.startswith("all tables: ")


def test_wrong_commands_are_one_line(
    paper_store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (tmp_path / "file").write_text("")
    wrong = {
        "no table '4'; give one of 1, 2, 3, 5, 6, 7, 8 or all": ["--table", "4", "--tracking-uri", paper_store],
        "give --profile as one of generated, paper": ["--table", "all", "--tracking-uri", paper_store],
        "cannot be read": ["--table", "3", "--tracking-uri", "http://127.0.0.1:9"],
        "give another --out": ["--table", "3", "--tracking-uri", paper_store, "--out", str(tmp_path / "file")],
    }
    for expected, arguments in wrong.items():
        assert main(["tables", *arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert expected in line


def test_studies_of_a_store(paper_store: str) -> None:
    found = list_studies(paper_store)
    assert found["ablation_lambda"] == ["generated"]
    assert found["table5_action_backbones"] == ["paper"]


def test_the_report_of_an_unregistered_space_has_nothing_beside_it(make_study: Maker) -> None:
    study = make_study([FakeTrial("raw", "raw", metrics=metrics(0.9, 0.5))], "my_own", "small")
    assert report_blocks("my_own", "small", settings_table(study.trials)) == []


def test_the_report_of_a_sweep_stands_beside_table_1(study: RecordedStudy) -> None:
    (block,) = report_blocks("ablation_B", "generated", settings_table(study.trials))
    both = [line for line in block.lines if line.ours is not None]
    assert [line.name for line in both] == ["raw", *(f"ours B={b} lambda=1" for b in (0.3, 0.5, 0.9))]
    assert [cell.printed.value for line in both if (cell := line.cells["top1"]).printed] == pytest.approx(
        [0.7888, 0.7826, 0.7557, 0.7189]
    )


def test_neither_torch_nor_ray_is_imported(paper_store: str, tmp_path: Path) -> None:
    code = (
        "import sys; from analysis.__main__ import main;"
        f"code = main(['tables', '--table', '3', '--profile', 'generated', '--tracking-uri', {paper_store!r}]);"
        f"import analysis.paper.figures; found = {{'torch', 'ray'}} & set(sys.modules); sys.exit(str(found) if found else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
