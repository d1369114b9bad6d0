"""Candidate taxa among specimens that nobody has named, each with a dossier and a name that stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.discover import kept
from biocosmos.discover.unknowns import Placing, Tested, find_groups, numbered_names, place_groups
from biocosmos.discover.unknowns.numbering import morphospecies
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.evaluate.discovery.unknowns.report import unknowns_report
from biocosmos.evaluate.report import Report
from biocosmos.jobs.discover.unknowns_settings import UnknownsSettings
from biocosmos.provenance import software
from biocosmos.search.gallery import Gallery
from biocosmos.settings import SettingError, told
from biocosmos.specimens import by_hand, guard
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.settings import pairs
from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]
METHOD = "discover unknowns"
PLACES = ("latitude", "longitude", "date")


@dataclass(frozen=True)
class Unknowns:
    """table: a row a specimen that was asked about, in the columns of a table of identifications, with the candidate it is of;
    report: with the page; kept: the table in the collection's folder."""

    table: pa.Table
    report: Report
    kept: kept.Discovery


def discover_unknowns(collection: Collection, settings: UnknownsSettings | None = None, **options: Any) -> Unknowns:
    """Groups of the specimens asked about that no known taxon fits, kept with the collection; no specimen gets a name of a known
    taxon by it.

    settings, or as options: see :class:`UnknownsSettings`. A candidate that an earlier run had found keeps its number.

    Raises BiocosmosError where nothing is known, nothing is asked about, or there is too little of either; for specimens that an
    encoder was trained on, by their ids.
    """
    settings = told(UnknownsSettings, **options) if settings is None else settings
    name = collection.encoder_name(settings.encoder)
    guard.refuse_own_names(collection, name)
    known, asked = _sides(collection, name, settings)
    assert known.taxa is not None and known.taxonomy is not None
    tested = find_groups(asked.vectors, known.vectors, known.taxa, seed=settings.seed)
    chosen = np.flatnonzero(tested.candidates(settings.false_discoveries))
    labels = np.full(len(asked), -1, np.int64)
    for place, group in enumerate(chosen):
        labels[tested.labels == group] = place
    placing = place_groups(
        known.taxonomy, known.vectors, known.taxa, asked.vectors, labels, promise=settings.promise, seed=settings.seed
    )
    groups = [set(asked.ids[labels == place].tolist()) for place in range(len(chosen))]
    numbers = numbered_names(groups, [_numbers(each) for each in kept.kept(collection, "unknowns")])
    table = _table(known.taxonomy, asked, labels, tested, placing, numbers)
    caveats = guard.told(collection, asked.ids, name)
    least = 1 / (len(tested.null) + 1)
    if least > settings.false_discoveries / 2:
        caveats.append(
            f"Only {len(tested.null)} groups of known specimens could be made to test against: no group can be surer than "
            f"p = {least:.2f}, and few are found at a rate of {settings.false_discoveries:g}. Name more specimens."
        )
    gaps = None if settings.second_encoder is None else _gaps(collection, settings, asked.ids, labels, len(chosen))
    facts = {
        "settings": {key: str(value) for key, value in asdict(settings).items() if value not in (None, ())},
        "software": software(),
        "encoder": name,
        "method": METHOD,
    }
    where = collection.take(asked.ids[labels >= 0].tolist(), list(PLACES))
    title = f"{collection.path.stem}: what no known taxon fits, by {name}"
    report = unknowns_report(
        known, asked, labels, tested, chosen, placing, numbers, where, gaps, title=title, caveats=caveats, provenance=facts
    )
    return Unknowns(table, report, kept.keep(collection, "unknowns", table, report.provenance))


def name_candidates(collection: Collection, names: Sequence[str], *, by: str | None = None) -> tuple[int, Failures]:
    """Record what a person calls candidates of the last run, "BC-001=Oithona davisae", as identifications by hand of all members.

    A name that is not in the taxonomy is taken with the finest rank of the collection. Returns (rows recorded, those refused).
    Raises BiocosmosError for a number that the last run does not have.
    """
    table = kept.read_kept(collection, "unknowns").table()
    recorded, failures = 0, Failures()
    for number, name in pairs(tuple(names), "--name").items():
        members = table.filter(pc.equal(table["candidate"], number))["id"].to_pylist()
        if not members:
            have = sorted({each for each in table["candidate"].to_pylist() if each})
            raise BiocosmosError(f"the last run has no candidate {number} (it has {', '.join(have) or 'none'})")
        known = not collection.ranks or (collection.taxonomy.names == name).any()
        rank = None if known else collection.ranks[-1]
        given = {"id": members, "taxon": [name] * len(members), "rank": pa.array([rank] * len(members), pa.string())}
        done = by_hand.record(collection, given, by=by, how=f"{number} named")
        recorded += done.rows
        failures.extend(done.failures)
    return recorded, failures


