"""Fewer pixels, no training: every frame is area-resized by k and brought back to its size."""

from trainables.methods import METHODS, Method

_SOURCE = "rows Downsample of Tables 1 and 2, after Dave et al., arXiv 2203.15205"

for _name in ("downsample_2x", "downsample_4x"):
    METHODS.register(_name)(Method(source=_SOURCE, fixed={"anonymizer.name": _name}))
