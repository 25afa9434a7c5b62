"""What the methods declare: options, names, recipes that can be built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from analysis.paper.cells import PaperRow, _line_name
from search_spaces.registry import label_of
from trainables import methods
from trainables.config import AnonymizerConfig, ClipConfig, ConfigError, NetworkConfig, TrialConfig, flatten, with_values
from trainables.data.sampling import clip_indices, other_clip_indices
from trainables.methods import METHODS, is_heard, resolved
from trainables.models.action import build_action_classifier
from trainables.models.anonymizers import build_anonymizer
from trainables.models.base import anonymize_clips
from trainables.models.privacy import build_privacy_classifier
from trainables.models.tubelets import Tubelets, best_of_each_slice


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("vita", {"gama": 1.0}, "options.gama: the method vita has no such option; it has: action_steps, action_target, "),
        ("vita", {"gamma": "much"}, "options.gamma = 'much': give a float, such as 3.0"),
        ("vita", {"ensemble": 2.5}, "options.ensemble = 2.5: give a whole number, such as 4"),
        ("mass", {"contrast_weight": -1.0}, "options.contrast_weight = -1.0: give a number of at least 0"),
        ("tedspad", {"margin": True}, "options.margin = True: give a float, such as 1.0"),
        ("raw", {"keep": 0.5}, "options.keep: the method raw has no such option; it has: none"),
    ],
)
def test_a_wrong_option_is_one_clear_line(method: str, options: dict[str, object], message: str) -> None:
    config = TrialConfig.model_validate({"method": method, "options": options})
    with pytest.raises(ConfigError) as error:
        resolved(config)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_options_are_set_by_their_dotted_names_and_have_defaults() -> None:
    config = resolved(with_values(TrialConfig(method="vita"), {"options.ensemble": 2}))
    assert config.options["ensemble"] == 2
    assert config.options["restart_every"] == 200


def test_what_is_approximate_says_so_wherever_its_name_is_printed() -> None:
    """In labels of settings, rows of tables (their footnotes have the list) and the README of the methods."""
    approximate = {name for name in METHODS if METHODS[name].approximate}
    assert approximate == {"stprivacy", "mass", "tedspad", "bdq", "spact_published", "vita_published"}
    readme = (Path(methods.__file__).parent / "README.md").read_text()
    for name in METHODS:
        row = PaperRow(name, 0.3, 1.0)
        marked = {label_of({"method": name}) == f"{name} (approximate)", _line_name(row) == f"{row.name} (approximate)"}
        assert marked == {name in approximate}
        assert (f"`{name}` (approximate)" in readme) == (name in approximate), name
    assert "training code" in METHODS["stprivacy"].approximate


# The released code of SPACT (anonymization_training/parameters_SSL.py, train_ssl_minimax2.py) and of VITA
# (PA-HMDB51-VISPR-exp/adversarial_training/adv_training).
RELEASED: dict[str, dict[str, Any]] = {
    "spact_published": {
        "minimax.learning_rate_anonymizer": 1e-4,
        "minimax.learning_rate_action": 1e-4,
        "minimax.learning_rate_privacy": 1e-4,
        "minimax.batch_size": 24,
        "minimax.pair_batch_size": 64,
        "minimax.epochs": 300,
        "minimax.alternate": "batches",
        "minimax.judge_statistics": "running",
        "minimax.temperature": 0.1,
        "minimax.penalty_weight": 0.0,
        "clip.skip": 2,
        "clip.frames": 16,
        "clip.size": 112,
        "reconstruct.learning_rate": 1e-3,
        "action_classifier.weights": None,
        "anonymizer.output": "sigmoid",
    },
    "vita_published": {
        "minimax.learning_rate_anonymizer": 1e-4,
        "minimax.learning_rate_action": 1e-5,
        "minimax.learning_rate_privacy": 1e-4,
        "options.gamma": 0.5,
        "options.action_target": 0.7,
        "options.privacy_steps": 5,
        "options.restart_every": 200,
        "options.retrain_steps": 200,
        "options.by_clip": True,
        "options.joint": True,
        "options.on_validation": True,
        "clip.size": 112,
        "clip.frames": 16,
        "anonymizer.decoder_norm": "instancenorm",
        "action_classifier.name": "c3d",
        "evaluate_privacy.attackers": 10,
    },
}


@pytest.mark.parametrize("method", RELEASED)
def test_published_recipes_have_the_values_of_the_released_code(method: str) -> None:
    config = flatten(resolved(with_values(TrialConfig(), {**METHODS[method].recipe, "method": method})))
    assert {key: config[key] for key in RELEASED[method]} == RELEASED[method]


def test_the_members_of_vita_published_differ_in_architecture() -> None:
    config = resolved(with_values(TrialConfig(), {**METHODS["vita_published"].recipe, "method": "vita_published"}))
    names = str(config.options["architectures"]).split(",")
    assert len(set(names)) == config.options["ensemble"] == 4
    with torch.device("meta"):
        for name in names:
            build_privacy_classifier(NetworkConfig(name=name), 7)


@pytest.mark.parametrize("method", ["spact_published", "vita_published"])
def test_published_recipes_can_be_built(method: str) -> None:
    config = resolved(with_values(TrialConfig(), {**METHODS[method].recipe, "method": method}))
    with torch.device("meta"):
        anonymizer = build_anonymizer(config.anonymizer)
        frames = torch.empty(1, 3, 112, 112)
        assert anonymizer(frames).shape == frames.shape
        for network in (config.action_classifier, config.evaluate_action.classifier):
            build_action_classifier(network.model_copy(update={"weights": None}), 5, config.clip)
    assert config.evaluate_privacy.attackers == (10 if method == "vita_published" else 1)


@pytest.mark.parametrize("name", ["unet", "residual", "tubelets"])
@pytest.mark.parametrize("output", ["sigmoid", "linear"])
def test_anonymizers_keep_the_shape_of_any_clip(name: str, output: str) -> None:
    config = AnonymizerConfig(name=name, encoder="narrow", depth=2, decoder_channels=(8, 4), output=output)  # type: ignore[arg-type]
    torch.manual_seed(0)
    anonymizer = build_anonymizer(config).eval()
    for shape in ((2, 5, 3, 17, 22), (3, 1, 3, 16, 16)):
        clips = torch.rand(shape)
        found = anonymize_clips(anonymizer, clips)
        assert found.shape == clips.shape
        if output == "sigmoid":
            assert found.min() >= 0.0
            assert found.max() <= 1.0


def test_frame_networks_see_single_frames_and_tubelets_see_time() -> None:
    torch.manual_seed(0)
    clips = torch.rand(2, 4, 3, 16, 16)
    for name, sees_time in (("unet", False), ("residual", False), ("tubelets", True)):
        config = AnonymizerConfig(name=name, encoder="narrow", depth=2, decoder_channels=(8, 4))
        anonymizer = build_anonymizer(config).eval()
        together = anonymize_clips(anonymizer, clips)
        alone = torch.stack([anonymizer(clips[:, t]) for t in range(4)], dim=1)
        assert torch.allclose(together, alone, atol=1e-5) is not sees_time


def tubelets(keep: float) -> Tubelets:
    torch.manual_seed(0)
    anonymizer = build_anonymizer(AnonymizerConfig(name="tubelets", depth=2, decoder_channels=(8, 4)))
    assert isinstance(anonymizer, Tubelets)
    anonymizer.keep.fill_(keep)
    return anonymizer


def test_tubelets_are_cut_and_joined_without_loss() -> None:
    clips = torch.arange(2 * 4 * 3 * 8 * 12, dtype=torch.float32).reshape(2, 4, 3, 8, 12)
    anonymizer, grid = tubelets(1.0), (2, 2, 3)
    cut = anonymizer._cut(clips, grid)
    assert torch.equal(anonymizer._joined(cut, grid), clips)
    second_column = clips[1, 2:4, :, 4:8, 4:8]  # of the second time and the second row
    assert torch.equal(cut[1, 6 + 3 + 1], second_column.flatten())


@pytest.mark.parametrize(("keep", "kept"), [(1.0, 16), (0.7, 12), (0.5, 8), (0.01, 1)])
def test_in_use_the_best_share_of_every_time_slice_is_kept(keep: float, kept: int) -> None:
    anonymizer = tubelets(keep).eval()
    with torch.no_grad():
        found = anonymizer.clips(torch.rand(3, 6, 3, 16, 16))
    shown = (anonymizer._cut(found, (3, 4, 4)) != 0).any(dim=2).unflatten(1, (3, 16))
    assert (shown.sum(dim=2) == kept).all()
    scores = torch.tensor([[3.0, 1.0, 2.0, 0.0, 9.0, 7.0, 8.0, 6.0]])
    assert best_of_each_slice(scores, 2, 0.5).tolist() == [[1, 0, 1, 0, 1, 0, 1, 0]]


def test_in_training_tubelets_are_kept_by_chance_and_the_share_has_a_gradient() -> None:
    anonymizer = tubelets(0.7).train()
    clips = torch.rand(2, 2, 3, 16, 16)
    first, second = anonymizer.clips(clips), anonymizer.clips(clips)
    assert not torch.equal(first == 0, second == 0)
    assert len(anonymizer.kept) == 2
    for share in anonymizer.kept:
        assert share.item() * 32 == pytest.approx(round(share.item() * 32)), "each is kept or dropped, nothing between"
    anonymizer.kept[-1].backward()
    last = anonymizer.score[-1]
    assert last.weight.grad is not None
    assert (last.weight.grad != 0).any()


def test_the_second_clip_of_a_video_starts_elsewhere() -> None:
    clip = ClipConfig(frames=4, skip=2, size=16, decode_size=16)
    starts = set()
    for position in (0.0, 0.3, 0.999):
        first = clip_indices(12, clip, position)
        for other in (0.0, 0.25, 0.5, 0.75, 0.999):
            second = other_clip_indices(12, clip, position, other)
            assert second is not None
            assert second[0] != first[0]
            assert second == list(range(second[0], second[0] + 8, 2))
            assert second[-1] < 12
            starts.add(second[0])
    assert starts == set(range(6))
    assert other_clip_indices(4, clip, 0.0, 0.5) is None
    assert other_clip_indices(2, clip, 0.0, 0.5) is None


@pytest.mark.parametrize(
    ("method", "field", "heard"),
    [
        ("penalty", "minimax.distortion_budget", True),
        ("penalty", "reconstruct.epochs", True),
        ("raw", "minimax.distortion_budget", False),
        ("raw", "anonymizer.name", False),
        ("raw", "evaluate_action.epochs", True),
        ("downsample_2x", "warm_up.epochs", False),
        ("given", "anonymizer.weights", True),
        ("given", "minimax.penalty_weight", False),
        ("of a plug-in that is not loaded", "minimax.penalty_weight", True),
    ],
)
def test_what_means_nothing_to_a_method_is_known(method: str, field: str, heard: bool) -> None:
    assert is_heard(field, TrialConfig(method=method)) is heard
