"""Whether the anonymizer remembers the people it was trained on: computed on demand from its file and the data."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from analysis import text
from analysis.deploy.anonymizers import fetch_trial, read_stored
from analysis.measure.membership import FALSE_POSITIVES, MembershipFigures, membership_figures
from analysis.read.store import AnalysisError
from analysis.report.page import Table
from trainables.one_line import reason

_MUST = 0.6  # that the overfitted control is surely above
_COLUMNS = (
    "f_A",
    "AUC % (95 % interval by source; guessing 50)",
    f"training clips found at {FALSE_POSITIVES:.0%} false alarms %",
    "training clips",
    "other clips",
)


@dataclass(frozen=True)
class MembershipFinding:
    """How well whoever has f_A tells the clips it was trained on from test clips, by how little it changes them.

    `own`: of the anonymizer. `overfitted`: of one that was trained too long on a few clips, on purpose, which must be caught.
    `untrained`: of the same network before training: what it tells lies in the clips, not in what f_A has learned.
    """

    own: MembershipFigures
    overfitted: MembershipFigures
    untrained: MembershipFigures

    @property
    def valid(self) -> bool:
        """Whether both controls are where they must be; without an interval nobody knows."""
        return self.overfitted.auc.low > _MUST and self.untrained.auc.low <= 0.5 <= self.untrained.auc.high


def remembers(
    run_id: str, config: str, record: Mapping[str, Any], data_root: str | Path, tracking_uri: str | None = None
) -> MembershipFinding:
    """Tests the anonymizer of a trial. config: its configuration as YAML; record: what is kept of it.

    Raises AnalysisError, one line, for a trial without an anonymizer that was trained on frames, for data that cannot be read,
    and for other data than it was trained on.
    """
    from trainables.config import ConfigError, TrialConfig
    from trainables.data.items import DataError
    from trainables.data.trial_data import TrialData
    from trainables.evaluation.membership import membership_scores

    try:
        settings = TrialConfig.model_validate(yaml.safe_load(config))
    except (ValueError, yaml.YAMLError) as error:
        raise AnalysisError(
            f"run {run_id}: its configuration cannot be read ({reason(error)}), so that --data-root tells nothing"
        ) from None
    with tempfile.TemporaryDirectory() as folder:
        stored = read_stored(fetch_trial(run_id, tracking_uri, folder))
    if not any(True for _ in stored.anonymizer.parameters()):
        raise AnalysisError(
            f"run {run_id} ({settings.method}) trains no anonymizer, which could remember anything; leave --data-root out"
        )
    if stored.dial is not None:
        raise AnalysisError(f"run {run_id}: what an anonymizer with a dial remembers is not tested; leave --data-root out")
    try:
        known = record.get("fingerprints", {}).get("action")
        found = TrialData(settings, data_root).action.fingerprint
        if known is not None and known != found:
            raise AnalysisError(
                f"--data-root {data_root}: the action clips there are others than those of run {run_id} (fingerprint {found},"
                f" not {known}); give the data that it was trained on"
            )
        scores = membership_scores(settings, data_root, stored.anonymizer)
    except (ConfigError, DataError, OSError) as error:
        raise AnalysisError(f"--data-root {data_root}: {reason(error)}") from None
    return MembershipFinding(
        *(
            membership_figures(one.names, one.groups, one.member, one.score)
            for one in (scores.own, scores.overfitted, scores.untrained)
        )
    )


def sentence(finding: MembershipFinding) -> str:
    """The finding in words."""
    auc = finding.own.auc
    shown = text.percent_interval(auc.value, auc.low, auc.high)
    if not finding.valid:
        return (
            f"INVALID: a control missed its level, so that the figure of the anonymizer ({shown}) says nothing: the overfitted"
            f" one must surely be above {_MUST:.0%}, and the untrained one must not differ from guessing."
        )
    if auc.low <= 0.5 <= auc.high:
        told = "cannot be told from other clips by it on the clips at hand"
    else:
        told = "can be told from other clips by it" if auc.value > 0.5 else "are changed more than other clips"
    return (
        f"A training clip is changed less than another clip in {shown} of all pairs, where guessing gives 50 %: the clips that"
        f" the anonymizer was trained on {told}. Other and stronger tests of this kind, with many copies of it, were not made."
    )


def table(finding: MembershipFinding) -> Table:
    rows = [
        [
            name,
            text.interval(figures.auc),
            text.number(100 * figures.found),
            str(figures.members),
            str(figures.others),
        ]
        for name, figures in (
            ("this anonymizer", finding.own),
            ("overfitted on purpose (must be caught)", finding.overfitted),
            ("before any training (must not)", finding.untrained),
        )
    ]
    return Table("Training clips told from others by how little f_A changes them", _COLUMNS, rows, narrow=True)
