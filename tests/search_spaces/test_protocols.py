"""The spaces of the tables on the official lists, every video and image a few bytes: planned whole, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from search_spaces.plan import StudyPlan, plan_study
from search_spaces.registry import load_spaces
from study.study import plan_stages
from tests.support.official import ANNOTATIONS, make_official
from trainables.config import ConfigError
from trainables.data.items import DataError
from trainables.plan import TrialPlan

pytestmark = pytest.mark.skipif(not ANNOTATIONS.is_dir(), reason=f"the official annotation files are not at {ANNOTATIONS}")

TABLES = [name for name in load_spaces() if name.startswith("table")]
EVERY = 4  # of the listed videos, one in so many is on this disk


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small part of every data set: real lists and labels cut down to the placeholder videos that are there."""
    root = tmp_path_factory.mktemp("data")
    make_official(root, EVERY, images=60)
    return root


def _without_boxes(plan: StudyPlan) -> StudyPlan:
    kept = [t for t in plan.trials if t.config.method not in ("blackening", "weak_blur", "strong_blur")]
    return StudyPlan(plan.space, plan.profile, tuple(kept), plan.generated)


@pytest.fixture(scope="module")
def planned(root: Path) -> Callable[[str], list[TrialPlan]]:
    """The trials of a table with their stages, planned once: reading the lists takes seconds."""
    return cache(lambda space: plan_stages(_without_boxes(plan_study(space, "paper", [0], {})), root))


@pytest.mark.parametrize("space", TABLES)
def test_a_table_is_planned_on_the_official_lists(space: str, planned: Callable[[str], list[TrialPlan]]) -> None:
    plans = planned(space)
    by_name: dict[str, set[str]] = {}
    for trial in plans:
        for stage in trial.stages:
            by_name.setdefault(stage.name, set()).add(stage.key)
    # one reconstruction a network and data set, one minimax a budget, whatever judges them
    assert len(by_name["minimax"]) == 5, by_name["minimax"]
    assert len({trial.anonymizer_key for trial in plans if trial.config.method == "penalty"}) == 4


def test_obfuscation_without_boxes_is_refused_by_name(root: Path) -> None:
    with pytest.raises((DataError, ConfigError), match=r"boxes\.csv"):
        plan_stages(plan_study("table1_ucf101", "paper", [0], {}), root)


@pytest.mark.parametrize(
    ("space", "gone", "said"),
    [
        ("table1_ucf101", "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi", "v_ApplyEyeMakeup_g08_c01.avi"),
        ("table2_hmdb51", "testTrainMulti_7030_splits", "testTrainMulti_7030_splits"),
        ("table1_vphmdb51", "hmdb51_privacy_attribute_label.pickle", "hmdb51_privacy_attribute_label"),
        ("table1_pahmdb51", "PrivacyAttributes", "PA-HMDB51"),
        ("table2_vispr2", "VISPR/test2017.txt", "test2017"),
    ],
)
def test_what_is_missing_is_named(space: str, gone: str, said: str, root: Path, tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    (root / gone).rename(aside)
    try:
        with pytest.raises(DataError, match=said) as error:
            plan_stages(_without_boxes(plan_study(space, "paper", [0], {})), root)
        assert "\n" not in str(error.value)
    finally:
        aside.rename(root / gone)


def test_tables_share_what_they_can(planned: Callable[[str], list[TrialPlan]]) -> None:
    """All of Tables 1 to 8: a fraction of the stages of one full pipeline a cell."""
    stages = [stage for space in TABLES for trial in planned(space) for stage in trial.stages]
    minimax = [stage.key for stage in stages if stage.name == "minimax"]
    # UCF101, HMDB51 and VP-HMDB51, each with B = 0.3, 0.5, 0.7, 0.9 and SPACT
    assert len(minimax) > 100
    assert len(set(minimax)) == 15
    assert len({stage.key for stage in stages if stage.name == "reconstruct"}) <= 6
