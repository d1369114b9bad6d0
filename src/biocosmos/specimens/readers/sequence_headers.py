"""What the first line of a sequence says: the id, names at ranks, and the rest, in the forms that databases of barcodes write.

The form is told from the first records of a file and must be that of all of them; a pattern of the user's goes before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.readers.columns import SCIENTIFIC_NAME, shown
from biocosmos.specimens.readers.names import clean_taxon

Fields = dict[str, str]
LETTERS = {
    "d": "domain",
    "k": "kingdom",
    "p": "phylum",
    "c": "class",
    "o": "order",
    "f": "family",
    "g": "genus",
    "s": "species",
    "t": "strain",
}
"""Ranks as SINTAX (p:) and QIIME, UNITE and PR2 (p__) shorten them."""
MIDORI_RANKS = ("root", "domain", "phylum", "class", "order", "family", "genus", "species")
SEEN = 200
"""Records by which the form of a file is told."""
MARKER = re.compile(r"(?i)(COI|COX|CO1|CYTB|ITS|MATK|RBCL|TRN|\d\dS|28S|ATP|ND\d|H3|EF1|WNT|PSB|TUFA|UPA|AATS|CAD|COII)[-\w./]*")
TAXID = re.compile(r"_\d+$")
UNKNOWN = re.compile(r"(?i)(.* )?(unidentified|incertae sedis|uncultured|unassigned|unclassified|not classified)( .*)?")
_SINTAX = re.compile(r"(?:^|;)\s*tax=([^;]*)")
_PREFIXED = re.compile(r"(?:^|[;,|\s])\s*([dkpcofgst])__([^;|]*)")


@dataclass(frozen=True)
class Form:
    """One way to write a first line: its name, the columns it gives, and what reads it (None where the line is of another)."""

    name: str
    columns: tuple[str, ...]
    read: Callable[[str], Fields | None]


def taxon(name: str) -> str | None:
    """A name at a rank with blanks for underscores, None for the ways in which databases write "unknown".

    >>> taxon("Culex_pipiens"), taxon("Fam_Incertae_sedis"), taxon("unidentified")
    ('Culex pipiens', None, None)
    """
    text = clean_taxon(name.replace("_", " "))
    return None if text is None or UNKNOWN.fullmatch(text) else text


def _lineage(parts: Sequence[tuple[str, str]]) -> Fields:
    """(letter of a rank, name) pairs as columns."""
    found = ((LETTERS[letter], taxon(name)) for letter, name in parts if letter in LETTERS)
    return {rank: name for rank, name in found if name is not None}


def _sintax(header: str) -> Fields | None:
    """``id;tax=d:Animalia,p:Arthropoda,...;size=3;``: ids and names have no blanks there."""
    found = _SINTAX.search(header)
    if found is None:
        return None
    pairs = [part.split(":", 1) for part in found[1].split(",") if ":" in part]
    return {"id": header.split(";", 1)[0].strip(), **_lineage([(letter.strip(), name) for letter, name in pairs])}


def _unite(header: str) -> Fields | None:
    """``Name|accession|SH1234.10FU|refs|k__Fungi;p__...``: a species hypothesis has several accessions, each an id."""
    parts = header.split("|")
    if len(parts) < 5 or "__" not in parts[4]:
        return None
    fields = {"id": parts[1], "label": parts[0].replace("_", " "), "species_hypothesis": parts[2], "reference": parts[3]}
    return fields | _lineage(_PREFIXED.findall(parts[4]))


def _prefixed(header: str) -> Fields | None:
    """``id k__Animalia;p__Arthropoda;...``: QIIME and its like, after a blank, a tab or a semicolon."""
    pairs = _PREFIXED.findall(header)
    if len(pairs) < 2:
        return None
    id_ = re.split(r"[\s;|]", header, maxsplit=1)[0]
    return {"id": "" if "__" in id_ else id_, **_lineage(pairs)}


def _midori(header: str) -> Fields | None:
    """``AB1.1.<1.>650###root_1;Eukaryota_2759;Arthropoda_6656;...;species_7160``: every name with NCBI's number."""
    id_, sign, lineage = header.partition("###")
    if not sign:
        id_, sign, lineage = header.partition("\t")
    names = lineage.split(";")
    if not sign or len(names) < len(MIDORI_RANKS) or not names[0].lower().startswith("root"):
        return None
    fields = {"id": id_.strip()}
    for rank, name in zip(MIDORI_RANKS[1:], names[1:]):
        bare = TAXID.sub("", name.strip())
        filled = bare.split("_", 1)[0].lower() in ("phylum", "class", "order", "family", "genus", "species") and "_" in bare
        found = None if filled else taxon(bare)  # "order_Insecta" repeats the rank above where there is none
        if found is not None:
            fields[rank] = found
    return fields


