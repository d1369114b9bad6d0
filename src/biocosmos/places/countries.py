"""Countries by ISO 3166-1: two letters for a code or a name as sources write it."""

from __future__ import annotations

import csv
import unicodedata
from functools import cache
from importlib import resources

OTHER_NAMES = {
    "usa": "US",
    "u s a": "US",
    "united states of america": "US",
    "uk": "GB",
    "u k": "GB",
    "great britain": "GB",
    "england": "GB",
    "scotland": "GB",
    "wales": "GB",
    "northern ireland": "GB",
    "the netherlands": "NL",
    "holland": "NL",
    "russia": "RU",
    "south korea": "KR",
    "north korea": "KP",
    "korea": "KR",
    "ivory coast": "CI",
    "cote d ivoire": "CI",
    "czech republic": "CZ",
    "turkey": "TR",
    "swaziland": "SZ",
    "burma": "MM",
    "cape verde": "CV",
    "macedonia": "MK",
    "vatican": "VA",
    "palestine": "PS",
    "democratic republic of the congo": "CD",
    "dr congo": "CD",
    "brunei": "BN",
    "east timor": "TL",
    "laos": "LA",
    "syria": "SY",
}
"""What is in no list of ISO's and in many tables of specimens."""


@cache
def _codes() -> dict[str, str]:
    text = resources.files("biocosmos.places").joinpath("countries.csv").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for row in csv.DictReader(text.splitlines()):
        for name in (row["alpha2"], row["alpha3"], row["name"], row["common_name"], row["official_name"]):
            if name:
                found.setdefault(_plain(name), row["alpha2"])
    return {**found, **OTHER_NAMES}


def country_code(name: str | None) -> str | None:
    """ISO 3166-1 alpha-2 of a code of two or three letters or a name in English; None: not known.

    What follows a colon is a part of the country (INSDC: "Netherlands: Utrecht").

    >>> country_code("Netherlands"), country_code("nld"), country_code("Atlantis")
    ('NL', 'NL', None)
    """
    return None if not name else _codes().get(_plain(name.partition(":")[0]))


def country_and_region(text: str) -> tuple[str | None, str | None]:
    """:func:`country_code`, and the part of the country as ISO 3166-2 writes it, behind a hyphen; a name may have a hyphen too.

    >>> country_and_region("us-ca"), country_and_region("Guinea-Bissau"), country_and_region("Atlantis-N")
    (('US', 'CA'), ('GW', None), (None, None))
    """
    if (code := country_code(text)) is not None:
        return code, None
    name, _, region = text.partition("-")
    code = country_code(name)
    return code, None if code is None else region.strip().upper() or None


@cache
def alpha3() -> dict[str, str]:
    """ISO 3166-1 alpha-3 of each alpha-2."""
    text = resources.files("biocosmos.places").joinpath("countries.csv").read_text(encoding="utf-8")
    return {row["alpha2"]: row["alpha3"] for row in csv.DictReader(text.splitlines())}


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return " ".join("".join(letter if letter.isalnum() else " " for letter in letters).split())
