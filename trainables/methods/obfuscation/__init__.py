"""Obfuscation of detected people: their boxes are blackened or blurred, the rest of the frame stays. No training.

The paper gives no kernels. Those here are chosen: 13 (weak) and 21 (strong) pixels with a sigma of 10 at a side of 112.
"""

from trainables.methods import METHODS, Method
from trainables.stages import DETECT

_SOURCE = "rows Obf- of Tables 1 and 2, after Dave et al., arXiv 2203.15205"
_SIDE = 112

_OPTIONS: dict[str, dict[str, float]] = {
    "blackening": {},
    "weak_blur": {"kernel": 13 / _SIDE, "sigma": 10 / _SIDE},
    "strong_blur": {"kernel": 21 / _SIDE, "sigma": 10 / _SIDE},
}

for _name, _options in _OPTIONS.items():
    METHODS.register(_name)(
        Method(source=_SOURCE, stages=(DETECT,), fixed={"anonymizer.name": _name}, options=_options, boxes=True)
    )
