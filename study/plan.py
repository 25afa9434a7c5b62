"""What a study will run: the settings of a space, in a profile, for each seed. Imports neither torch nor Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces.profiles import PROFILES, Profile
from search_spaces.registry import Space, Values, label_of, load_spaces
from trainables.config import ConfigError, TrialConfig, with_values
from trainables.schema import experiment_name


@dataclass(frozen=True)
class StudyTrial:
    """One trial of a study. `setting` is its name without the seed; `varied` the keys in which trials differ."""

    setting: str
    varied: Values
    config: TrialConfig

    @property
    def name(self) -> str:
        return f"{self.setting} seed={self.config.seed}"


@dataclass(frozen=True)
class StudyPlan:
    space: str
    profile: str
    trials: tuple[StudyTrial, ...]

    @property
    def experiment(self) -> str:
        """Name of the MLflow experiment that holds this study."""
        return experiment_name(self.space, self.profile)


def plan_study(space: str, profile: str, seeds: Sequence[int], overrides: Mapping[str, Any]) -> StudyPlan:
    """The trials of `space`, those of the first seed first.

    Recipe < profile < space's defaults for small profiles < `overrides` < setting. Raises ConfigError for unknown names,
    values out of range, or an override of what the space varies (it would have no effect).
    """
    found: Space = load_spaces()[space]
    chosen: Profile = PROFILES[profile]
    settings = found.settings_for(profile)
    varied = {key for values in settings for key in values}
    for key in overrides:
        if key in varied:
            raise ConfigError(f"--set {key}: the space {space} varies it itself; choose another space or another key")
        if key == "seed":
            raise ConfigError("--set seed: give --seeds instead")
    small = {} if profile == "paper" else dict(found.small_defaults)
    base = with_values(with_values(TrialConfig(), {**chosen.values, **small}), overrides)
    trials = tuple(
        StudyTrial(label_of(values), values, with_values(base, {**values, "seed": seed}))
        for seed in seeds
        for values in settings
    )
    return StudyPlan(space, profile, trials)


def parse_seeds(text: str) -> tuple[int, ...]:
    """`3` -> seeds 0, 1, 2; `4,7` -> just these; `4,` -> seed 4."""
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0 or ("," not in text and numbers[0] == 0) or len(set(numbers)) < len(numbers):
        raise ConfigError(f"--seeds {text!r}: give how many (3 means seeds 0, 1, 2) or a list of different ones (0,1,2)")
    return tuple(numbers) if "," in text else tuple(range(numbers[0]))
