"""The batch contract, written once. The test suite checks these annotations at every call of the modules that use them.

Axes move only in `trainables.models.axes`; a reshape that names no axis can turn colour planes into time without an error.
"""

from __future__ import annotations

from jaxtyping import Float, UInt8
from torch import Tensor

Clips = Float[Tensor, "batch time 3 height width"]  # RGB in [0, 1]; an anonymizer with linear output may leave it
Frames = Float[Tensor, "frames 3 height width"]  # frame t of clip b is number b * time + t
DecodedClips = UInt8[Tensor, "batch time 3 rows columns"]  # as the loader delivers them
SquareClips = Float[Tensor, "batch time 3 side side"]
Draws = Float[Tensor, "batch draws"]  # uniform in [0, 1), one row a sample
PeopleBoxes = Float[Tensor, "batch time people 4"]  # x0 y0 x1 y1 in shares of the frame; NaN where there is no person
Rows = Float[Tensor, "rows"]
Scalar = Float[Tensor, ""]
Projections = Float[Tensor, "pairs width"]
