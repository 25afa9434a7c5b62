"""GPUs by name, and how fast a step is expected to be on one that nobody has measured it on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trainables.config import ConfigError

GIB = 2**30
FILLED = 0.9  # of a GPU's memory: the rest is its context, workspaces of kernels, and gaps between blocks
# Of the peak: 19.2 TFLOP in 0.246 s, 78 TFLOP/s of 989, a step of the minimax in bfloat16 on an H200 (tests/benchmarks).
MEASURED_SHARE = 0.08


@dataclass(frozen=True)
class GpuModel:
    """gib: its memory. tflops: its peak in bfloat16 without sparsity, by its data sheet."""

    name: str
    gib: float
    tflops: float


GPUS: Mapping[str, GpuModel] = {
    gpu.name: gpu
    for gpu in (
        GpuModel("A100-40", 39.4, 312.0),
        GpuModel("A100-80", 79.2, 312.0),
        GpuModel("H100", 79.2, 989.0),
        GpuModel("H200", 139.8, 989.0),
    )
}
DEFAULT_GPU = "A100-80"


@dataclass(frozen=True)
class Expected:
    """On which GPU what is not measured is expected to run, and the share of its peak that steps reach there."""

    gpu: GpuModel = GPUS[DEFAULT_GPU]
    share: float = MEASURED_SHARE

    @staticmethod
    def of(gpu: str, share: float) -> Expected:
        """Raises ConfigError for an unknown GPU, or a share that is none."""
        if gpu not in GPUS:
            raise ConfigError(f"--gpu {gpu}: there are {', '.join(GPUS)}")
        if not 0 < share <= 1:
            raise ConfigError(f"--share-of-peak {share:g}: give a share above 0 and up to 1, such as {MEASURED_SHARE}")
        return Expected(GPUS[gpu], share)

    def seconds(self, flops: float, gpu: GpuModel | None = None) -> float:
        return flops / (self.share * (gpu or self.gpu).tflops * 1e12)
