"""The model card of an exported anonymizer: what it is, what was measured of it, and where that holds.

Beside `FILE.onnx` lie `FILE.onnx.card.json`, of the form `model_card.schema.json`, and `FILE.onnx.card.md` with the same for
people. What the file carries itself (its size of use, its dial) and what the evidence page says is taken from there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from analysis import text
from analysis.deploy.dial import Dial
from analysis.deploy.measured import MeasuredAt
from analysis.deploy.whole import whole
from analysis.read.store import AnalysisError
from trainables.one_line import reason
from trainables.versions import versions

SUFFIX = ".card.json"
_FOR_PEOPLE = ".card.md"
_SCHEMA = Path(__file__).with_name("model_card.schema.json")
_ATTACK = ("name", "title", "question", "risk", "measure", "score", "chance", "leakage", "low", "high", "positive", "negatives")
_OF_ATTACK = (*_ATTACK, "effort", "converged", "notes")
_PACKAGES = ("torch", "numpy", "onnx", "onnxruntime", "mlflow")
_LEGAL = "This card records tests. It claims no compliance with any law, and tests can show leaks but not their absence."


def path_of_card(model: Path) -> Path:
    return model.with_name(model.name + SUFFIX)


def digest_of_file(model: Path) -> str:
    """The SHA-256 of a file, in full."""
    with model.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def make_card(
    run_id: str,
    tracking_uri: str | None,
    model: Mapping[str, str],
    measured_at: MeasuredAt | None,
    dial: Dial | None,
) -> dict[str, Any]:
    """The card of the anonymizer of a trial, without the hash of a file, which `write_card` adds.

    model: what is known of the file: `network`, `takes`, `checked`. A trial without a result has a card without figures, which
    says why.
    """
    from analysis.report.evidence.gather import read_evidence
    from analysis.report.evidence.output import data_of

    try:
        found, missing = read_evidence(run_id, tracking_uri), ""
    except AnalysisError as error:
        found, missing = None, str(error)
    evidence = data_of(found) if found else {}
    record = evidence.get("record", {})
    attacks = [{name: attack[name] for name in _OF_ATTACK} for attack in evidence.get("attacks", ())]
    return {
        "card": 1,
        "model": dict(model),
        "measured_at": asdict(measured_at) | {"words": measured_at.words()} if measured_at else None,
        "dial": json.loads(dial.as_json()) if dial else None,
        "trial": evidence.get("trial") or {"run": run_id, "seed": "", "study": ""},
        "missing": missing,
        "alarm": evidence.get("alarm", []),
        "short": found.lines if found else [],
        "utility": evidence.get("utility", []),
        "attackers": evidence.get("findings", []),
        "attacks": attacks,
        "metrics": record.get("metrics", {}),
        "data": record.get("fingerprints", {}),
        "stage_keys": record.get("stage_keys", {}),
        "devices": record.get("devices", {}),
        "config": yaml.safe_load(evidence.get("config", "")) or {},
        "limits": found.all_limits if found else [],
        "versions": {**versions(_PACKAGES), **{f"trial: {name}": each for name, each in record.get("versions", {}).items()}},
        "legal": _LEGAL,
    }


def write_card(card: Mapping[str, Any], model: Path) -> Path:
    """Writes the card of `model` beside it, for programs and for people; returns the first. Raises AnalysisError."""
    found = {
        **card,
        "model": {"file": model.name, "sha256": digest_of_file(model), "bytes": model.stat().st_size, **card["model"]},
    }
    path = path_of_card(model)
    content = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    _require_form(json.loads(content), path)
    for where, written in ((path, content), (model.with_name(model.name + _FOR_PEOPLE), as_text(found))):
        with whole(where) as beside:
            beside.write_text(written, encoding="utf-8")
    return path


def read_card(path: Path) -> dict[str, Any]:
    """Raises AnalysisError, one line, for a file that is not there or no model card."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AnalysisError(
            f"{path}: no model card there ({error.strerror}); `export` writes one, or give --card FILE"
        ) from None
    except ValueError as error:
        raise AnalysisError(
            f"{path}: no model card ({reason(error, 120)}); give the {SUFFIX} that `export` has written"
        ) from None
    _require_form(card, path)
    found: dict[str, Any] = card
    return found


