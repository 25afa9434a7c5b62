"""ONNX anonymizers of one or two nodes, made without PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from analysis.deploy import measured, proof
from analysis.deploy.measured import MeasuredAt
from analysis.deploy.proof import Proof


def write_onnx(
    path: Path,
    factor: float = 1.0,
    measured_at: MeasuredAt | None = None,
    carried: Proof | None = None,
    size: tuple[int, int] | None = None,
) -> Path:
    """A model that multiplies its frames by `factor`. carried: its test frame; size: the one it takes, None for any."""
    shape = ["n", 3, *(size or ("height", "width"))]
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("frames", "anonymized")]
    constant = numpy_helper.from_array(np.array(factor, np.float32), "factor")
    node = helper.make_node("Mul", ["frames", "factor"], ["anonymized"])
    graph = helper.make_graph([node], "tiny", sides[:1], sides[1:], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    content = {measured.KEY: measured_at.as_json()} if measured_at else {}
    helper.set_model_props(model, content | ({proof.KEY: carried.as_text()} if carried else {}))
    onnx.save(model, path)
    return path
