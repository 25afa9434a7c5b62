"""A blur of the whole frame that looks private and is not: a decoder that has learned to undo it reads on."""

from trainables.methods import METHODS, Method, MethodOptions, Weight


class MildBlurOptions(MethodOptions):
    """Shares of the side of a frame."""

    kernel: Weight = 0.34
    sigma: Weight = 0.06


METHODS.register("mild_blur")(
    Method(
        source="none: an example of a weak anonymizer",
        fixed={"anonymizer.name": "mild_blur"},
        options=MildBlurOptions,
    )
)
