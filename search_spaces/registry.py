"""Spaces by name: each is a list of settings over the fields of a trial, and says which table or figure it makes.

Listing them imports neither torch nor Ray.
"""

from __future__ import annotations

import importlib
import itertools
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from search_spaces.protocols import KNOWN_UCF101, Protocol, Values
from trainables.config import ConfigError
from trainables.methods import METHODS
from trainables.registry import Registry

# The raw trial of every space: the same evaluation without an anonymizer.
RAW: Values = {"method": "raw"}

# How a setting is named; a key that is not here goes by its own name.
SYMBOLS = {
    "minimax.distortion_budget": "B",
    "minimax.penalty_weight": "lambda",
    "evaluate_action.classifier.name": "f_T'",
    "evaluate_action.classifier.weights": "from",
    "evaluate_privacy.classifier.name": "f_B'",
    "evaluate_privacy.classifier.weights": "from",
    "anonymizer.output": "output",
    "anonymizer.window": "window",
    "anonymizer.window_input": "of",
    "anonymizer.target": "target",
    "anonymizer.dial": "by",
    "options.at": "at",
    "evaluate_at": "at size",
    "attacks.epochs": "attack epochs",
    "minimax.learning_rate_anonymizer": "lr f_A",
    "minimax.learning_rate_action": "lr f_T",
    "minimax.learning_rate_privacy": "lr f_B",
    "minimax.privacy_weight": "privacy weight",
    "minimax.temperature": "temperature",
    "minimax.penalty_norm": "norm",
    "minimax.penalty_scope": "scope",
    "minimax.penalty_space": "on",
    "options.pixels": "pixels",
    "options.sigma": "sigma",
    "options.kernel": "kernel",
}


@dataclass(frozen=True)
class Range:
    """A number between `low` and `high`, drawn on a logarithmic scale if `log`."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Search:
    """Beyond a grid: an optimiser draws `trials` points of `axes` (dotted keys), the space's settings being the first.

    `objectives`: metrics of validation data, `validation_<metric>`, and their directions; a search may see no test figure.
    `further`: axes that are searched where the command line names them, and otherwise stay where the trial has them.
    """

    axes: Mapping[str, Range]
    trials: int
    objectives: Mapping[str, Literal["max", "min"]]
    sampler: str
    further: Mapping[str, Range] = field(default_factory=dict)


@dataclass(frozen=True)
class Space:
    """`settings`: dotted keys of TrialConfig and their values, one mapping a trial; every other field is the profile's.

    With several `protocols` every setting is a trial under each of them. `small_settings` takes the settings' place in the
    profiles for CPUs where a value, such as a backbone, must be another one there, and `generated_settings` theirs in the
    profile `generated`. `defaults` changes what a profile sets, `small_defaults` what `small` does, and `generated_defaults`
    what `generated` does, where `generated` holds the sizes of the data (fields of `GeneratedSpec`).
    `table` is the paper's, if it makes one. `attacks`: those of its trials, unless the command line names others.
    """

    source: str
    question: str
    settings: tuple[Values, ...]
    small_settings: tuple[Values, ...] | None = None
    generated_settings: tuple[Values, ...] | None = None
    defaults: Values = field(default_factory=dict)
    small_defaults: Values = field(default_factory=dict)
    generated_defaults: Values = field(default_factory=dict)
    generated: Values = field(default_factory=dict)
    protocols: tuple[Protocol, ...] = (KNOWN_UCF101,)
    table: int | None = None
    search: Search | None = None
    attacks: str = "none"

    def __post_init__(self) -> None:
        if not self.settings or not all(isinstance(values, Mapping) for values in self.settings):
            raise ConfigError(f"a space with settings = {self.settings!r}; give a tuple of mappings, one a trial")

    def defaults_for(self, profile: str) -> Values:
        """The fields that it changes of a profile."""
        of_profile = {"small": self.small_defaults, "generated": self.generated_defaults}
        return {**self.defaults, **of_profile.get(profile, {})}

    def settings_for(self, profile: str) -> tuple[Values, ...]:
        if profile == "generated" and self.generated_settings is not None:
            return self.generated_settings
        return self.settings if profile == "paper" or self.small_settings is None else self.small_settings


SPACES: Registry[Space] = Registry("space")


def grid(axes: Mapping[str, Sequence[Any]]) -> tuple[Values, ...]:
    """Every combination of the axes, the last one fastest."""
    return tuple(dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))


def label_of(values: Values) -> str:
    """The name of a setting: `B=0.3 lambda=1`, `raw`; `stprivacy (approximate)` where not all of a method is known."""
    words = [_word(SYMBOLS.get(key, key), value) for key, value in values.items() if key != "method"]
    method = values.get("method", "penalty")
    if method in METHODS and METHODS[method].approximate:
        method = f"{method} (approximate)"
    return " ".join([method, *words] if method != "penalty" or not words else words)


def _word(name: str, value: Any) -> str:
    if value is True:
        return name.rpartition(".")[-1]
    if value is None:
        return f"{name}=scratch"
    return f"{name}={value:g}" if isinstance(value, float | int) else f"{name}={value}"


def load_spaces() -> Registry[Space]:
    """All spaces: imports every module of this package, each of which registers its own."""
    import search_spaces

    for module in pkgutil.iter_modules(search_spaces.__path__):
        importlib.import_module(f"search_spaces.{module.name}")
    return SPACES
