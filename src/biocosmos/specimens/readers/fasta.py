"""FASTA and FASTQ of DNA barcodes: streamed, packed or not, with or without a table about the sequences."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO

import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.readers.archive import file_or_member
from biocosmos.specimens.readers.blocks import Block, Shaper
from biocosmos.specimens.readers.columns import SCIENTIFIC_NAME, our_names, shown
from biocosmos.specimens.readers.encoding import has_surrogate
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.packed import sequences_among
from biocosmos.specimens.readers.sequence_headers import PLAIN, SEEN, Form, form_of, form_of_pattern, lineage_ranks
from biocosmos.specimens.readers.sequence_table import SequenceTable
from biocosmos.specimens.readers.sequence_text import Record, fasta_records, fastq_records, first_sign
from biocosmos.specimens.readers.textfile import open_text
from biocosmos.specimens.records import BATCH_ROWS, STANDARD, Source

SIZE = re.compile(r";size=(\d+)")
"""How often a sequence was seen, as programs for metabarcoding write it."""
NAMELESS = f"fasta, {PLAIN.name}"
"""The format of a source whose first lines hold an id and words, of which no names are made."""


def read(path: Path, options: Options) -> Source:
    """A FASTA or FASTQ file, packed or not, or the one such file of a zip. The first records say how first lines are read."""
    form, headers, encoding = _form(path, options)
    names = _our_names(form, options, path)
    table = None if options.metadata is None else SequenceTable(options.metadata, options, taken=())
    kinds = {ours: STANDARD.get(ours, pa.string()) for ours in names.values()}
    if table is not None:
        kinds |= {name: kind for name, kind in table.kinds.items() if name not in ("id", "barcode")}
    if any(SIZE.search(header) for header in headers):
        kinds["size"] = pa.int64()
    kinds["barcode"] = pa.string()
    if "species" in kinds:
        kinds.setdefault("genus", pa.string())  # which a binomial says
    shaper = Shaper(
        kinds,
        options.failures,
        ranks=options.ranks,
        taxonomy=options.taxonomy,
        warn_unlabelled=bool({"label", SCIENTIFIC_NAME} & set(kinds)),
        **options.shaping(),
    )
    reader = _Reader(path, options, form, names, table, "size" in kinds, encoding)
    return Source(path.name, f"fasta, {form.name}", shaper.batches(reader.blocks()), shaper.rank_columns, options.failures)


def _form(path: Path, options: Options) -> tuple[Form, list[str], str]:
    """How first lines are read, the first of them, and the encoding. Raises BiocosmosError for a file without any sequence."""
    with _stream(path, options) as stream:
        encoding, records = stream.encoding, _of_stream(stream)
        first = [record for record in islice(records, SEEN) if record.problem is None]
    if not first:
        raise BiocosmosError(f"{path} has no sequence that can be read: FASTA begins with '>', FASTQ with '@'")
    headers = [record.header for record in first]
    if options.pattern is not None:
        return form_of_pattern(options.pattern), headers, encoding
    form = form_of(headers)
    if "description" in form.columns and (reason := lineage_ranks(headers)) is not None:
        options.failures.add(reason, stage="read", source=path, severity="warning")
    there = {name for header in headers for name in form.read(header) or ()}
    return Form(form.name, tuple(name for name in form.columns if name in there or name == "id"), form.read), headers, encoding


def _our_names(form: Form, options: Options, path: Path) -> dict[str, str]:
    """Name of a field of the first line -> our name. What ``--column`` names is of the table where there is one."""
    theirs = list(form.columns)
    mapped = {name: ours for name, ours in options.columns.items() if name in theirs}
    unknown = [name for name in options.columns if name not in theirs]
    if unknown and options.metadata is None:
        raise BiocosmosError(f"{path} has no {unknown[0]!r} in its first lines; it has: {shown(theirs)}")
    if "id" not in mapped.values():
        mapped = {"id": "id", **{name: ours for name, ours in mapped.items() if name != "id"}}
    keep = {name: name for name in theirs if name not in mapped and (name in STANDARD or name == "description")}
    return dict(zip(theirs, our_names(theirs, {**keep, **mapped}, str(path))))


@contextmanager
def _stream(path: Path, options: Options) -> Iterator[io.TextIOWrapper]:
    """The text of a file, or of the one file of sequences in a zip."""
    with (
        file_or_member(path, sequences_among, "file of sequences (.fasta, .fa, .fastq ...)", options.max_image_bytes) as file,
        open_text(file, options.encoding, options.failures) as stream,
    ):
        yield stream


def _of_stream(stream: IO[str]) -> Iterator[Record]:
    return fastq_records(stream) if first_sign(stream) == "@" else fasta_records(stream)


class _Reader:
    """The records of one file as blocks, joined with a table where there is one."""

    def __init__(
        self,
        path: Path,
        options: Options,
        form: Form,
        names: Mapping[str, str],
        table: SequenceTable | None,
        sizes: bool,
        encoding: str,
    ) -> None:
        self.path, self.options, self.form, self.names, self.table, self.sizes = path, options, form, names, table, sizes
        self._encoding = encoding
        self._other_marker = self._other_form = 0

    def blocks(self) -> Iterator[Block]:
        """Blocks of at most BATCH_ROWS records; what can be told only of all comes at the end."""
        if self.table is not None:
            self.table.load(self.options)
        try:
            with _stream(self.path, replace(self.options, encoding=self._encoding)) as stream:
                rows = self._rows(_of_stream(stream))
                while held := list(islice(rows, BATCH_ROWS)):
                    yield self._block(held)
            self._tell()
            if self.table is not None:
                self.table.tell(self.options.failures, self.path)
        finally:
            if self.table is not None:
                self.table.close()

    def _rows(self, records: Iterator[Record]) -> Iterator[tuple[int, dict[str, object]]]:
        """(number of the record, values by our name); a record that cannot be read is a failure."""
        for record in records:
            fields = self._fields(record)
            if fields is None:
                continue
            values: dict[str, object] = {self.names[name]: text for name, text in fields.items() if name in self.names}
            values["barcode"] = record.letters
            if self.sizes and (size := SIZE.search(record.header)) is not None:
                values["size"] = int(size[1][:18])
            if self.table is not None:
                values |= self.table.of(str(values.get("id") or ""), record.number)
            yield record.number, values

    def _fields(self, record: Record) -> dict[str, str] | None:
        """What the first line says, or None where the record is left out."""
        if record.problem is not None:
            return self._refuse(record, record.problem)
        if not record.header.isascii() and has_surrogate(record.header):
            return self._refuse(record, "its first line is no text in this encoding: say --encoding")
        fields = self.form.read(record.header)
        if fields is None and self.options.pattern is not None:
            return self._refuse(record, f"the first line {record.header[:80]!r} does not match --pattern")
        if fields is None:
            self._other_form += 1
            fields = {"id": record.header.split(None, 1)[0] if record.header else ""}
        if not fields.get("id"):
            return self._refuse(record, "no id: the first line begins with none")
        marker = self.options.marker
        if marker is not None and fields.get("marker", "").lower() != marker.lower():
            if "marker" not in self.names:
                raise BiocosmosError(f"{self.path} says no marker in its first lines, which --marker needs: leave it out")
            self._other_marker += 1
            return None
        if not record.letters or record.letters.isspace():
            return self._refuse(record, "the sequence is empty", fields["id"])
        return fields

    def _refuse(self, record: Record, reason: str, id: str | None = None) -> dict[str, str] | None:
        first = record.header.split(None, 1)[0][:200] if record.header.strip() else None
        self.options.failures.add(reason, stage="read", source=self.path, row=record.number, id=id or first)
        return None

    def _block(self, held: Sequence[tuple[int, dict[str, object]]]) -> Block:
        names = dict.fromkeys(name for _, values in held for name in values)
        columns = {name: [values.get(name) for _, values in held] for name in names}
        return Block(columns, [number for number, _ in held], str(self.path))

    def _tell(self) -> None:
        if self._other_marker:
            reason = f"of other markers than {self.options.marker}, {self._other_marker:,} left out"
            self.options.failures.add(reason, stage="read", source=self.path, severity="warning")
        if self._other_form:
            reason = f"{self._other_form:,} first lines are not of the form {self.form.name} the others have: read for the id"
            self.options.failures.add(reason, stage="read", source=self.path, severity="warning")


__all__ = ["read"]
