"""What a reader must know before trusting the figures of a study, each as one sentence."""

from __future__ import annotations

import pandas as pd

from analysis.measure.plane import Plane
from analysis.measure.settings import CLASSIFIERS, DEFAULT, NEAR_CHANCE, PROTOCOL, WEIGHT, bounds, of, shown_by_no_image
from analysis.measure.unanswered import unanswered
from analysis.measure.validation import not_validated, partly_validated
from analysis.read.study import RecordedStudy
from analysis.read.trials import EARLY, PARAM, RAW
from analysis.text import counted, listed, metric_mean_with_n, percent, sentence
from trainables.schema import CLIP, FINAL_METRICS, OUTPUT_BEYOND

BARELY_ACTIVE = 0.01  # a penalty active in fewer steps than this trained nothing


def warnings_of(study: RecordedStudy, settings: pd.DataFrame, plane: Plane = DEFAULT) -> list[str]:
    """What a reader must know before trusting the numbers, each as one sentence."""
    found = _warnings_of_runs(study)
    if study.trials.empty:
        return found
    found += _warnings_of_plane(study, plane)
    found += _warnings_of_images(settings, plane)
    found += _warnings_of_choice(study, settings, plane)
    found += _warnings_of_raw(settings, plane)
    single = settings[settings["n"] == 1]
    if len(single) == len(settings):
        found.append(
            "Every setting ran with one seed (n = 1): nothing tells how training varies, and small differences may be chance."
        )
    elif len(single):
        found.append(f"One seed only (n = 1, no interval over seeds): {_names(single)}.")
    idle = settings[(settings["method"] != RAW) & (settings["penalty_active"] < BARELY_ACTIVE)]
    if WEIGHT in idle:
        idle = idle[pd.to_numeric(idle[WEIGHT], errors="coerce").fillna(0) > 0]
        if len(idle):
            found.append(
                f"The penalty never bound (active in under 1 % of steps): {_names(idle)}. B and lambda changed nothing there."
            )
    return found + _warnings_of_output(study.trials) + _warnings_of_protocol(study.trials)


def seeds_beyond_the_plan(study: RecordedStudy) -> str:
    """Why a setting may have more seeds than the study was last asked for."""
    seeds = study.other_seeds
    what = f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}"
    return f"The last plan of the study has no {what}: trials of earlier plans, which count all the same (--fresh starts over)."


def _warnings_of_output(trials: pd.DataFrame) -> list[str]:
    if OUTPUT_BEYOND not in trials or (outside := trials.dropna(subset=[OUTPUT_BEYOND])).empty:
        return []
    names, reach = listed(dict.fromkeys(outside["label"]), most=6), outside[OUTPUT_BEYOND].max()
    return [
        f"The output of the anonymizer leaves [0, 1] by up to {reach:.3g}: {names}. A video holds [0, 1] only: what is exported"
        " or written is clipped, and is not what was measured."
    ]


def _warnings_of_runs(study: RecordedStudy) -> list[str]:
    found = []
    if study.profile == "generated":
        found.append("The clips and images are generated: the figures show that the method runs, and nothing about real video.")
    if study.other_seeds:
        found.append(seeds_beyond_the_plan(study))
    lost = study.unfinished["state"].isin(["failed", "killed", "incomplete"]).sum()
    if lost:
        found.append(
            f"{counted(lost, 'trial')} failed, stopped or finished without a result; they are listed under “What ran”."
        )
    pending = study.unfinished["state"].isin(["running", "scheduled"]).sum()
    if pending:
        found.append(f"{counted(pending, 'trial')} not finished: the figures may still change.")
    return found


def _warnings_of_plane(study: RecordedStudy, plane: Plane) -> list[str]:
    """Trials with a result that lack a metric of the plane; `_warnings_of_runs` counts those without a result."""
    complete = study.complete
    found = []
    for name in (plane.utility, plane.privacy):
        lacking = int(complete[name].isna().sum())
        if lacking:
            found.append(
                f"{lacking} of {counted(len(complete), 'trial')} with a result have no {FINAL_METRICS[name].label} ({name}):"
                " no place on the front."
            )
    return found


def _warnings_of_images(settings: pd.DataFrame, plane: Plane) -> list[str]:
    blank = settings[shown_by_no_image(settings, plane)]
    if blank.empty:
        return []
    return [
        f"{_names(blank)}: a single image shows nothing of a difference of frames, so that {FINAL_METRICS[plane.privacy].label}"
        f" says nothing of the video. No place on the front; --privacy {CLIP}{plane.privacy} compares what is read of clips."
    ]


