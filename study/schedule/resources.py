"""The resources of each trial: CPU cores, GPUs or a part of one, and the kind of GPU. Imports neither torch nor Ray."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainables.config import ConfigError, Runtime, TrialConfig, flatten, parse_setting, with_values

MOST_CPUS = 16.0  # decoding for one GPU has no use for more


@dataclass(frozen=True)
class Share:
    """The CPU cores and GPUs that one trial is given. `kind` is Ray's name of a GPU, such as A100 or H100; empty: any."""

    cpus: float
    gpus: float
    kind: str = ""

    @property
    def bundle(self) -> dict[str, float]:
        """The same as the resources of a Ray bundle."""
        kind = {f"accelerator_type:{self.kind}": 0.001} if self.kind else {}
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {}), **kind}

    def runtime(self, data_root: str, stages_at: str) -> Runtime:
        """How a trial with this share runs. Where it has a GPU its CPUs decode, otherwise they compute; several GPUs share
        every batch.
        """
        ranks = max(1, int(self.gpus))
        threads = max(1, int(self.cpus) // ranks)
        return Runtime(
            data_root=data_root,
            storage=stages_at,
            device="cuda" if self.gpus else "cpu",
            workers=threads - 1 if self.gpus else 0,
            threads=threads,
            ranks=ranks,
        )

    def __str__(self) -> str:
        return f"{self.cpus:g} CPUs and {self.gpus:g} GPUs" + (f" of kind {self.kind}" if self.kind else "")


@dataclass(frozen=True)
class ResourceOverride:
    """Gives trials whose field `key` is `value` other GPUs: `gpus` of them, of `kind` if that is not empty."""

    key: str
    value: Any
    gpus: float
    kind: str

    @staticmethod
    def of(text: str) -> ResourceOverride:
        """`KEY=VALUE:GPUS` or `KEY=VALUE:GPUS:KIND`. Raises ConfigError for anything else, or a field that is not there."""
        setting, *rest = text.split(":")
        try:
            gpus = float(rest[0]) if len(rest) in (1, 2) else -1.0
        except ValueError:
            gpus = -1.0
        if "=" not in setting or not can_be_given(gpus):
            raise ConfigError(f"--gpus-for {text!r}: write KEY=VALUE:GPUS or KEY=VALUE:GPUS:KIND, such as method=raw:0.5")
        key, value = parse_setting(setting)
        value = flatten(with_values(TrialConfig(), {key: value}))[key]
        return ResourceOverride(key, value, gpus, rest[1] if len(rest) == 2 else "")


def can_be_given(gpus: float) -> bool:
    """Whether Ray can give a trial so many GPUs: a fraction of one, or a whole number."""
    return math.isfinite(gpus) and (0 <= gpus <= 1 or (gpus > 1 and gpus == int(gpus)))


@dataclass(frozen=True)
class Resources:
    """The resources of the trials of a study, and how many may run at once (None: as many as fit).

    `cpus`: None = matched to the GPUs of the cluster (`matched`). The first of `overrides` that fits a trial replaces `gpus`.
    """

    cpus: float | None
    gpus: float
    max_concurrent: int | None = None
    overrides: tuple[ResourceOverride, ...] = ()
    cpus_per_gpu: float = 1.0

    @property
    def most_gpus(self) -> float:
        """The GPUs of the trial that is given most."""
        return max(self.gpus, *(override.gpus for override in self.overrides), 0.0)

    def of(self, config: TrialConfig) -> Share:
        """The share of one trial."""
        flat = flatten(config)
        override = next((one for one in self.overrides if flat.get(one.key) == one.value), None)
        gpus, kind = (self.gpus, "") if override is None else (override.gpus, override.kind)
        cpus = self.cpus if self.cpus is not None else max(1.0, float(int(min(MOST_CPUS, self.cpus_per_gpu) * (gpus or 1.0))))
        return Share(cpus, gpus, kind)

    def matched(self, nodes: Sequence[Mapping[str, float]]) -> Resources:
        """Shares the cores of `nodes` (the resources that Ray counts on each) out evenly among their GPUs, so that decoding
        gets all cores and every GPU can be used. Of unequal nodes the one with the fewest cores a GPU counts; without a GPU
        anywhere nothing changes.
        """
        ratios = [node.get("CPU", 0.0) / node["GPU"] for node in nodes if node.get("GPU")]
        return replace(self, cpus_per_gpu=min(ratios)) if ratios else self
