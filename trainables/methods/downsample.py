"""Fewer pixels, no training: every frame is area-resized and brought back to its size.

`downsample_2x` and `downsample_4x` shrink the sides k-fold, as in the paper's tables; `downsample_to` shrinks the shorter one
to `options.pixels`, so that a front can be drawn over it whatever the size of the clips.
"""

from trainables.methods import METHODS, Count, Method, MethodOptions

_SOURCE = "rows Downsample of Tables 1 and 2, after Dave et al., arXiv 2203.15205"


class DownsampleOptions(MethodOptions):
    """`pixels`: of the shorter side of a frame. Frames that have no more stay as they are."""

    pixels: Count = 12


for _name in ("downsample_2x", "downsample_4x"):
    METHODS.register(_name)(Method(source=_SOURCE, fixed={"anonymizer.name": _name}))
METHODS.register("downsample_to")(Method(source=_SOURCE, fixed={"anonymizer.name": "downsample_to"}, options=DownsampleOptions))
