"""Trained anonymizers in PyTorch, as trials store them: fetched by their record in MLflow, read from a file, run on frames.

This module, `export` and `register` are the only ones of the analysis that load torch, and only inside functions.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from analysis.deploy import dial, measured
from analysis.deploy.dial import Dial
from analysis.deploy.exportable import BOXES_NEEDED, UNTRAINED, WHOLE_CLIPS, refusal
from analysis.deploy.frame_model import digest_of
from analysis.deploy.measured import MeasuredAt, Size
from analysis.deploy.window import Before, Frames
from analysis.read.store import AnalysisError, open_store, shown_uri, sqlite_file
from analysis.read.trials import RAW
from trainables.config import STORAGE_VARIABLE
from trainables.one_line import reason
from trainables.schema import ARTIFACT_ANONYMIZER, ARTIFACT_CONFIG, ARTIFACT_STORED, TAG_METHOD, TAG_STAGE_KEYS, config_of

if TYPE_CHECKING:
    from mlflow.entities import Run
    from torch import Tensor

    from trainables.models.base import Anonymizer

FILE = "anonymizer.pt"
_UPLOADED = f"{ARTIFACT_ANONYMIZER}/{FILE}"  # in records of before the weights stayed in the storage alone
DIAL_STAGE = "dial"  # the stage that trains an anonymizer with a dial


def fetch_trial(run_id: str, tracking_uri: str | None, folder: str | Path) -> Path:
    """The anonymizer file of a trial in `folder`, with what it was measured at. Raises AnalysisError if the run has none."""
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
            return _with_measured(_untrained(client, run_id, Path(folder)), client, run)
        found = {item.path for item in client.list_artifacts(run_id, ARTIFACT_ANONYMIZER)}
        if ARTIFACT_STORED in found:
            return _with_measured(_from_storage(client, run_id, Path(folder)), client, run)
        if _UPLOADED in found:
            return _with_measured(Path(client.download_artifacts(run_id, _UPLOADED, str(folder))), client, run)
        if why := refusal(method):
            raise AnalysisError(f"run {run_id} ({method}) {why}")
        raise AnalysisError(f"run {run_id} ({method}, {run.info.status}) has no {ARTIFACT_STORED}")


@dataclass(frozen=True)
class Stored:
    """The anonymizer that a trial has stored: its configuration, and the network with the trained weights in eval mode."""

    config: dict[str, Any]
    anonymizer: Anonymizer
    digest: str
    measured_at: MeasuredAt | None = None
    dial: Dial | None = None

    @property
    def multiple(self) -> int:
        """The number to whose multiples the network pads the sides of a frame; 1 where it pads nothing."""
        from trainables.models.residual import SHRINKS, Residual

        return SHRINKS if isinstance(self.anonymizer, Residual) else int(getattr(self.anonymizer, "multiple", 1))

    @property
    def window(self) -> int:
        """How many frames the network is given to show the last of them."""
        return (self.anonymizer.window or 1) if self.anonymizer.sees_time else 1

    @property
    def skip(self) -> int:
        """How many frames of the video lie between two of a window, as between two of the clips it was trained on."""
        return self.measured_at.skip if self.measured_at else 1

    def show(self, seen: Tensor, dial: Tensor | None = None) -> Tensor:
        """Frames (N, 3, H, W), or windows (N, window, 3, H, W) of one that sees time -> anonymized frames (N, 3, H, W)."""
        compute: Any = self.anonymizer if self.window == 1 else self.anonymizer.last
        anonymized: Tensor = compute(seen) if dial is None else compute(seen, dial)
        return anonymized


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
        at, stands = MeasuredAt.of_json(content.get(measured.KEY, "")), Dial.of_json(content.get(dial.KEY, ""))
        if stands is None and config.get("dial", "none") != "none":
            stands = Dial.of_options(options)
        settings = AnonymizerConfig.model_validate(config | {"encoder_weights": None, "weights": None})
    except Exception as error:
        raise AnalysisError(f"{path}: no file of an anonymizer ({reason(error)}); give the {FILE} of a trial") from None
    try:
        anonymizer = build_anonymizer(settings, options or None).eval().requires_grad_(False)
        refuse_other_than_frames(anonymizer, settings.name)
        anonymizer.load_state_dict(state)
    except (ConfigError, RuntimeError) as error:
        raise AnalysisError(f"{path}: cannot be built as {settings.name} ({reason(error)})") from None
    return Stored(config, anonymizer, digest_of(path), at, stands)


def refuse_other_than_frames(anonymizer: Anonymizer, name: str) -> None:
    """Raises AnalysisError for an anonymizer that needs more than a frame and a few before it, or that changes nothing."""
    from trainables.models.anonymizers import Identity
    from trainables.models.obfuscation import FrameBlur, Obfuscator

    if isinstance(anonymizer, Identity):
        raise AnalysisError(f"the anonymizer {name} leaves frames as they are: there is nothing to export or apply")
    if isinstance(anonymizer, Obfuscator) and not isinstance(anonymizer, FrameBlur):  # which blurs the whole frame
        raise AnalysisError(f"the anonymizer {name} {BOXES_NEEDED}")
    if anonymizer.sees_time and anonymizer.window is None:
        raise AnalysisError(f"the anonymizer {name} {WHOLE_CLIPS}")


class TorchModel:
    """The anonymizer of a trial in PyTorch."""

    kind = "PyTorch"
    size: Size | None = None

    def __init__(self, path: Path, device: str = "auto") -> None:
        stored = read_stored(path)
        self.device = torch_device(device)
        self.digest, self.measured_at, self.dial = stored.digest, stored.measured_at, stored.dial
        stored.anonymizer.to(self.device)
        self._stored, self._before = stored, Before(stored.window, stored.skip)

    def begin(self) -> None:
        self._before.forget()

    def at_once(self, count: int) -> int:
        return 1

    def __call__(self, frames: Frames) -> Frames:
        import torch

        at = None if self.dial is None else torch.tensor([self.dial.at], device=self.device)
        with torch.inference_mode():
            seen = torch.from_numpy(self._before.seen(frames)).to(self.device)
            found: Frames = self._stored.show(seen, at).cpu().numpy()
        self._before.keep()
        return found


def torch_device(name: str) -> str:
    """`auto` is cuda where there is one. Raises AnalysisError for cuda where there is none."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise AnalysisError("--device cuda: PyTorch sees no CUDA device here; leave it out or give cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def _from_storage(client: MlflowClient, run_id: str, folder: Path) -> Path:
    """The file of an anonymizer whose weights lie in the storage of its study. A storage that was moved is found where
    STORAGE_VARIABLE says, or beside the database of its records.
    """
    from trainables.stored_anonymizer import NotStored, StoredAnonymizer

    others = [os.environ.get(STORAGE_VARIABLE, "")]
    if (database := sqlite_file(client.tracking_uri)) is not None:
        others.append(str(database.parent))
    try:
        stored = StoredAnonymizer.of_json(Path(client.download_artifacts(run_id, ARTIFACT_STORED, str(folder))).read_text())
        (folder / FILE).write_bytes(stored.fetch(other for other in others if other))
    except (MlflowException, OSError, ValueError, TypeError):
        raise AnalysisError(f"run {run_id} has no readable {ARTIFACT_STORED}: where its anonymizer lies is not known") from None
    except NotStored as error:
        raise AnalysisError(f"run {run_id}: {error}; run this where it can be read, or set {STORAGE_VARIABLE}") from None
    return folder / FILE


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


