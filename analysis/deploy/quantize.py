"""An ONNX anonymizer in whole numbers of 8 bits: several times as fast on a CPU, and near its original only.

Processors without VNNI add two products of 8-bit numbers in 16 bits, where signed weights of the full range overflow. Weights
are of 7 bits or unsigned instead, so that every processor computes the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

Pictures = Sequence[NDArray[np.float32]]  # (1, 3, H, W) in [0, 1]

_PICTURES = 8
_OPERATORS = ["Add", "Concat", "Conv", "MaxPool", "Relu", "Resize"]  # what an anonymizer's time goes into


def quantizations(model: onnx.ModelProto, pictures: Pictures, name: str) -> Iterator[onnx.ModelProto]:
    """`model` with 8-bit weights (per channel) and activations, whose ranges are those that `pictures` need: the fastest first.

    First with all of it in 8 bits; then the last convolution, whose errors are seen as they are, stays in float; then weights
    are unsigned, of which each has one bit more. name: of the model's input.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quant_pre_process, quantize_static

    class Given(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = list(pictures)

        def get_next(self) -> dict[str, object] | None:
            return {name: self._left.pop()} if self._left else None

    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, made = (Path(folder) / part for part in ("plain.onnx", "prepared.onnx", "made.onnx"))
        onnx.save(model, plain)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        convolutions = [node.name for node in onnx.load(prepared).graph.node if node.op_type == "Conv"]
        for unsigned, exact in ((False, []), (False, convolutions[-1:]), (True, convolutions[-1:])):
            quantize_static(
                prepared,
                made,
                Given(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=_OPERATORS,
                nodes_to_exclude=exact,
                per_channel=not unsigned,
                reduce_range=not unsigned,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QUInt8 if unsigned else QuantType.QInt8,
            )
            yield onnx.load(made)


def drawn_pictures(size: tuple[int, int]) -> Pictures:
    """Noise of eight grains, fine to coarse, where there are no frames of a video."""
    import torch

    chance = torch.Generator().manual_seed(0)
    grains = [torch.rand(1, 3, *(max(1, side >> n) for side in size), generator=chance) for n in range(_PICTURES)]
    return [torch.nn.functional.interpolate(grain, size, mode="bilinear").numpy() for grain in grains]


def frames_of(video: Path, size: tuple[int, int], most: int = 2 * _PICTURES) -> Pictures:
    """Frames of a video at `size`, evenly from its beginning on. Raises AnalysisError for one that cannot be read."""
    from analysis.deploy.video_input import Shot, VideoInput

    found: list[NDArray[np.float32]] = []
    with VideoInput(str(video), size=size) as opened:
        every = max(1, opened.frames // most)
        shots = (item for item in opened if isinstance(item, Shot))
        for number, shot in enumerate(shots):
            if number % every == 0 and shot.picture is not None:
                found.append(np.ascontiguousarray(shot.picture.transpose(2, 0, 1)[None], np.float32) / np.float32(255))
            if len(found) == most:
                break
    return found
