"""Which column of a source means what: the obvious names are guessed, the user's mapping overrides every guess."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.records import STANDARD
from biocosmos.taxonomy import KNOWN_RANKS

SCIENTIFIC_NAME = "scientificName"
EPITHET = "specificEpithet"
SOURCE_SUFFIX = "_source"
IMAGE_URL = "image_url"
"""The column that keeps where an image is on the web; nothing is fetched."""

# Names as they are after `plain`; the earlier of a list wins. Gathered from Darwin Core, EcoTaxa, BIOSCAN, VLM4Bio,
# iNaturalist exports and pybioclip's predictions.
GUESSES: dict[str, tuple[str, ...]] = {
    "id": (
        "id",
        "processid",
        "specimenid",
        "occurrenceid",
        "treeoflifeid",
        "objectid",
        "objid",
        "sampleid",
        "uuid",
        "gbifid",
        "catalognumber",
        "imageid",
    ),
    "image_path": (
        "imagepath",
        "imagefilepath",
        "filepath",
        "path",
        "imagefile",
        "imagefilename",
        "imgfilename",
        "imgpath",
        "filename",
        "filenameasdelivered",
        "imagename",
        "file",
        "image",
        "img",
        "photo",
        "picture",
    ),
    "label": (
        "label",
        "labels",
        "classlabel",
        "classname",
        "category",
        "taxonname",
        "taxon",
        "target",
        "annotation",
        "verbatimidentification",
    ),
    SCIENTIFIC_NAME: ("scientificname", "acceptedscientificname", "speciesname", "binomial", "latinname"),
    EPITHET: ("specificepithet", "speciesepithet", "epithet"),
    "barcode": (
        "dnabarcode",
        "nucraw",
        "nuc",
        "nucleotides",
        "nucleotidesequence",
        "dnasequence",
        "barcodesequence",
        "coisequence",
        "coi5psequence",
        "coiseq",
        "coibarcode",
        "cox1sequence",
        "co1sequence",
        "barcode",
        "sequence",
        "dna",
    ),
    "text": ("text", "caption", "description"),
    IMAGE_URL: ("imageurl", "photourl", "pictureurl", "imgurl", "imagelink", "imageaddress"),
    "latitude": ("latitude", "decimallatitude", "lat", "coordlat", "objectlat", "gpslatitude"),
    "longitude": ("longitude", "decimallongitude", "lon", "long", "lng", "coordlon", "objectlon", "gpslongitude"),
    "date": ("date", "eventdate", "observedon", "collectiondate", "objectdate", "datecollected", "collectiondatestart"),
    "dna_bin": ("dnabin", "binuri"),
    "satellite_path": ("satellitepath", "satelliteimagepath", "satelliteimage", "satellitefile", "satpath", "satimage"),
    "audio_path": ("audiopath", "audiofile", "audiofilename", "soundpath", "soundfile", "soundfilename"),
    "crop": ("crop",),
    "split": ("split",),
}
OBSERVATIONS = {"imageurl", "observedonstring", "iconictaxonname", "qualitygrade"}
"""Columns of iNaturalist's export, whose description is what an observer noted, not a text about what is to be seen."""
LEAST_NAMED = 3
"""Columns like "family_name" are ranks if there are so many: one may be a person's, and "class_name" a label."""
MOST_SHOWN = 300
"""Characters of column names in an error message."""
# Columns of these names say all sorts of things; they are ranks only in a taxonomy or when asked for.
NOT_GUESSED = ("status", "domain", "variety", "form", "label")
GUESSED_RANKS = tuple(rank for rank in KNOWN_RANKS if rank not in NOT_GUESSED)


def plain(name: str) -> str:
    """A column name without case, spaces and punctuation: "Decimal_Latitude" -> "decimallatitude"."""
    return "".join(ch for ch in unicodedata.normalize("NFKC", name).lower() if ch.isalnum())


def is_records(names: Iterable[str]) -> bool:
    """Whether a table has records of occurrences by its columns, be there images or not: GBIF and Darwin Core have such ids."""
    return bool({plain(name) for name in names} & {"occurrenceid", "gbifid"})