def _warnings_of_choice(study: RecordedStudy, settings: pd.DataFrame, plane: Plane) -> list[str]:
    """What the choice of a setting rests on, unless that is validation data of all trials; protocols without an answer."""
    if plane.chosen_on == "test":
        return ["Settings are chosen by the test figures that are reported: the figures of the chosen ones are too good."]
    complete = study.trials.dropna(subset=list(plane.names))
    found = []
    if lacking := not_validated(complete, plane.names):
        found.append(f"No setting is chosen and no front drawn: {lacking}.")
    elif partly := partly_validated(complete, plane.names):
        found.append(partly)
    doubtful = unanswered(settings, plane)
    if set(doubtful) != set(settings["protocol"]):
        for protocol, why in doubtful.items():
            names = listed(settings.loc[settings["protocol"] == protocol, "label"], most=6)
            found.append(f"Nothing can be said of {names}. {' '.join(why)}")
    return found


def _surely_above_raw(settings: pd.DataFrame, plane: Plane) -> pd.DataFrame:
    """The settings whose utility is surely above that of raw data: over seeds, or with one seed over test items."""
    higher = 1.0 if plane.directions[1] == "higher" else -1.0
    found = []
    for setting, row in settings[(settings["method"] != RAW) & (settings["baseline"] != "")].iterrows():
        changed = of(row, f"change_{plane.utility}")
        ends = [sorted(higher * end for end in bounds(each, plane.utility)) for each in (row, settings.loc[row["baseline"]])]
        over_seeds = changed.n > 1 and higher * changed.mean - changed.half_width > 0
        if over_seeds or (changed.n == 1 and ends[0][0] > ends[1][1]):
            found.append(setting)
    return settings.loc[found]


def _warnings_of_raw(settings: pd.DataFrame, plane: Plane) -> list[str]:
    found = []
    raw = settings[settings["method"] == RAW]
    if raw.empty:
        found.append("There is no raw trial: nothing says what anonymizing costs or gains.")
    elif (settings["baseline"] == "").any():
        names = _names(settings[settings["baseline"] == ""])
        found.append(f"No raw trial was measured the same way as {names}; no change is given there.")
    better = _surely_above_raw(settings, plane)
    if len(better):
        found.append(
            f"{sentence(FINAL_METRICS[plane.utility].label)} is surely better than on raw data in {_names(better)}."
            " An anonymizer adds nothing to a video: the classifier of raw data learned too little, and what anonymizing costs"
            " is unknown."
        )
    unlearned = raw[(raw["top1"] - raw["chance_top1"]) / (1 - raw["chance_top1"]) < NEAR_CHANCE]
    if len(unlearned):
        top1 = metric_mean_with_n("top1", of(unlearned.iloc[0], "top1"))
        found.append(
            f"The action classifier is near chance on raw clips already (top-1 {top1}, chance"
            f" {percent(unlearned['chance_top1'].iloc[0])}): no setting can then be seen to cost accuracy."
        )
    for name, where in (("leakage", "raw data"), ("clip_leakage", "raw clips")):
        weak = raw[raw[name] < NEAR_CHANCE]
        if len(weak):
            found.append(
                f"The attacker on {where} is near chance already (leakage {metric_mean_with_n(name, of(weak.iloc[0], name))}):"
                " a low leakage of the settings then shows a weak attacker, not a good anonymizer."
            )
    return found


def _warnings_of_protocol(trials: pd.DataFrame) -> list[str]:
    """The fields of the protocol in which trials differ, classifiers first: each combination has a front of its own."""
    prefixes = tuple(PARAM + part for part in PROTOCOL)
    differing = [
        name
        for name in map(str, trials)
        if (name.startswith(prefixes) or name in CLASSIFIERS) and trials[name].astype(str).nunique() > 1
    ]
    classifiers = [name.removeprefix(PARAM) for name in CLASSIFIERS if name in differing]
    others = [name.removeprefix(PARAM) for name in differing if name not in CLASSIFIERS]
    found = []
    if classifiers:
        found.append(
            f"Trials differ in their classifiers ({', '.join(classifiers)}): compare only settings with equal ones."
            " Changes and fronts are taken among those only."
        )
    if others:
        found.append(
            f"Trials are measured differently ({listed(others, most=6)}): changes and fronts are taken among equal ones only."
        )
    return found


def missing_seeds(study: RecordedStudy) -> list[str]:
    """Settings that lack a seed other settings have, each as one sentence. A trial that was stopped early is not missing."""
    runs = pd.concat([study.trials[["label", "seed"]], study.unfinished[["label", "seed"]]], ignore_index=True).dropna()
    early = study.unfinished[study.unfinished["state"] == EARLY].groupby("label")["seed"].agg(set).to_dict()
    done = study.complete.groupby("label")["seed"].agg(set).to_dict()
    every = set(runs["seed"])
    lacking = {
        str(label): sorted(every - done.get(str(label), set()) - early.get(str(label), set()))
        for label in runs["label"].unique()
    }
    return [
        f"{label}: no result for seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        for label, seeds in lacking.items()
        if seeds
    ]


def _names(settings: pd.DataFrame) -> str:
    return listed(settings["label"], most=6)
