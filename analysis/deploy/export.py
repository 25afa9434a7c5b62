"""An anonymizer as a file for use elsewhere: ONNX, checked against PyTorch, or the state dict as it was stored."""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import text
from analysis.deploy import dial, measured, proof
from analysis.deploy.anonymizers import Stored, fetch_trial, read_stored
from analysis.deploy.card import make_card, write_card
from analysis.deploy.dial import Dial
from analysis.deploy.measured import Size
from analysis.deploy.quantize import Pictures, drawn_pictures, frames_of, quantizations
from analysis.deploy.whole import whole
from analysis.read.store import AnalysisError
from trainables.one_line import reason
from trainables.onnx_frames import EXACT_SUMS

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "frames", "anonymized"
# Of the pixel range, float32 on both sides: a fortieth of a grey level. For linear outputs, of their largest value.
TOLERANCE = 1e-4
# A single pixel of noise may be this far off in 8 bits; the mean over a picture is near a hundredth.
TOLERANCE_INT8 = 0.1
_CALIBRATED = (240, 320)  # pictures of this size set the ranges of 8 bits where no size is given


@dataclass(frozen=True)
class ExportCheck:
    """How far the ONNX model is from PyTorch on frames of `sizes`, random noise and a smooth picture."""

    difference: float
    tolerance: float
    sizes: tuple[Size, ...]

    def text(self) -> str:
        sizes = text.listed(map(text.frame_size, self.sizes))
        return f"largest difference from PyTorch {self.difference:.1e} (tolerance {self.tolerance:.0e}) at {sizes}"


def export_trial(
    run_id: str,
    out: Path,
    form: str,
    size: Size | None = None,
    tracking_uri: str | None = None,
    overwrite: bool = False,
    precision: str = "float32",
    calibrate: Path | None = None,
) -> str:
    """Writes the anonymizer of a trial to `out` and returns lines on it: form `onnx` (any size, or one) or `torch`.

    Beside an ONNX file its model card is written, see `card`.

    precision: of ONNX, `float32`, or `int8`, which is faster on a CPU and near the original only. calibrate: a video whose
    frames set the ranges of 8 bits, and are what the result is compared on.

    Raises AnalysisError for a run without an anonymizer of frames, and for a model that does not agree with PyTorch; `out`
    is then not there, and what was there before stays.
    """
    if out.exists() and not overwrite:
        raise AnalysisError(f"{out} is there already; give another --out, or --overwrite")
    if form == "torch" and size is not None:
        raise AnalysisError("--size is for --format onnx: a state dict takes any size")
    if form == "torch" and precision != "float32":
        raise AnalysisError("--precision is for --format onnx: a state dict is what the trial stored")
    if calibrate is not None and precision != "int8":
        raise AnalysisError("--calibrate is for --precision int8: float32 has no ranges to set")
    if not out.absolute().parent.is_dir():
        raise AnalysisError(f"{out.absolute().parent} is no folder; make it or give another --out")
    with tempfile.TemporaryDirectory() as folder:
        path = fetch_trial(run_id, tracking_uri, folder)
        stored = read_stored(path)
        if stored.dial and precision != "float32":
            raise AnalysisError("--precision int8: its ranges would hold for one point of the dial; leave --precision out")
        if stored.window > 1 and precision != "float32":
            raise AnalysisError("--precision int8: not for an anonymizer that sees earlier frames; leave --precision out")
        if form == "torch":
            _copy(path, out)
            return f"{out}: config and state dict of {stored.config['name']}, as the trial stored them"
        seen = size or (stored.measured_at.whole_frame if stored.measured_at else _CALIBRATED)
        pictures = frames_of(calibrate, seen) if calibrate is not None else ()
        model, check = checked_onnx(stored, size, precision, pictures)
        made = Path(folder) / "made.onnx"
        made.write_bytes(model.SerializeToString())
        card = card_of(run_id, tracking_uri, stored, size, check)
        _copy(made, out)
        beside = write_card(card, out)
    at = stored.measured_at
    holds = f"its figures hold for {at.words()}" if at else "its trial does not say at which size it was measured"
    if stored.dial:
        holds += f"; it stands at {stored.dial.words()}, and its dial was measured at {_points(stored.dial)}"
    takes = card["model"]["takes"]
    return f"{out}: ONNX, {stored.config['name']}, {takes}; {holds}\n{check.text()}\nmodel card: {beside}"


def card_of(run_id: str, tracking_uri: str | None, stored: Stored, size: Size | None, check: ExportCheck) -> dict[str, Any]:
    """The model card of an ONNX file of the anonymizer of a trial."""
    takes = f"frames of {text.frame_size(size)}" if size else "frames of any size"
    about = {
        "network": str(stored.config["name"]),
        "takes": f"{_shape(stored)} float RGB in [0, 1], {takes}",
        "checked": check.text(),
    }
    return make_card(run_id, tracking_uri, about, stored.measured_at, stored.dial)


