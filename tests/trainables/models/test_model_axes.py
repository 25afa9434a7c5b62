# The test suite's shape checks come first and raise their own error: `inspect.unwrap` gives what a user runs.
import inspect

import pytest
import torch

from trainables.models.axes import channels_first, clips_of, frames_of


def test_frames_keep_their_colour_planes() -> None:
    clips = torch.rand(2, 4, 3, 5, 6)
    frames = frames_of(clips)
    assert frames.shape == (8, 3, 5, 6)
    for clip in range(2):
        for time in range(4):
            assert torch.equal(frames[clip * 4 + time], clips[clip, time])
    assert torch.equal(clips_of(frames, batch=2), clips)


def test_channels_first_swaps_time_and_colour() -> None:
    clips = torch.rand(2, 4, 3, 5, 6)
    assert torch.equal(channels_first(clips)[1, 2, 3], clips[1, 3, 2])


@pytest.mark.parametrize("function", [frames_of, channels_first])
def test_clips_in_another_layout_are_refused(function) -> None:
    with pytest.raises(ValueError, match=r"\(B, T, 3, H, W\), got shape \(2, 3, 4, 5, 6\)"):
        inspect.unwrap(function)(torch.rand(2, 3, 4, 5, 6))


@pytest.mark.parametrize("shape", [(8, 4, 5, 6), (7, 3, 5, 6), (8, 3, 5)])
def test_frames_that_are_no_clips_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="of 2 clips"):
        inspect.unwrap(clips_of)(torch.rand(shape), batch=2)
