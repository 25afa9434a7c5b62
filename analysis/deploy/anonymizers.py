"""Trained anonymizers as functions of frames: found in MLflow, in a file of PyTorch or in one of ONNX.

This module, `export`, `register` and `anonymize` are the only ones of the analysis that load torch, and only inside functions.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import yaml
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from analysis import text
from analysis.deploy.exportable import BOXES_NEEDED, SEES_TIME, UNTRAINED, refusal
from analysis.read.store import AnalysisError, open_store, shown_uri
from analysis.read.trials import RAW
from trainables.schema import ARTIFACT_ANONYMIZER, ARTIFACT_CONFIG, TAG_METHOD

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.models.base import Anonymizer

FILE = "anonymizer.pt"
_RUN_ID = re.compile(r"[0-9a-f]{32}")


class FrameModel(Protocol):
    """An anonymizer of single frames. `size`: the one (height, width) it takes, None for any. `digest`: of its file."""

    size: tuple[int, int] | None
    device: str
    digest: str
    kind: str

    def __call__(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W) float in [0, 1] on `device` -> the same shape and place, not yet clamped."""


def load_model(source: str, tracking_uri: str | None = None, device: str = "auto") -> FrameModel:
    """A model by what a user names it with: FILE.onnx, FILE.pt, models:/NAME/VERSION, or the id of a run.

    Raises AnalysisError, one line, for what is not there, cannot be read, or is no anonymizer of frames.
    """
    with tempfile.TemporaryDirectory() as folder:
        if source.startswith("models:/"):
            return OnnxModel(_registered(source, tracking_uri, folder), device)
        path = Path(source)
        if not path.exists() and _RUN_ID.fullmatch(source):
            path = fetch_trial(source, tracking_uri, folder)
        if not path.is_file():
            raise AnalysisError(f"no model {source}: give FILE.onnx, FILE.pt, models:/NAME/VERSION or the id of a run")
        return OnnxModel(path, device) if path.suffix.lower() == ".onnx" else TorchModel(path, device)


def fetch_trial(run_id: str, tracking_uri: str | None, folder: str | Path) -> Path:
    """The anonymizer file of a trial, copied into `folder`. Raises AnalysisError if the run has none."""
    with open_store(tracking_uri) as client:
        try:
            run = client.get_run(run_id)
        except MlflowException:
            where = shown_uri(client.tracking_uri)
            raise AnalysisError(f"no run {run_id} in {where}; `select` and trials.csv name the runs of a study") from None
        method = run.data.tags.get(TAG_METHOD, run.data.params.get("method", ""))
        if method == RAW:
            raise AnalysisError(f"run {run_id} leaves videos as they are (method raw): it has no anonymizer")
        if method in UNTRAINED:
            return _untrained(client, run_id, Path(folder))
        try:
            return Path(client.download_artifacts(run_id, f"{ARTIFACT_ANONYMIZER}/{FILE}", str(folder)))
        except (MlflowException, OSError):
            if why := refusal(method):
                raise AnalysisError(f"run {run_id} ({method}) {why}") from None
            raise AnalysisError(f"run {run_id} ({method}, {run.info.status}) has no {ARTIFACT_ANONYMIZER}/{FILE}") from None


@dataclass(frozen=True)
class Stored:
    """The anonymizer that a trial has stored: its configuration, and the network with the trained weights in eval mode."""

    config: dict[str, Any]
    anonymizer: Anonymizer
    digest: str

    @property
    def multiple(self) -> int:
        """The number to whose multiples the network pads the sides of a frame; 1 where it pads nothing."""
        from trainables.models.residual import SHRINKS, Residual

        return SHRINKS if isinstance(self.anonymizer, Residual) else int(getattr(self.anonymizer, "multiple", 1))


def read_stored(path: Path) -> Stored:
    """Reads a file as `trainables.trial` writes it; the start weights it names are not looked for.

    Raises AnalysisError for a file of anything else, and for an anonymizer that sees time, needs boxes, or does nothing.
    """
    import torch

    from trainables.config import AnonymizerConfig, ConfigError
    from trainables.models.anonymizers import build_anonymizer

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        config, state, options = dict(content["config"]), content["state_dict"], dict(content.get("options", {}))
        settings = AnonymizerConfig.model_validate(config | {"encoder_weights": None, "weights": None})
    except Exception as error:
        raise AnalysisError(f"{path}: no file of an anonymizer ({text.reason(error)}); give the {FILE} of a trial") from None
    try:
        anonymizer = build_anonymizer(settings, options or None).eval().requires_grad_(False)
        refuse_other_than_frames(anonymizer, settings.name)
        anonymizer.load_state_dict(state)
    except (ConfigError, RuntimeError) as error:
        raise AnalysisError(f"{path}: cannot be built as {settings.name} ({text.reason(error)})") from None
    return Stored(config, anonymizer, digest_of(path))


