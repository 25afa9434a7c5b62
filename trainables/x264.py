"""Options with which libx264 makes the same of the same frames every time."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def repeatable() -> dict[str, str]:
    """For an encoder of PyAV. With AVX-512, libx264 165 weighs macroblocks (mbtree) by bytes that nobody has written: of equal
    clips of 32 x 32 three to twenty in a hundred came out otherwise, of 224 x 224 one in 200. With AVX2 the output is that of
    its plain C code.
    """
    try:
        return {"x264-params": "asm=avx2"} if "avx512f" in Path("/proc/cpuinfo").read_text() else {}
    except OSError:  # not Linux
        return {}
