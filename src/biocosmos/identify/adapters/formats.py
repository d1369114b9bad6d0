"""Lines of blast6, uc and sintax files. Each line is parsed alone: one that is none of its format is a failure with its number.

blast6: 12 columns, ``-outfmt 6`` of BLAST+, ``--blast6out`` of vsearch and usearch (target "*" where there is no hit); comment
lines of ``-outfmt 7`` may stand between them, and tell queries without a hit.
uc: 10 columns, ``--uc`` of vsearch and usearch; records H (hit) and N (no hit) are read, of clusters (S, C) nothing can be named.
sintax: ``--tabbedout`` of vsearch: query, ranks with their bootstrap support, strand and, with a cutoff, the ranks above it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.readers.encoding import has_surrogate
from biocosmos.specimens.readers.textfile import open_text

BLAST6, UC, SINTAX = "blast6", "uc", "sintax"
STAGE = "identify"
SNIFFED = 50
"""Lines by which the format of a file is told."""
LONGEST = 1 << 20
"""Characters of a line; no line of these formats comes near, and a file without a line end must not fill the memory."""
NO_HIT = "*"
_HITLESS = re.compile(r"# 0 hits found")
_SUPPORT = re.compile(r"([a-z]):(.*)\((\d+(?:\.\d+)?)\)", re.DOTALL)


class Hit(NamedTuple):
    """One hit of a query; target None: the tool says that there is none.

    identity: 0 to 1, as the tool reports it; length: columns of the alignment; bits: bit score, 0 where there is none; strand.
    """

    query: str
    target: str | None
    identity: float = 0.0
    length: int = 0
    bits: float = 0.0
    strand: str = "+"


class Support(NamedTuple):
    """What SINTAX says of a query: (letter of the rank, name, bootstrap support 0 to 1), coarsest first; empty for nothing."""

    query: str
    ranks: tuple[tuple[str, str, float], ...]
    strand: str = "+"


Parsed = Hit | Support


class NotThisFormat(ValueError):
    """Why a line is none of a format, in a few words."""


def blast6(line: str) -> Hit:
    """One line of 12 columns: query, target, identity in percent, length, mismatches, gap openings, start and end in the query
    and in the target, e-value, bits. Raises NotThisFormat."""
    cells = line.split("\t")
    if len(cells) != 12:
        raise NotThisFormat(f"{len(cells)} columns where blast6 has 12")
    if cells[1] == NO_HIT:
        return Hit(_id(cells[0]), None)
    try:
        identity, length, start, end = float(cells[2]), int(cells[3]), int(cells[8]), int(cells[9])
        bits = float(cells[11])
    except ValueError as error:
        raise NotThisFormat(f"no number where blast6 has one: {error}") from None
    if not math.isfinite(bits):
        raise NotThisFormat(f"no number where blast6 has its bits: {cells[11][:20]!r}")
    return Hit(_id(cells[0]), _id(cells[1], "target"), _share(identity), length, max(bits, 0.0), "-" if end < start else "+")


def uc(line: str) -> Hit | None:
    """One line of 10 columns: type, cluster, length, identity in percent, strand, two unused, alignment, query, target. None for
    records that are no hit of a search. Raises NotThisFormat."""
    cells = line.split("\t")
    if len(cells) != 10:
        raise NotThisFormat(f"{len(cells)} columns where uc has 10")
    if cells[0] not in "SHNCXDLR" or len(cells[0]) != 1:
        raise NotThisFormat(f"a record of type {cells[0][:20]!r}, which uc does not have")
    if cells[0] == "N":
        return Hit(_id(cells[8]), None)
    if cells[0] != "H":
        return None
    try:
        return Hit(_id(cells[8]), _id(cells[9], "target"), _share(float(cells[3])), int(cells[2]), 0.0, cells[4])
    except ValueError as error:
        raise error if isinstance(error, NotThisFormat) else NotThisFormat(f"no number where uc has one: {error}") from None


def sintax(line: str) -> Support:
    """One line: query, ``d:Name(1.00),p:Name(0.98)``, strand, and the ranks above the cutoff, which are not read: whoever asks
    says how sure is sure. A name may hold a comma or a bracket. Raises NotThisFormat."""
    cells = line.split("\t")
    if not 3 <= len(cells) <= 4:
        raise NotThisFormat(f"{len(cells)} columns where sintax has 3 or 4")
    ranks: list[tuple[str, str, float]] = []
    for part in re.split(r",(?=[a-z]:)", cells[1]) if cells[1] else ():
        found = _SUPPORT.fullmatch(part)
        if found is None:
            raise NotThisFormat(f"no rank with its support: {part[:60]!r}")
        support = float(found[3])
        if support > 1:
            raise NotThisFormat(f"a support of {support:g}, and 1 is the most")
        ranks.append((found[1], found[2], support))
    return Support(_id(cells[0]), tuple(ranks), cells[2] or "+")


PARSERS: dict[str, Callable[[str], Parsed | None]] = {BLAST6: blast6, UC: uc, SINTAX: sintax}


def _why_not(parse: Callable[[str], Parsed | None], line: str) -> str:
    try:
        parse(line)
    except NotThisFormat as error:
        return str(error)
    return ""


@dataclass(frozen=True)
class ToolFile:
    """A file that another tool wrote, packed or not.

    format: one of :data:`PARSERS`.
    """

    path: Path
    format: str

    @classmethod
    def of(cls, path: Path) -> ToolFile:
        """Tell the format by the first lines. Raises BiocosmosError for a file that cannot be read, or is none of the three."""
        failures = Failures()
        with open_text(path, None, failures) as stream:
            lines = [line for _, line in islice(_lines(stream), SNIFFED) if not line.startswith("#")]
        fits = {name: sum(_is(parse, line) for line in lines) for name, parse in PARSERS.items()}
        best = max(fits, key=lambda name: fits[name])
        if not lines:
            raise BiocosmosError(f"{path} has no line to read names from: give a blast6, uc or sintax file")
        if not fits[best]:
            first = lines[0]
            count = first.count("\t") + 1
            meant = {12: BLAST6, 10: UC, 3: SINTAX, 4: SINTAX}.get(count)
            why = "" if meant is None else f" ({_why_not(PARSERS[meant], first)})"
            raise BiocosmosError(
                f"{path} is no blast6 (12 columns), uc (10) or sintax (3 or 4) file: its first line has {count} columns, "
                f"{first[:40]!r}{why}; make one with blastn -outfmt 6, or vsearch --blast6out, --uc or --tabbedout"
            )
        return cls(path, best)

    def parsed(self, failures: Failures) -> Iterator[tuple[int, Parsed]]:
        """(line number from 1, what it says), streamed; lines that cannot be are rows of ``failures``."""
        parse, query = PARSERS[self.format], ""
        with open_text(self.path, None, failures) as stream:
            for number, line in _lines(stream):
                if line.startswith("#") and self.format == BLAST6:
                    if line.startswith("# Query: "):
                        query = line[9:]
                    elif _HITLESS.match(line) and query:
                        yield number, Hit(_id(query), None)
                    continue
                try:
                    if has_surrogate(line):
                        raise NotThisFormat("not valid text in the file's encoding")
                    if len(line) > LONGEST:
                        raise NotThisFormat(f"a line of more than {LONGEST:,} characters")
                    found = parse(line)
                except NotThisFormat as error:
                    failures.add(str(error), stage=STAGE, source=self.path, row=number)
                    continue
                if found is not None:
                    yield number, found


def _lines(stream: IO[str]) -> Iterator[tuple[int, str]]:
    """(number from 1, line) of a stream, without line ends and empty lines; what is past LONGEST of a line is left out."""
    number = 0
    while line := stream.readline(LONGEST + 2):
        number += 1
        whole = line.endswith(("\n", "\r"))
        while not whole and (rest := stream.readline(LONGEST)):
            whole = rest.endswith("\n")
        line = line.rstrip("\r\n")
        if line.strip():
            yield number, line


def _is(parse: Callable[[str], Parsed | None], line: str) -> bool:
    try:
        parse(line)
    except NotThisFormat:
        return False
    return True


def _id(cell: str, what: str = "query") -> str:
    """The id in a cell: up to the first space, as BLAST and vsearch (but for sintax, which keeps the description) write it; of a
    query without annotations like ``;size=3;``."""
    words = cell.split(None, 1)
    if not words:
        raise NotThisFormat(f"no {what} id")
    return words[0] if what == "target" else words[0].split(";", 1)[0] or words[0]


def _share(percent: float) -> float:
    """Raises NotThisFormat for what is no percentage."""
    if not 0 <= percent <= 100:
        raise NotThisFormat(f"an identity of {percent:g} %")
    return percent / 100


__all__ = ["BLAST6", "PARSERS", "SINTAX", "UC", "Hit", "NotThisFormat", "Parsed", "Support", "ToolFile", "blast6", "sintax", "uc"]
