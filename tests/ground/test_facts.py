"""A JSON or an array file of ours is what it should be, or one line says what is wrong with it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biocosmos.arrays import read_array, read_arrays
from biocosmos.errors import BiocosmosError
from biocosmos.facts import FILE_NAME, Number, Several, misfit, parse_facts, read_facts

TOLD = {"what": "a description", "remedy": "restore it"}
SHAPE = {"format": 1, "size": Number(1, 10, whole=True), "mean": Several(float, 2), "files": [FILE_NAME], "note?": (None, str)}
RIGHT: dict[str, Any] = {"format": 1, "size": 3, "mean": [0.5, 1], "files": ["a.bin"], "more": {}}


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("format", 2, "'format' must be 1, not 2"),
        ("format", True, "'format' must be 1, not true"),
        ("size", 0, "'size' must be a whole number in 1 to 10, not 0"),
        ("size", 3.0, "'size' must be a whole number"),
        ("size", True, "'size' must be a whole number"),
        ("mean", [1], "'mean' must be a list of 2"),
        ("mean", [1, float("inf")], "'mean[1]' must be a number"),
        ("mean", [1, 10**400], "'mean[1]' must be a number"),
        ("files", ["../a"], "'files[0]' must be the plain name of a file, not \"../a\""),
        ("files", ["a", "b\\c"], "'files[1]' must be the plain name"),
        ("note", 3, "'note' must be null or text, not 3"),
        ("note", "x" * 1000, None),
        ("note", "\ud800", "half a character or a NUL"),
        ("note", "\0", "half a character or a NUL"),
    ],
    ids=str,
)
def test_a_value_of_another_shape_is_named(tmp_path: Path, key: str, value: Any, says: str | None) -> None:
    place = tmp_path / "facts.json"
    place.write_text(json.dumps({**RIGHT, key: value}))
    if says is None:
        assert read_facts(place, SHAPE, **TOLD)[key] == value
        return
    with pytest.raises(BiocosmosError) as error:
        read_facts(place, SHAPE, **TOLD)
    assert (
        says in str(error.value) and str(error.value).startswith(f"{place} is not a description") and "\n" not in str(error.value)
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_a_json_says_it_fits_or_a_reason_is_given(value: Any) -> None:
    reason = misfit(value, SHAPE)
    assert reason is None or (reason and len(reason) < 300)
    assert misfit(value, object) is None


def test_text_that_is_no_json_is_one_line(tmp_path: Path) -> None:
    for text in (b"", b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 10_000, b"[1]", None):
        with pytest.raises(BiocosmosError, match=r"^here is not a description \(.*\): restore it$"):
            parse_facts(text, SHAPE, where="here", **TOLD)
    assert parse_facts(b"\xef\xbb\xbf" + json.dumps(RIGHT).encode(), SHAPE, where="here", **TOLD) == RIGHT
    for place in (tmp_path, tmp_path / "gone", Path("/dev/zero")):
        with pytest.raises(BiocosmosError, match=r"it is missing|it is no file"):
            read_facts(place, SHAPE, **TOLD)


# ------------------------------------------------------------------------------------------------------ arrays


def npy(array: np.ndarray[Any, Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def claiming(shape: str) -> Callable[[bytes], bytes]:
    """Another shape in the header, of the same length."""
    return lambda data: data.replace(b"'shape': (2, 3), }" + b" " * 20, f"'shape': {shape}, }}".encode().ljust(38), 1)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (claiming("(1000000000000, 3)"), "claims 3,000,000,000,000 numbers"),
        (claiming("(-1, 3)"), "claims"),
        (claiming("(1, 3)"), "claims 3 numbers, which it does not have"),
        (lambda data: data[:-1], "claims 6 numbers"),
        (lambda data: data[:20], ""),
        (lambda data: b"", ""),
        (lambda data: npy(np.zeros(3)), "is 1-dimensional float64"),
        (lambda data: npy(np.zeros((2, 3), np.int32)), "is 2-dimensional int32"),
        (lambda data: npy(np.array([print], object)), "holds objects, which may be code"),
    ],
)
def test_an_array_that_is_not_what_it_claims_is_one_line(tmp_path: Path, spoil: Callable[[bytes], bytes], says: str) -> None:
    right = np.arange(6, dtype=np.float64).reshape(2, 3)
    spoilt = spoil(npy(right))
    (tmp_path / "a.npy").write_bytes(spoilt)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("rows.npy", spoilt)
    for read in (
        lambda: read_array(tmp_path / "a.npy", ("f", 2), **TOLD),
        lambda: read_arrays(tmp_path / "a.npz", {"rows": ("f", 2)}, **TOLD),
    ):
        with pytest.raises(BiocosmosError) as error:
            read()
        assert (
            says in str(error.value)
            and str(error.value).startswith("cannot read a description from")
            and "\n" not in str(error.value)
        )


def test_arrays_come_back_as_they_were_and_bombs_do_not(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", rows=np.ones((2, 3)), names=np.array(["a", "b"]))
    found = read_arrays(tmp_path / "a.npz", {"rows": ("f", 2), "names": ("U", 1), "other?": ("f", 1)}, **TOLD)
    assert found["rows"].tolist() == [[1, 1, 1], [1, 1, 1]] and found["names"].tolist() == ["a", "b"]
    with pytest.raises(BiocosmosError, match="it lacks 'other'"):
        read_arrays(tmp_path / "a.npz", {"other": ("f", 1)}, **TOLD)
    np.savez_compressed(tmp_path / "bomb.npz", rows=np.zeros((1 << 12, 1 << 12), np.int8))
    with pytest.raises(BiocosmosError, match="it would grow to"):
        read_arrays(tmp_path / "bomb.npz", {}, **TOLD)
