"""A detector and a recogniser of faces that anybody can install, as they are: nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torchvision.ops import nms

_MULTIPLE = 32  # of pixels: the sides that CenterFace takes
_STRIDE = 4  # pixels of a cell of its heat map
_OVERLAP = 0.3  # of two boxes that are one face
EMBEDDING = 128
_AGE_SIDE, _GENDER_SIDE = 64, 32  # pixels of the picture of a face, with a margin, as these networks were trained
_MARGIN = 0.2
_MEANS = (122.782, 117.001, 104.298)  # RGB, of dlib's pictures


@dataclass(frozen=True)
class Face:
    """A face in a frame, with its box in pixels (left, top, right, bottom)."""

    score: float
    box: tuple[float, float, float, float]


class FaceDetector:
    """CenterFace, https://arxiv.org/abs/1911.03599, from its ONNX file."""

    def __init__(self, file: Path, score: float, threads: int = 1) -> None:
        import onnx
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # it warns of every initializer of a batch norm
        network = onnx.load(str(file))
        weights = {one.name for one in network.graph.initializer}
        for value in (*network.graph.input, *network.graph.output):  # the file says one size, the network takes any
            for axis in (0, 2, 3) if value.name not in weights else ():
                value.type.tensor_type.shape.dim[axis].dim_param = f"{value.name}_{axis}"
        content = network.SerializeToString()
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._score = score

    def __call__(self, frame: NDArray[np.uint8]) -> list[Face]:
        """(H, W, 3) RGB -> the faces, the surest first."""
        height, width = frame.shape[:2]
        size = tuple(-(-side // _MULTIPLE) * _MULTIPLE for side in (height, width))
        pixels = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
        if size != (height, width):
            pixels = functional.interpolate(pixels, size, mode="bilinear", align_corners=False)
        heat, scale, offset = (torch.from_numpy(part[0]) for part in self._session.run(None, {self._input: pixels.numpy()})[:3])
        rows, columns = torch.where(heat[0] > self._score)
        if not len(rows):
            return []
        scores = heat[0][rows, columns]
        sides = scale[:, rows, columns].exp() * _STRIDE  # height, width
        centre = (torch.stack([rows, columns]) + offset[:, rows, columns] + 0.5) * _STRIDE
        top, left = (centre - sides / 2).clamp(min=0.0)
        bottom, right = top + sides[0], left + sides[1]
        boxes = torch.stack([left, top, right.clamp(max=size[1]), bottom.clamp(max=size[0])], dim=1)
        shrunk = boxes * torch.tensor([width / size[1], height / size[0]] * 2)
        kept = nms(boxes, scores, _OVERLAP)
        return [Face(float(scores[k]), tuple(shrunk[k].tolist())) for k in kept]


class FaceRecogniser:
    """The ResNet of dlib: 128 numbers of a face, near each other for one person. Faces are aligned by five landmarks."""

    def __init__(self, landmarks: Path, recogniser: Path) -> None:
        import dlib

        self._dlib: Any = dlib
        self._landmarks = dlib.shape_predictor(str(landmarks))
        self._network = dlib.face_recognition_model_v1(str(recogniser))

    def __call__(self, frame: NDArray[np.uint8], face: Face) -> NDArray[np.float64]:
        """(H, W, 3) RGB and a face in it -> (128,)"""
        frame = np.ascontiguousarray(frame)
        rectangle = self._dlib.rectangle(*(round(side) for side in face.box))
        return np.array(self._network.compute_face_descriptor(frame, self._landmarks(frame, rectangle)))


class FaceTraits:
    """Age and gender of a face, by networks of dlib's models as ONNX files. Faces are aligned by five landmarks."""

    def __init__(self, landmarks: Path, age: Path, gender: Path) -> None:
        import dlib
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._dlib: Any = dlib
        self._landmarks = dlib.shape_predictor(str(landmarks))
        self._age, self._gender = (
            onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"]) for file in (age, gender)
        )

    def __call__(self, frame: NDArray[np.uint8], face: Face) -> tuple[float, float]:
        """(H, W, 3) RGB and a face in it -> the probability that it is a woman's, and the age in years, which is expected."""
        frame = np.ascontiguousarray(frame)
        shape = self._landmarks(frame, self._dlib.rectangle(*(round(side) for side in face.box)))
        woman, _ = self._told(self._gender, frame, shape, _GENDER_SIDE)
        ages = self._told(self._age, frame, shape, _AGE_SIDE)  # the first class is below one year
        return float(woman), float(ages @ np.maximum(np.arange(len(ages)), 0.25))

    def _told(self, network: Any, frame: NDArray[np.uint8], shape: Any, side: int) -> NDArray[np.float32]:
        """The probabilities of the classes."""
        picture = self._dlib.get_face_chip(frame, shape, size=side, padding=_MARGIN).astype(np.float32)
        pixels = np.ascontiguousarray(((picture - np.array(_MEANS, dtype=np.float32)) / 256).transpose(2, 0, 1)[None])
        found: NDArray[np.float32] = network.run(None, {network.get_inputs()[0].name: pixels})[0][0]
        return found