def _shape(stored: Stored) -> str:
    if stored.window == 1:
        return "(N, 3, H, W)"
    every = "every frame" if stored.skip == 1 else f"one in {stored.skip} frames"
    return f"(N, {stored.window}, 3, H, W), each frame after the {stored.window - 1} before it ({every} of a video),"


def _points(known: Dial) -> str:
    return text.listed([f"{one:g}" for one in known.measured])


def checked_onnx(
    stored: Stored, size: Size | None = None, precision: str = "float32", pictures: Pictures = ()
) -> tuple[onnx.ModelProto, ExportCheck]:
    """The ONNX model of an anonymizer for any size (None) or one, and how well it agrees with PyTorch.

    pictures: frames that set the ranges of 8 bits, every second one, and that are compared, the others; without them, noise.

    Its metadata hold what the anonymizer was measured at, and a test frame with PyTorch's answer (see `proof`).

    Raises AnalysisError where PyTorch cannot export it, and where the two disagree.
    """
    name = stored.config["name"]
    hint = "" if size else "; with --size HxW it may have one"
    try:
        with _quiet():
            model = _one_size(stored, size) if size else _any_size(stored)
            sizes = (size,) if size else _sizes(stored.multiple)
            if precision == "int8":
                model, check = _in_8_bits(stored, model, sizes, pictures or drawn_pictures(size or _CALIBRATED), bool(pictures))
            else:
                check = compare(stored, model, sizes)
    except Exception as error:  # the exporter and onnxruntime raise whatever they come across
        why = f"{type(error).__name__}: {reason(error, 160)}"
        raise AnalysisError(f"the anonymizer {name} has no ONNX form here ({why}){hint}") from None
    if not check.difference <= check.tolerance:
        raise AnalysisError(f"the ONNX form of {name} is wrong: {check.text()}; nothing was written{hint}")
    _put_metadata(stored, model, size or (max(32, 4 * stored.multiple),) * 2, check.tolerance)
    return model, check


def _in_8_bits(
    stored: Stored, model: onnx.ModelProto, sizes: tuple[Size, ...], pictures: Pictures, real: bool
) -> tuple[onnx.ModelProto, ExportCheck]:
    """The first way of 8 bits that is near enough, or the nearest one."""
    compared = pictures[1::2] if real else ()
    found: list[tuple[onnx.ModelProto, ExportCheck]] = []
    for made in quantizations(model, pictures[::2] if real else pictures, INPUT):
        found.append((made, compare(stored, made, sizes, TOLERANCE_INT8, compared)))
        if found[-1][1].difference <= found[-1][1].tolerance:
            break
    return min(found, key=lambda pair: pair[1].difference)


def _put_metadata(stored: Stored, model: onnx.ModelProto, size: Size, tolerance: float) -> None:
    """The answer to the test frame is PyTorch's; of 8 bits it is what exact sums of the same numbers give."""
    import numpy as np
    import onnxruntime
    import torch
    from onnx import helper

    frame = proof.smooth_frame(size)  # drawn: a frame of a video has no place in a file that is handed on
    if stored.window > 1:  # it moves and fades, so that earlier frames count
        moved = [np.roll(frame, 2 * time, axis=3) * (1 - time / 20) for time in range(stored.window)]
        frame = np.stack(moved, axis=1).astype(np.float32)
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry(*EXACT_SUMS)
        exact = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        answer = exact.run([OUTPUT], {INPUT: frame})[0]
    else:
        with torch.inference_mode():
            answer = stored.show(torch.from_numpy(frame)).numpy()
    carried = {proof.KEY: proof.Proof(frame, answer, tolerance).as_text()}
    if stored.measured_at is not None:
        carried[measured.KEY] = stored.measured_at.as_json()
    if stored.dial is not None:
        carried[dial.KEY] = stored.dial.as_json()
    helper.set_model_props(model, carried)


def compare(
    stored: Stored, model: onnx.ModelProto, sizes: tuple[Size, ...], tolerance: float = TOLERANCE, pictures: Pictures = ()
) -> ExportCheck:
    """Runs both on the same frames: `pictures`, or noise and smooth pictures of `sizes`."""
    import numpy as np
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # a failure is raised; it need not be printed as well
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    furthest, largest = 0.0, 1.0
    for frames in map(torch.from_numpy, pictures) if pictures else _noise(sizes, stored.window):
        for at in _turned_to(stored):
            with torch.inference_mode():
                ours = stored.show(frames, *map(torch.from_numpy, at.values())).numpy()
            theirs = session.run([OUTPUT], {INPUT: frames.numpy(), **at})[0]
            if theirs.shape != ours.shape:
                raise ValueError(f"gives {theirs.shape} for {ours.shape}")
            furthest = max(furthest, float(np.abs(theirs - ours).max()))
            largest = max(largest, float(np.abs(ours).max()))
    compared = tuple(dict.fromkeys((int(one.shape[2]), int(one.shape[3])) for one in pictures)) or sizes
    return ExportCheck(furthest, tolerance * largest, compared)


