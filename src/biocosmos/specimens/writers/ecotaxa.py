"""EcoTaxa zip out: ecotaxa_export.tsv with its line of types, and the images, as EcoTaxa's import takes them."""

from __future__ import annotations

import codecs
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import Failures
from biocosmos.specimens.dates import read_date, read_time
from biocosmos.specimens.readers.ecotaxa_table import (
    CATEGORY,
    HIERARCHY,
    IMAGE,
    LATITUDE,
    LEVEL,
    LONGITUDE,
    STATUS,
    VERBATIM_DATE,
)
from biocosmos.specimens.readers.lookup import Seen
from biocosmos.specimens.records import ADDED_BY_COLLECTION
from biocosmos.specimens.writers.ecotaxa_columns import (
    ANNOTATION,
    CATEGORY_ID,
    DATE,
    ID_LENGTH,
    PREDICTED_BY,
    TIME,
    Column,
    Parents,
    chosen,
    columns_of,
    spellings,
)
from biocosmos.specimens.writers.naming import Named, Naming
from biocosmos.specimens.writers.pictures import archive_name, cropped, image_of, plain_still, suffix_of
from biocosmos.specimens.writers.sheet import Sheet
from biocosmos.specimens.writers.tabular import rows_of, text_of
from biocosmos.tables import replacing

TABLE = "ecotaxa_export.tsv"
MARK = codecs.BOM_UTF8.decode("utf-8")
"""Without it EcoTaxa takes the text for latin-1."""
NOT_COPIED = {"id", "label", "latitude", "longitude", "date", "image", "image_path", "crop", *ADDED_BY_COLLECTION}
JOINED = {"neighbours", "multimedia", "identification"}


