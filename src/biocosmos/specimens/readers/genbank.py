"""GenBank flat files (Biopython): the barcode gene of each record, its organism, and what its source feature says.

A record is a gene, a genome of a mitochondrion with the gene in it, or both names of it at once: the gene is found by its
qualifiers, cut out on its own strand, and each copy is a specimen.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.specimens.dates import MONTHS
from biocosmos.specimens.readers.archive import file_or_member
from biocosmos.specimens.readers.blocks import Block, Shaper, gather
from biocosmos.specimens.readers.columns import SCIENTIFIC_NAME
from biocosmos.specimens.readers.family_names import ranks_of_lineage
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.packed import genbank_among
from biocosmos.specimens.readers.textfile import open_text
from biocosmos.specimens.records import PLACED, STANDARD, Source

if TYPE_CHECKING:
    from Bio.SeqFeature import SeqFeature
    from Bio.SeqRecord import SeqRecord

COI = "COI"
GENES: dict[str, re.Pattern[str]] = {
    COI: re.compile(r"(?i)(mt-?)?co(x|i|1|x1|xi|-?i)(-5p)?|cytochrome (c )?oxid(ase|e) (subunit|polypeptide|sub-unit) (1|i)"),
    "ITS": re.compile(r"(?i)its[ -]?[12]?|internal transcribed spacer( region)?( [12])?"),
}
"""Markers whose names in GenBank are many; any other is found by its own name, and as the beginning of a product's."""
KINDS = ("CDS", "gene", "rRNA", "tRNA", "misc_RNA", "misc_feature", "mRNA")
"""Features that hold a marker, the best first."""
SPELT = ("gene", "product", "gene_synonym", "standard_name", "note")
COLUMNS = (
    *("id", "label", "barcode", "latitude", "longitude", "date", SCIENTIFIC_NAME, "lineage", "description", "marker"),
    *("accession", "country", "isolate", "specimen_voucher", "bio_material", "host", "isolation_source", "lat_lon"),
    *("collected_by", "identified_by", "taxid", "bold", "organelle", "altitude"),
)
RANKS = ("superfamily", "family", "subfamily", "tribe", "order", "genus", "species")
LAT_LON = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([NS])[\s,]+(\d+(?:\.\d+)?)\s*([EW])\s*", re.IGNORECASE)
DATE = re.compile(r"(?:(?P<day>\d{1,2})-)?(?P<month>[A-Za-z]{3})-(?P<year>\d{4})")
MOST_LETTERS = 64 << 20
"""Characters of one record that are read: a chromosome of a nucleus is no barcode."""


def read(path: Path, options: Options) -> Source:
    """A flat file, packed or not, or the one such file of a zip. Raises BiocosmosError where Biopython is missing."""
    needs_biopython()
    marker = COI if options.marker is None else options.marker
    kinds = {name: {**STANDARD, **PLACED}.get(name, pa.string()) for name in (*COLUMNS, *RANKS) if name != "label"}
    shaper = Shaper(kinds, options.failures, ranks=options.ranks, taxonomy=options.taxonomy, **options.shaping())

    def blocks() -> Iterator[Block]:
        yield from gather(_rows(path, options, marker), list(kinds), str(path))

    return Source(path.name, "genbank", shaper.batches(blocks()), shaper.rank_columns, options.failures)


def needs_biopython() -> None:
    """Raise BiocosmosError where Biopython is not installed."""
    try:
        import Bio.SeqIO  # noqa: F401
    except ImportError:
        raise BiocosmosError("GenBank files are read with Biopython: pip install 'biocosmos[dna]'") from None


def records(stream: IO[str]) -> Iterator[str]:
    """The text of each record, up to its line "//"; one that is much too long is cut off."""
    lines: list[str] = []
    size = 0
    for line in stream:
        line = line.replace("\r\n", "\n").replace("\r", "\n")
        if line.startswith("//"):
            yield "".join([*lines, "//\n"])
            lines, size = [], 0
            continue
        if lines or line.startswith("LOCUS"):  # what stands before is the head of a release
            size += len(line)
            if size <= MOST_LETTERS:
                lines.append(line)
    if lines:
        yield "".join(lines)