def refuse_other_than_frames(anonymizer: Anonymizer, name: str) -> None:
    """Raises AnalysisError for an anonymizer that is no function of single frames, or that changes nothing."""
    from trainables.models.anonymizers import Identity
    from trainables.models.base import Anonymizer as FrameByFrame
    from trainables.models.obfuscation import FrameBlur, Obfuscator

    if isinstance(anonymizer, Identity):
        raise AnalysisError(f"the anonymizer {name} leaves frames as they are: there is nothing to export or apply")
    if isinstance(anonymizer, Obfuscator) and not isinstance(anonymizer, FrameBlur):  # which blurs the whole frame
        raise AnalysisError(f"the anonymizer {name} {BOXES_NEEDED}")
    if type(anonymizer).clips is not FrameByFrame.clips:
        raise AnalysisError(f"the anonymizer {name} {SEES_TIME}")


class TorchModel:
    """The anonymizer of a trial in PyTorch."""

    kind = "PyTorch"
    size: tuple[int, int] | None = None

    def __init__(self, path: Path, device: str = "auto") -> None:
        stored = read_stored(path)
        self.device = torch_device(device)
        self.digest = stored.digest
        self._anonymizer = stored.anonymizer.to(self.device)

    def __call__(self, frames: Tensor) -> Tensor:
        import torch

        with torch.inference_mode():
            return self._anonymizer(frames)


class OnnxModel:
    """An exported anonymizer in onnxruntime, on the CPU, or on a GPU where the installed onnxruntime has CUDA."""

    kind = "ONNX"

    def __init__(self, path: Path, device: str = "auto") -> None:
        import onnxruntime

        there = onnxruntime.get_available_providers()
        if device == "cuda" and "CUDAExecutionProvider" not in there:
            raise AnalysisError("--device cuda: this onnxruntime has no CUDA; install onnxruntime-gpu or give FILE.pt or a run")
        wanted = [name for name in ("CUDAExecutionProvider",) if device != "cpu" and name in there]
        try:
            self._session = onnxruntime.InferenceSession(str(path), providers=[*wanted, "CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a class of its own for every status
            raise AnalysisError(f"{path}: no ONNX model that can be loaded ({text.reason(error)})") from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[1] != 3:
            raise AnalysisError(f"{path}: no model of RGB frames (N, 3, H, W); make one with `python -m analysis export`")
        height, width = inputs[0].shape[2:]
        self.size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
        self.device = "cpu"  # where frames are handed over
        self.digest = digest_of(path)
        self._input = inputs[0].name

    def __call__(self, frames: Tensor) -> Tensor:
        import torch

        return torch.from_numpy(self._session.run(None, {self._input: frames.numpy()})[0])


def torch_device(name: str) -> str:
    """`auto` is cuda where there is one. Raises AnalysisError for cuda where there is none."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise AnalysisError("--device cuda: PyTorch sees no CUDA device here; leave it out or give cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def digest_of(path: Path) -> str:
    """The start of the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _untrained(client: MlflowClient, run_id: str, folder: Path) -> Path:
    """A file for an anonymizer without weights, from the config of its trial."""
    import torch

    try:
        config = yaml.safe_load(Path(client.download_artifacts(run_id, ARTIFACT_CONFIG, str(folder))).read_text())
        content = {"config": config["anonymizer"], "options": dict(config.get("options") or {}), "state_dict": {}}
    except (MlflowException, OSError, ValueError, TypeError, KeyError):
        raise AnalysisError(f"run {run_id} has no readable {ARTIFACT_CONFIG}: its anonymizer is not known") from None
    torch.save(content, folder / FILE)
    return folder / FILE


def _registered(source: str, tracking_uri: str | None, folder: str) -> Path:
    """The ONNX file inside a model of the registry. By hand: MLflow's own look-up reads (and makes) the process's store."""
    import mlflow

    name, _, version = source.removeprefix("models:/").partition("/")
    name, _, alias = name.partition("@")
    with open_store(tracking_uri) as client:
        uri = client.tracking_uri
        try:
            found = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, version)
            local = mlflow.artifacts.download_artifacts(found.source, dst_path=folder, tracking_uri=uri)
        except (MlflowException, OSError) as error:
            raise AnalysisError(f"no model {source} in {shown_uri(uri)} ({text.reason(error)})") from None
    files = sorted(Path(local).rglob("*.onnx"))
    if len(files) != 1:
        raise AnalysisError(f"{source} holds {len(files)} ONNX files; give one that `select --register` has put there")
    return files[0]
