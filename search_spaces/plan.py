"""What a study will run: the settings of a space, in a profile, for each seed. Imports neither torch nor Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces.profiles import PROFILES, Profile
from search_spaces.registry import SPACES, Search, Space, Values, label_of, load_spaces
from trainables.config import ConfigError, TrialConfig, with_values
from trainables.methods import METHODS, resolved
from trainables.plugins import registered_by_plugin
from trainables.schema import experiment_name

EVALUATE_AT = "evaluate_at"


@dataclass(frozen=True)
class StudyTrial:
    """One trial of a study. `setting` is its name without the seed; `varied` holds the keys in which trials differ."""

    setting: str
    varied: Values
    protocol: str
    config: TrialConfig

    @property
    def name(self) -> str:
        return f"{self.setting} seed={self.config.seed}"


@dataclass(frozen=True)
class StudyPlan:
    """All trials of a study.

    `generated` holds the sizes of the data that the study makes itself (fields of `GeneratedSpec`), or None where data are
    given. `changed` are the keys that were changed for all of its trials (`--set`).
    """

    space: str
    profile: str
    trials: tuple[StudyTrial, ...]
    generated: Values | None = None
    search: Search | None = None
    changed: tuple[str, ...] = ()

    @property
    def compared(self) -> tuple[str, ...]:
        """The keys in which its trials differ, and those that were changed for all of them."""
        varied = [key for trial in self.trials for key in trial.varied]
        return tuple(dict.fromkeys((*varied, *(self.search.axes if self.search else ()), *self.changed)))

    @property
    def experiment(self) -> str:
        """The name of the MLflow experiment that holds this study."""
        return experiment_name(self.space, self.profile)


def plan_study(space: str, profile: str, seeds: Sequence[int], overrides: Mapping[str, Any]) -> StudyPlan:
    """Returns the trials of `space`, those of the first seed first.

    Each layer wins over those before it: the paper's recipe, the method's own recipe, profile, protocol, the space's defaults
    for the profile, `overrides`, the setting, and what the method fixes. Raises ConfigError for unknown names, values out of
    range, or an override of what the space varies (it would have no effect). An override of `evaluate_at` is part of every
    setting.
    """
    found: Space = load_spaces()[space]
    chosen: Profile = PROFILES[profile]
    settings, overrides = _at_size(space, found, found.settings_for(profile), overrides)
    varied = {key for values in settings for key in values}
    for key in overrides:
        if key in varied:
            raise ConfigError(f"--set {key}: the space {space} varies it itself; choose another space or another key")
        if key == "seed":
            raise ConfigError("--set seed: give --seeds instead")
    defaults = found.defaults_for(profile)
    if found.search is not None:
        if taken := found.search.axes.keys() & overrides:
            raise ConfigError(f"--set {min(taken)}: the space {space} searches over it; choose another space or another key")
        if len(seeds) > 1:
            raise ConfigError(f"--seeds: the space {space} is searched with one seed; run what it finds again with more")
    trials = []
    for seed in seeds:
        for protocol in found.protocols:
            where = f" [{protocol.name}]" if len(found.protocols) > 1 else ""
            data = protocol.generated if chosen.generated else protocol.values
            for values in settings:
                recipe = METHODS[values.get("method", TrialConfig().method)].recipe
                own = {**values, "seed": seed}
                layers = (recipe, chosen.values, data, defaults, {"attacks.names": found.attacks}, overrides, own)
                merged = {key: value for layer in layers for key, value in layer.items()}
                try:
                    config = resolved(with_values(TrialConfig(), merged))
                except ConfigError as error:
                    if not registered_by_plugin(space):
                        raise
                    at = SPACES.where(space)
                    raise ConfigError(f"space {space} ({at}), setting {label_of(values)!r}: {error}") from None
                trials.append(StudyTrial(label_of(values) + where, values, protocol.name, config))
    made = found.generated if chosen.generated else None
    return StudyPlan(space, profile, tuple(trials), made, found.search, tuple(overrides))


def _at_size(
    space: str, found: Space, settings: tuple[Values, ...], overrides: Mapping[str, Any]
) -> tuple[tuple[Values, ...], Mapping[str, Any]]:
    """The settings with an override of `evaluate_at` in each, and the other overrides: trials at another size are others beside
    those at the size of training, and are named so. Raises ConfigError for a space that is searched, or varies the size itself.
    """
    if EVALUATE_AT not in overrides:
        return settings, overrides
    if found.search is not None:
        raise ConfigError(f"--at-size: the space {space} is searched; give a space with the settings that it found")
    if any(EVALUATE_AT in values for values in settings):
        raise ConfigError(f"--at-size: the space {space} varies the size itself; leave it out, or choose another space")
    at = {EVALUATE_AT: overrides[EVALUATE_AT]}
    others = {key: value for key, value in overrides.items() if key != EVALUATE_AT}
    return tuple({**values, **at} for values in settings), others


def parse_side(text: str) -> int:
    """`128` or `128x128` -> 128, the side of square clips in pixels. Raises ConfigError for anything else."""
    sides = text.lower().split("x")
    if len(sides) > 2 or len(set(sides)) != 1 or not sides[0].isdecimal():
        raise ConfigError(f"--at-size {text!r}: clips are square; give one side in pixels, such as 128 or 128x128")
    return int(sides[0])


def parse_seeds(text: str) -> tuple[int, ...]:
    """`3` -> seeds 0, 1, 2; `4,7` -> just these; `4,` -> seed 4."""
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0 or ("," not in text and numbers[0] == 0) or len(set(numbers)) < len(numbers):
        raise ConfigError(f"--seeds {text!r}: give how many (3 means seeds 0, 1, 2) or a list of different ones (0,1,2)")
    return tuple(numbers) if "," in text else tuple(range(numbers[0]))
