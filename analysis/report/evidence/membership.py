"""Whether the anonymizer remembers the people it was trained on: computed on demand from its file and the data."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from analysis import text
from analysis.deploy.anonymizers import Stored, fetch_trial, read_stored
from analysis.measure.membership import FALSE_POSITIVES, MembershipFigures, membership_figures
from analysis.read.store import AnalysisError
from analysis.report.page import Table
from trainables.one_line import reason

if TYPE_CHECKING:
    from trainables.config import TrialConfig
    from trainables.evaluation.membership import MembershipScores

_STAGE = "evaluate_action"
_MUST = 0.6  # that the overfitted control is surely above
_COLUMNS = (
    "AUC % (95 % interval by source; guessing 50)",
    f"training clips found at {FALSE_POSITIVES:.0%} false alarms %",
    "training clips",
    "other clips",
)


@dataclass(frozen=True)
class MembershipWords:
    """network: what is given away. sign: of a training clip, by which the test goes. less: of what other clips show more."""

    network: str
    sign: str
    less: str
    caption: str


ANONYMIZER = MembershipWords(
    "the anonymizer",
    "is changed less than another clip",
    "are changed more than other clips",
    "Training clips told from others by how little f_A changes them",
)
CLASSIFIER = MembershipWords(
    "the action classifier",
    "has its action recognised more surely than another clip",
    "are recognised less surely than other clips",
    "Training clips told from others by how surely f_T' recognises their action",
)


@dataclass(frozen=True)
class MembershipFinding:
    """How well whoever has a network (f_A, or f_T') tells the clips it was trained on from test clips, by its sign of them.

    `own`: of the network itself. `overfitted`: of one that was trained too long on a few clips, on purpose, which must be
    caught.
    `untrained`: of the same network before training: what it tells lies in the clips, not in what the network has learned.
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
    from trainables.evaluation.membership import membership_scores

    settings, stored = _trial(run_id, config, tracking_uri)
    if not any(True for _ in stored.anonymizer.parameters()):
        raise AnalysisError(
            f"run {run_id} ({settings.method}) trains no anonymizer, which could remember anything; leave --data-root out"
        )
    if stored.dial is not None:
        raise AnalysisError(f"run {run_id}: what an anonymizer with a dial remembers is not tested; leave --data-root out")
    with _of_the_trial(run_id, settings, record, data_root, "action"):
        return _finding(membership_scores(settings, data_root, stored.anonymizer))


def classifier_remembers(
    run_id: str,
    config: str,
    record: Mapping[str, Any],
    data_root: str | Path,
    storage: str,
    tracking_uri: str | None = None,
) -> MembershipFinding:
    """As `remembers`, of the action classifier f_T' of a trial. storage: that of its study, which holds it.

    Raises AnalysisError, one line, as well where the storage has none.
    """
    from trainables.config import ConfigError
    from trainables.evaluation.again import stored_evaluator
    from trainables.evaluation.membership import classifier_scores

    settings, stored = _trial(run_id, config, tracking_uri)
    key = record.get("stage_keys", {}).get(_STAGE, "")
    try:
        outcome = stored_evaluator(storage, key) if key else None
    except ConfigError as error:
        raise AnalysisError(str(error)) from None
    if outcome is None:
        raise AnalysisError(
            f"--storage {storage}: the action classifier of run {run_id} (stage {_STAGE} {key or 'of no recorded key'}) is not"
            " there; give the storage of its study, or leave it out"
        )
    with _of_the_trial(run_id, settings, record, data_root, "action_evaluation"):
        return _finding(classifier_scores(settings, data_root, stored.anonymizer, outcome.state["classifier"]))


def _trial(run_id: str, config: str, tracking_uri: str | None) -> tuple[TrialConfig, Stored]:
    from trainables.config import TrialConfig

    try:
        settings = TrialConfig.model_validate(yaml.safe_load(config))
    except (ValueError, yaml.YAMLError) as error:
        raise AnalysisError(
            f"run {run_id}: its configuration cannot be read ({reason(error)}), so that --data-root tells nothing"
        ) from None
    with tempfile.TemporaryDirectory() as folder:
        return settings, read_stored(fetch_trial(run_id, tracking_uri, folder))


@contextmanager
def _of_the_trial(
    run_id: str, settings: TrialConfig, record: Mapping[str, Any], data_root: str | Path, role: str
) -> Iterator[None]:
    """Within it the data are those of the trial, and what is wrong with them is said in one line."""
    from trainables.config import ConfigError
    from trainables.data.items import DataError
    from trainables.data.trial_data import TrialData

    try:
        known, found = record.get("fingerprints", {}).get(role), getattr(TrialData(settings, data_root), role).fingerprint
        if known is not None and known != found:
            raise AnalysisError(
                f"--data-root {data_root}: the action clips there are others than those of run {run_id} (fingerprint {found},"
                f" not {known}); give the data that it was trained on"
            )
        yield
    except (ConfigError, DataError, OSError) as error:
        raise AnalysisError(f"--data-root {data_root}: {reason(error)}") from None


def _finding(scores: MembershipScores) -> MembershipFinding:
    return MembershipFinding(
        *(
            membership_figures(one.names, one.groups, one.member, one.score)
            for one in (scores.own, scores.overfitted, scores.untrained)
        )
    )


def sentence(finding: MembershipFinding, words: MembershipWords = ANONYMIZER) -> str:
    """The finding in words."""
    auc = finding.own.auc
    shown = text.percent_interval(auc.value, auc.low, auc.high)
    if not finding.valid:
        return (
            f"INVALID: a control missed its level, so that the figure of {words.network} ({shown}) says nothing: the overfitted"
            f" one must surely be above {_MUST:.0%}, and the untrained one must not differ from guessing."
        )
    if auc.low <= 0.5 <= auc.high:
        told = "cannot be told from other clips by it on the clips at hand"
    else:
        told = "can be told from other clips by it" if auc.value > 0.5 else words.less
    return (
        f"A training clip {words.sign} in {shown} of all pairs, where guessing gives 50 %: the clips that"
        f" {words.network} was trained on {told}. Other and stronger tests of this kind, with many copies of it, were not made."
    )


def table(finding: MembershipFinding, words: MembershipWords = ANONYMIZER) -> Table:
    rows = [
        [
            name,
            text.interval(figures.auc),
            text.number(100 * figures.found),
            str(figures.members),
            str(figures.others),
        ]
        for name, figures in (
            (words.network, finding.own),
            ("overfitted on purpose (must be caught)", finding.overfitted),
            ("before any training (must not)", finding.untrained),
        )
    ]
    return Table(words.caption, ("network", *_COLUMNS), rows, narrow=True, how=["repeat"] * len(rows))
