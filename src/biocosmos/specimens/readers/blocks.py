"""From rows as a format has them to record batches as a collection wants them: ids, names, ranks, places, types."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.barcodes.rules import LETTERS_ALONE, Rules
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import readable
from biocosmos.specimens.readers.barcodes import KEPT, PERSONAL, RowBarcodes
from biocosmos.specimens.readers.binomials import is_provisional, joined
from biocosmos.specimens.readers.checklist_ranks import in_order
from biocosmos.specimens.readers.columns import EPITHET, GUESSED_RANKS, SCIENTIFIC_NAME, plain, shown
from biocosmos.specimens.readers.fitting import as_text, fitting_names, refuse_ranks, unreadable
from biocosmos.specimens.readers.names import clean, clean_taxon
from biocosmos.specimens.readers.placing import Placing
from biocosmos.specimens.readers.taxonomy_table import Taxa, refuse_without_ranks
from biocosmos.specimens.records import BATCH_ROWS, PLACED, STANDARD
from biocosmos.taxonomy.scientific_names import Name, parse

TEXT_COLUMNS = ("id", "image_path", "label", "text", "date")
AS_THEY_ARE = ("id", "image_path", "text")
"""Names of files and records, and texts, keep their blanks: only prose about a specimen is tidied."""
DNA = re.compile(r"[ACGTUNRYSWKMBDHVacgtunryswkmbdhv?~.\-\s]*")
BLOCK_BYTES = 64 << 20  # of packed images in one batch: memory stays flat whatever the size of an image
MOST_NAMES = 20
"""Names that one warning lists."""

Values: TypeAlias = Any  # a list of Python values, or an Arrow array that is passed through


@dataclass
class Block:
    """Some rows of a source: columns under our names, as lists or ready Arrow arrays, all as long as ``rows``.

    rows: row number in the source, from 1. fallback_ids: what names a row that has no id of its own (its file, say).
    """

    columns: dict[str, Values]
    rows: Sequence[int | None]
    source: str
    fallback_ids: Sequence[str | None] | None = None


@dataclass
class Shaper:
    """Turns blocks into record batches of one schema; rows without any name to go by become failures.

    columns: our names -> Arrow type for every column that blocks will have (standard columns keep their standard type).
    ranks: the user's ranks, coarse to fine, or None for the known rank columns that are there.
    label_is_rank: whether the label, too, is a taxon of its own; None decides by the columns.
    """

    columns: Mapping[str, pa.DataType]
    failures: Failures
    ranks: Sequence[str] | None = None
    taxonomy: Taxa | None = None
    label_is_rank: bool | None = None
    warn_unlabelled: bool = True
    unreadable: str = "left blank"
    tell_dates: bool = True
    """Dates that are not understood are told here, and not by the reader itself."""
    rules: Rules = field(default_factory=Rules)
    """What is done to barcodes."""
    drop: bool = True
    """Rows without anything but a barcode that is refused are left out."""
    personal: bool | None = None
    """Keep columns about people; None does where there are no barcodes, whose tables are public."""
    provisional: bool = True
    """Species such as "Culex sp. 1" are species; without, where there are barcodes, they are labels only."""
    unknown_labels: set[str] = field(default_factory=set)
    told_names: set[str] = field(default_factory=set)
    nameless_ranks: Counter[str] = field(default_factory=Counter)
    """Labels that stand at no rank, with how many rows have each."""
    provisional_names: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._dna = "barcode" in self.columns
        left_out = self._left_out()
        types = {name: STANDARD.get(name, kind) for name, kind in self.columns.items() if name not in left_out}
        kept = KEPT if self.unreadable == "left blank" else self.unreadable
        self._barcodes = RowBarcodes(self.rules, self.failures, drop=self.drop, kept=kept)
        if self.rules not in (Rules(), LETTERS_ALONE) and not self._dna:
            raise BiocosmosError("there is no column of barcodes, which the options for barcodes need: --column barcode=NAME")
        self.placing = Placing({**self.columns, **types}, self.failures, self.unreadable, self.tell_dates)
        types |= self.placing.types
        types.setdefault("id", STANDARD["id"])
        if SCIENTIFIC_NAME in types or (EPITHET in types and "genus" in types):
            types.setdefault("genus", pa.string())
            types.setdefault("species", pa.string())
        if self.taxonomy is not None:
            refuse_without_ranks(self.taxonomy, self.ranks)
            for name in self.taxonomy.columns:
                types.setdefault(name, pa.string())
        label_given = "label" in types
        if SCIENTIFIC_NAME in types:
            types.setdefault("label", STANDARD["label"])
        self.rank_columns = self._rank_columns(types, label_given)
        if self.rank_columns or SCIENTIFIC_NAME in types:
            types.setdefault("label", pa.string())
        self._label_given = label_given
        for rank in (*self.rank_columns, *(name for name in ("genus", "species") if name in types)):  # numbers as names too
            types[rank] = pa.string()
        standard = [name for name in (*STANDARD, *PLACED) if name in types]
        ranked = [rank for rank in self.rank_columns if rank not in STANDARD]
        others = [name for name in types if name not in standard and name not in self.rank_columns]
        self.schema = pa.schema([(name, types[name]) for name in (*standard, *ranked, *others)])
        refuse_ranks(self.rank_columns)
        self._kept = fitting_names(self.schema.names)
        for name, kept in self._kept.items():
            if name != kept:
                reason = f"a column cannot be called {readable(name)!r} here: it is kept as {kept!r}"
                self.failures.add(reason, stage="read", severity="warning")

    def _left_out(self) -> set[str]:
        """The columns about people that are not kept, which a warning names."""
        keep = self.personal if self.personal is not None else not self._dna
        found = [] if keep else [name for name in self.columns if plain(name) in PERSONAL and name not in STANDARD]
        if found:
            reason = f"columns about people are left out: {shown(found)}; --keep-personal keeps them"
            self.failures.add(reason, stage="read", severity="warning")
        return set(found)

    def _rank_columns(self, types: Mapping[str, pa.DataType], label_given: bool) -> tuple[str, ...]:
        if self.ranks is not None:
            missing = [rank for rank in self.ranks if rank not in types]
            if missing:
                raise BiocosmosError(f"no column for the rank {missing[0]!r}; there are: {shown(types)}")
            return tuple(self.ranks)
        textual = {name for name, kind in types.items() if pa.types.is_string(kind) or pa.types.is_large_string(kind)}
        found = [rank for rank in GUESSED_RANKS if rank in textual]
        if self.taxonomy is not None:
            found = in_order(found, self.taxonomy.ranks)
        label_is_rank = self.label_is_rank
        if label_is_rank is None:
            label_is_rank = label_given and (self.taxonomy is not None or not {"species", SCIENTIFIC_NAME} & set(types))
        return (*found, "label") if label_is_rank else tuple(found)

    def batches(self, blocks: Iterable[Block]) -> Iterator[pa.RecordBatch]:
        """One batch a block that keeps any row, of at most BATCH_ROWS rows (blocks hold no more)."""
        for block in blocks:
            batch = self._batch(block)
            if batch.num_rows:
                yield batch
        self._tell_without_rank()
        self._tell_provisional()
        self.placing.tell()
        self._barcodes.tell()

    def _tell_without_rank(self) -> None:
        """One warning for all labels that stand at no rank, which nothing that names specimens can learn."""
        if not self.nameless_ranks:
            return
        reason = (
            f"{self.nameless_ranks.total():,} rows have a name that stands at no rank, so that it is never learnt or given: "
            f"{_commonest(self.nameless_ranks)}; "
            "--ranks label makes every label a taxon, --taxonomy FILE gives their ranks"
        )
        self.nameless_ranks.clear()
        self.failures.add(reason, stage="read", severity="warning")

    def _tell_provisional(self) -> None:
        """One warning for all names of the species column that are no certain species."""
        if not self.provisional_names:
            return
        rows = self.provisional_names.total()
        reason = (
            f"{rows:,} {'row has' if rows == 1 else 'rows have'} a name that is no certain species: "
            f"{_commonest(self.provisional_names)}: kept as the label; --provisional takes such names for species"
        )
        self.provisional_names.clear()
        self.failures.add(reason, stage="read", severity="warning")

    def _batch(self, block: Block) -> pa.RecordBatch:
        count = len(block.rows)
        assert count <= BATCH_ROWS
        columns = dict(block.columns)
        for name in TEXT_COLUMNS:
            if name in columns:
                given = as_text(_list(columns[name])) if name == "date" else _list(columns[name])
                columns[name] = [clean(value) if name not in AS_THEY_ARE else as_it_is(value) for value in given]
        for rank in {*self.rank_columns, "genus", "species"} - {"label"}:
            if rank in columns:
                columns[rank] = [clean_taxon(value) for value in _list(columns[rank])]
        keep = self._whole(columns, block, self._ids(columns, block))
        self._taxa(columns, block)
        self._places(columns, block)
        if "barcode" in columns:
            keep = self._clean(columns, block, keep)
        whole = len(keep) == count
        arrays = []
        for column in self.schema:
            values = columns.get(column.name)
            if values is None:
                arrays.append(pa.nulls(len(keep), column.type))
                continue
            if not isinstance(values, pa.Array):
                arrays.append(pa.array(values if whole else [values[i] for i in keep], column.type))
                continue
            picked = values if whole else values.take(pa.array(keep, pa.int64()))
            arrays.append(picked if picked.type == column.type else picked.cast(column.type))
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema).rename_columns(list(self._kept.values()))

    def _whole(self, columns: dict[str, Values], block: Block, keep: list[int]) -> list[int]:
        """Those of the rows ``keep`` whose texts can be stored; the others become failures."""
        reasons: dict[int, str] = {}
        for name, values in columns.items():
            if not isinstance(values, list):
                nul = pa.types.is_string(values.type) and pc.any(pc.match_substring(values, "\0")).as_py()
                values = values.to_pylist() if nul else []
            if unreadable("".join(value for value in values if isinstance(value, str))) is None:
                continue
            for i, text in enumerate(values):
                if isinstance(text, str) and (reason := unreadable(text)) is not None:
                    reasons.setdefault(i, f"the column {readable(name)!r} holds {reason}")
        for i in sorted(set(reasons) & set(keep)):
            self._fail(reasons[i], block, i, readable(str(columns["id"][i])))
        return [i for i in keep if i not in reasons]

    def _ids(self, columns: dict[str, Values], block: Block) -> list[int]:
        ids: list[str | None] = columns.get("id") or [None] * len(block.rows)
        if block.fallback_ids is not None:
            ids = [own if own is not None else as_it_is(other) for own, other in zip(ids, block.fallback_ids)]
        columns["id"] = ids
        keep: list[int] = []
        for i, own in enumerate(ids):
            if own is None:
                self._fail("no id, and no image to name it by", block, i)
            else:
                keep.append(i)
        return keep

    def _taxa(self, columns: dict[str, Values], block: Block) -> None:
        count = len(block.rows)
        if "label" not in self.schema.names:
            return
        names = _list(columns.get(SCIENTIFIC_NAME)) or [None] * count
        names = [clean(name) or spelt for name, spelt in zip(names, self._binomials(columns, names, block))]
        labels = _list(columns.get("label")) or [None] * count
        if not self._label_given:
            labels = [name or fine for name, fine in zip(names, self._finest(columns, count))]
        if self.taxonomy is not None:
            self._join(columns, labels, block)
        finest = self._finest(columns, count)
        if self.warn_unlabelled and not self._label_given and "label" not in self.rank_columns:
            self.nameless_ranks.update(label for label, fine in zip(labels, finest) if label is not None and fine is None)
        if self.warn_unlabelled:
            for i, label in enumerate(labels):
                if label is None and finest[i] is None:
                    self._fail("no label: kept, unlabelled", block, i, columns["id"][i], warning=True)
        columns["label"] = labels

    def _finest(self, columns: dict[str, Values], count: int) -> list[Any]:
        """The name at the finest rank that each row has one for."""
        finest: list[Any] = [None] * count
        for rank in self.rank_columns:
            if rank != "label" and rank in columns:
                finest = [fine if value is None else value for value, fine in zip(columns[rank], finest)]
        return finest

    def _binomials(self, columns: dict[str, Values], names: list[Any], block: Block) -> list[str | None]:
        """Fill genus and species from scientificName, or the epithet, where the source leaves them open.

        Returns the names that genus and species columns spell and that say no species ("Oithona sp."): they stay labels.
        """
        count = len(block.rows)
        blank: list[Any] = [None] * count
        if "species" not in self.schema.names:
            return blank
        genera = list(columns.get("genus") or blank)
        species = list(columns.get("species") or blank)
        epithets = [clean_taxon(value) for value in _list(columns.get(EPITHET)) or blank]
        others = [columns[rank] for rank in self.rank_columns if rank in columns and rank not in ("genus", "species", "label")]
        spelt = list(blank)
        certain = self._dna and not self.provisional
        for i in range(count):
            genus, binomial, spelt[i] = joined(genera[i], species[i], epithets[i])
            if certain and binomial is not None and is_provisional(genus, binomial):
                self.provisional_names[binomial] += 1
                genus, binomial, spelt[i] = genus or parse(binomial).genus, None, binomial
            name = clean(names[i]) or spelt[i]
            if name is not None and (genus is None or binomial is None):
                found = parse(name)
                genus = genus or found.genus
                binomial = binomial or found.species
                if binomial is None and name not in self.provisional_names:
                    self._tell(name, found, genus, any(column[i] is not None for column in others), block, i, columns["id"][i])
            if genus is None and binomial is not None:
                genus = parse(binomial).genus
            genera[i], species[i] = genus, binomial
        if "genus" in self.schema.names:
            columns["genus"] = genera
        columns["species"] = species
        return spelt

    def _tell(self, name: str, found: Name, genus: str | None, placed: bool, block: Block, i: int, id: str) -> None:
        """Say once of a name why it gives no species. placed: the source gives its taxa itself, whatever the name is."""
        doubtful = found.kind in ("open", "formula", "cultivar")
        if found.reason is None or name in self.told_names or not (doubtful or (not (genus or placed) and " " in name)):
            return
        self.told_names.add(name)
        what = f"names no species for certain, only the genus {genus}" if genus else "is not a Latin binomial"
        reason = f"the name {name!r} {what} (it {found.reason}): kept as it is"
        self._fail(reason, block, i, id, warning=True)

    def _join(self, columns: dict[str, Values], labels: list[Any], block: Block) -> None:
        assert self.taxonomy is not None
        found = [self.taxonomy.find(label) if label is not None else (None, None) for label in labels]
        rows = [row for row, _ in found]
        for i, (label, (_, note)) in enumerate(zip(labels, found)):
            if note is not None and label not in self.unknown_labels:
                self.unknown_labels.add(label)
                self._fail(f"the label {label!r} is {note}", block, i, columns["id"][i], warning=True)
        for name in self.taxonomy.columns:
            own = _list(columns.get(name)) or [None] * len(labels)
            columns[name] = [value if value is not None else (row or {}).get(name) for value, row in zip(own, rows)]

    def _places(self, columns: dict[str, Values], block: Block) -> None:
        if {*self.placing.types, "latitude", "longitude", "date"} & {*columns, *self.placing.types}:
            self.placing.fill(columns, block.rows, lambda reason, i: self._fail(reason, block, i, columns["id"][i], True))

    def _clean(self, columns: dict[str, Values], block: Block, keep: list[int]) -> list[int]:
        """The barcodes cleaned; those of the rows ``keep`` that have something left."""

        def fail(reason: str, i: int, warning: bool) -> None:
            self._fail(reason, block, i, columns["id"][i], warning)

        out = self._barcodes.clean(columns, fail)
        names = columns.get("species" if "species" in self.schema.names else "label")
        if names is not None:
            self._barcodes.remember(columns, _list(names))
        return [i for i in keep if i not in out] if out else keep

    def _fail(self, reason: str, block: Block, i: int, id: str | None = None, warning: bool = False) -> None:
        self.failures.add(
            reason, stage="read", source=block.source, row=block.rows[i], id=id, severity="warning" if warning else "error"
        )


def _commonest(names: Counter[str]) -> str:
    """The commonest names with how often each occurs, and how many more there are."""
    shown = ", ".join(f"{name!r} ({count:,})" for name, count in names.most_common(MOST_NAMES))
    return shown + (f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else "")


def _list(values: Values | None) -> list[Any]:
    if values is None:
        return []
    return values if isinstance(values, list) else list(values.to_pylist())


def as_it_is(value: Any) -> str | None:
    """Text with every blank it has; None when there is nothing else in it."""
    return None if value is None or not str(value).strip() else str(value)


def gather(rows: Iterable[tuple[int | None, str | None, dict[str, Any]]], names: Sequence[str], source: str) -> Iterator[Block]:
    """Blocks of at most BATCH_ROWS rows and about BLOCK_BYTES of images from single rows.

    rows: (row number, fallback id, values by our name) each.
    """
    held: list[tuple[int | None, str | None, dict[str, Any]]] = []
    size = 0
    for row in rows:
        held.append(row)
        size += len(row[2].get("image") or b"")
        if len(held) == BATCH_ROWS or size >= BLOCK_BYTES:
            yield _block(held, names, source)
            held, size = [], 0
    if held:
        yield _block(held, names, source)


def _block(held: list[tuple[int | None, str | None, dict[str, Any]]], names: Sequence[str], source: str) -> Block:
    columns: dict[str, Values] = {name: [values.get(name) for _, _, values in held] for name in names}
    return Block(columns, [row for row, _, _ in held], source, [fallback for _, fallback, _ in held])
