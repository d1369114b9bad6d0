"""Texts that are compared without accents and letter case."""

from __future__ import annotations

import unicodedata
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

WHITE = r"\t-\r\x1c-\x1f"
"""What Python takes for white space in ASCII beside the blank; the columns' regular expressions know less of it."""


def fold(text: str) -> str:
    """A text in lower case, without accents, its white space single.

    >>> fold("  Öland  CRÈME ")
    'oland creme'
    """
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(letter))
    return " ".join(plain.casefold().split())


def fold_all(texts: Any) -> Any:
    """:func:`fold` of every text of an Arrow array of strings, by whole columns where it is plain ASCII; null stays null."""
    if len(texts) and not pc.all(pc.string_is_ascii(texts)).as_py():
        return pa.array([None if text is None else fold(text) for text in texts.to_pylist()], texts.type)
    lower = pc.ascii_lower(texts)
    return pc.ascii_trim_whitespace(pc.replace_substring_regex(lower, f"[{WHITE} ]+", " ")) if _spaced(lower) else lower


def _spaced(texts: Any) -> bool:
    return bool(pc.any(pc.match_substring_regex(texts, f"^ |  |[{WHITE}]| $")).as_py())
