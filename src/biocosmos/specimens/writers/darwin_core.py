"""Darwin Core Archive out: occurrences, their images inside the zip, and who or what identified them."""

from __future__ import annotations

import csv
import json
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import Failures
from biocosmos.provenance import package_version
from biocosmos.specimens.readers.darwin_core import MEDIA_ADDRESS
from biocosmos.specimens.readers.delimited import ADDRESSES
from biocosmos.specimens.readers.lookup import Entry, Lookup, Seen
from biocosmos.specimens.records import ADDED_BY_COLLECTION
from biocosmos.specimens.writers.darwin_core_terms import DC, DWC, MULTIMEDIA, eml_xml, meta_xml, term_of
from biocosmos.specimens.writers.pictures import MEDIA_TYPES, archive_name, image_of, suffix_of
from biocosmos.specimens.writers.tabular import rows_of, text_of
from biocosmos.tables import PROVENANCE_KEY, replacing

BY_MACHINE, BY_HUMAN = "PredictedByMachine", "ValidatedByHuman"
MACHINE_RECORD, OTHER_RECORD = "MachineObservation", "Occurrence"  # the second says no more than that it was there
STATES = {"predicted": BY_MACHINE, "validated": BY_HUMAN}
STATE_COLUMN = "object_annotation_status"
ANSWER = ("taxon", "rank", "confidence", "method")
"""Columns that tell a table of identifications from one of specimens."""
IDENTIFICATION_TERMS = (
    "scientificName",
    "taxonRank",
    "identifiedBy",
    "dateIdentified",
    "identificationVerificationStatus",
    "identificationReferences",
    "identificationRemarks",
)
NOT_IN_CORE = {"image", "image_path", "multimedia", "identification", *ADDED_BY_COLLECTION}
MEDIA_TERMS = ("identifier", "type", "format")


def write(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    path: Path,
    failures: Failures,
    ranks: Sequence[str],
    identifications: pa.Table | None = None,
) -> int:
    """Write a zip with meta.xml, eml.xml, occurrence.txt and, where needed, multimedia.txt and identification.txt.

    A table of identifications (:meth:`Identifier.identify`) becomes machine observations whose names stop at the rank that was
    sure enough; given as ``identifications`` it becomes the history of the specimens with these ids. Returns the rows written.
    """
    made = _Archive(schema, tuple(ranks), failures, identifications)
    with (
        replacing(path) as temporary,
        tempfile.TemporaryDirectory(prefix="biocosmos-") as folder,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive,
    ):
        made.write(batches, archive, Path(folder), path)
    return made.rows


