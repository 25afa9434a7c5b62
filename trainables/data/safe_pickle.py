"""Pickles from outside: numbers, text, builtin containers and numeric numpy arrays are read, anything else is refused.

Loading a pickle calls whatever it names, so each callable admitted here is our own and checks what it is given.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from trainables.data.items import DataError

_NDARRAY = object()  # stands for the class: it may be named, never called


def load(path: Path) -> Any:
    """The object in `path`. Raises DataError where it cannot be read or holds more than arrays and builtin containers."""
    try:
        with path.open("rb") as file:
            return _Unpickler(file).load()
    except DataError as error:
        raise DataError(
            f"{path}: {error}; only numpy arrays and builtin containers are read from a pickle, write the labels as those"
        ) from None
    except Exception as error:  # a broken pickle raises nearly anything
        raise DataError(f"{path}: not a readable pickle ({type(error).__name__}: {error}); fetch the file again") from None


def _dtype(code: str, align: bool = False, copy: bool = True) -> np.dtype[Any]:
    dtype = np.dtype(code)
    if dtype.kind not in "biuf":
        raise DataError(f"it holds an array of type {code!r}")
    return np.dtype(dtype, copy=True)  # a copy: the pickle's own state is applied to it


def _reconstruct(kind: object, shape: object, code: object) -> np.ndarray[Any, Any]:
    if kind is not _NDARRAY:
        raise DataError("it holds a subclass of a numpy array")
    return np.ndarray((0,), dtype=np.int8)  # shape, type and content follow as the array's state


def _from_buffer(buffer: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any) -> np.ndarray[Any, Any]:
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)


def _scalar(dtype: np.dtype[Any], data: bytes) -> Any:
    return np.frombuffer(data, dtype)[0]


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":  # the one way that Python 3 writes bytes in the older protocols
        raise DataError(f"it encodes text as {encoding!r}")
    return text.encode("latin1")


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    **{(f"{core}.multiarray", "_reconstruct"): _reconstruct for core in ("numpy.core", "numpy._core")},
    **{(f"{core}.multiarray", "scalar"): _scalar for core in ("numpy.core", "numpy._core")},
    **{(f"{core}.numeric", "_frombuffer"): _from_buffer for core in ("numpy.core", "numpy._core")},
    **{
        (builtins, kind.__name__): kind
        for builtins in ("builtins", "__builtin__")
        for kind in (dict, list, tuple, set, frozenset, int, float, complex, bool, str, bytes, bytearray)
    },
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise DataError(f"it asks for {module}.{name}") from None