def guess_columns(names: Iterable[str]) -> dict[str, str]:
    """Map the names of a source's columns to ours where the meaning is obvious.

    At most one column is chosen for each of ours. Rank columns are found by the name of their rank in any case.
    """
    by_plain: dict[str, str] = {}
    for name in names:
        by_plain.setdefault(plain(name), name)
    mapping: dict[str, str] = {}
    if by_plain.keys() & OBSERVATIONS:
        by_plain.pop("description", None)
    named = {rank: f"{rank}name" for rank in GUESSED_RANKS if f"{rank}name" in by_plain}  # as BOLD has them
    if len(named) < LEAST_NAMED:
        named = {}
    for ours, candidates in GUESSES.items():
        for candidate in candidates:
            theirs = by_plain.get(candidate)
            if ours == "label" and candidate == named.get("class"):
                continue
            if theirs is not None and theirs not in mapping:
                mapping[theirs] = ours
                break
    for rank in GUESSED_RANKS:
        theirs = by_plain.get(plain(rank)) or by_plain.get(f"taxon{rank}name")  # the second is iNaturalist's
        theirs = theirs or by_plain.get(named.get(rank, ""))
        if theirs is not None and theirs not in mapping:
            mapping[theirs] = rank
    return mapping


def shown(names: Iterable[str]) -> str:
    """Column names for an error message, on one line whatever they are and however many."""
    text = " ".join(", ".join(names).split())
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def check_header(names: Sequence[str], where: str) -> None:
    """Raise BiocosmosError when a column has no name or two have the same."""
    blank = [i + 1 for i, name in enumerate(names) if not name.strip()]
    if blank:
        hint = " (pandas writes one unless to_csv(index=False))" if blank == [1] else ""
        raise BiocosmosError(f"{where}: column {shown(map(str, blank))} has no name{hint}: give it one in the first row")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise BiocosmosError(f"{where}: the column {twice[0][:MOST_SHOWN]!r} occurs twice in the header: rename one of them")


def with_gbif_id(names: dict[str, str], path: Path, failures: Failures, *, declared: bool = False) -> dict[str, str]:
    """Their name -> ours, with gbifID as the id of a download of GBIF's: a record has it in every download.

    Within a dataset alone is occurrenceID unique. declared: the source itself says that gbifID is the id of its records.
    """
    by_plain = {plain(name): name for name in names}
    occurrence, gbif = by_plain.get("occurrenceid"), by_plain.get("gbifid")
    if gbif is None or not (declared or "datasetkey" in by_plain) or occurrence is None or names[occurrence] != "id":
        return names
    reason = f"{gbif} is the id, since {occurrence} may repeat from dataset to dataset"
    failures.add(reason, stage="read", source=path, severity="warning")
    return {**names, occurrence: occurrence, gbif: "id"}


def is_media_list(name: str) -> bool:
    """Whether a column of this name lists the media of a record: Darwin Core's associatedMedia, BOLD's image_urls."""
    return plain(name) in ("associatedmedia", "imageurls")


def place_column(names: Sequence[str]) -> str | None:
    """The column that has latitude and longitude in one cell, as BOLD's "coord", where neither has a column of its own."""
    if {"latitude", "longitude"} & set(names):
        return None
    known = {plain(name): name for name in reversed(names)}
    asked = ("latlon", "latlong", "latitudelongitude", *(("coord",) if {"processid", "binuri", "dnabin"} & set(known) else ()))
    return next((known[name] for name in asked if name in known), None)


def our_names(
    names: Sequence[str], columns: Mapping[str, str] | None, where: str, *, guessable: Container[str] | None = None
) -> list[str]:
    """Our name for each of a source's columns.

    columns: their name -> ours, as the user gave it; it overrides the guesses. guessable: the columns whose meaning may be
    guessed, all when None. A column that is neither keeps its name,
    with "_source" appended where that name is already taken by another meaning.
    Raises BiocosmosError for a mapped column that the source lacks and for two columns mapped to one.
    """
    columns = dict(columns or {})
    for theirs in columns:
        if theirs not in names:
            raise BiocosmosError(f"{where} has no column {theirs!r}; it has: {shown(names)}")
    for ours, count in Counter(columns.values()).items():
        if count > 1:
            raise BiocosmosError(f"{where}: {count} columns are mapped to {ours!r}: choose one")
    taken = set(columns.values())
    mapping = columns | {
        theirs: ours
        for theirs, ours in guess_columns(
            [name for name in names if name not in columns and (guessable is None or name in guessable)]
        ).items()
        if ours not in taken
    }
    result: list[str] = []
    used = set(mapping.values())
    for name in names:
        ours = mapping.get(name, name)
        if name not in mapping:
            while ours in used or ours in STANDARD:
                ours += SOURCE_SUFFIX
            used.add(ours)
        result.append(ours)
    return result
