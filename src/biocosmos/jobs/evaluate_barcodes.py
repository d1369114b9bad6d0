"""Barcodes of a collection as names: the nearest of every encoder, what a namer answers, the barcode gap, BINs and trees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.encoders.modality import modality_of
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.evaluate import Report
from biocosmos.evaluate.barcode.accuracy import SEEN
from biocosmos.evaluate.barcode.accuracy import UNSEEN as UNSEEN_SPECIES
from biocosmos.evaluate.barcode.report import Beside, barcode_report
from biocosmos.evaluate.barcode.specimens import Library
from biocosmos.evaluate.open_world.published import ACCURACY, GENUS_OF_UNSEEN, SPECIES_OF_SEEN, measured, published_table
from biocosmos.identify.namers.names import NAMES
from biocosmos.jobs.barcode_neighbours import COLUMN, search_all
from biocosmos.jobs.barcode_probes import probe_all
from biocosmos.jobs.evaluate_settings import UNSEEN, EvaluateSettings
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.jobs.predict import part_blocks, part_facts
from biocosmos.jobs.who_names import identifier_of
from biocosmos.search.gallery import Gallery
from biocosmos.settings import SettingError, names_in
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.records import BINS

Row = dict[str, Any]
METHOD = "barcode"


def judge_barcodes(collection: Collection, encoders: Sequence[str], settings: EvaluateSettings) -> Report:
    """A report on the parts that ask, of seen and of unseen species, against the part that answers.

    Specimens that an encoder was fitted on are refused by their ids. Raises BiocosmosError for a collection without barcodes, a
    column that is not there, and as :func:`barcode_report`.
    """
    if COLUMN not in collection.stored_columns:
        raise BiocosmosError(f"{collection.path} has no column '{COLUMN}': read barcodes with 'biocosmos ingest' first")
    part = asked_part(collection, settings)
    guard.refuse_part(collection, part, *encoders, where=settings.where)
    pick: dict[str, Any] = {"where": settings.where, "columns": (COLUMN,)}
    galleries = {name: collection.gallery(name, split=settings.gallery, **pick) for name in encoders}
    queries = {name: collection.gallery(name, split=part, **pick) for name in encoders}
    for name in encoders:
        for side, each in ((settings.gallery, galleries[name]), (part, queries[name])):
            if not len(each):
                raise BiocosmosError(f"part '{side}' has no specimen with a vector of {name}: choose another")
    done = search_all(galleries, queries, settings)
    probes: pa.Table | None = None
    unmade: list[str] = []
    if settings.probes:
        options: dict[str, Any] = {"provisional": settings.provisional, "seed": settings.seed}
        probes, unmade = probe_all(galleries, queries, names_in(settings.probes), **options)
    answers, known, promise, notes = _answers(collection, encoders, galleries, part, settings)
    published = _beside_published(collection, done.cost, settings)
    report = barcode_report(
        done.galleries,
        done.queries,
        library=library_of(collection, part, settings),
        beside=Beside(done.found, answers, known, promise, done.cost, probes, published),
        measure=settings.distance,  # type: ignore[arg-type]
        tree_genera=settings.tree_genus,
        provisional=settings.provisional,
        seed=settings.seed,
    )
    notes += unmade
    report.caveats += notes + guard.told(collection, queries[encoders[0]].ids, *encoders)
    return report


def asked_part(collection: Collection, settings: EvaluateSettings) -> str:
    """The parts that ask together, as one: "test+test_unseen". Raises SettingError for parts of two splits."""
    split, _, queries = settings.queries.rpartition(":")
    other, _, unseen = settings.unseen.rpartition(":")
    if other and other != (split or "default"):
        raise SettingError(f"--queries {settings.queries} and --unseen {settings.unseen} are of two splits: name parts of one")
    counts = collection.split(split or "default").counts()
    if unseen in queries.split("+") or (settings.unseen == UNSEEN and unseen not in counts):
        return settings.queries
    return f"{settings.queries}+{unseen}"


def library_of(collection: Collection, part: str, settings: EvaluateSettings) -> Library:
    """Every specimen with a name and a barcode of both sides. Raises BiocosmosError for a column of BINs that is not there."""
    bins = settings.bins or next((name for name in BINS if name in collection.stored_columns), None)
    if bins is not None and bins not in collection.stored_columns:
        raise BiocosmosError(f"the collection has no column '{bins}' with BINs: name another with --bins")
    wanted = list(dict.fromkeys(["id", COLUMN, *collection.ranks, *([bins] if bins else [])]))
    sides = [collection.table(wanted, split=side, where=settings.where) for side in (settings.gallery, part)]
    query = np.repeat([False, True], [len(side) for side in sides])
    table = pa.concat_tables(sides)
    has = pc.fill_null(pc.not_equal(table[COLUMN], ""), False).to_numpy(zero_copy_only=False)
    table, query = table.filter(pa.array(has)), query[has]
    texts = np.array([text.upper().replace("-", "") for text in table[COLUMN].to_pylist()], object)
    return Library(
        np.array(table["id"].to_pylist(), object),
        texts,
        np.maximum(collection.taxonomy.index(table), 0),
        collection.taxonomy,
        query,
        None if bins is None else np.array(table[bins].to_pylist(), object),
    )


def _beside_published(
    collection: Collection, cost: Sequence[Row], settings: EvaluateSettings
) -> Callable[[Sequence[Row]], pa.Table]:
    """Rows of accuracy -> published figures of barcodes and, under those of a task, what was measured here."""
    dna = [row["encoder"] for row in cost if row["of"] == "dna"]
    data = f"{collection.path.stem}: {settings.gallery}"

    def table(rows: Sequence[Row]) -> pa.Table:
        found = [
            measured(task, data, row["encoder"], ACCURACY, row["value"])
            for task, group, rank in ((SPECIES_OF_SEEN, SEEN, "species"), (GENUS_OF_UNSEEN, UNSEEN_SPECIES, "genus"))
            for row in rows
            if (row["group"], row["rank"], row["average"]) == (group, rank, "micro") and row["encoder"] in dna and row["queries"]
        ]
        return published_table(found)

    return table


def _answers(
    collection: Collection, encoders: Sequence[str], galleries: dict[str, Gallery], part: str, settings: EvaluateSettings
) -> tuple[dict[str, pa.Table], Gallery | None, float | None, list[str]]:
    """(namer -> its answers to the queries, what it knows, the rate of wrong answers promised, notes) by the first encoder."""
    methods = names_in(settings.method) or ((METHOD,) if METHOD in NAMES and modality_of(encoders[0]) == "dna" else ())
    if not settings.identify or not methods:
        return {}, None, None, []
    rules = {name: getattr(settings, name) for name in ("threshold", "error_rate", "promise", "delta", "novelty")}
    tables, notes, promise = {}, [], None
    for method in methods:
        asked = IdentifySettings(
            part=part,
            method=method,
            encoder=encoders[0],
            known=settings.gallery,
            calibration=settings.calibration,
            where=settings.where,
            seed=settings.seed,
            device=settings.device,
            **{name: value for name, value in rules.items() if value is not None},
        )
        identifier = identifier_of(collection, asked)
        failures = Failures()
        blocks = part_blocks(collection, identifier.namer, part, encoder=encoders[0], where=settings.where, failures=failures)
        said = [answered.table for answered in identifier.stream(blocks)]
        tables[method] = identifier.finished(said, part_facts(collection, part, settings.where))
        promise = None if identifier.promise is None else identifier.promise.alpha
        notes += [f"{method}: {identifier.describe()}.", *(f"{method}: {note}" for note in identifier.notes)]
        if len(failures):
            notes.append(f"{method}: {len(failures):,} specimens of part '{part}' could not be asked about and were left out.")
    return tables, galleries[encoders[0]], promise, notes