def _require_form(card: Any, path: Path) -> None:
    from jsonschema import Draft202012Validator

    for error in Draft202012Validator(schema()).iter_errors(card):
        raise AnalysisError(f"{path}: no model card: {error.json_path}: {reason(error.message, 160)}")


@cache
def schema() -> dict[str, Any]:
    """The JSON schema of a model card."""
    found: dict[str, Any] = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    return found


def as_text(card: Mapping[str, Any]) -> str:
    """The card in Markdown."""
    model, trial, at, dial = card["model"], card["trial"], card["measured_at"], card["dial"]
    parts = [f"# {model['file']}", f"A video anonymizer: {model['network']}, {model['takes']}."]
    parts += [f"**{_plain(line)}**" for line in card["alarm"]]
    parts += ["## In short", _list(card["short"]) if card["short"] else f"No figures: {_plain(card['missing'])}"]
    parts += [
        "## Where its figures hold",
        f"For {at['words']}, clips of {at['frames']} frames; for no other size."
        if at
        else "At which size it was measured is not recorded.",
    ]
    if dial:
        points = text.listed([f"{point:g}" for point in dial["measured"]]) or "no point"
        low, high = dial["budgets"]
        parts.append(
            f"It has a dial from 0 (B = {low:g}) to 1 (B = {high:g}), which stands at {dial['at']:g}; measured at {points}."
        )
    if card["utility"]:
        parts += ["## What the video is still good for", _utility(card["utility"])]
    if card["attackers"]:
        parts += ["## What attackers learn beyond guessing", _attackers(card["attackers"])]
    if card["attacks"]:
        parts += ["## The attacks", _attacks(card["attacks"])]
    if card["limits"]:
        parts += ["## What was not tried", _list(card["limits"])]
    rows = [("file", f"{model['bytes']:,} bytes, SHA-256 `{model['sha256']}`"), ("against PyTorch", model["checked"])]
    rows += [(name, str(value)) for name, value in trial.items()]
    rows += [(f"data: {role}", f"fingerprint `{mark}`") for role, mark in card["data"].items()]
    rows.append(("versions", ", ".join(f"{name} {value}" for name, value in card["versions"].items())))
    parts += ["## What it was made of", _table(("what", "which"), rows)]
    check = f"`python -m analysis verify {model['file']}` does it; with `--data-root` some figures are measured again."
    parts += ["## To check it", check, card["legal"]]
    return "\n\n".join(parts) + "\n"


def _utility(rows: Iterable[Mapping[str, Any]]) -> str:
    columns = ("share of test videos with", "anonymized [95 % interval]", "guessing")
    return _table(columns, [(row["name"], _interval(row["interval"]), _percent(row["chance"])) for row in rows])


def _attackers(rows: Iterable[Mapping[str, Any]]) -> str:
    columns = ("attacker", "learns [95 % interval]", "from raw video", "its controls")
    return _table(
        columns,
        [(row["title"], _interval({**row, "value": row["leakage"]}), _percent(row["raw"]), row["status"]) for row in rows],
    )


def _attacks(rows: Iterable[Mapping[str, Any]]) -> str:
    columns = ("attack", "risk", "question", "measure", "reached", "guessing")
    shown = ("title", "risk", "question", "measure")
    return _table(columns, [(*(row[name] for name in shown), _number(row["score"]), _number(row["chance"])) for row in rows])


def _interval(found: Mapping[str, Any]) -> str:
    ends = [found["low"], found["high"]]
    return _percent(found["value"]) + ("" if None in ends else f" [{', '.join(map(_percent, ends))}]")


def _percent(value: float | None) -> str:
    return "not known" if value is None else text.percent(value, space=" ")


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3f}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_plain, line))} |" for line in lines)


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_plain(line)}" for line in lines)


def _plain(value: object) -> str:
    """A text of one line in which nothing is HTML or ends a cell."""
    line = " ".join(str(value).split())
    return line.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
