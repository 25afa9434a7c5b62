"""A model by what a user names it with: a file of ONNX or of PyTorch, MLflow's registry, or the id of a run.

An ONNX file needs neither torch nor MLflow, which take seconds to import: they are loaded for the others only.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.deploy.frame_model import FrameModel, OnnxModel
from analysis.read.store import AnalysisError, open_store, shown_uri
from trainables.one_line import reason

_RUN_ID = re.compile(r"[0-9a-f]{32}")
_ZIP = b"PK\x03\x04"  # how a file of PyTorch begins


def load_model(source: str, tracking_uri: str | None = None, device: str = "auto", dial: float | None = None) -> FrameModel:
    """A model by what a user names it with: a file of ONNX or PyTorch, models:/NAME/VERSION, or the id of a run.

    dial: where it is to stand, from 0 to 1, in place of where it was exported. Raises AnalysisError, one line, for what is not
    there, cannot be read, is no anonymizer of frames, or has no dial to turn.
    """
    with model_file(source, tracking_uri) as path:
        return turned(open_model(path, device), dial, source)


@contextmanager
def model_file(source: str, tracking_uri: str | None = None) -> Iterator[Path]:
    """The file of a model by what a user names it with; one that had to be fetched is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(source)
        if source.startswith("models:/"):
            path = _registered(source, tracking_uri, folder)
        if not path.exists() and _RUN_ID.fullmatch(source):
            from analysis.deploy.anonymizers import fetch_trial

            path = fetch_trial(source, tracking_uri, folder)
        if not path.is_file():
            raise AnalysisError(f"no model {source}: give FILE.onnx, FILE.pt, models:/NAME/VERSION or the id of a run")
        yield path


def open_model(path: Path, device: str = "auto", cores: int | None = None) -> FrameModel:
    """The model in a file. cores: of an ONNX file, how many it takes; all for None."""
    if is_torch_file(path):
        from analysis.deploy.anonymizers import TorchModel

        return TorchModel(path, device)
    return OnnxModel(path, device, cores)


def turned(model: FrameModel, dial: float | None, source: str) -> FrameModel:
    """The model with its dial at `dial`; where it is, if None. Raises AnalysisError for one without a dial."""
    if dial is not None:
        if model.dial is None:
            raise AnalysisError(f"--dial {dial:g}: {source} has no dial; train one with the method `dial`, or leave --dial out")
        model.dial = model.dial.turned(dial)
    return model


def is_torch_file(path: Path) -> bool:
    """Whether PyTorch is to read it, not onnxruntime."""
    with path.open("rb") as opened:
        return opened.read(len(_ZIP)) == _ZIP or path.suffix.lower() in (".pt", ".pth")


def _registered(source: str, tracking_uri: str | None, folder: str) -> Path:
    """The ONNX file of models:/NAME/VERSION, models:/NAME/latest or models:/NAME@ALIAS, copied into `folder`.

    By hand: MLflow's own look-up reads (and makes) the process's store. Raises AnalysisError for what is not there.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    name, _, version = source.removeprefix("models:/").partition("/")
    name, _, alias = name.partition("@")
    with open_store(tracking_uri) as client:
        uri = client.tracking_uri
        try:
            if not alias and version in ("", "latest"):
                there = client.search_model_versions(f"name = '{name}'")
                version = str(max((int(one.version) for one in there), default=1))
            found = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, version)
            local = mlflow.artifacts.download_artifacts(found.source, dst_path=folder, tracking_uri=uri)
        except (MlflowException, OSError) as error:
            raise AnalysisError(f"no model {source} in {shown_uri(uri)} ({reason(error)})") from None
    files = sorted(Path(local).rglob("*.onnx"))
    if len(files) != 1:
        raise AnalysisError(f"{source} holds {len(files)} ONNX files; give one that `select --register` has put there")
    return files[0]
