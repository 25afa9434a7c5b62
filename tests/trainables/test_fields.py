"""The code of a stage sees what is in its key, and nothing else: it cannot repeat old figures after a change."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from trainables.config import ConfigError, Runtime, TrialConfig, flatten, with_values
from trainables.data.trial_data import TrialData
from trainables.execution.context import StageContext
from trainables.fields import key_values, visible
from trainables.methods import METHODS, Method, MethodOptions, Weight, resolved
from trainables.plan import PlannedStage, plan_trial
from trainables.stages import EVALUATE_ACTION, RECONSTRUCT, VIEW, Stage
from trainables.store import Outcome, StageStore


class PullOptions(MethodOptions):
    pull: Weight = 1.0
    push: Weight = 2.0


def reads_nothing(context: StageContext) -> Outcome:
    return Outcome({})


def own_method(monkeypatch: pytest.MonkeyPatch, stage: Stage, **fields: Any) -> TrialConfig:
    method = Method("mine", (RECONSTRUCT, stage), anonymizer=stage.name, options=PullOptions, **fields)
    monkeypatch.setitem(METHODS._entries, "mine", method)
    return resolved(TrialConfig(method="mine"))


def changed(stage: Stage, config: TrialConfig, **values: Any) -> bool:
    other = with_values(config, {name.replace("__", "."): value for name, value in values.items()})
    return key_values(stage, other) != key_values(stage, config)


def test_all_of_the_config_is_in_the_key_of_a_stage_that_names_no_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage("mine", reads_nothing)
    config = own_method(monkeypatch, stage)
    assert changed(stage, config, options__pull=3.0)
    assert changed(stage, config, minimax__epochs=3)
    assert changed(stage, config, attacks__epochs=3)
    assert visible(stage, config).options["push"] == 2.0


@pytest.mark.parametrize(
    ("field", "read"),
    [
        ("minimax.epochs", lambda config: config.minimax.epochs),
        ("minimax.epochs", lambda config: getattr(config.minimax, "epochs", 7)),  # no default hides it
        ("clip.skip", lambda config: config.clip.skip),
        ("method", lambda config: config.method),
        ("options.push", lambda config: config.options["push"]),
        ("options.push", lambda config: config.options.get("push", 0.0)),
        ("options.push", lambda config: PullOptions.of(config).push),
        ("data", lambda config: config.data.action.split),
    ],
)
def test_reading_another_field_is_one_line_that_names_it_and_where_to_declare_it(
    monkeypatch: pytest.MonkeyPatch, field: str, read: Any
) -> None:
    stage = Stage("mine", reads_nothing, ("seed", "clip.size", "minimax.pair", "options.pull"))
    seen = visible(stage, own_method(monkeypatch, stage))
    seen = pickle.loads(pickle.dumps(seen))  # as it travels to the other ranks of a trial
    assert (seen.clip.size, seen.minimax.pair, PullOptions.of(seen).pull) == (224, "images", 1.0)
    with pytest.raises(ConfigError) as found:
        read(seen)
    line = str(found.value)
    assert line.startswith(f"stage 'mine' ({__file__} line {reads_nothing.__code__.co_firstlineno}) reads {field}, ")
    assert f"add {field!r} to the `fields`" in line
    assert "\n" not in line


def test_reading_another_data_set_is_refused(tiny_config: TrialConfig, tiny_data: Path) -> None:
    data = TrialData(tiny_config, tiny_data).only(("action",), "stage 'mine' (mine.py line 3)")
    assert data.action.classes
    with pytest.raises(ConfigError, match=r"^stage 'mine' \(mine.py line 3\) reads the data set privacy, .*add 'privacy' to"):
        _ = data.privacy


def test_a_trial_is_given_what_is_in_its_keys(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    """Of every planned stage: what its context holds of the config and the data are its fields and its data sets."""
    data = TrialData(tiny_config, tiny_data)
    runtime = Runtime(data_root=str(tiny_data), storage=str(tmp_path))
    for planned in plan_trial(tiny_config, data).stages:
        context = StageContext.of(planned, runtime, data, {}, StageStore(tmp_path).work(planned.name, planned.key))
        others = {name for name in flatten(context.config) if not name.startswith(tuple(planned.stage.fields))}
        assert others == {"microbatch"}  # in the key where it is set
        assert context.config.seed == planned.depends_on["config"]["seed"]
        assert context.data._readable == planned.stage.data


def test_a_penalty_without_weight_has_no_budget_whoever_asks(tiny_config: TrialConfig, tiny_data: Path) -> None:
    def minimax(budget: float) -> PlannedStage:
        config = with_values(tiny_config, {"minimax.penalty_weight": 0.0, "minimax.distortion_budget": budget})
        return next(s for s in plan_trial(config, TrialData(config, tiny_data)).stages if s.name == "minimax")

    assert minimax(0.3).key == minimax(0.7).key
    assert minimax(0.3).visible == minimax(0.7).visible


def test_the_options_that_a_trained_anonymizer_takes_are_in_the_key_of_all_that_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage("mine", reads_nothing, (*VIEW, "anonymizer", "options"))
    config = own_method(monkeypatch, stage)
    assert not changed(EVALUATE_ACTION, config, options__pull=3.0)  # it is in the key of its input
    with pytest.raises(ConfigError, match=r"options\.pull"):
        visible(EVALUATE_ACTION, config).options.get("pull")
    config = own_method(monkeypatch, stage, anonymizer_options=("pull",))
    assert changed(EVALUATE_ACTION, config, options__pull=3.0)
    assert not changed(EVALUATE_ACTION, config, options__push=3.0)
    assert dict(visible(EVALUATE_ACTION, config).options) == {"pull": 1.0}


def test_no_weights_of_an_anonymizer_are_given_to_the_controls_on_raw_frames(tmp_path: Path) -> None:
    (tmp_path / "anonymizer.pt").write_bytes(b"")
    config = resolved(TrialConfig(method="raw"))
    trained_from = with_values(config, {"anonymizer.weights": str(tmp_path / "anonymizer.pt")})
    assert visible(EVALUATE_ACTION, trained_from).anonymizer.weights is None
    assert key_values(EVALUATE_ACTION, trained_from) == key_values(EVALUATE_ACTION, config)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"fields": ("minimax.epoch",)}, "'minimax.epoch' is no field of a trial"),
        ({"fields": ("clip.size.x",)}, "'clip.size.x' is no field of a trial"),
        ({"data": ("actions",)}, "no data 'actions'; there are action, privacy"),
        ({"trains": "training"}, "'training' is no field of a trial"),
        ({"run": "mine:run"}, "run = 'mine:run' is no function"),
    ],
)
def test_a_wrong_declaration_is_refused_where_it_is_made(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=f"^stage 'mine': {said}"):
        Stage(**{"name": "mine", "run": reads_nothing, **arguments})
