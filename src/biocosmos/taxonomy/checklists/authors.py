"""Whether two authorships are of one name: "L." and "Linnaeus, 1758", "(Gunner, 1770)" and "Gunnerus 1770"."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from biocosmos.taxonomy.name_words import PARTICLES

EQUAL, ALIKE, UNSAID, OTHER = 3, 2, 1, 0
"""The same authors and year; some of the authors, no year far from theirs; nothing to compare; others."""
NEAR_YEARS = 2  # a work of several parts is cited by the year of any
YEAR = re.compile(r"\b(1[5-9]\d\d|20\d\d)\b")
LINNAEUS, CANDOLLE = "linnaeus", "decandolle"
SHORT = dict.fromkeys(("l", "linn", "linne", "lin"), LINNAEUS) | dict.fromkeys(("dc", "candolle"), CANDOLLE)


def compare(one: str | None, other: str | None) -> int:
    """EQUAL, ALIKE, UNSAID or OTHER.

    >>> compare("L.", "Linnaeus, 1758") == ALIKE, compare("Kirby, 1798", "Host") == OTHER, compare("Host", None) == UNSAID
    (True, True, True)
    """
    if not one or not other:
        return UNSAID
    (authors, years), (others, other_years) = _parts(one), _parts(other)
    if years and other_years and min(abs(int(a) - int(b)) for a in years for b in other_years) > NEAR_YEARS:
        return OTHER
    if not authors or not others:
        return EQUAL if years and years == other_years else UNSAID
    fewer, more = sorted((authors, others), key=len)
    if not all(any(_same(a, b) for b in more) for a in fewer):
        return OTHER
    return EQUAL if len(fewer) == len(more) and years == other_years else ALIKE


@lru_cache(maxsize=1 << 14)
def _parts(text: str) -> tuple[frozenset[str], frozenset[str]]:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).lower().replace("ø", "o")
    years = frozenset(YEAR.findall(plain))
    plain = re.sub(r"\bin\b.*", "", re.sub(r"\bet al\b\.?", "", YEAR.sub(" ", plain)))
    authors = set()
    for part in re.split(r"[,;&()\[\]]|\bet\b|\band\b|\bex\b|\by\b", plain):
        words = [word for word in re.findall(r"[^\W\d_]+", part) if word not in PARTICLES]
        if words:
            authors.add(SHORT.get("".join(words), SHORT.get(words[-1], words[-1])))
    return frozenset(authors), years


def _same(one: str, other: str) -> bool:
    """Whether one surname is the other, or its abbreviation ("gunner" of "gunnerus")."""
    short, long = sorted((one, other), key=len)
    return long.startswith(short)
