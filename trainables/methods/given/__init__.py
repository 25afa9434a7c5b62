"""An anonymizer that this project did not train: any model of frames in an ONNX file, `anonymizer.weights`.

What is in the file is in the keys, not where it lies. `python -m analysis audit` runs a trial of it.
"""

from trainables.methods import METHODS, Method

METHODS.register("given")(Method(source="none: whatever the file holds", fixed={"anonymizer.name": "given"}, given=True))
# Videos that were anonymized elsewhere, below `data.anonymized`: whoever reads them is given those in place of the originals.
METHODS.register("given_videos")(
    Method(source="none: whatever the videos show", fixed={"anonymizer.name": "given_videos"}, exchanged=True)
)
