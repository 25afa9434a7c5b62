"""Methods by name: how an anonymizer comes about. One module each, found by themselves; none of them imports torch.

A method says which stages train it, in which order, and which of the trial's fields it fixes. Its losses are in the code
of its own stages (`Stage.run`). Evaluation is the same for all of them.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainables.config import ConfigError, TrialConfig, with_values
from trainables.registry import Registry
from trainables.stages import Stage

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Method:
    """`stages` in order; `anonymizer` names the one whose state holds the trained anonymizer, None if none is trained.

    `fixed`: dotted fields of TrialConfig that make the method what it is: they win over everything else. `recipe`: fields
    of its own published recipe, over this paper's and under a profile's. `options`: its own settings with their defaults
    (`options.NAME` of a trial). `boxes`: its anonymizer changes people only, so that whoever looks at its output needs their
    boxes. `approximate` says, for a method that was never fully published, what is not known.
    """

    source: str
    stages: tuple[Stage, ...] = ()
    anonymizer: str | None = None
    fixed: Values = field(default_factory=dict)
    recipe: Values = field(default_factory=dict)
    options: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    boxes: bool = False
    approximate: str = ""


METHODS: Registry[Method] = Registry("method")


def method_of(config: TrialConfig) -> Method:
    """Raises ConfigError for an unknown name."""
    return METHODS[config.method]


def resolved(config: TrialConfig) -> TrialConfig:
    """`config` with what its method fixes, and with every option of the method, defaults included.

    Raises ConfigError for an option that the method does not have, or one of another type than its default.
    """
    method = method_of(config)
    for name, value in config.options.items():
        if name not in method.options:
            there = ", ".join(sorted(method.options)) or "none"
            raise ConfigError(f"options.{name}: the method {config.method} has no such option; it has: {there}")
        default = method.options[name]
        if isinstance(value, str) != isinstance(default, str) or isinstance(value, bool) != isinstance(default, bool):
            raise ConfigError(f"options.{name} = {value!r}: give a {type(default).__name__}, such as {default!r}")
        if isinstance(default, int) and isinstance(value, float) and not value.is_integer():
            raise ConfigError(f"options.{name} = {value!r}: give a whole number, such as {default!r}")
        if isinstance(value, int | float) and value < 0:
            raise ConfigError(f"options.{name} = {value!r}: give a number of at least 0")
    options = {f"options.{name}": value for name, value in {**method.options, **config.options}.items()}
    return with_values(config, {**method.fixed, **options})


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
