"""What a run's parameters and tag tell of its configuration."""

from trainables.attacks import ATTACKS
from trainables.config import TrialConfig, flatten, with_values
from trainables.schema import (
    AP,
    AP_CHANCE,
    FINAL_METRICS,
    METRIC_FAMILIES,
    PARAMS,
    PREVALENCE,
    TAG_CONFIG,
    config_of,
    figures_of,
    key_of,
    metrics_and_tags,
    params_and_tags,
)


def test_parameters_are_few_and_the_tag_has_everything() -> None:
    config = with_values(TrialConfig(), {"method": "raw", "seed": 3, "minimax.temperature": 7.0})
    params, tags = params_and_tags(config, ["minimax.temperature", "augment"])
    assert params["method"] == "raw"
    assert params["seed"] == "3"
    assert params["minimax.temperature"] == "7.0"
    assert params.keys() == {*PARAMS, "minimax.temperature", *(key for key in flatten(config) if key.startswith("augment."))}
    assert config_of(params, tags) == {key: str(value) for key, value in flatten(config).items()}
    assert set(PARAMS) <= flatten(config).keys()


def test_a_configuration_that_fits_no_tag_is_all_in_parameters() -> None:
    config = with_values(TrialConfig(), {"options": {f"setting_{number}": "x" * 50 for number in range(200)}})
    params, tags = params_and_tags(config)
    assert TAG_CONFIG not in tags
    assert config_of(params, tags) == {key: str(value) for key, value in flatten(config).items()}


def test_a_run_with_every_attack_lists_at_most_40_figures_and_keeps_all() -> None:
    names = [name for name in FINAL_METRICS if name != "flicker"] + [f"validation_{name}" for name in ("top1", "leakage")]
    names += [f"{family}{attack}" for family in METRIC_FAMILIES if family.startswith("attack") for attack in ATTACKS]
    names += [f"{family}age (<30), {number:03}" for family in (AP, AP_CHANCE, PREVALENCE) for number in range(150)]
    final = {name: number / 7 for number, name in enumerate(names)}
    metrics, tags = metrics_and_tags(final)
    assert len(metrics) <= 40
    assert {"top1", "leakage", "attack.temporal"} <= metrics.keys()
    assert not {"validation_top1", "attack_raw.temporal"} & metrics.keys()
    assert len(tags) > 1
    assert max(map(len, tags.values())) <= 8000  # MLflow cuts what is longer
    assert figures_of(metrics, tags) == {key_of(name): value for name, value in final.items()}
