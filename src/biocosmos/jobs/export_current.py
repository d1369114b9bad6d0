"""Write specimens as they are called now: names that people gave over the labels, and what a machine named where nobody did.

Who said it and when goes with every name, so that the formats can tell people from machines: a specimen that a person named
leaves as validated (or dubious), by that person; one that only a machine named as predicted, by that software; all others as they
are stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.outputs import place_of
from biocosmos.progress import progress
from biocosmos.specimens import by_hand
from biocosmos.specimens.by_hand.labels import path_of
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.identifications import answered_ranks, kept, read_kept
from biocosmos.specimens.positions import positions_of
from biocosmos.specimens.readers.ecotaxa_table import CATEGORY, HIERARCHY, STATUS
from biocosmos.specimens.survey_settings import COUNTED, Survey
from biocosmos.specimens.writers import Written, format_of, provenance_of, write
from biocosmos.specimens.writers.ecotaxa_columns import ANNOTATION, CATEGORY_ID
from biocosmos.specimens.writers.naming import BY_HUMAN, BY_MACHINE, PREDICTED, VERIFICATION, software_of

OWN_LABEL = "own_label"
IMAGES = ("image", "image_path", "image_url", "multimedia")
WITH_IMAGES, WITHOUT = 64, 2048
"""Rows in memory at once."""
SAID = ("identifiedBy", "dateIdentified", "identificationRemarks", "identificationReferences", VERIFICATION, "taxonRank")
OF_THE_OLD_NAME = (
    *("scientificName", "scientificNameAuthorship", "scientificNameID", "taxonID", "taxonConceptID", "acceptedNameUsage"),
    *("acceptedNameUsageID", "specificEpithet", "infraspecificEpithet", "cultivarEpithet", "genericName", "vernacularName"),
    *("identificationQualifier", "identificationID", "identifiedByID", "verbatimTaxonRank", "higherClassification"),
    *SAID,
)
"""Columns that say something of a name, and nothing of another."""


def export_current(
    collection: Collection,
    output: str | Path,
    *,
    ids: Sequence[str] | None = None,
    format: str | None = None,
    images: bool = True,
    spreadsheet: bool = False,
    survey: Survey | None = None,
) -> Written:
    """Write the specimens ``ids``, in this order, or all, with their names as of now.

    images: packed or as files where the format has them (EcoTaxa takes none without; CSV gets a folder beside it). spreadsheet:
    and survey: as of :func:`biocosmos.specimens.writers.write`. Ids that no specimen has are left out, with a warning.
    Raises BiocosmosError for an unclear format, no specimen, and EcoTaxa without images.
    """
    output = place_of(output)
    kind = format_of(output, format)
    if kind in ("ecotaxa", "coco", "camtrap-dp") and not images:
        raise BiocosmosError(f"{kind} is made of pictures: write them too, or choose another format")
    failures = Failures()
    now = _Now(collection, kind, images and kind not in COUNTED)
    places, total = now.places(ids, output, failures)
    if not total:
        raise BiocosmosError(f"nothing to write to {output}: no specimen is selected")
    rows = _counted(now.batches(places), total, output)
    history = now.machines_besides() if kind == "darwin-core" else None
    more: dict[str, Any] = {"spreadsheet": spreadsheet, "survey": survey}
    return write(rows, output, format=kind, ranks=now.ranks, identifications=history, failures=failures, **more)


def _counted(batches: Iterator[pa.RecordBatch], total: int, output: Path) -> Iterator[pa.RecordBatch]:
    with progress(f"export {output.name}", total, "specimens") as bar:
        for batch in batches:
            yield batch
            bar.advance(batch.num_rows)


@dataclass
class _Machine:
    """What machines said, of each specimen the latest. tables: newest first; place: id -> (table, row)."""

    tables: list[pa.Table]
    software: list[str]
    when: list[str]
    place: dict[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, collection: Collection) -> _Machine:
        found = cls([], [], [])
        for number, one in enumerate(reversed(kept(collection))):
            table = read_kept(collection, one.name)
            found.tables.append(table)
            found.software.append(software_of(provenance_of(table.schema)))
            found.when.append(f"{one.kept.replace(' ', 'T')}Z" if one.kept else "")
            for row, id_ in enumerate(table["id"].to_pylist()):
                found.place.setdefault(id_, (number, row))
        return found

    def answers(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The answers of those that have one with a name."""
        wanted: dict[int, list[tuple[str, int]]] = {}
        for id_ in ids:
            if id_ in self.place:
                number, row = self.place[id_]
                wanted.setdefault(number, []).append((id_, row))
        found = {}
        for number, rows in wanted.items():
            said = self.tables[number].take(pa.array([row for _, row in rows], pa.int64())).to_pylist()
            for (id_, _), answer in zip(rows, said):
                if answer.get("taxon"):
                    about = {"identificationReferences": self.software[number], "dateIdentified": self.when[number]}
                    found[id_] = answer | {"identifiedBy": "biocosmos", VERIFICATION: BY_MACHINE} | about
        return found

    def schema(self) -> list[pa.Field]:
        """Columns of all tables, those of the latest first."""
        fields: dict[str, pa.Field] = {}
        for table in self.tables:
            for each in table.schema:
                fields.setdefault(each.name, each)
        return list(fields.values())


