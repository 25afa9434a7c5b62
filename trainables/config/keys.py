"""Dotted keys, such as `minimax.distortion_budget`: how `--set`, spaces, YAML files and records name the fields of a trial."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from trainables.config.base import ConfigError
from trainables.config.trial import TrialConfig

_OPEN_GROUPS = (
    "options.",
    *(f"data.{name}." for name in ("evaluate_action", "evaluate_privacy", "test_privacy", "clip_privacy")),
)


def flatten(config: BaseModel | Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{'minimax.distortion_budget': 0.3, ...}`: the dotted keys that `--set`, spaces and records use."""
    values = config.model_dump() if isinstance(config, BaseModel) else config
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def value_of(config: TrialConfig, dotted: str) -> Any:
    """The value of a dotted key; None where its group is not set. Raises KeyError for an option that the trial has not."""
    value: Any = config
    for part in dotted.split("."):
        value = None if value is None else value[part] if isinstance(value, Mapping) else getattr(value, part)
    return value


def is_field(dotted: str) -> bool:
    """Whether `dotted` names a field of a trial, or a group of them. Any name may be an option: the method knows its own."""
    group: Any = TrialConfig
    for part in dotted.split("."):
        if group is None or part not in group.model_fields:
            return dotted.startswith("options.")
        annotation = group.model_fields[part].annotation
        kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        group = kinds[0] if kinds else None
    return True


def with_values(config: TrialConfig, values: Mapping[str, Any]) -> TrialConfig:
    """A copy of `config` with dotted keys set.

    Raises ConfigError for an unknown key (with the nearest known ones) or a value of the wrong type or range.
    """
    # groups that are not changed stay models, which are not validated again
    tree: dict[str, Any] = {**config.__dict__, "options": dict(config.options)}
    for key, value in values.items():
        *parents, leaf = key.split(".")
        node: Any = tree
        for depth, part in enumerate(parents):
            if not isinstance(node, dict) or part not in node:
                raise _unknown(key, config)
            if node[part] is None:  # an optional group, such as data.evaluate_action, comes into being when set
                node[part] = {}
            elif not isinstance(node[part], dict) and isinstance(node[part], BaseModel):
                node[part] = dict(node[part].__dict__)
            node = node[part]
            if depth == len(parents) - 1 and not isinstance(node, dict):
                raise _unknown(key, config)
        open_group = key.startswith(_OPEN_GROUPS)  # its fields are checked by the model, or by the method
        if not isinstance(node, dict) or (leaf not in node and not open_group):
            raise _unknown(key, config)
        node[leaf] = value
    try:
        return TrialConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_first_problem(error)) from None


def parse_setting(text: str) -> tuple[str, Any]:
    """`minimax.epochs=3` -> `('minimax.epochs', 3)`; the value is read as YAML and typed by the field it goes to."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text!r}: write KEY=VALUE, for example minimax.distortion_budget=0.3")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        parsed = value
    if isinstance(parsed, str):  # YAML 1.1 reads 1e-4 as text
        with contextlib.suppress(ValueError):
            parsed = float(parsed)
    return key.strip(), parsed


def load_trial(path: str | Path) -> TrialConfig:
    """Reads a trial from YAML; groups left out keep the recipe's defaults."""
    try:
        tree = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the YAML file of one trial") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected a mapping of the fields of a trial, found {type(tree).__name__}")
    return with_values(TrialConfig(), flatten(tree))


def _unknown(key: str, config: TrialConfig) -> ConfigError:
    known = list(flatten(config))
    leaves = {name.rsplit(".", 1)[-1]: name for name in known}
    near = difflib.get_close_matches(key, known, n=2, cutoff=0.5)
    near += [leaves[leaf] for leaf in difflib.get_close_matches(key.rsplit(".", 1)[-1], leaves, n=2, cutoff=0.6)]
    hint = " or ".join(dict.fromkeys(near)) or ", ".join(sorted({name.split(".")[0] for name in known}))
    return ConfigError(f"unknown setting {key!r}; did you mean {hint}?")


def _first_problem(error: ValidationError) -> str:
    problems = error.errors()
    where = ".".join(str(part) for part in problems[0]["loc"]) or "trial"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{where} = {problems[0].get('input')!r}: {problems[0]['msg']}{more}"