def _turned_to(stored: Stored) -> list[dict[str, Any]]:
    """The further inputs with which the two are compared: none, so that the dial is where it stands, and points of it."""
    import numpy as np

    points = () if stored.dial is None else (0.0, 0.5, 1.0)
    return [{}, *({dial.INPUT: np.array([at], np.float32)} for at in points)]


def _noise(sizes: tuple[Size, ...], window: int) -> Iterator[Any]:
    """Of each size noise, and a smooth picture; windows of such frames where the network is given more than one."""
    import torch

    chance = torch.Generator().manual_seed(0)
    for number, (height, width) in enumerate(sizes):
        count = 1 + number % 2
        noise = torch.rand((count * window, 3, height, width), generator=chance)
        for frames in (noise, torch.nn.functional.interpolate(noise[..., ::8, ::8], (height, width), mode="bilinear")):
            yield frames.unflatten(0, (count, window)) if window > 1 else frames


def _sizes(multiple: int) -> tuple[Size, ...]:
    """Sides that the network's multiple divides and sides that it does not, small and larger, lying and standing."""
    return ((2 * multiple, 3 * multiple), (2 * multiple + 1, 5 * multiple - 1), (7 * multiple + 3, 4 * multiple), (51, 37))


def _one_size(stored: Stored, size: Size) -> onnx.ModelProto:
    return _exported(stored, size, False, INPUT, OUTPUT)


def _any_size(stored: Stored) -> onnx.ModelProto:
    """The exporter takes sides that the multiple divides; padding and cropping are put around it."""
    multiple = stored.multiple
    if multiple == 1:
        return _exported(stored, (24, 40), True, INPUT, OUTPUT)
    made = _exported(stored, (3 * multiple, 5 * multiple), True, "padded", "whole")
    return _padding(made, multiple, stored.window)


def _dimension(name: str) -> Any:
    import torch

    return torch.export.Dim(name)


def _exported(stored: Stored, size: Size, any_size: bool, inputs: str, outputs: str) -> onnx.ModelProto:
    """any_size: of all sides that the network's multiple divides."""
    import torch
    from onnx import numpy_helper

    class Shown(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = stored.anonymizer

        def forward(self, seen: torch.Tensor, dial: torch.Tensor | None = None) -> torch.Tensor:
            return stored.show(seen, dial)

    shape = (2, *([stored.window] if stored.window > 1 else []), 3, *size)
    dynamic = {0: _dimension("n")}
    if any_size:
        multiple, rank = stored.multiple, len(shape)
        names = ("rows", "columns") if multiple > 1 else ("h", "w")
        dynamic |= {rank - 2 + place: multiple * _dimension(name) for place, name in enumerate(names)}
    at = None if stored.dial is None else torch.tensor([stored.dial.at])
    program = torch.onnx.export(
        Shown().eval(),
        (torch.rand(*shape), *([] if at is None else [at])),
        input_names=[inputs, *([] if at is None else [dial.INPUT])],
        output_names=[outputs],
        dynamic_shapes=(dynamic, *([] if at is None else [None])),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    if at is not None:  # an input with a value: whoever does not know of the dial leaves it where it stands
        model.graph.initializer.append(numpy_helper.from_array(at.numpy(), dial.INPUT))
    return model


def _padding(model: onnx.ModelProto, multiple: int, window: int) -> onnx.ModelProto:
    """Around a model of `padded` -> `whole`: repeats the border of `frames` up to the multiple, and crops the result back."""
    from onnx import TensorProto, checker, helper

    def numbers(name: str, values: list[int]) -> Any:
        return helper.make_tensor(f"sides_{name}", TensorProto.INT64, [len(values)], values)

    before = [
        helper.make_node("Shape", [INPUT], ["sides"], start=-2),
        helper.make_node("Neg", ["sides"], ["sides_negative"]),
        helper.make_node("Mod", ["sides_negative", "sides_multiple"], ["sides_lacking"]),  # never negative, as in Python
        helper.make_node("Concat", ["sides_zeros", "sides_lacking"], ["sides_pads"], axis=0),
        helper.make_node("Pad", [INPUT, "sides_pads", "", "sides_axes"], ["padded"], mode="edge"),
    ]
    after = helper.make_node("Slice", ["whole", "sides_zeros", "sides", "sides_axes"], [OUTPUT])
    shape: list[str | int | None] = ["n", 3, "height", "width"]
    seen = shape if window == 1 else ["n", window, *shape[1:]]
    graph = helper.make_graph(
        [*before, *model.graph.node, after],
        "anonymizer",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, seen), *model.graph.input[1:]],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, shape)],
        [*model.graph.initializer, numbers("multiple", [multiple]), numbers("zeros", [0, 0]), numbers("axes", [-2, -1])],
    )
    whole = helper.make_model(
        graph, opset_imports=list(model.opset_import), ir_version=model.ir_version, functions=list(model.functions)
    )
    checker.check_model(whole)
    return whole


def _copy(made: Path, out: Path) -> None:
    with whole(out) as beside:
        shutil.copyfile(made, beside)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the warnings of the exporter about its own deprecations."""
    names = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