def _with_measured(path: Path, client: MlflowClient, run: Run) -> Path:
    """Adds to an anonymizer file what its trial was measured at, and where on its dial others have measured the same one; a
    file that cannot be read stays as it is.
    """
    import torch

    config = config_of(run.data.params, run.data.tags)
    at = MeasuredAt.of_config(config)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever a broken file raises: `read_stored` says it
        return path
    if isinstance(content, dict):
        known = {measured.KEY: at.as_json()} if at is not None else {}
        if content.get("config", {}).get("dial", "none") != "none":
            known[dial.KEY] = Dial.of_options(content["options"], _measured_points(client, run)).as_json()
        torch.save(content | known, path)
    return path


def _measured_points(client: MlflowClient, run: Run) -> list[float]:
    """Where on the dial the finished trials of a study have evaluated the anonymizer of `run`."""
    mark = f"{DIAL_STAGE}="
    keys = [part for part in run.data.tags.get(TAG_STAGE_KEYS, "").split() if part.startswith(mark)]
    if not keys:
        return []
    same = f"tags.{TAG_STAGE_KEYS} LIKE '%{keys[0]}%' AND attributes.status = 'FINISHED'"
    configs = [config_of(one.data.params, one.data.tags) for one in client.search_runs([run.info.experiment_id], same)]
    return [float(config["options.at"]) for config in configs if "options.at" in config]
