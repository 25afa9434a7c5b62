"""An anonymizer that this project did not train: any model of frames in an ONNX file, `anonymizer.weights`.

What is in the file is in the keys, not where it lies. `python -m analysis audit` runs a trial of it.
"""

from trainables.methods import METHODS, Method

METHODS.register("given")(Method(source="none: whatever the file holds", fixed={"anonymizer.name": "given"}, given=True))