class _Now:
    """The rows of a collection with their names as of now, for one format."""

    def __init__(self, collection: Collection, kind: str, images: bool) -> None:
        self.collection, self.kind, self.images = collection, kind, images
        self.people = {row["id"]: row for row in by_hand.current(collection).to_pylist()}
        self.machine = _Machine.of(collection)
        self.tree = collection.taxonomy if collection.ranks else None
        self._paths: dict[tuple[str, str | None], Mapping[str, str | None]] = {}
        self.columns = [name for name in collection.filled_columns() if images or name not in IMAGES]
        ours = list(collection.ranks)
        theirs = [rank for table in self.machine.tables[:1] for rank in answered_ranks(table.column_names)]
        self.ranks = [*ours, *(rank for rank in theirs if rank not in ours)]
        self.history: dict[str, list[dict[str, Any]]] = {}
        if kind == "darwin-core":
            for row in by_hand.standing(collection).to_pylist():
                self.history.setdefault(row["id"], []).append(row)
        self.schema = self._schema()

    def places(self, ids: Sequence[str] | None, output: Path, failures: Failures) -> tuple[list[int], int]:
        """(where the wanted specimens are stored, how many these are)."""
        if ids is None:
            count = self.collection.dataset.count_rows()
            return list(range(count)), count
        found = positions_of(self.collection.dataset, list(dict.fromkeys(map(str, ids)))).tolist()
        if gone := sum(place < 0 for place in found):
            reason = f"{gone:,} ids that no specimen has: left out"
            failures.add(reason, stage="write", source=output, severity="warning")
        there = [place for place in found if place >= 0]
        return there, len(there)

    def batches(self, places: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """The rows at these places."""
        size, names = WITH_IMAGES if self.images else WITHOUT, list(dict.fromkeys(["id", *self.columns]))
        dataset = self.collection.dataset
        for start in range(0, len(places), size):
            rows = dataset.take(list(places[start : start + size]), columns=names).to_pylist()
            unnamed = [row["id"] for row in rows if row["id"] not in self.people and not self._has_name(row)]
            answers = self.machine.answers(unnamed)
            made = [self._row(row, answers.get(row["id"])) for row in rows]
            yield pa.RecordBatch.from_pylist([{n: row.get(n) for n in self.schema.names} for row in made], schema=self.schema)

    def machines_besides(self) -> pa.Table | None:
        """What machines said of specimens that people named, for the identification history."""
        if not self.machine.tables:
            return None
        answers = self.machine.answers(list(self.people) + self._labelled_and_answered())
        fields = [each for each in self.machine.schema() if not pa.types.is_nested(each.type)]
        names = [*(each.name for each in fields), "identificationReferences", "dateIdentified"]
        kinds = [*(each.type for each in fields), pa.string(), pa.string()]
        columns = [pa.array([answer.get(name) for answer in answers.values()], kind) for name, kind in zip(names, kinds)]
        table = pa.table(dict(zip(names, columns)))
        return table.replace_schema_metadata(self.machine.tables[0].schema.metadata) if len(table) else None

    def _labelled_and_answered(self) -> list[str]:
        """Ids with an own name that a machine named too."""
        wanted = [name for name in ("label", STATUS, *self.collection.ranks) if name in self.columns]
        table = self.collection.table(["id", *dict.fromkeys(wanted)])
        table = table.filter(pc.is_in(table["id"], value_set=pa.array(list(self.machine.place), pa.string())))
        return [row["id"] for row in table.to_pylist() if row["id"] not in self.people and self._has_name(row)]

    def _has_name(self, row: Mapping[str, Any]) -> bool:
        """Whether the stored name is a person's, as far as is told."""
        named = row.get("label") or any(row.get(rank) for rank in self.collection.ranks)
        return bool(named) and str(row.get(STATUS) or "").lower() != PREDICTED

    def _row(self, row: dict[str, Any], answer: dict[str, Any] | None) -> dict[str, Any]:
        if answer is not None:
            own = {name: value for name, value in row.items() if name not in answer and name not in self.collection.ranks}
            ranks = [rank for rank in self.ranks if rank in answer]
            sure = ranks.index(answer["rank"]) + 1 if answer.get("rank") in ranks else 0
            finer = dict.fromkeys(ranks[sure:])  # guesses that were not sure enough are no names
            more = {OWN_LABEL: row.get("label"), "label": None, STATUS: None, CATEGORY: None}
            return {**own, **answer, **finer, **more, "id": row["id"]}
        said = self.people.get(row["id"])
        if said is None:
            return row
        path = self._path(said["taxon"], said["rank"])
        old = row.get("label") or next((row[rank] for rank in reversed(self.collection.ranks) if row.get(rank)), None)
        same = bool(path) and all(row.get(rank) == path.get(rank) for rank in self.collection.ranks)
        new = dict(row)
        if not same:
            new |= dict.fromkeys((*OF_THE_OLD_NAME, CATEGORY, CATEGORY_ID, HIERARCHY))
            new |= {rank: path.get(rank) for rank in self.collection.ranks}
            new["label"] = path.get("label") if "label" in self.collection.ranks else said["taxon"]
            new[OWN_LABEL] = old
        at = said["at"]
        new |= {"taxon": said["taxon"], "rank": said["rank"], STATUS: said["status"], "scientificName": said["taxon"]}
        if self.kind == "ecotaxa":
            return new | {
                ANNOTATION[0]: f"{at:%Y%m%d}",
                ANNOTATION[1]: f"{at:%H%M%S}",
                ANNOTATION[2]: said["by"],
                ANNOTATION[3]: None,
            }
        validated = said["status"] == by_hand.VALIDATED
        words = [
            said["note"],
            "" if validated else f"{said['by']} doubts it",
            "others name it otherwise" if said["disagreed"] else "",
        ]
        new |= {
            "identifiedBy": said["by"],
            "dateIdentified": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            VERIFICATION: BY_HUMAN if validated else None,
            "taxonRank": said["rank"] if said["rank"] != "label" else None,
            "identificationRemarks": "; ".join(word for word in words if word) or None,
        }
        if self.kind == "darwin-core":
            new["identification"] = json.dumps([*json.loads(row.get("identification") or "[]"), *self._earlier(row, old, same)])
        return new

    def _earlier(self, row: Mapping[str, Any], old: str | None, same: bool) -> list[dict[str, Any]]:
        """Rows of the identification history: the name it was stored with, and what each person says."""
        first = [] if old is None or same else [{"scientificName": old, **{n: row[n] for n in SAID[:2] if row.get(n)}}]
        return first + [
            {
                "scientificName": said["taxon"],
                "taxonRank": said["rank"] if said["rank"] != "label" else None,
                "identifiedBy": said["by"],
                "dateIdentified": f"{said['at']:%Y-%m-%dT%H:%M:%SZ}",
                VERIFICATION: BY_HUMAN if said["status"] == by_hand.VALIDATED else None,
                "identificationRemarks": said["note"] or said["how"] or None,
            }
            for said in self.history.get(row["id"], ())
        ]

    def _path(self, taxon: str, rank: str | None) -> Mapping[str, str | None]:
        if (taxon, rank) not in self._paths:
            self._paths[taxon, rank] = path_of(self.tree, taxon, rank)
        return self._paths[taxon, rank]

    def _schema(self) -> pa.Schema:
        """Columns of the rows: the stored ones, those of a person's name, and those of a machine's answer."""
        stored, text = self.collection.dataset.schema, pa.string()
        fields: dict[str, pa.Field] = {"id": pa.field("id", text)}
        for name in self.columns:
            fields[name] = stored.field(name)
        if self.machine.tables:
            for each in self.machine.schema():
                if each.name not in fields and not pa.types.is_nested(each.type):
                    fields[each.name] = each
        plain = self.kind in ("csv", "parquet")
        more = [*self.collection.ranks, "label", STATUS]
        more += [*ANNOTATION[:3]] if self.kind == "ecotaxa" else [*SAID]
        more += ["taxon", "rank", OWN_LABEL] if plain else []
        more += ["identification"] if self.kind == "darwin-core" else []
        for name in more:
            fields.setdefault(name, pa.field(name, text))
        metadata = self.machine.tables[0].schema.metadata if self.machine.tables else None
        return pa.schema(list(fields.values()), metadata=metadata)
