"""What a run's parameters and tag tell of its configuration."""

from trainables.config import TrialConfig, flatten, with_values
from trainables.schema import PARAMS, TAG_CONFIG, config_of, params_and_tags


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