def _rows(path: Path, options: Options, marker: str) -> Iterator[tuple[int, str | None, dict[str, Any]]]:
    from Bio import SeqIO

    with (
        file_or_member(path, genbank_among, "GenBank file (.gb, .gbk ...)", options.max_image_bytes) as file,
        open_text(file, options.encoding, options.failures) as stream,
    ):
        stream.reconfigure(newline=None)
        number = 0
        for number, text in enumerate(records(stream), 1):
            try:
                if not text.endswith("//\n"):
                    raise ValueError("it is cut off: it has no end '//'")
                with warnings.catch_warnings(record=True) as odd:  # a parser that doubts says so on the screen
                    warnings.simplefilter("always")
                    record = SeqIO.read(io.StringIO(text), "genbank")
                for each in odd[:1]:
                    reason = f"the record is odd: {first_line(each.message)}"  # type: ignore[arg-type]
                    options.failures.add(reason, stage="read", source=path, row=number, id=record.id, severity="warning")
                found = list(_specimens(record, marker))
            except Exception as error:  # a damaged record makes the parser raise anything
                name = text[:80].split()
                _refuse(
                    options, path, number, f"a record that cannot be read: {first_line(error)}", name[1] if name[1:] else None
                )
                continue
            if not found:
                reason = f"the record has no {marker} (by gene and product): left out; --marker names another"
                _refuse(options, path, number, reason, record.id)
            for values in found:
                yield number, None, values
        if not number:
            raise BiocosmosError(f"{path} has no record: a GenBank flat file has lines that begin with LOCUS")


def _refuse(options: Options, path: Path, number: int, reason: str, id: str | None) -> None:
    options.failures.add(reason, stage="read", source=path, row=number, id=id)


def _specimens(record: SeqRecord, marker: str) -> Iterator[dict[str, Any]]:
    """The copies of the gene in a record; a second one is called id#2."""
    sequence = str(record.seq)  # raises where the record has none
    about = _about(record)
    copies = list(dict.fromkeys(_copies(record, sequence, marker)))
    for copy, letters in enumerate(copies, 1):
        yield about | {"id": record.id if copy == 1 else f"{record.id}#{copy}", "barcode": letters, "marker": marker}


def _copies(record: SeqRecord, sequence: str, marker: str) -> Iterator[str]:
    """The letters of the gene, wherever features of the best kind that names it stand; the whole where the title alone does."""
    pattern = GENES.get(marker.upper()) or re.compile(rf"(?i){re.escape(marker)}(\b.*)?")
    for kind in KINDS:
        found = [feature for feature in record.features if feature.type == kind and _is(feature, pattern)]
        if found:
            yield from (str(feature.extract(record.seq)) for feature in found)
            return
    alone = not any(feature.type in KINDS for feature in record.features)
    if alone and re.search(rf"\b(?:{pattern.pattern.removeprefix('(?i)')})\b", record.description, re.IGNORECASE):
        yield sequence


def _is(feature: SeqFeature, pattern: re.Pattern[str]) -> bool:
    return any(pattern.fullmatch(text.strip()) for name in SPELT for text in feature.qualifiers.get(name, ()))


def _about(record: SeqRecord) -> dict[str, Any]:
    """What a record says of its specimen."""
    source: dict[str, list[str]] = next((feature.qualifiers for feature in record.features if feature.type == "source"), {})
    first = {name: values[0] for name, values in source.items() if values}
    organism = str(record.annotations.get("organism") or first.get("organism") or "")
    lineage = [str(name) for name in record.annotations.get("taxonomy", ())]
    links = dict(link.split(":", 1) for link in source.get("db_xref", ()) if ":" in link)
    values: dict[str, Any] = {
        SCIENTIFIC_NAME: organism,
        "lineage": ";".join(lineage) or None,
        "description": record.description,
        "accession": record.id,
        "country": first.get("geo_loc_name") or first.get("country"),
        "date": _date(first.get("collection_date")),
        "taxid": links.get("taxon"),
        "bold": links.get("BOLD"),
    }
    plain = ("isolate", "specimen_voucher", "bio_material", "host", "isolation_source", "lat_lon", "organelle", "altitude")
    values |= {name: first.get(name) for name in (*plain, "collected_by", "identified_by")}
    place = LAT_LON.fullmatch(first.get("lat_lon", ""))
    if place is not None:
        values["latitude"] = float(place[1]) * (-1 if place[2] in "Ss" else 1)
        values["longitude"] = float(place[3]) * (-1 if place[4] in "Ww" else 1)
    return values | ranks_of_lineage([name for name in lineage if name != organism.split(None, 1)[0]] if organism else lineage)


def _date(text: str | None) -> str | None:
    """GenBank's "12-Jul-2010" and "Jul-2010" as ISO 8601; what is another stays as it is.

    >>> _date("12-Jul-2010"), _date("Jul-2010"), _date("2010-07")
    ('2010-07-12', '2010-07', '2010-07')
    """
    if text is not None and text.count("/") == 1:  # an interval
        return "/".join(_date(part) or "" for part in text.split("/"))
    found = None if text is None else DATE.fullmatch(text.strip())
    if found is None:
        return text
    month = next((i for i, name in enumerate(MONTHS, 1) if name.startswith(found["month"].lower())), None)
    if month is None:
        return text
    day = f"-{int(found['day']):02d}" if found["day"] else ""
    return f"{found['year']}-{month:02d}{day}"


__all__ = ["needs_biopython", "read", "records"]
