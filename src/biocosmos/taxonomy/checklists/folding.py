"""The form under which a name is looked up: letter case, accents and signs that people leave out do not count."""

from __future__ import annotations

import re
import unicodedata

import pyarrow as pa
import pyarrow.compute as pc

LETTERS = {"æ": "ae", "œ": "oe", "ø": "o", "ß": "ss", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "×": " ", "_": " ",
           "‐": "-", "‑": "-", "–": "-", "’": "'"}  # fmt: skip
MARKS = r"(subsp|ssp|nothosubsp|nothovar|var|subvar|f|fo|forma|subf|convar|pv|cv|ab|morph)\."
SUBGENUS = r"\([^()]*\)"


def folded(names: pa.Array) -> pa.Array:
    """(n,) names folded; null stays null.

    Letters are in lower case and without accents, hybrid signs, rank marks (subsp., var.) and subgenera in brackets are left out.
    """
    text = pc.replace_substring_regex(pc.utf8_normalize(names, form="NFKD"), r"\p{M}", "")
    text = pc.utf8_lower(text)
    for letter, plain in LETTERS.items():
        text = pc.replace_substring(text, letter, plain)
    text = pc.replace_substring_regex(text, rf"(\s){MARKS}(\s|$)", r"\1")
    text = pc.replace_substring_regex(text, rf"(\w)\s*{SUBGENUS}\s+([a-z])", r"\1 \2")
    text = pc.replace_substring_regex(text, r"^x\s+", "")
    text = pc.replace_substring_regex(text, r"\s+", " ")
    return pc.utf8_trim_whitespace(text)


def folded_word(word: str) -> str:
    """One word or name, as :func:`folded`, without rank marks and brackets to leave out."""
    text = "".join(letter for letter in unicodedata.normalize("NFKD", word) if not unicodedata.combining(letter)).lower()
    return " ".join(re.sub("|".join(map(re.escape, LETTERS)), lambda found: LETTERS[found.group()], text).split())
