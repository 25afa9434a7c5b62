"""No anonymizer: the same evaluation on raw frames."""

from trainables.methods import METHODS, Method

METHODS.register("raw")(Method(source="the `raw` rows of every table", fixed={"anonymizer.name": "identity"}))