def _rdp(header: str) -> Fields | None:
    """``id  Lineage=Root;rootrank;Bacteria;domain;...``: names and ranks in turn."""
    before, sign, lineage = header.partition("Lineage=")
    parts = [part.strip() for part in lineage.split(";")]
    if not sign or len(parts) < 4:
        return None
    ranks = {rank.lower(): taxon(name) for name, rank in zip(parts[::2], parts[1::2])}
    fields = {"id": before.split(None, 1)[0] if before.strip() else ""}
    return fields | {rank: name for rank, name in ranks.items() if name is not None and rank in LETTERS.values()}


def _bold(header: str) -> Fields | None:
    """``processid|identification|marker|accession``, as BOLD and its packages write; the marker tells it from others."""
    id_, *parts = [part.strip() for part in header.split("|")]
    at = next((i for i, part in enumerate(parts) if MARKER.fullmatch(part)), None)
    if at is None or len(parts) < 2 or not id_ or " " in id_:
        return None
    named: Fields = {"id": id_, "marker": parts[at]}
    for i, part in enumerate(parts):
        if i != at and clean_taxon(part) is not None:
            known = "dna_bin" if part.startswith("BOLD:") else SCIENTIFIC_NAME if i < at else "accession"
            named.setdefault(known, part)
    return named


def _plain(header: str) -> Fields | None:
    """``id description``; SINTAX-like marks of abundance (;size=3;) are no part of the id."""
    id_, _, rest = header.partition(" ") if "\t" not in header else header.partition("\t")
    id_ = id_.strip()
    id_ = re.sub(r";size=\d+;?$", "", id_)
    return {"id": id_, "description": rest.strip()} if rest.strip() else {"id": id_}


_RANKS = tuple(LETTERS.values())
PLAIN = Form("id and description", ("id", "description"), _plain)
FORMS = (
    Form("SINTAX", ("id", *_RANKS), _sintax),
    Form("UNITE", ("id", "label", "species_hypothesis", "reference", *_RANKS), _unite),
    Form("MIDORI", ("id", *MIDORI_RANKS[1:]), _midori),
    Form("RDP", ("id", *_RANKS), _rdp),
    Form("ranks", ("id", *_RANKS), _prefixed),
    Form("BOLD", ("id", SCIENTIFIC_NAME, "marker", "accession", "dna_bin"), _bold),
)


def form_of(headers: Sequence[str]) -> Form:
    """The form that all of the first records have, plain "id description" where there is none."""
    filled = [header for header in headers if header]
    return next((form for form in FORMS if filled and all(form.read(header) is not None for header in filled)), PLAIN)


def form_of_pattern(pattern: str) -> Form:
    """The form of a user's pattern: a regular expression whose named groups are columns.

    Raises BiocosmosError for a pattern that is none, and for one without a group.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise BiocosmosError(f"--pattern {pattern!r} is no regular expression: {error}") from error
    names = tuple(compiled.groupindex)
    if not names:
        raise BiocosmosError(f"--pattern {pattern!r} has no named group: name what it finds, as in (?P<id>\\S+)")

    def read(header: str) -> Fields | None:
        found = compiled.search(header)
        if found is None:
            return None
        fields = {name: text.strip() for name, text in found.groupdict().items() if text is not None and text.strip()}
        return fields if "id" in names else {"id": header.split(None, 1)[0] if header else ""} | fields

    return Form("--pattern", names if "id" in names else ("id", *names), read)


def lineage_ranks(headers: Sequence[str]) -> str | None:
    """What to say of first lines that hold lineages whose ranks nothing tells: "Root;Animalia;Arthropoda;..." else None."""
    deep = [header for header in headers if header.count(";") >= 4]
    if len(deep) * 2 <= len(headers):
        return None
    return (
        f"the first lines hold names without ranks ({shown([deep[0]])[:120]}): kept as the description; --pattern with a named "
        "group for each rank reads them"
    )


__all__ = ["FORMS", "PLAIN", "SEEN", "Fields", "Form", "form_of", "form_of_pattern", "lineage_ranks"]
