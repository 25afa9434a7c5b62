"""The evidence for an anonymizer that this project did not train: a study of it beside raw video, and the evidence page.

The study is run by its own command, in a process of its own; this package reads its records, as it reads those of any other.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.read.store import AnalysisError

_DATABASE = "mlflow.db"


@dataclass(frozen=True)
class Audit:
    """What is audited, on what, and how.

    model: an ONNX file of frames. data_root: the data, with labels of actions and people (None: generated data). data: the
    reader of its layout; None: found out. out: the folder of the page and of the study's records. storage: that of the stages,
    of which several audits on the same data share those of raw video (None: in `out`). profile, attacks, seeds, settings,
    plugins: as of a study.
    """

    model: Path
    out: Path
    data_root: Path | None = None
    data: str | None = None
    storage: str | None = None
    profile: str = "small"
    attacks: str = "standard"
    seeds: str = "1"
    settings: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.out.absolute() / _DATABASE}"


def run_study(arguments: Sequence[str]) -> int:
    """Runs `study/run.py` with these arguments, and returns its exit code."""
    found = importlib.util.find_spec("study.run")
    if found is None or found.origin is None:
        raise AnalysisError("the package `study`, which runs trials, is not installed here")
    return subprocess.run([sys.executable, found.origin, *arguments], check=False).returncode


def audit(asked: Audit, run: Callable[[Sequence[str]], int] = run_study) -> int:
    """Runs the trials and writes the page. Returns 0, or the exit code of a study that did not finish, which has said why; the
    same command goes on with it.

    Raises AnalysisError, one line and before anything runs, for a model or data that cannot be used.
    """
    from analysis.report.evidence.gather import read_evidence
    from analysis.report.evidence.output import write_evidence

    arguments = study_arguments(asked)
    asked.out.mkdir(parents=True, exist_ok=True)
    if code := run(arguments):
        return code
    evidence = read_evidence(audited_run(asked), asked.tracking_uri)
    for line in (*evidence.alarm, *evidence.short):
        print(line)
    print(f"evidence: {write_evidence(evidence, asked.out)}")
    return 0


def study_arguments(asked: Audit) -> list[str]:
    """The command line of the study. Raises AnalysisError for a model or data that cannot be used."""
    from analysis.deploy.frame_model import OnnxModel

    if not asked.model.is_file():
        raise AnalysisError(f"--model {asked.model}: no such file; give an ONNX file of a model of frames")
    OnnxModel(asked.model, "cpu")
    if asked.out.exists() and not asked.out.is_dir():
        raise AnalysisError(f"--out {asked.out}: is no folder")
    generated = asked.profile == "generated"
    if generated != (asked.data_root is None):
        raise AnalysisError("--data-root: give the data, or --profile generated for data that are drawn, not both")
    found = ["--space", "audit", "--profile", asked.profile, "--seeds", asked.seeds, "--attacks", asked.attacks]
    found += ["--storage", asked.storage or str(asked.out.absolute() / "stages"), "--tracking-uri", asked.tracking_uri]
    settings = [f"anonymizer.weights={asked.model.absolute()}"]
    if asked.data_root is not None:
        found += ["--data-root", str(asked.data_root.absolute())]
        settings += data_settings(asked.data_root, asked.data)
    for setting in (*settings, *asked.settings):
        found += ["--set", setting]
    for plugin in asked.plugins:
        found += ["--plugin", plugin]
    return found


def data_settings(root: Path, data: str | None) -> list[str]:
    """The data sets of a trial. Without images of its own a data root has the frames of its clips for images.

    Raises AnalysisError for a folder that is not there, or of no layout that is known by its files.
    """
    if not root.is_dir():
        raise AnalysisError(f"--data-root {root}: no such directory")
    if data is None:
        known = {"clips": root / "clips.csv", "folders": root / "videos", "ucf101": root / "UCF-101"}
        data = next((name for name, path in known.items() if path.exists()), None)
    if data is None:
        raise AnalysisError(
            f"--data-root {root}: neither clips.csv nor videos nor UCF-101 in it; give --data NAME, or make clips.csv with"
            f" python -m trainables.data init {root}"
        )
    images = {"folders": root / "images", "ucf101": root / "VISPR"}.get(data)
    privacy = {"folders": "folders", "ucf101": "vispr"}[data] if images is not None and images.is_dir() else "frames_of_clips"
    return [f"data.action.name={data}", f"data.privacy.name={privacy}"]


def audited_run(asked: Audit) -> str:
    """The run of the trial of the given model: that of the first seed. Raises AnalysisError where it has no result."""
    from analysis.read.study import read_study

    trials = read_study("audit", asked.profile, asked.tracking_uri).trials
    given = trials[trials["method"] == "given"].sort_values("seed")
    if given.empty:
        raise AnalysisError(f"{asked.out}: the study has no result of {asked.model}; run the same command again")
    return str(given.index[0])
