"""Pickles from outside: what label files are made of is read, whatever the protocol; nothing is ever called."""

import datetime
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.support import SHARED
from trainables.data.items import DataError
from trainables.data.safe_pickle import load

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def dump(path: Path, content: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_of_numbers(tmp_path: Path, protocol: int) -> None:
    arrays = {
        "a/b.mp4": np.array([[1, 0, 1]]),
        "c": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "d": np.array([True, False]),
        "big endian": np.array([1, 256], dtype=">i4"),
        "empty": np.zeros((0, 7)),
    }
    loaded = load(dump(tmp_path / "labels.pkl", arrays, protocol))
    assert list(loaded) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == pickle.loads(pickle.dumps(array, protocol)).dtype


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_builtin_containers_and_numbers(tmp_path: Path, protocol: int) -> None:
    content = {
        "a": [1, 2.5, None, True],
        "b": (b"bytes\xff", "text"),
        "c": {1, 2},
        "d": frozenset("x"),
        "e": 1j,
        "f": bytearray(b"y"),
    }
    assert load(dump(tmp_path / "labels.pkl", content, protocol)) == content


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpy_scalars(tmp_path: Path, protocol: int) -> None:
    assert load(dump(tmp_path / "labels.pkl", {"a": np.float64(0.5), "b": np.int64(3)}, protocol)) == {"a": 0.5, "b": 3}


def test_pickles_of_numpy_1_and_2(tmp_path: Path) -> None:
    old = pickle.dumps(np.arange(3), 0).replace(b"numpy._core", b"numpy.core")
    new = pickle.dumps(np.arange(3), 0).replace(b"numpy.core", b"numpy._core")
    for number, content in enumerate((old, new)):
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(content)
        np.testing.assert_array_equal(load(path), [0, 1, 2])


class Malicious:
    def __init__(self, call: object, *arguments: object) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_is_executed(tmp_path: Path, protocol: int) -> None:
    victim = tmp_path / "created"
    for number, attack in enumerate((Malicious(os.mkdir, str(victim)), Malicious(eval, f"open({str(victim)!r}, 'w')"))):
        path = dump(tmp_path / f"{number}.pkl", {"a": [attack]}, protocol)
        with pytest.raises(DataError, match=rf"{number}\.pkl: it asks for \w+\.(mkdir|eval); only numpy arrays and builtin"):
            load(path)
        assert not victim.exists()
        pickle.loads(path.read_bytes())  # the same file does harm when read without care
        assert victim.exists()
        victim.rmdir() if victim.is_dir() else victim.unlink()


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (datetime.date(2020, 1, 1), "datetime.date"),
        (Path("x"), "pathlib"),
        (np.dtype, "numpy.dtype"),
        (getattr, "builtins.getattr"),
        (np.array([object]), "array of type 'O8'"),
        (np.array(["text"]), "array of type 'U4'"),
        (np.array([(1, 2.0)], dtype="i4,f4"), "array of type 'V8'"),
        (np.ma.masked_array([1]), "numpy.ma"),
        (Malicious(np.load, "x"), "numpy.load"),
    ],
)
def test_other_objects_are_refused(tmp_path: Path, content: object, wanted: str) -> None:
    if content is np.dtype:  # naming the type is fine, using it on anything but numbers is not
        content, wanted = Malicious(np.dtype, [("a", "O")]), "array of type"
    with pytest.raises(DataError, match=rf"labels\.pkl: .*{wanted}.*write the labels as those"):
        load(dump(tmp_path / "labels.pkl", content))


@pytest.mark.parametrize(
    "content",
    [
        b"cnumpy\nndarray\n((I3\ntR.",  # the array type itself is not to be called
        b"cnumpy.core.multiarray\n_reconstruct\n(cbuiltins\nlist\n(I0\ntS'b'\ntR.",
        b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.",
        b"",
        b"no pickle",
        pickle.dumps(np.arange(10))[:-20],
    ],
)
def test_crafted_and_broken_files_are_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labels.pkl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"labels\.pkl: ") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.pkl: not a readable pickle \(FileNotFoundError"):
        load(tmp_path / "gone.pkl")


def test_the_published_labels() -> None:
    folder = SHARED / "annotations" / "vp_annotations" / "annotations"
    if not folder.is_dir():
        pytest.skip(f"the published label files are not at {folder}")
    for name, count in (("ucf101", 13_320), ("hmdb51", 6_766)):
        labels = load(folder / f"{name}_privacy_attribute_label.pickle")
        assert len(labels) == count
        assert {row.shape for row in labels.values()} == {(1, 5)}
