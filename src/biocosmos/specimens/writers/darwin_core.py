"""Darwin Core Archive out: occurrences, their images inside the zip, and who or what identified them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import Failures
from biocosmos.specimens.dates import iso_date
from biocosmos.specimens.readers.darwin_core import MEDIA_ADDRESS
from biocosmos.specimens.readers.ecotaxa_table import STATUS
from biocosmos.specimens.readers.lookup import Entry, Lookup, Seen
from biocosmos.specimens.readers.media import ADDRESSES
from biocosmos.specimens.records import ADDED_BY_COLLECTION
from biocosmos.specimens.writers.darwin_core_terms import DC, DWC, MULTIMEDIA, eml_xml, meta_xml, rank_term, terms_of
from biocosmos.specimens.writers.naming import BY_HUMAN, BY_MACHINE, VALIDATED, VERIFICATION, Naming, says
from biocosmos.specimens.writers.pictures import MEDIA_TYPES, archive_name, image_of, suffix_of
from biocosmos.specimens.writers.sheet import Sheet
from biocosmos.specimens.writers.tabular import rows_of, text_of
from biocosmos.tables import replacing
from biocosmos.taxonomy import DARWIN_CORE

MACHINE_RECORD, OTHER_RECORD = "MachineObservation", "Occurrence"  # the second says no more than that it was there
QUALIFIER = "identificationQualifier"
IDENTIFICATION_TERMS = (
    "scientificName",
    "taxonRank",
    "identifiedBy",
    "dateIdentified",
    VERIFICATION,
    QUALIFIER,
    "identificationReferences",
    "identificationRemarks",
)
NOT_IN_CORE = {"image", "image_path", "multimedia", "identification", *ADDED_BY_COLLECTION}
ALWAYS = ("scientificName", "basisOfRecord")
HIGHER = "higherClassification"
EVENT_DATE, VERBATIM_DATE, OCCURRENCE_ID = "eventDate", "verbatimEventDate", "occurrenceID"
MEDIA_TERMS = (
    "identifier",
    "type",
    "format",
    "title",
    "description",
    "references",
    "created",
    "creator",
    "contributor",
    "publisher",
    "source",
    "license",
    "rightsHolder",
)


def write(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    path: Path,
    failures: Failures,
    ranks: Sequence[str],
    identifications: pa.Table | None = None,
    software: str = "",
    said_on: str = "",
) -> int:
    """Write a zip with meta.xml, eml.xml, occurrence.txt and, where needed, multimedia.txt and identification.txt.

    A table of identifications (:meth:`Identifier.identify`) becomes machine observations whose names stop at the rank that was
    sure enough; given as ``identifications`` it becomes the history of the specimens with these ids. software, said_on: what
    made it, and when. Columns that say nothing are left out; which columns are ranks stands in meta.xml, so that they are when
    it is read again. Dates are ISO 8601; the text of one that is not understood stands in verbatimEventDate, with a warning, and
    rows without a name that is sure enough are counted in one.
    Returns the rows written.
    """
    made = _Archive(schema, tuple(ranks), failures, identifications, software, said_on)
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        made.write(batches, archive, path)
    return made.rows


class _Archive:
    def __init__(
        self,
        schema: pa.Schema,
        ranks: tuple[str, ...],
        failures: Failures,
        identifications: pa.Table | None,
        software: str,
        said_on: str,
    ) -> None:
        self.ranks, self.failures, self.rows, self.software = ranks, failures, 0, software
        self.nameless = self.without_id = 0
        self.has_gbif_ids = "datasetKey" in schema.names  # a download over several datasets, whose ids are GBIF's
        self.today = datetime.now(timezone.utc).date().isoformat()
        self.said_on = said_on or self.today
        self.naming = Naming(schema.names, ranks)
        self.identifications = identifications
        self.columns = [name for name in schema.names if name not in NOT_IN_CORE]
        self.added = [name for name in ALWAYS if name not in self.columns]
        self.date = next((name for name in ("date", EVENT_DATE) if name in self.columns), None)
        if self.date is not None and VERBATIM_DATE not in self.columns:
            self.added.append(VERBATIM_DATE)
        if VERIFICATION not in self.columns and (self.naming.has_answers or STATUS in self.columns):
            self.added.append(VERIFICATION)
        if self.naming.has_answers:
            self.added += [n for n in ("taxonRank", "identificationReferences") if n not in self.columns]
        if HIGHER not in self.columns and any(rank not in (*DARWIN_CORE, "label") for rank in ranks):
            self.added.append(HIGHER)

    def write(self, batches: Iterable[pa.RecordBatch], archive: zipfile.ZipFile, path: Path) -> None:
        """Write all of it: images as they come, tables once all rows are known."""
        with ExitStack() as stack:
            used, history = stack.enter_context(Seen()), stack.enter_context(Lookup())
            if self.identifications is not None:
                history.fill((str(row["id"]), None, _plain(row)) for row in rows_of(self.identifications.to_batches(1024)))
            core = stack.enter_context(Sheet([*self.columns, *self.added], path.parent))
            media = stack.enter_context(Sheet(["coreid", *MEDIA_TERMS], path.parent))
            named = stack.enter_context(Sheet(["coreid", *IDENTIFICATION_TERMS], path.parent))
            for row in rows_of(batches):
                id = str(row["id"])
                core.write([text_of(value) for value in self._core(row, path)])
                for medium in self._media(row, archive, used, path):
                    media.write([id, *(medium.get(term, "") for term in MEDIA_TERMS)])
                for said in self._history(row, history.get(id) if self.identifications is not None else []):
                    named.write([id, *(text_of(said.get(term)) for term in IDENTIFICATION_TERMS)])
                self.rows += 1
            self._tell(path)
            keep = [i for i, name in enumerate(core.names) if core.filled_rows[i] or name in ("id", *ALWAYS)]
            names = [core.names[i] for i in keep]
            core.copy_into(archive, "occurrence.txt", keep, [names])
            extensions: dict[str, tuple[str, Sequence[str]]] = {}
            for file, sheet, kind, vocabulary in (
                ("multimedia.txt", media, MULTIMEDIA, DC),
                ("identification.txt", named, DWC + "Identification", DWC),
            ):
                if sheet.rows:
                    filled = [i for i in range(1, len(sheet.names)) if sheet.filled_rows[i]]
                    extensions[file] = (kind, [vocabulary + sheet.names[i] for i in filled])
                    sheet.copy_into(archive, file, [0, *filled], [["coreid", *(sheet.names[i] for i in filled)]])
        ranks = [rank for rank in self.ranks if rank in names]
        terms = terms_of(names, id_is_gbifs=self.has_gbif_ids)
        _text(archive, "meta.xml", meta_xml(terms, extensions, names.index("id"), ranks))
        _text(archive, "eml.xml", eml_xml(path.stem, f"{self.rows} specimens exported by {self.software}.", self.today))

    def _tell(self, path: Path) -> None:
        """Say what holds for several rows."""
        for count, what in (
            (self.nameless, "occurrences without a name, for which no answer was sure enough"),
            (self.without_id, f"rows without an {OCCURRENCE_ID}, for which the specimen's id stands"),
        ):
            if count:
                self.failures.add(f"{what}: {count:,}", stage="write", source=path, severity="warning")

    def _dated(self, row: dict[str, Any], path: Path) -> None:
        """The row's date as ISO 8601; what is not understood moves to verbatimEventDate."""
        text = str(row.get(self.date) or "").strip() if self.date is not None else ""
        if self.date is None or not text:
            return
        row[self.date], problem = iso_date(text)
        if problem is None:
            return
        own = row.get(VERBATIM_DATE)
        row[VERBATIM_DATE] = text if own is None or text in str(own) else f"{own} | {text}"
        left = "left blank" if row[self.date] is None else f"only {row[self.date]}"
        reason = f"the date {text!r} {problem}: {EVENT_DATE} is {left}, it stands in {VERBATIM_DATE}"
        self.failures.add(reason, stage="write", source=path, id=str(row["id"]), severity="warning")

    def _core(self, row: dict[str, Any], path: Path) -> list[Any]:
        is_answer = self.naming.is_answer(row)
        said = self.naming.of(row)
        self.nameless += is_answer and said.name is None
        self.has_gbif_ids = self.has_gbif_ids and str(row["id"]).isdecimal()
        self._dated(row, path)
        if OCCURRENCE_ID in row and not says(row[OCCURRENCE_ID]):
            row[OCCURRENCE_ID] = row["id"]
            self.without_id += 1
        told = str(row.get(STATUS) or "").lower()
        verified = BY_MACHINE if is_answer or said.by_machine else BY_HUMAN if said.state == told == VALIDATED else None
        extra = {
            "scientificName": said.name if is_answer else self._name(row),
            "basisOfRecord": MACHINE_RECORD if verified == BY_MACHINE else OTHER_RECORD,
            VERIFICATION: verified,
            "taxonRank": rank_term(said.rank) if is_answer else None,
            VERBATIM_DATE: row.get(VERBATIM_DATE),
            "identificationReferences": self.software if is_answer else None,
            HIGHER: "|".join(str(row[rank]) for rank in self.ranks if rank != "label" and row.get(rank)) or None,
        }
        if is_answer:  # columns that a person's rows brought say nothing of it
            row.update({name: value for name, value in extra.items() if name in row and row[name] is None})
        return [*(row.get(name) for name in self.columns), *(extra[name] for name in self.added)]

    def _name(self, row: dict[str, Any]) -> str | None:
        """The finest taxon that is known, else the label."""
        return next((row[rank] for rank in reversed(self.ranks) if rank != "label" and row.get(rank)), row.get("label"))

    def _media(self, row: dict[str, Any], archive: zipfile.ZipFile, used: Seen, path: Path) -> list[dict[str, str]]:
        """Rows of the multimedia extension; the image itself goes into the zip."""
        known: list[dict[str, str]] = json.loads(row["multimedia"]) if row.get("multimedia") else []
        addresses = [next((medium[name] for name in MEDIA_ADDRESS if name in medium), "") for medium in known]
        content, reason = image_of(row)
        if reason is not None:
            self.failures.add(reason, stage="write", source=path, id=str(row["id"]), severity="warning")
        media = []
        if content is not None:
            local = next((address for address in addresses if address and not address.lower().startswith(ADDRESSES)), None)
            name = archive_name(local, str(row["id"]), content, used, "images/")
            archive.writestr(zipfile.ZipInfo(name), content)
            about = known[addresses.index(local)] if local is not None else {}
            stated = {"identifier": name, "type": "StillImage", "format": MEDIA_TYPES.get(suffix_of(content), "")}
            media.append({**about, **stated})
        for medium, address in zip(known, addresses):
            if address.lower().startswith(ADDRESSES):
                media.append({**medium, "identifier": address})
        if row.get("image_url") and not known:
            media.append({"identifier": str(row["image_url"]), "type": "StillImage"})
        return media

    def _history(self, row: dict[str, Any], said: list[Entry]) -> list[dict[str, Any]]:
        """Rows of the identification extension: those the specimen came with, then the machine's."""
        history: list[dict[str, Any]] = json.loads(row["identification"]) if row.get("identification") else []
        answers = [entry.value for entry in said] + ([self._as_answer(row)] if self.naming.is_answer(row) else [])
        return history + [self._answer(answer) for answer in answers if answer.get("taxon") or answer.get(QUALIFIER)]

    def _as_answer(self, row: dict[str, Any]) -> dict[str, Any]:
        return row if "taxon" in row else {**row, "taxon": row.get("label")}

    def _answer(self, answer: dict[str, Any]) -> dict[str, Any]:
        facts = [("confidence", answer.get("confidence")), ("novelty", answer.get("novelty")), ("method", answer.get("method"))]
        return {
            "scientificName": answer.get("taxon") or "incertae sedis",  # a candidate that has no place in the tree yet
            QUALIFIER: answer.get(QUALIFIER),
            "taxonRank": rank_term(answer.get("rank")),
            "identifiedBy": "biocosmos",
            "dateIdentified": answer.get("dateIdentified") or self.said_on,
            "identificationVerificationStatus": BY_MACHINE,
            "identificationReferences": answer.get("identificationReferences") or self.software,
            "identificationRemarks": "; ".join(f"{name} {_short(value)}" for name, value in facts if value is not None),
        }


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if isinstance(value, str | int | float | bool) or value is None}


def _text(archive: zipfile.ZipFile, name: str, text: str) -> None:
    """A small file in the zip; the same text makes the same bytes."""
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, text)
