"""An ONNX anonymizer in whole numbers of 8 bits: several times as fast on a CPU, and near its original only."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_PICTURES = 8
_OPERATORS = ["Add", "Concat", "Conv", "MaxPool", "Relu", "Resize"]  # what an anonymizer's time goes into


def quantized(model: onnx.ModelProto, size: tuple[int, int], name: str) -> onnx.ModelProto:
    """`model` with 8-bit weights (per channel) and activations; their ranges are those of pictures of `size`, fine to coarse.

    name: of the model's input, (N, 3, H, W) in [0, 1].
    """
    import onnx
    import torch
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quant_pre_process, quantize_static

    class Pictures(CalibrationDataReader):
        def __init__(self) -> None:
            chance = torch.Generator().manual_seed(0)
            grains = [torch.rand(1, 3, *(max(1, side >> n) for side in size), generator=chance) for n in range(_PICTURES)]
            self._left = [torch.nn.functional.interpolate(grain, size, mode="bilinear").numpy() for grain in grains]

        def get_next(self) -> dict[str, object] | None:
            return {name: self._left.pop()} if self._left else None

    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, made = (Path(folder) / part for part in ("plain.onnx", "prepared.onnx", "made.onnx"))
        onnx.save(model, plain)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            made,
            Pictures(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_OPERATORS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(made)
