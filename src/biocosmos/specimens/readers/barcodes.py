"""The barcodes of a source's rows: cleaned by the rules asked for, refused with a reason, and what many have told in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from biocosmos.barcodes.cleaning import NOTES, Cleaning, Note
from biocosmos.barcodes.rules import Rules
from biocosmos.barcodes.same import MOST_GROUPS, SameBarcodes
from biocosmos.errors import Failures

CONTENT = ("image_path", "image", "text", "image_url")
"""Columns for whose sake a row is kept without its barcode."""
KEPT = "kept without its barcode"
MOST_IDS = 5
"""Ids that a warning about many barcodes names."""
PERSONAL = frozenset(
    {
        *("collector", "collectors", "collectedby", "collectorname", "collectornames", "collectoremail", "legit"),
        *("recordedby", "recordedbyid", "identifier", "identifiers", "identifieremail", "identifiedby", "identifiedbyid"),
        *("identificationprovidedby", "determiner", "determinedby", "det", "determinator", "detby", "username", "userlogin"),
        *("leg", "legator", "email", "emailaddress", "contactemail", "contactperson", "phone", "telephone"),
        *("copyrightcontact", "copyrightcontacts", "submitter", "submittedby", "observer", "observers"),
    }
)
"""Columns that say who a person is or how to reach them, without case, blanks and punctuation. Holders of rights stay: licences
ask for their names."""

Fail = Callable[[str, int, bool], None]
"""(reason, row of the block, whether it is a warning)."""


class RowBarcodes:
    """The barcodes of one source, block by block.

    drop: leave out a row that has nothing else; otherwise its barcode is blank and the row stays, which ``kept`` says.
    """

    def __init__(self, rules: Rules, failures: Failures, *, drop: bool = True, kept: str = KEPT) -> None:
        self._cleaning, self._failures, self._drop, self._kept = Cleaning(rules), failures, drop, kept
        self._notes: dict[Note, list[str]] = {}
        self._counts = Counter[Note]()
        self._same = SameBarcodes()

    def clean(self, columns: dict[str, Any], fail: Fail) -> set[int]:
        """Put the cleaned barcodes in the place of the given ones, which are a list or an Arrow array; the rows to leave out."""
        given = _cells(columns["barcode"])
        there = [i for i, text in enumerate(given) if text is not None]
        barcodes: list[str | None] = [None] * len(given)
        out = set[int]()
        for i, cleaned in zip(there, self._cleaning.clean([given[i] for i in there])):
            barcodes[i] = cleaned.sequence
            if cleaned.refused is not None:
                alone = self._drop and not any(_filled(columns, name, i) for name in CONTENT)
                fail(cleaned.refused + ("" if alone else f": {self._kept}"), i, not alone)
                out |= {i} if alone else set()
                continue
            for note in cleaned.notes:
                self._counts[note] += 1
                ids = self._notes.setdefault(note, [])
                if len(ids) < MOST_IDS:
                    ids.append(str(columns["id"][i]))
        columns["barcode"] = barcodes
        return out

    def remember(self, columns: Mapping[str, Any], names: Sequence[str | None]) -> None:
        """Take in the names of a block's cleaned barcodes."""
        self._same.add(zip(columns["barcode"], names))

    def tell(self) -> None:
        """One warning for each thing that many barcodes share, and one for each barcode under several names."""
        for note, ids in self._notes.items():
            count = self._counts[note]
            more = " ..." if count > len(ids) else ""
            self._warn(f"{count:,} {'barcode' if count == 1 else 'barcodes'} {NOTES[note]} ({', '.join(ids)}{more})")
        groups = self._same.groups()
        for group in groups[:MOST_GROUPS]:
            self._warn(group.told())
        if len(groups) > MOST_GROUPS:
            self._warn(f"{len(groups) - MOST_GROUPS:,} more barcodes stand under several names each")
        self._notes, self._counts, self._same = {}, Counter(), SameBarcodes()

    def _warn(self, reason: str) -> None:
        self._failures.add(reason, stage="read", severity="warning")


def _cells(values: Any) -> list[str | None]:
    cells = values if isinstance(values, list) else values.to_pylist()
    return [None if cell is None or not str(cell).strip() else str(cell) for cell in cells]


def _filled(columns: Mapping[str, Any], name: str, i: int) -> bool:
    value = columns[name][i] if name in columns else None
    value = value.as_py() if isinstance(value, pa.Scalar) else value
    return value is not None and (not isinstance(value, str) or bool(value.strip()))


__all__ = ["PERSONAL", "RowBarcodes"]
