"""A blur of the whole frame that looks private and is not: a decoder that has learned to undo it reads on."""

from trainables.methods import METHODS, Method

METHODS.register("mild_blur")(
    Method(
        source="none: an example of a weak anonymizer",
        fixed={"anonymizer.name": "mild_blur"},
        options={"kernel": 0.34, "sigma": 0.06},  # shares of the frame's side
    )
)
