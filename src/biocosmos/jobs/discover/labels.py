"""Audit the labels of a collection, and take the corrections that a person accepted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.discover import kept
from biocosmos.discover.labels.audit import VOTERS, Audit, audit
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.evaluate.discovery.suspects.report import suspects_report
from biocosmos.evaluate.report import Report
from biocosmos.jobs.discover.labels_settings import LabelsSettings
from biocosmos.search.gallery import Gallery
from biocosmos.settings import told
from biocosmos.specimens import by_hand, guard
from biocosmos.specimens.care.change import ChangeSummary
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.readers.textfile import open_table

Array = npt.NDArray[Any]
YES, NO = ("yes", "y", "true", "1", "x", "accept"), ("no", "n", "false", "0", "", "reject")


@dataclass(frozen=True)
class Audited:
    """table: suspects, the surest first; report: with the page; kept: the table in the collection's folder."""

    table: pa.Table
    report: Report
    kept: kept.Discovery


@dataclass(frozen=True)
class Accepted:
    """recorded: identifications by hand; failures: rows that could not be used; change: of the labels, if asked for."""

    recorded: int
    failures: Failures
    change: ChangeSummary | None


def discover_labels(collection: Collection, settings: LabelsSettings | None = None, **options: Any) -> Audited:
    """The selected labelled specimens whose label is probably wrong, kept with the collection; no label is changed.

    settings, or as options: see :class:`LabelsSettings`. Groups of doubles that ``discover duplicates`` found last are kept in
    one fold. Raises BiocosmosError where no label can be doubted.
    """
    settings = told(LabelsSettings, **options) if settings is None else settings
    name = collection.encoder_name(settings.encoder)
    guard.refuse_own_names(collection, name)
    gallery = collection.gallery(name, **settings.selected(), columns=[])
    if not len(gallery):
        raise BiocosmosError(f"there is nothing to audit: no selected specimen of {collection.path} is embedded with {name}")
    together, doubles = _groups(collection, gallery.ids)
    found = audit(gallery, together=together, seed=settings.seed)
    table = found.table
    if settings.second_encoder is not None:
        table = _second(collection, settings, found, table)
    caveats = guard.told(collection, gallery.ids, name)
    if not doubles:
        caveats.append(
            "Doubles were not looked for ('biocosmos discover duplicates'): a double with the same wrong label hides it."
        )
    facts = {"settings": {key: str(value) for key, value in asdict(settings).items() if value is not None}, "doubles": doubles}
    title = f"{collection.path.stem}: labels that are probably wrong, by {name}"
    report = suspects_report(gallery, found, table, title=title, caveats=caveats, provenance=facts)
    return Audited(table, report, kept.keep(collection, "suspects", table, report.provenance))


def accept_labels(collection: Collection, path: str | Path, *, by: str | None = None, to_labels: bool = False) -> Accepted:
    """Record as identifications by hand what a person accepted of a table of suspects.

    path: a CSV, TSV or Parquet with ``id``, ``proposal`` and ``accept``: yes (the proposal is right), no or blank, or the name of
    another taxon. Nothing that was said before is overwritten. Raises BiocosmosError where nothing is accepted, or a column
    misses.
    """
    table = _read(Path(path))
    missing = [name for name in ("id", "proposal", "accept") if name not in table.column_names]
    if missing:
        raise BiocosmosError(
            f"{path} has no column '{missing[0]}': it is a table of suspects with a column 'accept' (yes, no, or a taxon)"
        )
    ids, taxa, ranks = list[str](), list[str](), list[str | None]()
    told_ranks = table["rank"].to_pylist() if "rank" in table.column_names else [None] * len(table)
    columns = (table[name].to_pylist() for name in ("id", "proposal", "accept"))
    for id_, proposal, said, rank in zip(*columns, told_ranks):
        word = "" if said is None else str(said).strip()
        if word.lower() in NO:
            continue
        ids.append(id_)
        taxa.append(proposal if word.lower() in YES else word)
        ranks.append(rank if word.lower() in YES else None)
    if not ids:
        raise BiocosmosError(f"{path}: no row is accepted; write yes, or the right taxon, into the column 'accept'")
    given = {"id": ids, "taxon": taxa, "rank": pa.array(ranks, pa.string())}
    done = by_hand.record(collection, given, by=by, how="label audit", note=Path(path).name)
    change = by_hand.labels_from(collection, by=by, note="label audit") if to_labels and done.rows else None
    return Accepted(done.rows, done.failures, change)


def _read(path: Path) -> pa.Table:
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        try:
            return pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise BiocosmosError(f"cannot read {path}: {error}") from error
    failures = Failures()
    with open_table(path, separator="\t" if path.suffix.lower() == ".tsv" else None, failures=failures) as opened:
        header, rows = opened.header, [fields for _, fields in opened.rows()]
    if failures.errors:
        first = next(failure for failure in failures if failure.severity == "error")
        raise BiocosmosError(f"{path}, row {first.row}: {first.reason}")
    return pa.table({name: pa.array([fields[i] for fields in rows], pa.string()) for i, name in enumerate(header)})


def _groups(collection: Collection, ids: Array) -> tuple[Array | None, str | None]:
    """((n,) group of doubles of each id, -1 for none; the name of the table), None where none was made."""
    there = kept.kept(collection, "duplicates")
    if not there:
        return None, None
    table = there[-1].table()
    place = pc.index_in(pa.array(ids.tolist(), pa.string()), value_set=table["id"].cast(pa.string()).combine_chunks())
    found = table["group"].take(place).fill_null(-1).to_numpy(zero_copy_only=False)
    return found.astype(np.int64), there[-1].name


def _second(collection: Collection, settings: LabelsSettings, found: Audit, table: pa.Table) -> pa.Table:
    """Two columns more: what the nearest specimens by another embedding vote, of all that have both."""
    name = collection.encoder_name(settings.second_encoder)
    guard.refuse_own_names(collection, name)
    other = collection.gallery(name, **settings.selected(), columns=[])
    label, rival = second_votes(other, table["id"], found.proposals)
    return table.append_column("second_votes_label", label).append_column("second_votes_proposal", rival)


def second_votes(gallery: Gallery, ids: pa.ChunkedArray, proposals: Array) -> tuple[pa.Array, pa.Array]:
    """Shares of the 10 nearest labelled specimens of ``gallery`` that are called as the specimen is, and as was proposed; null
    for specimens that it does not hold."""
    assert gallery.taxa is not None and gallery.taxonomy is not None
    tree = gallery.taxonomy
    place = pc.index_in(ids.combine_chunks(), value_set=pa.array(gallery.ids.tolist(), pa.string())).to_pylist()
    mine = [row for row in place if row is not None]
    label: list[float | None] = [None] * len(place)
    rival: list[float | None] = [None] * len(place)
    if mine:
        hits = gallery.search(gallery.vectors[mine], VOTERS, exclude=gallery.ids[mine], mask=gallery.taxa > 0)
        at = 0
        for suspect, row in enumerate(place):
            if row is None:
                continue
            named = gallery.taxa[hits.rows[at][hits.rows[at] >= 0]].astype(np.int64)
            at += 1
            own, wanted = int(gallery.taxa[row]), int(proposals[suspect])
            label[suspect] = float(((named >= own) & (named < tree.end[own])).mean()) if len(named) else None
            rival[suspect] = float(((named >= wanted) & (named < tree.end[wanted])).mean()) if len(named) else None
    return pa.array(label, pa.float64()), pa.array(rival, pa.float64())