def _sides(collection: Collection, name: str, settings: UnknownsSettings) -> tuple[Gallery, Gallery]:
    """What is known, and what is asked about."""
    whole = collection.gallery(name, **settings.selected(), columns=[])
    if whole.taxa is None or not (whole.taxa > 0).any():
        raise BiocosmosError("nothing is known: no specimen has a name; 'biocosmos discover clusters' needs none")
    known = whole.subset(whole.taxa > 0)
    if settings.queries is None:
        if settings.split is not None:
            raise SettingError("--split says what is known: say with --queries what is asked about, or leave it out")
        asked = whole.subset(whole.taxa == 0)
        if not len(asked):
            raise BiocosmosError("every specimen has a name: name a part with --queries, or ingest what is unknown")
        return known, asked
    guard.refuse_part(collection, settings.queries, name)
    asked = collection.gallery(name, split=settings.queries, within=settings.within, where=settings.where, columns=[])
    if not len(asked):
        raise BiocosmosError(f"nothing is asked about: no selected specimen is in part '{settings.queries}'")
    mine = set(asked.ids.tolist())
    return known.subset(np.array([id_ not in mine for id_ in known.ids.tolist()])), asked


def _numbers(run: kept.Discovery) -> dict[str, str]:
    table = run.table()
    return {id_: number for id_, number in zip(table["id"].to_pylist(), table["candidate"].to_pylist()) if number}


def _table(tree: Taxonomy, asked: Gallery, labels: Array, tested: Tested, placing: Placing, numbers: Sequence[str]) -> pa.Table:
    """As a table of identifications: what is certain of a candidate is its taxon, ``morphospecies`` the name that it has
    meanwhile."""
    nodes = np.where(labels >= 0, placing.nodes[np.maximum(labels, 0)] if len(placing.nodes) else 0, 0)
    inside = labels >= 0
    scores = np.where(tested.labels >= 0, tested.scores[np.maximum(tested.labels, 0)] if len(tested.scores) else np.nan, np.nan)
    p = np.where(tested.labels >= 0, tested.p[np.maximum(tested.labels, 0)] if len(tested.p) else np.nan, np.nan)
    taxa = [str(tree.names[node]) if node > 0 else None for node in nodes]
    sure = placing.probability[np.maximum(labels, 0)] if len(placing.probability) else np.full(len(labels), np.nan)
    candidate = [numbers[label] if label >= 0 else None for label in labels]
    names = [None if of is None else morphospecies(tree, int(node), of) for node, of in zip(nodes, candidate)]
    columns: dict[str, Any] = {
        "id": pa.array(asked.ids.tolist(), pa.string()),
        "taxon": pa.array(taxa, pa.string()),
        "rank": pa.array([tree.ranks[int(tree.rank[node])] if node > 0 else None for node in nodes], pa.string()),
        "confidence": pa.array(sure, pa.float64(), mask=~inside | (nodes == 0)),
        "novelty": pa.array(scores, pa.float64(), mask=np.isnan(scores)),
        "novelty_p": pa.array(p, pa.float64(), mask=np.isnan(p)),
        "novel": pa.array(inside),
        "method": pa.array([METHOD] * len(labels), pa.string()),
        "candidate": pa.array(candidate, pa.string()),
        "morphospecies": pa.array(names, pa.string()),
        "identificationQualifier": pa.array([None if number is None else f"sp. {number}" for number in candidate], pa.string()),
    }
    return pa.table(columns)


def _gaps(
    collection: Collection, settings: UnknownsSettings, ids: Array, labels: Array, count: int
) -> list[dict[str, float | None]]:
    """Of each candidate by the other embedding: the mean cosine distance between members, and from a member to the nearest
    specimen that is not one."""
    second = collection.encoder_name(settings.second_encoder)
    guard.refuse_own_names(collection, second)
    other = collection.gallery(second, columns=[])
    place = {id_: row for row, id_ in enumerate(other.ids.tolist())}
    found: list[dict[str, float | None]] = []
    for group in range(count):
        rows = np.array([place[id_] for id_ in ids[labels == group].tolist() if id_ in place], np.int64)
        if len(rows) < 2:
            found.append({"within": None, "to_nearest": None})
            continue
        cosines = other.vectors[rows] @ other.vectors[rows].T
        inner = float((cosines.sum() - np.trace(cosines)) / (len(rows) * (len(rows) - 1)))
        outside = np.ones(len(other), bool)
        outside[rows] = False
        near = other.search(other.vectors[rows], 1, mask=outside).scores[:, 0] if outside.any() else np.array([np.nan])
        found.append({"within": 1 - inner, "to_nearest": float(1 - near.max())})
    return found
