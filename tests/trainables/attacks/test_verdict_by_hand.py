"""The verdict on attacks of known figures: whose figure counts, which controls hold, what is the strongest attacker."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from trainables.attacks import ATTACKS
from trainables.attacks.shared import learning, verdict
from trainables.attacks.shared.linear import fit
from trainables.attacks.shared.people_at_risk import RISKS, RiskPoint
from trainables.attacks.shared.result import AttackResult, strongest_member
from trainables.attacks.shared.verdict import Candidate, worst_of
from trainables.config import TrialConfig, with_values
from trainables.evaluation.learning import Cosine
from trainables.stages import part_name
from trainables.store import Outcome

NAN = math.nan
ITEMS, LABELS = 20, torch.tensor([[1.0], [0.0]] * 10)


def answers(right: float) -> torch.Tensor:
    """(N, 1): the first share `right` of the items is read, the rest all alike: what nobody can tell apart."""
    known = torch.full_like(LABELS, 0.5)
    count = round(right * ITEMS)
    known[:count] = LABELS[:count] * 0.8 + 0.1
    return known


def result(*right: float, validated: Sequence[float] | None = None, groups: int = ITEMS) -> AttackResult:
    """An attack on one attribute whose members read so much of it."""
    return AttackResult(
        ids=[f"item {number}" for number in range(ITEMS)],
        groups=[f"group {number % groups}" for number in range(ITEMS)],
        members=[f"member {number}" for number in range(len(right))],
        validated=list(right) if validated is None else list(validated),
        answers=torch.stack([answers(share) for share in right]),
        labels=LABELS,
        attributes=["a"],
        effort={"epochs": 1.0, "items": 2.0, "parameters": 3.0},
    )


def search(hit: float, validated: float) -> AttackResult:
    """A search for people that finds this share of them, where chance finds a tenth."""
    hits = torch.tensor([[float(number < hit * ITEMS) for number in range(ITEMS)]])
    more = {"labels": None, "attributes": [], "chances": torch.full((ITEMS,), 0.1), "sureness": hits[0]}
    return replace(result(0.0, validated=[validated]), answers=hits, **more)  # type: ignore[arg-type]


Three = tuple[AttackResult, AttackResult, AttackResult]  # the attack, on raw data, on blank frames


def weighed(attacks: Mapping[str, Three], permuted: AttackResult | None = None, **evaluated: float) -> Outcome:
    inputs = {"evaluate_privacy": Outcome(evaluated)}
    for name, each in attacks.items():
        own, raw, blank = each
        # where labels were exchanged as little is read as of blank frames
        by_control = {"": own, "raw": raw, "blank": blank, "permuted": blank if permuted is None else permuted}
        for control in ("", *ATTACKS[name].controls):
            found = by_control[control]
            inputs[part_name(ATTACKS[name].stage.name, control)] = Outcome({}, state={"evidence": found.state()}, seconds=7.0)  # type: ignore[arg-type]
    config = with_values(TrialConfig(), {"attacks.names": tuple(attacks)})
    context: Any = SimpleNamespace(config=config, inputs=inputs)
    return verdict.run(context)


SOUND = result(1.0), result(0.0)  # on raw data all is read, on blank frames nothing


def test_figures_are_those_of_the_member_that_is_strongest_on_validation_items() -> None:
    own = result(0.2, 1.0, 0.6, validated=(0.3, 0.2, 0.9))
    found = weighed({"retrained": (own, *SOUND)})
    kept = json.loads(found.files["attacks/retrained.json"])
    assert kept["attacker"] == "member 2"
    alone = weighed({"retrained": (result(0.6), *SOUND)})
    assert found.metrics["attack.retrained"] == alone.metrics["attack.retrained"]
    assert 0.3 < found.metrics["attack.retrained"] < 0.9
    assert found.metrics["validation_attack.retrained"] == 0.9
    assert [kept["others"][f"leakage.member {number}"] for number in range(3)] == sorted(
        kept["others"][f"leakage.member {number}"] for number in range(3)
    ) or kept["others"]["leakage.member 1"] == 1.0


def test_of_equal_members_the_first_counts_and_unknown_ones_never() -> None:
    assert strongest_member([0.1, 0.7, 0.7]) == 1
    assert strongest_member([NAN, -0.5, NAN]) == 1
    assert strongest_member([NAN, NAN]) == 0
    assert strongest_member([-0.1, -0.3]) == 0


def test_each_figure_is_recorded_under_its_own_name() -> None:
    found = weighed({"retrained": (result(0.6), result(0.9), result(0.0))}).metrics
    assert found["attack_raw.retrained"] > found["attack.retrained"] > found["attack_null.retrained"] == 0.0
    assert found["attack_low.retrained"] < found["attack.retrained"] < found["attack_high.retrained"]
    assert (found["attack_valid.retrained"], found["controls_valid"]) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("raw", "blank", "valid"),
    [
        (result(1.0), result(0.0), True),
        (result(0.0), result(0.0), False),  # it reads nothing where all is to be read
        (result(0.1), result(0.0), False),  # not surely
        (result(1.0), result(1.0), False),  # it reads what is not there
        (result(1.0, groups=3), result(0.0), False),  # without an interval nobody knows
        (result(0.0), result(1.0), False),
    ],
)
def test_an_attack_counts_only_if_both_controls_hold(raw: AttackResult, blank: AttackResult, valid: bool) -> None:
    found = weighed({"retrained": (result(0.9), raw, blank)}, leakage=0.25)
    assert found.metrics["attack_valid.retrained"] == found.metrics["controls_valid"] == float(valid)
    kept = json.loads(found.files["attacks/retrained.json"])
    assert kept["valid"] is valid
    assert (not [note for note in found.notes if "converged" not in note]) is valid
    worst = found.metrics["attack.retrained"] if valid else 0.25
    # f_B' was not measured on validation items here, so the attack is before it if it counts
    assert found.metrics["worst_leakage"] == worst


def test_an_attack_that_reads_exchanged_labels_does_not_count() -> None:
    found = weighed({"retrained": (result(0.9), *SOUND)}, permuted=result(1.0), leakage=0.25)
    assert (found.metrics["attack_valid.retrained"], found.metrics["worst_leakage"]) == (0.0, 0.25)


def test_all_controls_must_hold() -> None:
    attacks = {"retrained": (result(0.9), *SOUND), "raw_trained": (result(0.9), result(0.0), result(0.0))}
    found = weighed(attacks).metrics
    assert (found["attack_valid.retrained"], found["attack_valid.raw_trained"], found["controls_valid"]) == (1.0, 0.0, 0.0)


def test_the_strongest_attacker_is_chosen_on_validation_items_and_reported_on_test_items() -> None:
    candidates = [
        Candidate("leakage", 0.9, 0.8, 1.0, 0.3),
        Candidate("attack.retrained", 0.4, 0.3, 0.5, 0.8),
        Candidate("attack.probe", 0.95, 0.9, 1.0, 0.2),
        Candidate("attack.reverse", 0.99, 0.9, 1.0, NAN),
    ]
    found = worst_of(candidates)
    assert (found["worst_leakage"], found["validation_worst_leakage"]) == (0.4, 0.8)
    assert [value for name, value in sorted(found.items()) if "low" in name or "high" in name] == [0.5, 0.3]
    assert [name for name in found if name.endswith("attack.retrained")]
    assert worst_of(candidates[:1])["worst_leakage"] == 0.9
    attacks = {"retrained": (result(0.5, validated=[0.9]), *SOUND), "raw_trained": (result(1.0, validated=[0.1]), *SOUND)}
    trial = weighed(attacks, leakage=0.99, validation_leakage=0.5).metrics
    assert trial["worst_leakage"] == trial["attack.retrained"] < trial["attack.raw_trained"]


def test_f_b_on_clips_is_among_the_attackers_with_its_own_bounds() -> None:
    evaluated = {"leakage": 0.2, "validation_leakage": 0.3, "clip_leakage": 0.4, "validation_clip_leakage": 0.9}
    bounds = {"clip_leakage_low": 0.35, "clip_leakage_high": 0.45, "leakage_low": 0.1, "leakage_high": 0.3}
    found = weighed({"retrained": (result(0.5, validated=[0.5]), *SOUND)}, **evaluated, **bounds).metrics
    assert (found["worst_leakage"], found["validation_worst_leakage"]) == (0.4, 0.9)
    assert (found["worst_leakage_low"], found["worst_leakage_high"]) == (0.35, 0.45)
    assert found["strongest.clip_leakage"] == 1.0


@pytest.mark.parametrize(("converged", "recorded"), [(True, 1.0), (False, 0.0), (None, 0.0)])
def test_what_is_not_known_to_have_converged_has_not(converged: bool | None, recorded: float) -> None:
    found = weighed({"retrained": (replace(result(0.6), converged=converged), *SOUND)})
    assert found.metrics["attack_converged.retrained"] == recorded
    assert any("converged" in note for note in found.notes) is not converged or converged is None


def test_a_search_for_people_is_not_mixed_with_average_precision() -> None:
    attacks = {"linkage": (search(1.0, 0.99), search(1.0, 0.99), search(0.1, 0.0)), "retrained": (result(0.5), *SOUND)}
    found = weighed(attacks, leakage=0.2, validation_leakage=0.3).metrics
    assert found["attack_valid.linkage"] == 1.0
    assert found["attack.linkage"] == 1.0
    assert found["worst_leakage"] == found["attack.retrained"]
    assert weighed({"linkage": (search(0.55, 0.5), *attacks["linkage"][1:])}).metrics["attack.linkage"] == pytest.approx(0.5)


def test_the_curve_of_an_attack_is_that_of_its_strongest_member(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Mapping[str, float]] = []

    def learn(context: Any, network: Any, batches: Any, losses: Any, validate: Any, training: Any) -> list[Mapping[str, float]]:
        rows.append(validate())
        return rows

    predictions = torch.stack([answers(0.2), answers(1.0)])

    def predict(*_: Any, each_frame: list[torch.Tensor] | None = None, **__: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if each_frame is not None:
            each_frame.append(predictions[:, :, None])  # one frame a clip
        return predictions, LABELS

    monkeypatch.setattr(learning, "learn", learn)
    monkeypatch.setattr(learning, "predict", predict)
    monkeypatch.setattr(learning, "attack_training", lambda context: None)
    monkeypatch.setattr(learning, "effort", lambda *_: {})
    monkeypatch.setattr(learning, "groups_of", lambda loader: [str(number) for number in range(ITEMS)])
    data: Any = SimpleNamespace(validation=None, test=None, clips=1, train=SimpleNamespace(samples=[]), attributes=["a"])
    data.ids, data.groups = [str(number) for number in range(ITEMS)], [str(number) for number in range(ITEMS)]
    found, _ = learning.attack_attributes(None, data, None, torch.nn.Linear(1, 1), None, None, ["a", "b"])  # type: ignore[arg-type]
    assert rows == [{"leakage": 1.0}]
    assert found.curve == [{"effort": 1.0, "leakage": 1.0}]
    assert found.validated[1] == 1.0 > found.validated[0]


def test_attackers_spend_the_effort_that_is_asked_for_and_their_rate_falls_to_nothing() -> None:
    config = with_values(TrialConfig(), {"attacks.epochs": 4, "attacks.learning_rate": 0.5, "evaluate_privacy.epochs": 7})
    training = learning.attack_training(SimpleNamespace(config=config))  # type: ignore[arg-type]
    assert (training.epochs, training.learning_rate, training.best, training.first_epoch) == (4, 0.5, None, 0)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = training.schedule(optimizer)
    assert isinstance(schedule, Cosine)  # which falls to nothing: see test_figures_by_hand
    assert (schedule.T_max, schedule.eta_min) == (4, 0)
    config = with_values(config, {"attacks.epochs": None})
    assert learning.attack_training(SimpleNamespace(config=config)).epochs == 7  # type: ignore[arg-type]


def test_attackers_start_from_the_weights_they_are_given_and_trained_ones_from_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[Any, ...]] = []

    def classifiers(*arguments: Any) -> torch.nn.Linear:
        asked.append(arguments)
        return torch.nn.Linear(1, 1)

    monkeypatch.setattr(learning, "FrameClassifiers", classifiers)
    config = with_values(TrialConfig(), {"attacks.weights": "imagenet", "attacks.ensemble": ("resnet18",)})
    context: Any = SimpleNamespace(config=config, seed=lambda purpose: 0, placed=lambda network: network)
    data: Any = SimpleNamespace(attributes=("a", "b"))
    learning.frame_classifiers(context, data)
    trained = torch.nn.Linear(1, 1).state_dict()
    found = learning.frame_classifiers(context, data, trained)
    assert asked == [(["resnet18"], 2, "imagenet"), (["resnet18"], 2, None)]
    assert torch.equal(found.state_dict()["weight"], trained["weight"])


def test_the_probe_learns_from_training_features_and_answers_for_others() -> None:
    random = np.random.default_rng(0)
    train = torch.tensor(random.normal(size=(40, 3)))
    labels = (train[:, :1] > 0).double()
    other = torch.tensor([[3.0, 0.0, 0.0], [-3.0, 0.0, 0.0], [0.5, 9.0, -9.0]], dtype=torch.float64)
    found = fit(train, torch.cat([labels, torch.ones(40, 1)], dim=1), other)
    assert found.shape == (3, 2)
    assert found[0, 0] > 0.9
    assert found[1, 0] < 0.1
    assert found[:, 1].tolist() == [1.0] * 3, "one value only: what is known of the training items"
    assert fit(torch.ones(40, 3), labels, other)[:, 0].tolist() == pytest.approx([float(labels.mean())] * 3, abs=1e-6)


def test_the_record_of_a_search_has_its_curves_of_people_with_those_of_raw_and_blank_video() -> None:
    own, raw, blank = (search(hit, hit) for hit in (0.9, 1.0, 0.1))
    inputs = {}
    for control, found in {"": own, "raw": raw, "blank": blank, "permuted": blank}.items():
        point = asdict(RiskPoint("linkability", 1, 10, 4, float(found.validated[0]), NAN, NAN, 0.1))
        state = {"evidence": found.state(), RISKS: [point]}
        inputs[part_name("attack_linkage", control)] = Outcome({}, state=state)  # type: ignore[arg-type]
    config = with_values(TrialConfig(), {"attacks.names": ("linkage",)})
    context: Any = SimpleNamespace(config=config, inputs=inputs)
    kept = json.loads(verdict.run(context).files["attacks/linkage.json"])[RISKS]
    assert [(point["video"], point["value"]) for point in kept] == [("anonymized", 0.9), ("raw", 1.0), ("blank", 0.1)]
    assert kept[0] == {
        "video": "anonymized",
        "risk": "linkability",
        "clips": 1,
        "among": 10,
        "people": 4,
        "value": 0.9,
        "low": None,
        "high": None,
        "chance": 0.1,
    }
