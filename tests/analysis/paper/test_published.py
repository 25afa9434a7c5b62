"""The printed cells: all of them read, each in its place, and what can be known of their classifiers."""

import csv
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from analysis.measure.settings import settings_table
from analysis.paper import published
from analysis.paper.cells import belongs, blocks_of, spaces_of
from analysis.paper.published import TABLES, Network, PaperRow, printed_cells

FILE = Path(published.__file__).with_name("published_results.csv")


def cell(table: int, row: PaperRow, evaluated_on: str, metric: str) -> published.Printed:
    (found,) = (c for c in printed_cells(table) if (c.row, c.evaluated_on, c.metric) == (row, evaluated_on, metric))
    return found


def test_every_line_of_the_file_is_a_cell() -> None:
    with FILE.open(encoding="utf-8") as file:
        lines = Counter(int(line["table"]) for line in csv.DictReader(file))
    assert set(lines) == set(TABLES)
    for table, count in lines.items():
        borrowed = 3 if table == 3 else 0
        assert len(printed_cells(table)) == count + borrowed


@pytest.mark.parametrize("table", TABLES)
def test_every_cell_is_in_one_block_of_the_spaces(table: int) -> None:
    empty = settings_table(pd.DataFrame(columns=["setting"]))
    blocks = [block for name, space in spaces_of(table).items() for block in blocks_of(table, name, space, None, empty)]
    shown = [c.printed for block in blocks for line in block.lines for c in line.cells.values() if c.printed]
    assert Counter(shown) == Counter(printed_cells(table))
    assert all(line.lacking == block.metrics for block in blocks for line in block.lines)


def test_numbers_are_fractions_and_chance_is_that_of_the_data() -> None:
    ours = cell(1, PaperRow("penalty", 0.3, 1.0), "vispr1", "cmap")
    assert (ours.value, ours.chance) == (pytest.approx(0.5756), 0.248)
    assert ours.leakage == pytest.approx((0.5756 - 0.248) / (1 - 0.248))
    assert cell(1, PaperRow("raw"), "vispr1", "f1").value == 0.555
    assert cell(2, PaperRow("raw"), "vispr2", "cmap").leakage is None


def test_the_columns_come_in_the_order_of_the_paper() -> None:
    assert list(spaces_of(1)) == ["table1_ucf101", "table1_pahmdb51", "table1_vphmdb51"]
    assert list(spaces_of(2)) == ["table2_hmdb51", "table2_pahmdb51", "table2_vispr2", "table2_vpucf101"]
    assert list(spaces_of(3)) == ["ablation_lambda"]


def test_spact_of_table_1_was_evaluated_with_another_network_than_ours() -> None:
    spact, ours = (cell(1, row, "ucf101", "top1") for row in (PaperRow("spact"), PaperRow("penalty", 0.3, 1.0)))
    assert spact.classifier == Network("r3d_18", "scratch")
    assert ours.classifier == Network("i3d_r50", "kinetics400")
    assert "Table 5 prints the same figure" in spact.notes[0]
    assert "evaluated with i3d_r50 (from kinetics400), so do not compare them" in spact.notes[0]
    assert cell(1, PaperRow("vita"), "ucf101", "top1").classifier.name == ""


def test_weights_are_as_stated_or_as_the_rest_of_the_paper_says() -> None:
    classifiers = list(dict.fromkeys(c.classifier for c in printed_cells(5)))
    assert [classifier.text for classifier in classifiers] == [
        "r3d_18 (from scratch)",
        "r2plus1d_18 (from scratch)",
        "r2plus1d_18 (from kinetics400)",
        "mvit_v2_s (weights not stated)",
        "i3d_r50 (from scratch)",
        "c3d (from scratch)",
    ]
    assert {c.classifier.weights for c in printed_cells(7)} == {"scratch"}
    assert {c.classifier.weights for c in printed_cells(8)} == {"imagenet"}


def test_what_is_not_known_is_no_difference() -> None:
    assert not Network("mvit_v2_s").is_other_than(Network("mvit_v2_s", "kinetics400"))
    assert not Network().is_other_than(Network("r3d_18", "scratch"))
    assert Network("r3d_18", "scratch").is_other_than(Network("r3d_18", "kinetics400"))


def test_stprivacy_needs_no_images_and_still_belongs() -> None:
    protocol = spaces_of(1)["table1_vphmdb51"].protocols[0]
    printed = cell(1, PaperRow("stprivacy"), "vp_hmdb51", "top1")
    assert printed.trained_on == "vp_hmdb51"
    assert belongs(printed, protocol)
