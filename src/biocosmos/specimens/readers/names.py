"""Cells of text: blanks tidied, and the ways tables write "none". Scientific names are read in biocosmos.taxonomy."""

from __future__ import annotations

NULLS = {"", "na", "n/a", "nan", "null", "none", "not_classified", "not classified", "unclassified"}


def clean(value: object) -> str | None:
    """Text without outer space and with inner runs of white space as one blank; None when nothing is left."""
    if value is None:
        return None
    return " ".join(str(value).split()) or None


def clean_taxon(value: object) -> str | None:
    """As :func:`clean`, and None for the ways tables write "none" (NA, nan, null, not_classified)."""
    text = clean(value)
    return None if text is None or text.lower() in NULLS else text
