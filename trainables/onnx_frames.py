"""Models of frames in ONNX files: how they are opened in onnxruntime, and what they take. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.one_line import reason

# A setting of onnxruntime: numbers of 8 bits are multiplied and added in float32.
EXACT_SUMS = ("session.disable_quant_qdq", "1")
_GPU, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


@dataclass(frozen=True)
class FramesInput:
    """The only input of a model of RGB frames (N, 3, H, W), or of windows of frames (N, K, 3, H, W).

    window: K, None for single frames. size: the one (height, width) it takes, None for any. batch: the one N, None for any.
    floats: it takes float32.
    """

    name: str
    window: int | None
    size: tuple[int, int] | None
    batch: int | None
    floats: bool


def has_cuda() -> bool:
    """Whether the installed onnxruntime can use a GPU."""
    import onnxruntime

    return _GPU in onnxruntime.get_available_providers()


def open_session(file: str | Path, on_gpu: bool = False, threads: int = 0, quantized: bool = True) -> Any:
    """The model in onnxruntime. threads: 0 for as many as there are cores. quantized: False multiplies 8 bits in float32.

    Raises ValueError, one line, for a file that cannot be loaded.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # a failure is raised; it need not be printed as well
    options.intra_op_num_threads = threads
    if not quantized:
        options.add_session_config_entry(*EXACT_SUMS)
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=[*([_GPU] if on_gpu else []), _CPU])
    except Exception as error:  # onnxruntime has a class of its own for every status
        raise ValueError(f"{file}: no ONNX model that can be loaded ({reason(error)})") from None


def frames_input(session: Any) -> FramesInput | None:
    """What the model takes; None for one that is no model of RGB frames."""
    inputs = session.get_inputs()
    shape = inputs[0].shape if len(inputs) == len(session.get_outputs()) == 1 else []
    if len(shape) not in (4, 5) or shape[-3] != 3:
        return None
    height, width = shape[-2:]
    return FramesInput(
        name=inputs[0].name,
        window=int(shape[1]) if len(shape) == 5 else None,
        size=(height, width) if isinstance(height, int) and isinstance(width, int) else None,
        batch=shape[0] if isinstance(shape[0], int) else None,
        floats=inputs[0].type == "tensor(float)",
    )
