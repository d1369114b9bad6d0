"""A table about the sequences of a file, found again by id: BOLD's tables beside its FASTA, a museum's list beside its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.readers.columns import check_header, our_names, place_column, shown
from biocosmos.specimens.readers.delimited import places, table_at
from biocosmos.specimens.readers.lookup import Lookup
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.textfile import open_table
from biocosmos.specimens.readers.typing_of_text import TypeFinder, typed
from biocosmos.specimens.records import STANDARD

MOST_SHOWN = 5
"""Ids that a warning names."""


class SequenceTable:
    """Rows of a table by the id of their sequence.

    kinds: our names -> Arrow type of the columns that it gives. A barcode that it has itself is left out: the file's is taken.
    """

    def __init__(self, path: Path, options: Options, taken: Sequence[str]) -> None:
        self.path = path
        with table_at(path, options, Failures()) as (file, _), _open(file, options, Failures()) as table:
            check_header(table.header, str(path))
            columns = {theirs: ours for theirs, ours in options.columns.items() if theirs in table.header}
            self.names = our_names(table.header, columns, str(path))
            if "id" not in self.names:
                raise BiocosmosError(
                    f"{path} has no column of the sequences' ids: say --column id=NAME; its columns: {shown(table.header)}"
                )
            finder = TypeFinder(self.names)
            finder.add_all(fields for _, fields in table.rows())
            self.kinds = {name: STANDARD.get(name, kind) for name, kind in finder.types().items()}
            self._types = finder.types()
        self._place = place_column(self.names)
        if self._place is not None:
            self.kinds |= {"latitude": STANDARD["latitude"], "longitude": STANDARD["longitude"]}
        self._lookup: Lookup | None = None
        self._missing, self._found = 0, 0
        self._without: list[str] = []
        self._several, self._differing = 0, list[str]()

    def load(self, options: Options) -> None:
        """Read the table into the join; rows without an id become failures."""
        self._lookup = Lookup()
        at = self.names.index("id")
        kept = [i for i, name in enumerate(self.names) if name not in ("id", "barcode", "image")]

        def entries() -> Iterator[tuple[str, int | None, list[str]]]:
            with table_at(self.path, options, options.failures) as (file, _), _open(file, options, options.failures) as table:
                for number, fields in table.rows():
                    if not fields[at].strip():
                        options.failures.add("the id is blank", stage="read", source=self.path, row=number)
                    else:
                        yield fields[at].strip(), number, [fields[i] for i in kept]

        self._kept = [self.names[i] for i in kept]
        self._lookup.fill(entries())

    def of(self, id: str, number: int) -> dict[str, Any]:
        """The table's values for a sequence: of its first row, where it has several; those that differ are counted."""
        assert self._lookup is not None
        rows = self._lookup.get(id)
        if not rows:
            self._missing += 1
            if len(self._without) < MOST_SHOWN:
                self._without.append(id)
            return {}
        self._found += 1
        before = self._lookup.use(rows)
        if not before and any(row.value != rows[0].value for row in rows):
            self._several += 1
            if len(self._differing) < MOST_SHOWN:
                self._differing.append(id)
        found: dict[str, Any] = {}
        for name, text in zip(self._kept, rows[0].value):
            if text.strip():
                found[name] = text if name in STANDARD else typed([text], self._types[name])[0]
        if self._place is not None and self._place in found:
            found |= {name: values[0] for name, values in places([found[self._place]]).items()}
        return found

    def tell(self, failures: Failures, source: Path) -> None:
        """Say how many sequences have no row, and how many rows no sequence.

        Raises BiocosmosError where none at all fits: the ids are others.
        """
        assert self._lookup is not None
        if self._missing and not self._found:
            raise BiocosmosError(
                f"no id of {source} ({', '.join(self._without)}) stands in the column of ids of {self.path}: say --column id=NAME"
            )
        if self._missing:
            more = " ..." if self._missing > len(self._without) else ""
            sequences = "1 sequence has" if self._missing == 1 else f"{self._missing:,} sequences have"
            reason = f"{sequences} no row in {self.path.name}: {', '.join(self._without)}{more}"
            failures.add(reason, stage="read", source=source, severity="warning")
        if self._several:
            more = " ..." if self._several > len(self._differing) else ""
            ids = "1 id has" if self._several == 1 else f"{self._several:,} ids have"
            reason = f"{ids} several rows with other values in {self.path.name}, of which the first is used: "
            failures.add(f"{reason}{', '.join(self._differing)}{more}", stage="read", source=self.path, severity="warning")
        count, first = 0, list[str]()
        for key, _ in self._lookup.unused():
            count += 1
            if len(first) < MOST_SHOWN:
                first.append(key)
        if count:
            more = " ..." if count > len(first) else ""
            rows = "1 row is" if count == 1 else f"{count:,} rows are"
            reason = f"{rows} used for no sequence of {source.name}: {', '.join(first)}{more}"
            failures.add(reason, stage="read", source=self.path, severity="warning")

    def close(self) -> None:
        """Let the join go."""
        if self._lookup is not None:
            self._lookup.close()


def _open(file: Any, options: Options, failures: Failures) -> Any:
    return open_table(file, encoding=options.encoding, separator=options.separator, failures=failures)


__all__ = ["SequenceTable"]
