"""Reading scientific names: the binomial and the genus where they are certain, nothing where they are not."""

from __future__ import annotations

import re
from typing import NamedTuple

# Words in the place of an epithet that leave the species open.
OPEN = {"sp", "spp", "cf", "aff", "nr", "near", "indet", "gen", "ssp", "subsp", "var", "n", "ex", "et", "and"}
GENUS = re.compile(r"[A-Z][a-zà-öø-ÿ]+(?:-[a-zà-öø-ÿ]+)?")
EPITHET = re.compile(r"[a-zà-öø-ÿ]{2,}(?:-[a-zà-öø-ÿ]+)*")
# Endings of names above the genus: "Chironomidae sp." says nothing of the genus.
ABOVE_GENUS = ("idae", "inae", "oidea", "aceae", "ales", "formes", "ptera", "poda", "oida", "zoa", "phyta", "phyceae", "mycetes")
NULLS = {"", "na", "n/a", "nan", "null", "none", "not_classified", "not classified", "unclassified"}


class Name(NamedTuple):
    """A genus and, where the name goes that far, the binomial; both None for a name that is not a Latin binomial."""

    genus: str | None
    species: str | None


def clean(value: object) -> str | None:
    """Text without outer space and with inner runs of white space as one blank; None when nothing is left."""
    if value is None:
        return None
    return " ".join(str(value).split()) or None


def clean_taxon(value: object) -> str | None:
    """As :func:`clean`, and None for the ways tables write "none" (NA, nan, null, not_classified)."""
    text = clean(value)
    return None if text is None or text.lower() in NULLS else text


def parse(name: str) -> Name:
    """Genus and binomial of a scientific name; author, year and infraspecific parts are left out.

    >>> parse("Pica hudsonia (Sabine, 1823)")
    Name(genus='Pica', species='Pica hudsonia')
    >>> parse("Gambusia sp.")
    Name(genus='Gambusia', species=None)
    >>> parse("black-billed magpie")
    Name(genus=None, species=None)

    One word is no binomial and may be of any rank: both are None. Hybrids keep their sign ("Salix × rubens").
    """
    words = name.replace("_", " ").split()
    if len(words) < 2 or not GENUS.fullmatch(words[0]):
        return Name(None, None)
    if words[1].startswith("(") and words[1].endswith(")") and len(words) > 2:  # a subgenus
        words = [words[0], *words[2:]]
    if words[1] in ("x", "×") and len(words) > 2 and EPITHET.fullmatch(words[2]):
        return Name(words[0], f"{words[0]} × {words[2]}")
    if words[1].rstrip(".").lower() in OPEN:
        return Name(None if words[0].endswith(ABOVE_GENUS) else words[0], None)
    if EPITHET.fullmatch(words[1]):
        return Name(words[0], f"{words[0]} {words[1]}")
    return Name(None, None)
