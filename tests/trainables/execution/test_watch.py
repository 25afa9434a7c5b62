"""A training that is watched has the same numbers as one that nobody watches, and what is measured of it is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.stages import SilentReporter, minimax_context
from trainables.config import Runtime, TrialConfig, with_values
from trainables.data.trial_data import TrialData
from trainables.early import Decision, EarlyStopping, Place, Watch, Watched
from trainables.execution.context import StageContext
from trainables.execution.watch import Measure, WatchedTraining, place_of, probe_features, probe_leakage
from trainables.failures import Stopped, StoppedEarly
from trainables.methods.penalty import training as minimax
from trainables.pipeline import run_trial
from trainables.plan import plan_trial
from trainables.store import Outcome, StageStore
from trainables.store.files import Files

RULES = EarlyStopping("early")


@pytest.fixture
def config(tiny_config: TrialConfig) -> TrialConfig:
    return with_values(tiny_config, {"reconstruct.epochs": 0, "warm_up.epochs": 0, "minimax.epochs": 2})


def watched(config: TrialConfig, data: Path, storage: Path, tell: Callable[[Watched], None]) -> WatchedTraining:
    watch = Watch(RULES, Files(storage), tell)
    return WatchedTraining(watch, Place("key", "group", config.minimax.epochs), config, TrialData(config, data))


def same(one: Outcome, other: Outcome) -> bool:
    parts = ("anonymizer", "action_classifier", "privacy_encoder")
    equal = all(torch.equal(one.state[p][name], value) for p in parts for name, value in other.state[p].items())
    return equal and one.history == other.history and one.metrics == other.metrics


def test_a_training_that_is_watched_or_stopped_early_has_the_same_numbers(
    config: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    """The watched one was killed between an epoch and its measurement, the one stopped early goes on with nobody watching."""
    context, told = minimax_context(config, tiny_data, tmp_path), list[Watched]()
    whole = minimax.run(context)

    def ends(error: Exception) -> Callable[..., None]:
        def watch(context: StageContext, parts: object, history: list[object]) -> None:
            if len(history) == 1:
                raise error

        return watch

    for error, then in (
        (Stopped("killed"), watched(config, tiny_data, tmp_path, told.append)),
        (StoppedEarly(""), context.watch),
    ):
        work = StageStore(tmp_path).work("minimax", type(error).__name__)
        with pytest.raises(type(error)):
            minimax.run(replace(context, watch=ends(error), work=work))
        assert same(minimax.run(replace(context, watch=then, work=work)), whole)
    [seen] = told
    assert (seen.place, seen.epoch) == (Place("key", "group", 2), 1)
    assert 0.0 <= seen.figures.top1 <= 1.0
    assert 0.0 <= seen.figures.leakage <= 1.0
    data = TrialData(config, tiny_data)
    assert seen.figures.clips == len(data.action.validation) > 0
    assert seen.figures.items == len(getattr(data, data.attacked).validation) > 0


def test_what_is_drawn_and_set_while_it_is_measured_is_undone(config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    """An anonymizer that draws random numbers whenever it is asked, and networks of which each has a mode of its own."""
    context = minimax_context(config, tiny_data, tmp_path)
    players = minimax.players_of(context, 1e-3)
    drawn: list[torch.Tensor] = []
    next(players.anonymizer.children()).register_forward_hook(lambda *given: drawn.append(torch.rand(())))
    players.anonymizer.train()
    players.action.eval()
    before = torch.get_rng_state()
    Measure(context, config, TrialData(config, tiny_data))(players.anonymizer, players.action)
    assert drawn
    assert torch.equal(torch.get_rng_state(), before)
    assert (players.anonymizer.training, players.action.training) == (True, False)


def test_where_an_anonymizer_stands(tiny_config: TrialConfig, tiny_data: Path) -> None:
    """Budgets are compared with each other; seeds, and recipes of clips, each with their own."""

    def place(**values: object) -> Place:
        config = with_values(tiny_config, {key.replace("__", "."): value for key, value in values.items()})
        data = TrialData(config, tiny_data)
        [found] = [one for stage in plan_trial(config, data).stages if (one := place_of(stage, data)) is not None]
        return found

    first, other = place(), place(minimax__distortion_budget=0.1)
    assert first.anonymizer != other.anonymizer
    assert (first.group, first.epochs) == (other.group, tiny_config.minimax.epochs)
    assert place(evaluate_action__epochs=3) == first, "another evaluation of the same anonymizer"
    assert len({first.group, place(seed=1).group, place(clip__frames=2).group, place(method="vita").group}) == 4


def test_raw_data_and_a_dial_are_not_watched(tiny_config: TrialConfig, tiny_data: Path) -> None:
    for values in ({"method": "raw"}, {"method": "dial", "anonymizer.dial": "plane"}):
        config = with_values(tiny_config, values)
        data = TrialData(config, tiny_data)
        assert [one for stage in plan_trial(config, data).stages if (one := place_of(stage, data)) is not None] == []


def test_the_probe_reads_colours_and_not_blank_frames() -> None:
    """One label brightens a corner: it is read perfectly, and nothing is where all frames are equal."""
    generator = torch.Generator().manual_seed(0)
    labels = (torch.arange(40) % 2).double()[:, None].numpy()
    clips = torch.rand(40, 2, 3, 32, 32, generator=generator) * 0.2
    clips[1::2, :, 0, :8, :8] += 0.6
    groups = [str(number) for number in range(20)]

    def leakage(clips: torch.Tensor, labels: np.ndarray) -> float:
        features = probe_features(clips).numpy()
        assert np.array_equal(probe_features(clips).numpy(), features)
        return probe_leakage((features[:20], features[20:]), (labels[:20], labels[20:]), groups)

    assert leakage(clips, labels) == 1.0
    assert leakage(torch.full_like(clips, 0.5), labels) == 0.0
    assert np.isnan(leakage(clips, np.ones((40, 1))))
    noise = torch.rand(40, 2, 3, 32, 32, generator=generator)
    assert leakage(noise, labels) < 0.6


def test_a_stopped_trial_s_stages_are_kept_and_it_is_not_computed_again(
    config: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    """By the pipeline: whoever decides says stop at the first rung; asked again, nothing is measured."""
    runtime = Runtime(data_root=str(tiny_data), storage=str(tmp_path), device="cpu")
    files, told = Files(tmp_path), list[Watched]()

    def tell(seen: Watched) -> None:
        told.append(seen)
        RULES.keep(files, seen, "it", Decision(True, f"at epoch {seen.epoch}"))

    for _ in range(2):
        with pytest.raises(StoppedEarly, match="at epoch 1"):
            run_trial(config, runtime, SilentReporter(), watch=Watch(RULES, files, tell))
    assert len(told) == 1
    assert not list(tmp_path.glob("stages/minimax/*/record.json"))
    assert not list(tmp_path.glob("stages/evaluate_*"))


def test_whoever_finds_a_trial_stopped_records_the_epochs_before_it(
    config: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    """The worker that trained it was lost between the decision and its record, and its last checkpoint is damaged."""

    class Listener(SilentReporter):
        def __init__(self) -> None:
            self.heard: list[tuple[str, list[object], int]] = []

        def epoch(self, stage: str, history: list[object], epochs: int) -> None:  # type: ignore[override]
            self.heard.append((stage, list(history), epochs))

    runtime = Runtime(data_root=str(tiny_data), storage=str(tmp_path), device="cpu")
    files = Files(tmp_path)
    watch = Watch(RULES, files, lambda seen: RULES.keep(files, seen, "it", Decision(True, "by another")))
    first, second = Listener(), Listener()
    for listener in (first, second):
        with pytest.raises(StoppedEarly, match="by another"):
            run_trial(config, runtime, listener, watch=watch)
        for checkpoint in tmp_path.glob("stages/minimax/*.work/*"):
            checkpoint.write_bytes(b"cut")
    [(stage, history, epochs)] = first.heard
    assert (stage, len(history), epochs) == ("minimax", 1, 2)
    assert second.heard == first.heard
