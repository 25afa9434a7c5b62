"""How long an attacker of single frames reads a clip at a stretch, and in which frame most surely: by hand, and in a trial."""

from __future__ import annotations

import torch

from trainables.attacks.shared.exposure import exposed_shares, exposure
from trainables.attacks.shared.learning import with_exposure
from trainables.attacks.shared.result import AttackResult

LABELS = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
# two items of two clips of four frames: the probabilities of two attributes
FRAMES = torch.tensor(
    [
        [
            [[0.9, 0.1], [0.8, 0.4], [0.6, 0.6], [0.9, 0.3]],  # read, read, the second is wrong, read
            [[0.4, 0.1], [0.7, 0.2], [0.99, 0.02], [0.51, 0.49]],  # the first is wrong, and three in a row
        ],
        [[[0.5, 0.9]] * 4, [[0.9, 0.4], [0.4, 0.9], [0.9, 0.3], [0.2, 0.9]]],  # a half is no answer, and never both
    ],
    dtype=torch.float64,
)


def test_runs_and_worst_frames_by_hand() -> None:
    first, second = exposure(FRAMES, LABELS)
    assert first == {"worst_frame": 6, "longest_run": 3, "frames": 4}
    assert second == {"worst_frame": 0, "longest_run": 0, "frames": 4}


def test_a_run_ends_with_its_clip() -> None:
    """The clips of an item are taken from its whole length: the last frame of one is not followed by the first of the next."""
    read, not_read = [0.9, 0.1], [0.1, 0.1]
    clips = torch.tensor([[[not_read, read, read], [read, read, not_read]]], dtype=torch.float64)
    [found] = exposure(clips, LABELS[:1])
    assert found["longest_run"] == 2


def test_shares_by_hand() -> None:
    found = exposed_shares(FRAMES, LABELS)
    assert found["frames_all_right"] == 6 / 16
    assert found["clips_all_right"] == 0.5
    assert found["all_right_by_guess"] == 0.5, "the first attribute is more often 1, the second as often 0, of which 0 is said"


def result(validated: list[float]) -> AttackResult:
    return AttackResult(["a", "b"], ["a", "b"], ["one", "two"], validated, torch.zeros(2, 2, 2), {}, labels=LABELS)


def test_the_member_that_counts_is_the_one_that_is_strongest_on_validation_items() -> None:
    of_members = torch.stack([1.0 - FRAMES, FRAMES])
    assert with_exposure(result([0.1, 0.4]), of_members, LABELS).details == exposure(FRAMES, LABELS)
    assert with_exposure(result([0.4, 0.1]), of_members, LABELS).details == exposure(1.0 - FRAMES, LABELS)


def test_images_and_whole_clips_have_no_time() -> None:
    plain = result([0.1, 0.4])
    assert with_exposure(plain, FRAMES[:, :, :1].expand(2, 2, 2, 1, 2), LABELS) == plain
