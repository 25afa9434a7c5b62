"""Obfuscation of detected people: their boxes are blackened or blurred, the rest of the frame stays. No training."""

from trainables.methods import METHODS, Method

_SOURCE = "rows Obf- of Tables 1 and 2, after Dave et al., arXiv 2203.15205"

for _name in ("blackening", "weak_blur", "strong_blur"):
    METHODS.register(_name)(Method(source=_SOURCE, fixed={"anonymizer.name": _name}))