def write(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path, failures: Failures, ranks: Sequence[str], software: str = ""
) -> int:
    """Write the zip; a specimen without a readable image is left out and recorded. Crops are cut out. Returns the rows written.

    Columns that have EcoTaxa's prefixes keep their names, ours go by EcoTaxa's, all others get "object_" before them. The
    ranks become the hierarchy. A person's name leaves as validated unless its status says otherwise, a machine's as predicted,
    no finer than it was sure enough. Every cell that EcoTaxa would refuse is told in ``failures``.
    """
    with (
        replacing(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive,
        Seen() as names,
        Seen() as objects,
    ):
        export = _Export(schema, path, failures, ranks, software, archive, names, objects)
        with Sheet([column.name for column in export.columns], path.parent) as sheet:
            for row in rows_of(batches):
                export.add(row, sheet)
            if export.open:
                export.note(f"{export.open:,} rows have no answer that was sure enough: they go without a category")
            keep = chosen(export.columns, sheet.filled_rows, export.note)
            heads = [[export.columns[i].name for i in keep], [export.columns[i].kind for i in keep]]
            sheet.copy_into(archive, TABLE, keep, heads, mark=MARK)
            return sheet.rows


class _Export:
    """Makes the cells of one row after the other."""

    def __init__(
        self,
        schema: pa.Schema,
        path: Path,
        failures: Failures,
        ranks: Sequence[str],
        software: str,
        archive: zipfile.ZipFile,
        names: Seen,
        objects: Seen,
    ) -> None:
        self.path, self.failures, self.software, self.archive = path, failures, software, archive
        self.names, self.objects, self.ranks = names, objects, ranks
        self.naming = Naming(schema.names, ranks)
        self.own = set(schema.names)
        self.cases = {name: given for name, given in spellings(schema.names).items() if name not in self.own}
        levels = {name for name in ranks if name.startswith(LEVEL.format(""))}
        left = NOT_COPIED | JOINED | levels | ({"taxon", "label"} if self.naming.has_answers else set())
        for name in sorted(JOINED & self.own):
            self.note(f"the column {name!r} holds lists: EcoTaxa has no place for it")
        self.columns: list[Column] = columns_of(schema, left, list(ranks), self.note)
        self.parents = Parents(self.columns, self.note)
        self.spelt: dict[str, str] = {}
        self.open = 0

    def note(self, reason: str) -> None:
        """Say something of the whole table."""
        self.failures.add(reason, stage="write", source=self.path, severity="warning")

    def add(self, row: dict[str, Any], sheet: Sheet) -> None:
        """Write one row and its image, or record why not."""
        id = str(row["id"])
        for name, spelt in self.cases.items():
            row.setdefault(name, row.get(spelt))

        def tell(reason: str) -> None:
            self.failures.add(reason, stage="write", source=self.path, id=id, severity="warning")

        refused = f"the id has {len(id)} letters and EcoTaxa takes {ID_LENGTH}" if len(id.strip()) > ID_LENGTH else None
        content, reason = (None, refused) if refused else self._image(row, tell)
        if content is None:
            self.failures.add(reason or "no image: EcoTaxa takes none without", stage="write", source=self.path, id=id)
            return
        made = self._made(row, id, tell)
        made[IMAGE] = archive_name(self._wanted(row, content), id, content, self.names)
        self.archive.writestr(zipfile.ZipInfo(made[IMAGE]), content)
        cells = {c.name: c.cell(made[c.name] if c.source is None else row.get(c.source), tell) for c in self._shown(made)}
        for name in (CATEGORY_ID, *ANNOTATION) if made["forget"] else ():
            cells.pop(name, None)  # the id would go before the name, which is another now
        self.parents.fill(cells)
        sheet.write([cells.get(column.name, "") for column in self.columns])

    def _shown(self, made: dict[str, Any]) -> list[Column]:
        return [column for column in self.columns if column.source is not None or column.name in made]

    def _image(self, row: dict[str, Any], tell: Any) -> tuple[bytes | None, str | None]:
        content, reason = image_of(row)
        if content is not None and row.get("crop") is not None:
            content, reason = cropped(content, row["crop"])
        if content is None:
            return None, reason
        whole, note = plain_still(content)
        if whole is not None and note is not None:
            tell(f"the image is {note}")
        return whole, note

    def _wanted(self, row: dict[str, Any], content: bytes) -> str | None:
        """The name the image had in EcoTaxa, where it is still one that EcoTaxa finds and that says what the image is."""
        wanted = row.get(IMAGE)
        if wanted is None or wanted != wanted.strip() or len(wanted.encode()) > ID_LENGTH or not wanted.isprintable():
            return None
        if "\\" in wanted:
            return None
        return wanted if wanted.lower().endswith(ENDINGS.get(suffix_of(content), ())) else None

    def _made(self, row: dict[str, Any], id: str, tell: Any) -> dict[str, Any]:
        """The cells that are made from several of ours."""
        named = self.naming.of(row)
        if named.unknown:
            tell(f"the state {named.unknown!r} is none that EcoTaxa knows: written as {named.state}")
        is_answer = self.naming.is_answer(row)
        self.open += is_answer and named.name is None
        was = str(row.get(CATEGORY) or "").strip()
        is_own = not is_answer and (named.name or "") == was
        had_another = not is_own and bool(is_answer or was or row.get(CATEGORY_ID) is not None)
        category, state = self._category(named, tell), named.state
        if category is None and is_own and row.get(CATEGORY_ID) is not None and row.get(STATUS):
            category, state = text_of(row[CATEGORY_ID]), row[STATUS]  # EcoTaxa goes by the id and wants a name beside the status
        elif category is None and row.get(STATUS) and not is_answer:
            tell(f"the state {row[STATUS]!r} stands without a name: left blank")
        made: dict[str, Any] = {
            "object_id": self._object(row, id, tell),
            LATITUDE: row.get("latitude") if row.get("latitude") is not None else row.get(LATITUDE),
            LONGITUDE: row.get("longitude") if row.get("longitude") is not None else row.get(LONGITUDE),
            CATEGORY: category,
            STATUS: state,
            HIERARCHY: row.get(HIERARCHY) if is_own and row.get(HIERARCHY) else self._hierarchy(row, named),
            PREDICTED_BY: (row.get("identificationReferences") or self.software) if is_answer and named.name else None,
            "forget": had_another,
        }
        return made | self._when(row, tell)

    def _object(self, row: dict[str, Any], id: str, tell: Any) -> str:
        """EcoTaxa's own id of the object, of which specimen ``id`` may be the second image: "obj_1#2"."""
        own = row.get("object_id")
        base = id if own is None or not (id == own or (id.startswith(f"{own}#") and id[len(own) + 1 :].isdigit())) else str(own)
        if own is not None and base != own:
            tell(f"object_id is {id!r}, not {str(own)!r}, which another specimen may have")
        times = self.objects.count(base.strip())
        if times > 1 and base == id:
            tell(f"the id came before: EcoTaxa takes this for image {times} of the same object")
        return base

    def _category(self, named: Named, tell: Any) -> str | None:
        if named.name is None:
            return None
        name = " ".join(named.name.split())
        first = self.spelt.setdefault(name.lower(), name)
        if first != name:
            tell(f"the name {name!r} is the same as {first!r} for EcoTaxa, which reads names in any case")
        return name

    def _hierarchy(self, row: dict[str, Any], named: Named) -> str | None:
        if named.name is None:
            return None
        parts = [str(row[rank]) for rank in self.ranks if rank != "label" and row.get(rank)]
        plain = named.name.split("<")[0].strip()
        return ">".join(parts if parts and parts[-1] in (named.name, plain) else [*parts, named.name])

    def _when(self, row: dict[str, Any], tell: Any) -> dict[str, str | None]:
        """object_date and object_time: a day and a time that are certain, else the text in a column of its own."""
        text = str(row.get("date") or row.get(DATE) or row.get(VERBATIM_DATE) or "").strip()
        said = read_date(text)
        clock = said.clock
        if clock is None and row.get(TIME):
            told = read_time(str(row[TIME]))
            clock = told.clock
            if told.problem:
                tell(f"object_time {told.problem}: left blank")
        if said.problem and said.day is not None:
            tell(f"the date {text!r}: {said.problem}: the time is left blank")
        day = said.day.strftime("%Y%m%d") if said.day is not None and said.day.year >= 1000 else None
        if text and day is None:
            tell(f"the date {text!r} {said.problem}: object_date is left blank, it stands in {VERBATIM_DATE}")
        return {
            DATE: day,
            TIME: clock.strftime("%H%M%S") if clock is not None else None,
            VERBATIM_DATE: text if text and day is None else None,
        }


ENDINGS: dict[str, tuple[str, ...]] = {".jpg": (".jpg", ".jpeg"), ".png": (".png",), ".gif": (".gif",)}
"""What a name may end in, by what the image is."""
