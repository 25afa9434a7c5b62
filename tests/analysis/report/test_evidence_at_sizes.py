"""The evidence page says first at which sizes its figures hold, and shows what is read of the same anonymizer at others."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.deploy.select import choose, parse_rule
from analysis.measure.settings import settings_table
from analysis.read.store import AnalysisError
from analysis.read.study import RecordedStudy
from analysis.report.evidence.gather import read_evidence
from analysis.report.evidence.output import page
from tests.support.evidence_page import data
from tests.support.fake_studies import FakeTrial, metrics, stored
from trainables.schema import NOTE_ENLARGED

ENLARGED = NOTE_ENLARGED + "448 pixels, and the videos of x have 240 x 240: enlarged they show nobody more"


def measured(label: str, leakage: float, at: int | None, trained_by: str, budget: float = 0.1) -> FakeTrial:
    """A trial at a size of use; `trained_by` is the key of the stage that has trained its anonymizer."""
    raw = label == "raw"
    return FakeTrial(
        label + (f" at size={at}" if at else ""),
        "raw" if raw else "penalty",
        metrics=metrics(0.9, leakage, clip_leakage=leakage),
        values={"evaluate_at": at} | ({} if raw else {"minimax.distortion_budget": budget}),
        record=json.dumps(
            {
                "stage_keys": {} if raw else {"minimax": trained_by},
                "notes": ["another note", *([ENLARGED] if at == 448 else [])],
            }
        ),
    )


@pytest.fixture(scope="module")
def study(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> RecordedStudy:
    trials = [
        measured("raw", 0.8, None, ""),
        measured("raw", 0.9, 448, ""),
        measured("B=0.1", 0.25, None, "one"),
        measured("B=0.1", 0.75, 448, "one"),
        measured("B=0.1", 0.5, 112, "another"),  # trained by other code, say
        measured("B=0.2", 0.125, 448, "two", 0.2),
    ]
    return stored(trials, empty_store, tmp_path_factory.mktemp("sizes"))


def run_of(study: RecordedStudy, label: str) -> str:
    (found,) = study.trials.index[study.trials["label"] == label]
    return str(found)


def test_the_first_lines_say_at_which_sizes_the_figures_hold(study: RecordedStudy) -> None:
    own, at, alone = (
        read_evidence(run_of(study, label), study.tracking_uri) for label in ("B=0.1", "B=0.1 at size=448", "B=0.2 at size=448")
    )
    holds = "All figures of this page were measured with frames of {0}x{0} pixels (of each the middle {1}x{1}), one in 4 frames"
    for evidence, (frame, side), rest in (
        (own, (280, 224), "The same anonymizer was measured on frames of 560x560 pixels too: all sizes are below."),
        (
            at,
            (560, 448),
            "The anonymizer works at that size here, and was trained on 224x224 pixels. The same anonymizer was measured on"
            " frames of 280x280 pixels too: all sizes are below.",
        ),
        (alone, (560, 448), "It was measured at no other size."),
    ):
        assert evidence.about.endswith(f", at {side} x {side} pixels. Evidence for these, and for no others.")
        (line,) = (line for line in evidence.lines if line.startswith(holds.format(frame, side)))
        assert ", and hold for no other size" in line
        assert line.endswith(rest)
    assert "Evaluated at 448 pixels, and the videos of x have 240 x 240: enlarged they show nobody more." in at.alarm
    assert not [alarm for alarm in own.alarm if "enlarged" in alarm or "another note" in alarm]
    assert dict(at.anonymizer)["Tested at"] == "448 x 448 pixels; trained at 224 x 224"
    assert "--at-size 448" in at.commands[0]
    assert "--at-size" not in own.commands[0]


def test_the_table_has_the_same_anonymizer_at_each_size_and_no_other(study: RecordedStudy) -> None:
    own = read_evidence(run_of(study, "B=0.1"), study.tracking_uri)
    assert [(each.side, each.here, each.run) for each in own.sizes] == [
        (224, True, run_of(study, "B=0.1")),
        (448, False, run_of(study, "B=0.1 at size=448")),
    ], "not the one that another stage has trained"
    assert [each.figures["leakage"].value for each in own.sizes] == [0.25, 0.75]
    shown = page(own)
    first, table = (
        shown.index("All figures of this page were"),
        shown.index("The same anonymizer where it works on frames of each size"),
    )
    assert first < table < shown.index("How much each attacker reads")
    assert "the strongest attacker" not in shown[table : shown.index("How much each")], "nobody attacked it"
    for cell in ("280x280 (this page)", "25.0 (21.0 to 29.0)", "560x560", "75.0 (71.0 to 79.0)"):
        assert cell in shown[table:]
    heads = re.findall(r'<th scope="col">(.*?)</th>', shown[table : shown.index("How much each")])
    assert [re.findall(r'href="#([^"]+)"', head) for head in heads] == [
        [],
        ["attacker-leakage"],
        ["attacker-clip_leakage"],
        ["utility"],
    ]
    assert data(own)["sizes"][1]["figures"]["leakage"]["high"] == pytest.approx(0.79)
    raw = read_evidence(run_of(study, "raw"), study.tracking_uri)
    assert [each.side for each in raw.sizes] == [224, 448], "nothing was trained"
    alone = read_evidence(run_of(study, "B=0.2 at size=448"), study.tracking_uri)
    assert "where it works on frames of each size" not in page(alone)


def test_what_is_read_at_a_size_is_compared_with_raw_video_of_that_size(study: RecordedStudy) -> None:
    settings = settings_table(study.trials)
    baselines = {str(row["label"]): str(row["baseline"]) for _, row in settings.iterrows()}
    assert baselines["B=0.1"] == "raw"
    assert baselines["B=0.1 at size=448"] == "raw at size=448"
    assert baselines["B=0.1 at size=112"] == ""
    at = read_evidence(run_of(study, "B=0.1 at size=448"), study.tracking_uri)
    assert {finding.raw for finding in at.findings} == {0.9}


def test_the_evidence_of_the_size_of_use_is_found_from_any_record_of_the_anonymizer(
    study: RecordedStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "evidence",
        "--trial",
        run_of(study, "B=0.1"),
        "--tracking-uri",
        study.tracking_uri,
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*command, "--at-size", "448x448"]) == 0
    assert json.loads((tmp_path / "out" / "evidence.json").read_text())["trial"]["run"] == run_of(study, "B=0.1 at size=448")
    capsys.readouterr()
    for given, message in (
        ("112", "was measured at 224, 448 pixels only; measure it there with study/run.py --space toy --profile small --at-"),
        ("4x8", "clips are square; give one side in pixels"),
    ):
        assert main([*command, "--at-size", given]) == 2
        said = capsys.readouterr().err
        assert message in " ".join(said.split())


def test_nothing_is_chosen_among_figures_of_different_sizes(study: RecordedStudy) -> None:
    rule = parse_rule(["leakage=0.8"], [], "top1", False)
    with pytest.raises(AnalysisError, match=r"not measured alike; choose with --where evaluate_at=112 \| 448 \| None"):
        choose(study, rule)
    own, at = (choose(study, parse_rule([], [], "leakage", False), where=[f"evaluate_at={size}"]) for size in (None, 448))
    assert (own.setting["label"], at.setting["label"]) == ("B=0.1", "B=0.2 at size=448")
