"""Nothing but change: grey differences of neighbouring frames, plain, of few pixels, or blurred and in few levels. No training.

What a learned anonymizer has to beat: they use time, and cost nothing. `blurred_difference` has the three steps of BDQ (Kumawat
& Nagahara, arXiv 2208.02459), blur, difference, quantization, with parameters that are chosen here and learned there. A frame
shows its difference from the one before in the clip as it was sampled, `clip.skip` frames of the file earlier; the first frame
of a clip, and so every single image, shows nothing.
"""

from trainables.methods import METHODS, CountOrNone, Method, MethodOptions, Weight


class GreyDifferenceOptions(MethodOptions):
    """`reach`: the largest difference of grey values, in shares of the range, that is shown."""

    reach: Weight = 0.5


class SmallDifferenceOptions(GreyDifferenceOptions):
    """`pixels`: of the shorter side, to which frames are shrunk before they are compared."""

    pixels: CountOrNone = 8


class BlurredDifferenceOptions(GreyDifferenceOptions):
    """`sigma`: of the blur, in shares of the shorter side. `levels`: how many differences are told apart."""

    reach: Weight = 0.25
    sigma: Weight = 0.02
    levels: CountOrNone = 5


class MovingPixelsOptions(MethodOptions):
    """`reach`: the difference of grey values above which a pixel has changed. `sigma`: of the blur before."""

    reach: Weight = 0.06
    sigma: Weight = 0.02


METHODS.register("grey_difference")(
    Method(
        source="none: the plainest anonymizer that uses time",
        fixed={"anonymizer.name": "difference"},
        options=GreyDifferenceOptions,
        over_time=True,
    )
)
METHODS.register("small_difference")(
    Method(
        source="none: both at once",
        fixed={"anonymizer.name": "difference"},
        options=SmallDifferenceOptions,
        over_time=True,
    )
)
METHODS.register("blurred_difference")(
    Method(
        source="the steps of BDQ, arXiv 2208.02459, with fixed parameters",
        fixed={"anonymizer.name": "difference"},
        options=BlurredDifferenceOptions,
        over_time=True,
    )
)
METHODS.register("moving_pixels")(
    Method(
        source="none: silhouettes of what moves",
        fixed={"anonymizer.name": "moving_pixels"},
        options=MovingPixelsOptions,
        over_time=True,
    )
)
