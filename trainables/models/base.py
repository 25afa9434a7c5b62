"""What every anonymizer f_A is: a module from frames ((B T), C, H, W), float RGB in [0, 1], to frames of the same size."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from trainables.config import AnonymizerConfig
from trainables.models.axes import clips_of, frames_of
from trainables.registry import Registry

Options = Mapping[str, bool | int | float | str]


class Anonymizer(nn.Module):
    """((B T), C, H, W) -> the same shape; linear output is unbounded, sigmoid output lies in [0, 1].

    window: of one that sees time, how many frames it needs to show the last of them; None where it needs whole clips.
    reads_weights: it reads the file `anonymizer.weights` itself, which is then no state dict.
    """

    window: int | None = None
    reads_weights = False

    def configure(self, options: Options) -> None:
        """Takes the options of the trial's method. Raises ConfigError for a value that cannot be."""

    @property
    def sees_time(self) -> bool:
        """Whether what it makes of a frame depends on other frames of the clip."""
        return type(self).clips is not Anonymizer.clips

    def forward(self, frames: Tensor) -> Tensor:
        raise NotImplementedError

    def clips(self, clips: Tensor) -> Tensor:
        """(B, T, C, H, W) -> the same shape, frame by frame; one that sees time does otherwise."""
        return clips_of(self(frames_of(clips)), batch=clips.shape[0])

    def last(self, windows: Tensor) -> Tensor:
        """(B, window, C, H, W), in order -> (B, C, H, W): the last frame of each as a clip shows it."""
        return self.clips(windows)[:, -1]


ANONYMIZERS: Registry[Callable[[AnonymizerConfig], Anonymizer]] = Registry("anonymizer")


def anonymize_clips(anonymizer: Anonymizer, clips: Tensor) -> Tensor:
    """(B, T, C, H, W) -> (B, T, C, H, W). An image is a clip of one frame."""
    return anonymizer.clips(clips)