class _Archive:
    def __init__(self, schema: pa.Schema, ranks: tuple[str, ...], failures: Failures, identifications: pa.Table | None) -> None:
        self.ranks, self.failures, self.rows = ranks, failures, 0
        self.is_answer = set(ANSWER) <= set(schema.names)
        provenance = (schema.metadata or {}).get(PROVENANCE_KEY)
        if identifications is not None:
            provenance = (identifications.schema.metadata or {}).get(PROVENANCE_KEY, provenance)
        self.software = _software(json.loads(provenance) if provenance else {})
        self.identifications = identifications
        self.columns = [name for name in schema.names if name not in NOT_IN_CORE]
        self.added = [name for name in ("scientificName", "basisOfRecord") if name not in self.columns]
        if "identificationVerificationStatus" not in self.columns and (self.is_answer or STATE_COLUMN in self.columns):
            self.added.append("identificationVerificationStatus")
        if self.is_answer:
            self.added += [n for n in ("taxonRank", "identificationReferences") if n not in self.columns]

    def write(self, batches: Iterable[pa.RecordBatch], archive: zipfile.ZipFile, folder: Path, path: Path) -> None:
        with ExitStack() as stack:
            used, history = stack.enter_context(Seen()), stack.enter_context(Lookup())
            if self.identifications is not None:
                history.fill((str(row["id"]), None, _plain(row)) for row in rows_of(self.identifications.to_batches(1024)))

            def table(name: str, header: Sequence[str]) -> Any:
                file = stack.enter_context((folder / name).open("w", encoding="utf-8", newline=""))
                writer = csv.writer(file, delimiter="\t", lineterminator="\r\n")
                writer.writerow(header)
                return writer

            core = table("occurrence.txt", [*self.columns, *self.added])
            media = table("multimedia.txt", ["coreid", *MEDIA_TERMS])
            named = table("identification.txt", ["coreid", *IDENTIFICATION_TERMS])
            counts = {"multimedia.txt": 0, "identification.txt": 0}
            for row in rows_of(batches):
                id = str(row["id"])
                core.writerow([text_of(value) for value in self._core(row)])
                for medium in self._media(row, archive, used, path):
                    media.writerow([id, *(medium.get(term, "") for term in MEDIA_TERMS)])
                    counts["multimedia.txt"] += 1
                for said in self._history(row, history.get(id) if self.identifications is not None else []):
                    named.writerow([id, *(text_of(said.get(term)) for term in IDENTIFICATION_TERMS)])
                    counts["identification.txt"] += 1
                self.rows += 1
        extensions: dict[str, tuple[str, Sequence[str]]] = {}
        if counts["multimedia.txt"]:
            extensions["multimedia.txt"] = (MULTIMEDIA, [DC + term for term in MEDIA_TERMS])
        if counts["identification.txt"]:
            extensions["identification.txt"] = (DWC + "Identification", [DWC + term for term in IDENTIFICATION_TERMS])
        for name in ("occurrence.txt", *extensions):
            archive.write(folder / name, name, zipfile.ZIP_DEFLATED)
        today = datetime.now(timezone.utc).date().isoformat()
        archive.writestr("meta.xml", meta_xml([term_of(name) for name in (*self.columns, *self.added)], extensions))
        archive.writestr("eml.xml", eml_xml(path.stem, self.rows, self.software, today))

    def _core(self, row: dict[str, Any]) -> list[Any]:
        if self.is_answer and row.get("rank") in self.ranks:
            for rank in self.ranks[self.ranks.index(row["rank"]) + 1 :]:  # finer than what was sure enough
                row[rank] = None
        elif self.is_answer:
            row.update(dict.fromkeys(self.ranks))
        machine = self.is_answer or STATES.get(str(row.get(STATE_COLUMN) or "").lower()) == BY_MACHINE
        extra = {
            "scientificName": row.get("taxon") if self.is_answer else self._name(row),
            "basisOfRecord": MACHINE_RECORD if machine else OTHER_RECORD,
            "identificationVerificationStatus": BY_MACHINE if self.is_answer else STATES.get(str(row.get(STATE_COLUMN)).lower()),
            "taxonRank": row.get("rank"),
            "identificationReferences": self.software,
        }
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
            media.append({"identifier": name, "type": "StillImage", "format": MEDIA_TYPES.get(suffix_of(content), "")})
        for medium, address in zip(known, addresses):
            if address.lower().startswith(ADDRESSES):
                media.append({**medium, "identifier": address})
        if row.get("image_url") and not known:
            media.append({"identifier": str(row["image_url"]), "type": "StillImage"})
        return media

    def _history(self, row: dict[str, Any], said: list[Entry]) -> list[dict[str, Any]]:
        """Rows of the identification extension: those the specimen came with, then the machine's."""
        history: list[dict[str, Any]] = json.loads(row["identification"]) if row.get("identification") else []
        answers = [entry.value for entry in said] + ([row] if self.is_answer else [])
        return history + [self._answer(answer) for answer in answers if answer.get("taxon") is not None]

    def _answer(self, answer: dict[str, Any]) -> dict[str, Any]:
        facts = [("confidence", answer.get("confidence")), ("novelty", answer.get("novelty")), ("method", answer.get("method"))]
        return {
            "scientificName": answer["taxon"],
            "taxonRank": answer.get("rank"),
            "identifiedBy": "biocosmos",
            "dateIdentified": answer.get("dateIdentified") or datetime.now(timezone.utc).date().isoformat(),
            "identificationVerificationStatus": BY_MACHINE,
            "identificationReferences": self.software,
            "identificationRemarks": "; ".join(f"{name} {_short(value)}" for name, value in facts if value is not None),
        }


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if isinstance(value, str | int | float | bool) or value is None}


def _software(provenance: dict[str, Any]) -> str:
    """ "biocosmos 0.1.0, encoder efficientnet-lite0 (weights 1a2b3c)", from a table's provenance."""
    version = str(provenance.get("biocosmos") or provenance.get("software", {}).get("biocosmos") or package_version())
    encoder = provenance.get("encoder")
    facts = encoder if isinstance(encoder, dict) else {"name": encoder, "digest": provenance.get("digest")}
    weights = f" (weights {facts['digest']})" if facts.get("digest") else ""
    return f"biocosmos {version}" + (f", encoder {facts['name']}{weights}" if facts.get("name") else "")
