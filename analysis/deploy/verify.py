"""Whether an exported model is what its card says: the file, what it computes, its data, and figures that need no training."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analysis import text
from analysis.deploy.card import digest_of_file, path_of_card, read_card
from analysis.deploy.frame_model import OnnxModel
from analysis.read.store import AnalysisError

if TYPE_CHECKING:
    from trainables.config import TrialConfig

Verdict = Literal["same", "differs", "not checked"]
_STAGE = "evaluate_action"
_CHANGES = ("rms_distortion", "rms_relative")  # computed from frames alone
_RECOGNISED = ("top1", "top5")  # with the stored f_T'
# A trial on a GPU may have computed in bfloat16, whose numbers have 8 bits: half of the last one, and the sums of a network.
_TOLERANCE_GPU = 0.01
_ROUNDING = 1e-5


@dataclass(frozen=True)
class Verified:
    """What of a card was computed again, whether it came out the same, and in words by how much or why not."""

    what: str
    verdict: Verdict
    said: str

    def text(self) -> str:
        return f"{self.verdict:12}{self.what}: {self.said}"


def verify(model: Path, card: Path | None = None, data_root: Path | None = None, storage: str | None = None) -> list[Verified]:
    """Checks `model` against its card (default: beside it).

    data_root: the data that it was measured on. storage: that of its study, with the stored f_T'. Raises AnalysisError, one
    line, for a file that is not there or no card; what cannot be checked is in the list with the reason.
    """
    if not model.is_file():
        raise AnalysisError(f"no model {model}: give the ONNX file that `export` has written")
    if data_root is not None and not data_root.is_dir():
        raise AnalysisError(f"--data-root {data_root}: no such directory")
    if storage is not None and "://" not in storage and not Path(storage).is_dir():
        raise AnalysisError(f"--storage {storage}: no such directory")
    known = read_card(card or path_of_card(model))
    found = [_same_file(model, known)]
    runs, checks = _computes(model, known)
    found += checks
    return found + (_figures(model, known, data_root, storage) if runs else [])


def failed(found: Iterable[Verified]) -> bool:
    return any(each.verdict == "differs" for each in found)


def _same_file(model: Path, card: Mapping[str, Any]) -> Verified:
    now, then = digest_of_file(model), card["model"]["sha256"]
    if now == then:
        return Verified("SHA-256", "same", now)
    return Verified("SHA-256", "differs", f"the card is of {then}, the file is {now}: another file, or a changed one")


def _computes(model: Path, card: Mapping[str, Any]) -> tuple[bool, list[Verified]]:
    """Whether the model can be run here, and what it carries against the card."""
    try:
        loaded = OnnxModel(model, "cpu")
    except AnalysisError as error:
        return False, [Verified("test frame", "differs", str(error))]
    if loaded.missed is None:
        found = [Verified("test frame", "not checked", "the file carries none; export it again")]
    else:
        found = [
            Verified("test frame", "same", f"{loaded.missed:.1e} off at most ({loaded.kind} on the {loaded.device.upper()})")
        ]
    at = card["measured_at"]
    then = None if at is None else {name: value for name, value in at.items() if name != "words"}
    found.append(_carried("size of use", None if loaded.measured_at is None else vars(loaded.measured_at), then))
    dial = None if loaded.dial is None else json.loads(loaded.dial.as_json())
    if dial or card["dial"]:
        found.append(_carried("dial", dial, card["dial"]))
    return True, found


def _carried(what: str, now: Mapping[str, Any] | None, then: Mapping[str, Any] | None) -> Verified:
    if now == then:
        return Verified(what, "same", text.fields(now) if now else "neither the file nor the card has one")
    return Verified(what, "differs", f"the file says {text.fields(now or {})}, the card {text.fields(then or {})}")


def _figures(model: Path, card: Mapping[str, Any], data_root: Path | None, storage: str | None) -> list[Verified]:
    """Data and figures. What is said of figures that are not computed again names what would do so."""
    figures = [name for name in (*_CHANGES, *_RECOGNISED) if card["metrics"].get(name) is not None]
    whole = "; `python -m trainables --config` with the `config` of the card measures everything again"
    leakages = Verified("leakage, by every attacker", "not checked", f"the attackers would have to be trained again{whole}")
    if not card["config"] or not figures:
        why = card["missing"] or "the card has no configuration or no figures of a trial"
        return [Verified("data and figures", "not checked", why)]
    if data_root is None:
        return [Verified("data and figures", "not checked", "no --data-root"), leakages]
    from trainables.config import ConfigError, TrialConfig, flatten, with_values
    from trainables.data.items import DataError
    from trainables.data.reading import choose_decoder
    from trainables.evaluation.again import measure_again, stored_evaluator

    key = card["stage_keys"].get(_STAGE, "")
    try:
        config: TrialConfig = with_values(TrialConfig(), flatten(card["config"]))
        choose_decoder(config.data.decoder)
        evaluator = stored_evaluator(storage, key) if storage is not None and key else None
        again = measure_again(config, model, data_root, evaluator)
    except (ConfigError, DataError) as error:
        return [Verified("data and figures", "not checked", str(error)), leakages]
    data = [
        Verified(f"data: {role}", "same", mark)
        if again.fingerprints.get(role) == mark
        else Verified(f"data: {role}", "differs", f"was {mark}, is {again.fingerprints.get(role, 'none')}")
        for role, mark in card["data"].items()
    ]
    tested = next((each for each in data if each.what == "data: action_evaluation"), None)
    found = []
    for name in figures:
        if tested is not None and tested.verdict == "differs":
            found.append(Verified(name, "not checked", "the test videos are others"))
        elif name in again.figures:
            found.append(_figure(name, card, again.figures[name], again.videos))
        else:
            why = "no --storage" if storage is None else f"{storage} has no stage {_STAGE} {key}"
            found.append(Verified(name, "not checked", f"it needs the trained classifier: {why}"))
    return [*data, *found, leakages]


def _figure(name: str, card: Mapping[str, Any], now: float, videos: int) -> Verified:
    """The root mean square over pixels moves by no more than the largest pixel; a right answer at the edge may turn."""
    then = float(card["metrics"][name])
    on_cpu = card["devices"].get(_STAGE, "CPU") == "CPU"
    allowed = (1 / videos if name in _RECOGNISED else _ROUNDING) + (0.0 if on_cpu else _TOLERANCE_GPU)
    difference = abs(now - then)
    words = f"was {then:.5f}, is {now:.5f}"
    if difference <= allowed + 1e-9:
        return Verified(name, "same", words)
    return Verified(name, "differs", f"by {difference:.5f} (allowed {allowed:.5f}): {words}")


def report(found: Sequence[Verified]) -> str:
    """A line for each check, and one that sums them up."""
    counts = [sum(each.verdict == verdict for each in found) for verdict in ("same", "differs", "not checked")]
    return "\n".join([*(each.text() for each in found), "{} same, {} differ, {} could not be checked".format(*counts)])
