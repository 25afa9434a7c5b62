"""What a stage depends on in a trial's config: the values that enter its key, and the config that its code is given.

Both are made from `Stage.fields`, so that the code of a stage cannot read what its key does not hold: see `visible`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from trainables.config import Frozen, TrialConfig, VisibleOptions, value_of
from trainables.methods import method_of
from trainables.plugins import registered_by_plugin
from trainables.stages import Stage

# Fields that came later, at the value that changes nothing: they are then in no key, so that what was stored before is found.
_UNKEYED = {
    "codec": "none",
    "anonymizer.window": 1,
    "anonymizer.window_input": "frames",
    "anonymizer.target": "frame",
    "anonymizer.dial": "none",
    "minimax.penalty_space": "pixels",
}
_NO_PENALTY = {"distortion_budget": 0.0, "penalty_scope": "clip", "penalty_norm": "absolute", "penalty_space": "pixels"}


def key_values(stage: Stage, config: TrialConfig) -> dict[str, Any]:
    """The values of the fields of `stage`, as JSON, that its key is the hash of."""
    seen = visible(stage, config)
    values = {field: _semantic(field, value_of(seen, field)) for field in stage.fields}
    values = {field: value for field, value in values.items() if (field, value) not in _UNKEYED.items()}
    if "anonymizer" in values and "options" not in stage.fields and seen.options:
        values["anonymizer"] = {**values["anonymizer"], "options": dict(seen.options)}
    if seen.microbatch is not None:  # with batch norm it changes figures; without it keys are as they were before it
        values["microbatch"] = seen.microbatch
    return values


def visible(stage: Stage, config: TrialConfig) -> TrialConfig:
    """The config that the code of `stage` is given: it holds what is in the key, and reading anything else of it raises.

    The field `anonymizer` stands for the network as far as it matters, with those options of the method that it takes. A
    penalty without weight has no budget, scope, norm or space. `microbatch` is that of a stage that trains, and None for any
    other.
    """
    if not stage.trains and config.microbatch is not None:
        config = config.model_copy(update={"microbatch": None})
    if config.minimax.penalty_weight == 0:
        config = config.model_copy(update={"minimax": config.minimax.model_copy(update=_NO_PENALTY)})
    tree: dict[str, Any] = {"microbatch": True}
    for field in stage.fields:
        *groups, leaf = field.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
            if node is True:
                break
        else:
            node[leaf] = True
    if "anonymizer" in tree and not _has_weights(stage, config):
        tree["anonymizer"] = {"name": True, "weights": True}
        if not method_of(config).given:
            config = config.model_copy(update={"anonymizer": config.anonymizer.model_copy(update={"weights": None})})
    reader, options = f"stage {stage.name!r} ({stage.where})", tree.get("options", {})
    if options is not True:
        names = {*options, *(_network_options(stage, config) if "anonymizer" in tree else ())}
        kept = {name: value for name, value in config.options.items() if name in names}
        config = config.model_copy(update={"options": VisibleOptions(kept, frozenset(config.options) - names, reader)})
        tree |= {"options": True} if options or "anonymizer" in tree else {}
    return config.only(tree, reader)


def trains_anonymizer(stage: Stage, config: TrialConfig) -> bool:
    """Whether the anonymizer that `stage` works with is a trained one."""
    method = method_of(config)
    return method.anonymizer is not None or stage in method.stages


def _has_weights(stage: Stage, config: TrialConfig) -> bool:
    """Whether more of the anonymizer matters than its name; of one of ours that nobody trains nothing does."""
    return trains_anonymizer(stage, config) or registered_by_plugin(config.anonymizer.name)


def _network_options(stage: Stage, config: TrialConfig) -> tuple[str, ...]:
    method = method_of(config)
    if not trains_anonymizer(stage, config):
        return tuple(config.options)
    return method.anonymizer_options if stage in method.stages else (*method.anonymizer_options, *method.applied_options)


def _semantic(name: str, value: Any) -> Any:
    """A config value as JSON, with a file of weights replaced by its content's hash: a path means nothing elsewhere."""
    if isinstance(value, Frozen):
        unkeyed, values = _UNKEYED.items(), value.__dict__.items()
        return {key: _semantic(key, item) for key, item in values if (f"{name}.{key}", item) not in unkeyed}
    if isinstance(value, BaseModel):
        raise TypeError(f"{type(value).__name__} is no part of a TrialConfig")
    if isinstance(value, Mapping):
        return dict(value)
    if name.endswith("weights"):
        return _weights(value)
    return list(value) if isinstance(value, tuple) else value


def _weights(value: str | None) -> str | None:
    if value is None or not Path(value).is_file():
        return value
    with Path(value).open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
