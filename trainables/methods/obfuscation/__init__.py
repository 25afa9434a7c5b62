"""Obfuscation of detected people: their boxes are blackened or blurred, the rest of the frame stays. No training.

The paper gives no kernels. Those here are chosen: 13 (weak) and 21 (strong) pixels with a sigma of 10 at a side of 112.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods import METHODS, Method, MethodOptions, Weight
from trainables.stages import JUDGED_DATA, Stage

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome


def _run(context: StageContext) -> Outcome:
    from trainables.methods.obfuscation.detect import run

    return run(context)


# Only where `obfuscation.detector` is named: otherwise the boxes of people come from a file.
DETECT = Stage(
    "detect",
    _run,
    ("obfuscation.detector", "obfuscation.detector_weights", "obfuscation.score", "obfuscation.every"),
    JUDGED_DATA,
)


_SOURCE = "rows Obf- of Tables 1 and 2, after Dave et al., arXiv 2203.15205"
_SIDE = 112


class WeakBlurOptions(MethodOptions):
    """Shares of the side of a frame."""

    kernel: Weight = 13 / _SIDE
    sigma: Weight = 10 / _SIDE


class StrongBlurOptions(WeakBlurOptions):
    kernel: Weight = 21 / _SIDE


_OPTIONS = {"blackening": MethodOptions, "weak_blur": WeakBlurOptions, "strong_blur": StrongBlurOptions}

for _name, _options in _OPTIONS.items():
    METHODS.register(_name)(
        Method(source=_SOURCE, stages=(DETECT,), fixed={"anonymizer.name": _name}, options=_options, boxes=True)
    )
