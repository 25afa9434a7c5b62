"""Which trials of a study run, and which of them first, as the command line names them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Protocol

from trainables.config import ConfigError


class Named(Protocol):
    """A trial with its name, and that of its setting."""

    @property
    def name(self) -> str: ...

    @property
    def setting(self) -> str: ...


def named(trials: Sequence[Named], option: str, texts: Sequence[str]) -> frozenset[str]:
    """The names of the trials that `texts` name: settings by their label, for all seeds, or single trials; several in one text
    are divided by commas. Raises ConfigError, with the nearest names, for one that none has; `option` is where it was given.
    """
    by_label: dict[str, list[str]] = {}
    for trial in trials:
        for label in dict.fromkeys((trial.setting, trial.name)):
            by_label.setdefault(label, []).append(trial.name)
    found: list[str] = []
    for text in texts:
        for label in [text] if text in by_label else [part.strip() for part in text.split(",") if part.strip()]:
            if label not in by_label:
                near = difflib.get_close_matches(label, by_label, n=3, cutoff=0.4) or list(by_label)[:3]
                raise ConfigError(f"{option} {label!r}: no setting or trial of this study; did you mean {' or '.join(near)}?")
            found += by_label[label]
    return frozenset(found)
