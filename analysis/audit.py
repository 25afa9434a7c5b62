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
from analysis.read.trials import GIVEN
from trainables.signals import heeding

_DATABASE = "mlflow.db"


@dataclass(frozen=True)
class Audit:
    """What is audited, on what, and how.

    out: the folder of the page and of the study's records. model: an ONNX file of frames. videos: in its place, a folder with a
    video for each of the data root, of the same relative name, the same frames and the same size. data_root: the data, with
    labels of actions and people (None: generated data). layout: its reader; None: found out. storage: that of the
    stages, of which several audits on the same data share those of raw video (None: in `out`). profile, attacks, seeds,
    settings, plugins: as of a study.
    """

    out: Path
    model: Path | None = None
    videos: Path | None = None
    data_root: Path | None = None
    layout: str | None = None
    storage: str | None = None
    profile: str = "small"
    attacks: str = "standard"
    seeds: str = "1"
    settings: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.out.absolute() / _DATABASE}"

    @property
    def space(self) -> str:
        return "audit" if self.videos is None else "audit_videos"


def run_study(arguments: Sequence[str]) -> int:
    """Runs `study/run.py` with these arguments, and returns its exit code. Signals that end this process go to the study, whose
    trials then save.
    """
    found = importlib.util.find_spec("study.run")
    if found is None or found.origin is None:
        raise AnalysisError("the package `study`, which runs trials, is not installed here")
    # in a process group of its own: Ctrl-C would reach it twice, and a second one does not wait for trials to save
    with (
        subprocess.Popen([sys.executable, found.origin, *arguments], process_group=0) as study,
        heeding(lambda number, frame: study.send_signal(number)),
    ):
        return study.wait()


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
    for line in (*evidence.alarm, *evidence.lines):
        print(line)
    print(f"evidence: {write_evidence(evidence, asked.out)}")
    return 0


def study_arguments(asked: Audit) -> list[str]:
    """The command line of the study. Raises AnalysisError for a model or data that cannot be used."""
    settings = _given(asked)
    if asked.out.exists() and not asked.out.is_dir():
        raise AnalysisError(f"--out {asked.out}: is no folder")
    generated = asked.profile == "generated"
    if generated != (asked.data_root is None):
        raise AnalysisError("--data-root: give the data, or --profile generated for data that are drawn, not both")
    found = ["--space", asked.space, "--profile", asked.profile, "--seeds", asked.seeds, "--attacks", asked.attacks]
    found += ["--storage", asked.storage or str(asked.out.absolute() / "stages"), "--tracking-uri", asked.tracking_uri]
    if asked.data_root is not None:
        found += ["--data-root", str(asked.data_root.absolute())]
        settings += data_settings(asked.data_root, asked.layout, images=asked.videos is None)
    for setting in (*settings, *asked.settings):
        found += ["--set", setting]
    for plugin in asked.plugins:
        found += ["--plugin", plugin]
    return found


def _given(asked: Audit) -> list[str]:
    """The settings that name what is audited."""
    from analysis.deploy.frame_model import OnnxModel

    if (asked.model is None) == (asked.videos is None):
        raise AnalysisError("--model, --videos: give a model, or a folder of anonymized videos with --originals, not both")
    if asked.model is not None:
        if not asked.model.is_file():
            raise AnalysisError(f"--model {asked.model}: no such file; give an ONNX file of a model of frames")
        OnnxModel(asked.model, "cpu")
        return [f"anonymizer.weights={asked.model.absolute()}"]
    if asked.videos is None or not asked.videos.is_dir():
        raise AnalysisError(f"--videos {asked.videos}: no such directory")
    if asked.profile == "generated":
        raise AnalysisError("--profile generated: its originals are drawn, and nobody has anonymized them; leave it out")
    return [f"data.anonymized={asked.videos.absolute()}"]


def data_settings(root: Path, layout: str | None, images: bool = True) -> list[str]:
    """The data sets of a trial. Without images of its own, and where `images` is not set, the frames of the clips are those.

    Raises AnalysisError for a folder that is not there, or of no layout that is known by its files.
    """
    if not root.is_dir():
        raise AnalysisError(f"--data-root {root}: no such directory")
    if layout is None:
        known = {"clips": root / "clips.csv", "folders": root / "videos", "ucf101": root / "UCF-101"}
        layout = next((name for name, path in known.items() if path.exists()), None)
    if layout is None:
        raise AnalysisError(
            f"--data-root {root}: neither clips.csv nor videos nor UCF-101 in it; give --layout NAME, or make clips.csv with"
            f" python -m trainables.data init {root}"
        )
    own = {"folders": ("images", "folders"), "ucf101": ("VISPR", "vispr")}
    folder, privacy = own.get(layout, ("", ""))
    there = images and folder and (root / folder).is_dir()
    return [f"data.action.name={layout}", f"data.privacy.name={privacy if there else 'frames_of_clips'}"]


def audited_run(asked: Audit) -> str:
    """The run of the trial of what was given: that of the first seed. Raises AnalysisError where it has no result."""
    from analysis.read.study import read_study

    trials = read_study(asked.space, asked.profile, asked.tracking_uri).trials
    given = trials[trials["method"].isin(GIVEN)].sort_values("seed")
    if given.empty:
        raise AnalysisError(
            f"{asked.out}: the study has no result of {asked.model or asked.videos}; run the same command again"
        )
    return str(given.index[0])
