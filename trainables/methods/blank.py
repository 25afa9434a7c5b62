"""Grey frames: the lower end of every scale, and the negative control of every attack."""

from trainables.methods import METHODS, Method

METHODS.register("blank")(Method(source="none: what nobody can read", fixed={"anonymizer.name": "blank"}))
