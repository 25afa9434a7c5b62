"""Attacks and answers of judges as trials record them, made by hand."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mlflow import MlflowClient
from PIL import Image

from tests.support.fake_studies import FakeTrial, metrics, with_twins
from trainables.metrics import leakage_of

VIDEOS = tuple(f"v{number:02d}" for number in range(40))
GROUPS = tuple(f"g{number // 2:02d}" for number in range(40))
KINDS = (
    ("retrained", "Retrained classifiers", "inference"),
    ("inversion", "Undoing the anonymization", "inference"),
    ("linkage", "Finding the same person again", "linkability"),
)
Record = dict[str, Any]


def attack(name: str, level: float, title: str = "", risk: str = "inference", **more: Any) -> Record:
    """`level`: how often the attacker is right, from 0.5, guessing, to 1; controls hold unless `more` says otherwise."""
    random = np.random.default_rng(len(name))
    right = random.permutation(len(VIDEOS)) < level * len(VIDEOS)
    leakage = (float(right.mean()) - 0.5) / 0.5
    items = [
        {"id": video, "group": group, "score": float(is_right), "sure": float(is_right)}
        for video, group, is_right in zip(VIDEOS, GROUPS, right, strict=True)
    ]
    return {
        "name": name,
        "title": title or name,
        "question": f"What can somebody learn by {name}?",
        "risk": risk,
        "measure": "share of right answers",
        "effort": {"epochs": 12, "items": 600, "parameters": 11_200_000, "seconds": 34.5},
        "chance": 0.5,
        "score": float(right.mean()),
        "leakage": leakage,
        "interval": [leakage - 0.1, leakage + 0.1],
        "others": {"rank1": 0.62, "eer": 0.21} if risk == "linkability" else {},
        "controls": {
            "raw": {"what": "the same attack on raw data", "leakage": 0.9, "must": "read at least half of it", "holds": True},
            "blank": {"what": "the same attack on blank frames", "leakage": 0.0, "must": "land at chance", "holds": True},
            "permuted": {
                "what": "exchanged labels",
                "leakage": 0.02,
                "interval": [-0.1, 0.1],
                "must": "read none",
                "holds": True,
            },
        },
        "curve": [{"effort": 1, "leakage": 0.1}, {"effort": 6, "leakage": 0.8 * leakage}, {"effort": 12, "leakage": leakage}],
        "items": items,
        "worst": [video for video, is_right in zip(VIDEOS, right, strict=True) if is_right][:4],
        "pictures": [f"{name}.png"],
    } | more


def broken(record: Record) -> Record:
    """The same attack, whose positive control missed its level."""
    positive = record["controls"]["raw"] | {"leakage": 0.04, "holds": False}
    return record | {"controls": record["controls"] | {"raw": positive}}


def figures_of(records: Sequence[Record], *judges: float) -> dict[str, float]:
    """What a trial logs of its attacks; the leakages that its own `judges` found count among them."""
    found: dict[str, float] = {}
    valid = {record["name"]: all(control["holds"] for control in record["controls"].values()) for record in records}
    for record in records:
        name, controls = record["name"], record["controls"]
        found |= {
            f"attack.{name}": record["leakage"],
            f"attack_low.{name}": record["interval"][0],
            f"attack_high.{name}": record["interval"][1],
            f"attack_raw.{name}": controls["raw"]["leakage"],
            f"attack_null.{name}": controls["blank"]["leakage"],
            f"attack_permuted.{name}": controls["permuted"]["leakage"],
            f"attack_valid.{name}": float(valid[name]),
        }
    sound = [("leakage", value) for value in judges]
    sound += [
        (f"attack.{each['name']}", each["leakage"]) for each in records if valid[each["name"]] and each["risk"] == "inference"
    ]
    found["controls_valid"] = float(all(valid.values()))
    if not sound:
        return found
    strongest, leakage = max(sound, key=lambda each: each[1])  # as if validation data said the same
    return found | {"worst_leakage": leakage, "validation_worst_leakage": leakage, f"strongest.{strongest}": 1.0}


def sheet(colour: tuple[int, int, int] = (200, 120, 40)) -> bytes:
    """Three frames a row, raw above anonymized."""
    pixels = np.random.default_rng(0).integers(0, 60, (128, 192, 3), dtype=np.uint8) + np.array(colour, dtype=np.uint8) // 2
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def log(uri: str, run_id: str, records: Sequence[Record], answers: Mapping[str, Record] | None = None) -> None:
    """Puts attacks with their pictures, and answers by stage, among the artifacts of a run."""
    client = MlflowClient(tracking_uri=uri)
    for record in records:
        client.log_text(run_id, json.dumps(record), f"attacks/{record['name']}.json")
        for name in record["pictures"]:
            with Image.open(io.BytesIO(sheet())) as image:
                client.log_image(run_id, image, f"attacks/{name}")
    for stage, content in (answers or {}).items():
        client.log_text(run_id, json.dumps(content), f"answers/{stage}.json")


def action_answers(right: Sequence[bool]) -> Record:
    return {"items": list(VIDEOS), "groups": list(GROUPS), "rank": [1 if each else 3 for each in right]}


def attribute_answers(noise: float, seed: int = 0) -> tuple[Record, float]:
    """Answers to two attributes, and the leakage that they make."""
    random = np.random.default_rng(seed)
    labels = np.random.default_rng(9).integers(0, 2, (len(VIDEOS), 2))
    probabilities = np.clip(labels * (1 - noise) + noise * random.random(labels.shape), 0, 1)
    leakage = leakage_of(probabilities, labels.astype(float), ("face", "gender"), GROUPS).leakage
    record = {"items": list(VIDEOS), "groups": list(GROUPS), "attributes": ["face", "gender"]}
    return record | {"probabilities": probabilities.tolist(), "labels": labels.tolist()}, leakage


def attacked(label: str, top1: float, leakage: float, records: Sequence[Record], **more: Any) -> FakeTrial:
    values = {} if label == "raw" else {"minimax.distortion_budget": 0.1 + len(label) / 100, "minimax.penalty_weight": 10.0}
    method = "raw" if label == "raw" else "penalty"
    return FakeTrial(
        label, method, metrics=metrics(top1, leakage) | with_twins(figures_of(records, leakage)), values=values, **more
    )
