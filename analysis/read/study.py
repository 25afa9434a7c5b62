"""A study as its MLflow experiment holds it, found by the name of its space and read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Experiment

from analysis.read.runs import last_plan, parent_hours, read_runs
from analysis.read.store import AnalysisError, experiments, reading, shown_uri, store_uri
from analysis.read.trials import FRONT_METRICS, tables_of
from trainables.schema import STUDY_RUN, TAG_KIND, TAG_PROFILE, TAG_SPACE, experiment_name


@dataclass(frozen=True)
class RecordedStudy:
    """One study as its MLflow experiment holds it.

    `trials`: a row per finished run, indexed by run id.
        Metrics are float64 columns under the names of the schema: fractions, NaN where absent or infinite. The configuration
        is in typed columns `params.<dotted key>`. Trials of equal `setting` differ in their seed only; `label` is its
        readable name and `protocol_tag` the protocol it was measured under ("" in runs from before there were several).
        `worst_leakage` is NaN where `controls_valid` is 0, because the strongest attacker is then not known.
    `unfinished`: a row per run without a usable result, with its `reason` and its `state`:
        failed, killed, stopped early (others were better), running, scheduled; incomplete (finished without its front
        metrics); superseded (an older run of the same setting and seed); outdated (the study now plans that setting and seed
        under another key, because code, data or recipe changed); missing (planned and never started, so without a run id).
        Incomplete runs are in both tables, all others in this one only.
    `curve_names`: the names of the per-epoch metrics that any run has.
    `other_seeds`: the seeds of `trials` that the last plan does not have: trials of earlier plans, which count.
    `hours`: GPU or core hours by use, as the run of the study itself records them (GPU_HOURS, CPU_HOURS of the schema).
    """

    name: str
    space: str
    profile: str
    trials: pd.DataFrame
    unfinished: pd.DataFrame
    curve_names: tuple[str, ...]
    tracking_uri: str
    experiment_id: str = ""
    hours: Mapping[str, float] = field(default_factory=dict)
    other_seeds: tuple[int, ...] = ()

    @property
    def complete(self) -> pd.DataFrame:
        """The trials that carry both metrics of the front."""
        return self.trials.dropna(subset=list(FRONT_METRICS))

    def alike(self, trial: pd.Series, columns: Sequence[str]) -> pd.DataFrame:
        """The trials with the same values as `trial` in all of these columns; to have no value is the same as to have none."""
        ours = self.trials[list(columns)].astype(str).fillna("")
        return self.trials[(ours == trial[list(columns)].astype(str).fillna("")).all(axis=1)]


def read_study(space: str, profile: str | None = None, tracking_uri: str | None = None) -> RecordedStudy:
    """Reads every run of a study and its last plan; `artifacts` reads curves and other files when asked for.

    `profile` may be None where the study has run with one only; `tracking_uri` None stands for MLFLOW_TRACKING_URI.
    Raises AnalysisError when the store cannot be opened, the study is not there, or the profile is ambiguous.
    """
    uri = store_uri(tracking_uri)
    with reading(uri):
        client = MlflowClient(tracking_uri=uri)
        experiment = _find_experiment(experiments(client), space, profile, shown_uri(uri))
        runs = read_runs(client, experiment.experiment_id)
        parents = runs.tags.index[runs.tags[TAG_KIND] == STUDY_RUN] if TAG_KIND in runs.tags else runs.info.index[:0]
        plan = last_plan(client, runs.info.loc[parents])
        hours = parent_hours(client, parents)
    trials, unfinished = tables_of(runs.without(parents), plan)
    planned = set() if plan is None else set(plan["seed"].astype(str))
    seeds = sorted(int(seed) for seed in trials["seed"].dropna().unique())
    return RecordedStudy(
        name=experiment.name,
        space=space,
        profile=_profile_of(experiment, space),
        trials=trials,
        unfinished=unfinished,
        curve_names=runs.curve_names,
        tracking_uri=uri,
        experiment_id=experiment.experiment_id,
        hours=hours,
        other_seeds=tuple(seed for seed in seeds if planned and str(seed) not in planned),
    )


def list_studies(tracking_uri: str | None = None) -> dict[str, list[str]]:
    """The profiles each space was run with, by space. Raises AnalysisError as `read_study` does."""
    uri = store_uri(tracking_uri)
    with reading(uri):
        stored = experiments(MlflowClient(tracking_uri=uri))
    found: dict[str, list[str]] = {}
    for experiment in stored:
        space = experiment.tags.get(TAG_SPACE) or experiment.name.rpartition(".")[0]
        if space:
            found.setdefault(space, []).append(_profile_of(experiment, space))
    return {space: sorted(profiles) for space, profiles in sorted(found.items())}


def _profile_of(experiment: Experiment, space: str) -> str:
    return str(experiment.tags.get(TAG_PROFILE) or experiment.name.removeprefix(f"{space}."))


def _find_experiment(experiments: list[Experiment], space: str, profile: str | None, where: str) -> Experiment:
    """The study's experiment, found by its tags or, where it has none, by its name."""
    of_space = {
        _profile_of(experiment, space): experiment
        for experiment in experiments
        if experiment.tags.get(TAG_SPACE, "") == space
        or (TAG_SPACE not in experiment.tags and experiment.name.rpartition(".")[0] == space)
    }
    if profile is not None and profile in of_space:
        return of_space[profile]
    if profile is None and len(of_space) == 1:
        return next(iter(of_space.values()))
    if profile is None and of_space:
        raise AnalysisError(
            f"study {space} is there with several profiles; give --profile as one of {', '.join(sorted(of_space))}"
        )
    wanted = space if profile is None else experiment_name(space, profile)
    there = ", ".join(sorted(experiment.name for experiment in experiments if experiment.name != "Default")) or "none"
    raise AnalysisError(f"no study {wanted} in {where}; studies there: {there}")
