"""What a study will run, before anything is started."""

from __future__ import annotations

import subprocess
import sys

import pytest

from search_spaces.plan import parse_seeds, plan_study
from search_spaces.profiles import PROFILES
from search_spaces.registry import SPACES, Space, grid, label_of, load_spaces
from tests.support import ROOT
from trainables.config import ConfigError


def test_every_space_plans_in_every_profile() -> None:
    spaces = load_spaces()
    # Tests that were imported beside this one may have registered others, which need not be complete.
    own = [name for name in spaces if any(module.startswith("search_spaces.") for module in spaces.origins(name))]
    assert {"demo", "ablation_B", "ablation_lambda", "grid", "tradeoff"} <= set(own)
    for space in own:
        for profile in PROFILES:
            plan = plan_study(space, profile, [0] if spaces[space].search else [0, 1], {})
            names = [trial.name for trial in plan.trials]
            assert len(set(names)) == len(names)
            assert any(trial.config.method == "raw" for trial in plan.trials)


def test_ablation_b_is_figure_3() -> None:
    plan = plan_study("ablation_B", "paper", [0], {})
    minimax = [trial.config.minimax for trial in plan.trials if trial.config.method == "penalty"]
    assert [m.distortion_budget for m in minimax] == [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]
    assert {m.penalty_weight for m in minimax} == {1.0}


def test_ablation_lambda_is_table_3() -> None:
    plan = plan_study("ablation_lambda", "paper", [0], {})
    minimax = [trial.config.minimax for trial in plan.trials if trial.config.method == "penalty"]
    assert [m.penalty_weight for m in minimax] == [0.0, 0.1, 0.3, 0.5, 0.7, 1.0]
    assert {m.distortion_budget for m in minimax} == {0.3}


def test_the_paper_profile_is_the_recipe() -> None:
    """Section 4.2 and the released parameters."""
    config = plan_study("ablation_B", "paper", [0], {}).trials[1].config
    assert (config.clip.frames, config.clip.skip, config.clip.size, config.clip.test_clips) == (16, 4, 224, 5)
    assert (config.reconstruct.epochs, config.minimax.epochs, config.minimax.batch_size) == (100, 100, 8)
    assert (config.evaluate_action.batch_size, config.evaluate_privacy.batch_size) == (16, 32)
    assert (config.minimax.learning_rate_anonymizer, config.minimax.learning_rate_action) == (4e-5, 1e-4)
    assert (config.action_classifier.name, config.privacy_encoder.name) == ("i3d_r50", "resnet50")
    assert config.minimax.temperature == 0.1


def test_attackers_of_people_see_whole_clips_in_every_profile() -> None:
    """A difference is of frames that neighbour in the clip: an attacker that was shown fewer would see other differences."""
    for profile in PROFILES:
        for trial in plan_study("identity", profile, [0], {}).trials:
            frames = trial.config.clip.frames
            assert min(trial.config.attacks.frames, trial.config.evaluate_privacy.clip_frames) >= frames
    names = [trial.setting for trial in plan_study("identity", "small", [0], {}).trials]
    assert "downsample_to pixels=16" in names
    assert plan_study("identity", "small", [0], {}).trials[0].config.clip.size == 32
    assert plan_study("identity", "paper", [0], {}).trials[0].config.clip.size == 224
    changed = plan_study("identity", "small", [0], {"attacks.frames": 2}).trials[0].config
    assert changed.attacks.frames == 2, "the command line wins over the space"


def test_a_grid_is_every_combination_and_its_labels_are_short() -> None:
    values = grid({"minimax.distortion_budget": (0.1, 0.3), "minimax.penalty_weight": (1.0,)})
    assert [label_of(v) for v in values] == ["B=0.1 lambda=1", "B=0.3 lambda=1"]
    assert label_of({"method": "raw"}) == "raw"


def test_a_space_is_registered_once() -> None:
    load_spaces()
    with pytest.raises(ValueError, match="registered twice"):
        SPACES.register("demo")(Space("", "", ({},)))


@pytest.mark.parametrize(
    ("space", "profile", "overrides", "message"),
    [
        ("ablation_b", "paper", {}, "no space named 'ablation_b' .nearest: ablation_B."),
        ("demo", "papr", {}, "no profile named 'papr' .nearest: paper."),
        ("demo", "small", {"minimax.epoch": 1}, "unknown setting 'minimax.epoch'; did you mean minimax.epochs"),
        ("ablation_B", "small", {"minimax.distortion_budget": 1}, "the space ablation_B varies it itself"),
        ("demo", "small", {"seed": 3}, "give --seeds instead"),
        ("demo", "small", {"minimax.epochs": "x"}, "minimax.epochs = 'x'"),
        ("demo", "small", {"evaluate_at": 4}, "evaluate_at = 4: .*greater than or equal to 8"),
        ("pareto_search", "small", {"evaluate_at": 128}, "--at-size: the space pareto_search is searched"),
    ],
)
def test_what_cannot_be_planned_is_one_clear_line(space: str, profile: str, overrides: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_study(space, profile, [0], overrides)


@pytest.mark.parametrize("profile", list(PROFILES))
def test_the_effort_of_attackers_is_swept_from_that_of_the_profile(profile: str) -> None:
    """Once, twice, four and eight times as many epochs as f_B' learns; all else is one and the same."""
    raw, *swept = plan_study("effort", profile, [0], {}).trials
    least = swept[0].config.evaluate_privacy.epochs
    assert raw.config.attack_epochs == least
    assert [trial.config.attack_epochs for trial in swept] == [least, 2 * least, 4 * least, 8 * least]
    usual = {"paper": 100, "small": 30, "generated": 4}
    assert least == usual[profile]
    assert len({trial.config.model_copy(update={"attacks": raw.config.attacks}).model_dump_json() for trial in swept}) == 1


def test_trials_at_another_size_are_settings_of_their_own() -> None:
    """The last plan of a study makes records of equal names and other keys outdated: these must not do so to the others."""
    own, at = (plan_study("demo", "generated", [0], overrides) for overrides in ({}, {"evaluate_at": 64}))
    assert [trial.setting for trial in at.trials] == [f"{trial.setting} at size=64" for trial in own.trials]
    assert at.experiment == own.experiment
    assert "evaluate_at" in at.compared
    for one, other in zip(own.trials, at.trials, strict=True):
        assert other.config == one.config.model_copy(update={"evaluate_at": 64})


def test_seeds() -> None:
    assert parse_seeds("3") == (0, 1, 2)
    assert parse_seeds("4,7") == (4, 7)
    assert parse_seeds("4,") == (4,)
    for wrong in ("0", "x", "", "1,1", "-1"):
        with pytest.raises(ConfigError, match="--seeds"):
            parse_seeds(wrong)


def test_planning_imports_neither_torch_nor_ray_nor_mlflow() -> None:
    code = (
        "import sys; from search_spaces.plan import plan_study; plan_study('grid', 'paper', range(40), {});"
        "print([m for m in ('torch', 'ray', 'mlflow', 'pandas') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout.strip() == "[]"
