"""Where and on what a trial runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trainables.config.base import Count, Frozen


class Runtime(Frozen):
    """Where and on what a trial runs. Nothing here may change its numbers (the precision of the device excepted)."""

    data_root: str
    storage: str
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    workers: Annotated[int, Field(ge=0)] = 0
    threads: Count = 1
    ranks: Count = Field(default=1, description="processes of a trial, one a GPU; workers and threads are those of each")
    evaluators_per_pass: Count = Field(default=8, description="evaluators of one anonymizer that share a pass, at most")
    compile: bool = Field(default=False, description="torch.compile of the networks: minutes at the start of each stage")
    checkpointing: bool = Field(default=False, description="less GPU memory for more time: activations are computed twice")
