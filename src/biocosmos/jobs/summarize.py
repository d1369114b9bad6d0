"""Count what was found in each sample: specimens, concentrations, biovolumes, by taxon."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.discover.communities.counting import Counted, Counting, sample_column
from biocosmos.discover.communities.diversity import hill
from biocosmos.discover.communities.grouping import Grouped, group, names_of_cells, per_area
from biocosmos.discover.communities.indices import CHAO1_WARNING, distance_table, distances, diversity_table
from biocosmos.discover.communities.table import Community
from biocosmos.discover.communities.uncertainty import BESIDE, Confusion, Doubt, doubt_of
from biocosmos.errors import BiocosmosError, Failures, first_line
from biocosmos.evaluate.communities import community_report
from biocosmos.evaluate.report import Report
from biocosmos.jobs.judged_names import confusion_of, judged_names
from biocosmos.jobs.named_specimens import Answers, joined, joined_schema, own_names
from biocosmos.jobs.quantify_samples import SharesOfSamples, quantify_samples
from biocosmos.jobs.summarize_settings import SummarizeSettings
from biocosmos.progress import progress
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.identifications import answered_ranks, read_kept

STANDARD = SummarizeSettings()
ROWS = 2048
NEVER_COUNTED = ("id", "image", "image_path", "crop", "barcode", "text", "content_hash")
COUNTS_AS = "ecotaxa-summary"
"""The format whose names these are: what a person validated stays."""


@dataclass(frozen=True)
class Summary:
    """What :func:`summarize` found. grouped: the community and its specimens; failures: what was told; doubt: intervals, None
    without draws; confusion: of the classifier, where it is known; shares: of the taxa in each sample,
    where they were asked for."""

    grouped: Grouped
    counted: Counted
    failures: Failures
    provenance: dict[str, Any]
    settings: SummarizeSettings
    doubt: Doubt | None = None
    confusion: Confusion | None = None
    shares: SharesOfSamples | None = None

    @property
    def community(self) -> Community:
        """Samples by taxa."""
        return self.grouped.community

    def table(self) -> pa.Table:
        """One row for each sample and taxon, see :meth:`Community.tidy`."""
        return self.community.tidy()

    def diversity(self) -> pa.Table:
        """One row a sample, see :func:`biocosmos.discover.communities.indices.diversity_table`."""
        return diversity_table(self.community, self.doubt, size=self.settings.rarefy, chao1=self.settings.chao1)

    def distances(self) -> pa.Table:
        """One row for each two samples."""
        return distance_table(self.community, *distances(self.community)[:2])

    def report(self) -> Report:
        """Tables and the page."""
        settings = self.settings
        return community_report(
            self.community,
            self.doubt,
            provenance=self.provenance | {"specimens": len(self.counted.cell)},
            told=list(dict.fromkeys(failure.reason for failure in self.failures)),
            rarefy=settings.rarefy,
            chao1=settings.chao1,
            ordination=settings.ordination,
            seed=settings.seed,
            shares=None if self.shares is None else self.shares.table(),
        )

    def overview(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """(headings, a row a sample): how many specimens and taxa, and what they come to."""
        community = self.community
        specimens = community.beside["specimens"]
        effective = hill(community.counts, 1)
        measures = [name for name in community.beside if name in SHOWN]
        rows = []
        for i, name in enumerate(community.samples):
            sums = [_sum(community.beside[measure][i]) for measure in measures]
            rows.append(
                (str(name), f"{int(specimens[i].sum()):,}", f"{int((specimens[i] > 0).sum()):,}", *sums, _shown(effective[i]))
            )
        headings = tuple(SHOWN[measure] for measure in measures)
        return ("sample", "specimens", "taxa", *headings, "as diverse as equal taxa"), rows


SHOWN = {
    "concentration": "per m³",
    "biovolume": "mm³ per m³",
    "per_m2": "per m²",
    "biovolume_per_m2": "mm³ per m²",
}


def _sum(values: Any) -> str:
    return _shown(float(values.sum()) if len(values) else 0.0, "not known")


def _shown(value: float, unknown: str = "–") -> str:
    return unknown if math.isnan(value) else f"{value:.4g}"


def with_doubt(community: Community, doubt: Doubt) -> Community:
    """With low and high ends behind the tables they are of."""
    beside: dict[str, Any] = {}
    for name, values in community.beside.items():
        beside[name] = values
        if doubt.corrected is not None:
            beside[BESIDE[name] + "corrected"] = doubt.corrected[name]
        for end in ("low", "high"):
            beside[BESIDE[name] + end] = doubt.ends[BESIDE[name] + end]
    return replace(community, beside=beside)


def summarize(collection: Collection | str | Path, settings: SummarizeSettings = STANDARD) -> Summary:
    """Count the specimens of a collection as ``settings`` says.

    Samples stay in which nothing was found: those of the table ``settings.samples``, and those that have specimens of other taxa
    than ``settings.within``. Raises BiocosmosError for columns and ranks that are not there, and where there is no sample.
    """
    stored = collection if isinstance(collection, Collection) else Collection.open(collection)
    failures = Failures()
    source = _Source(stored, settings, failures)
    survey = settings.survey()
    counting = Counting(source.schema, stored.path, failures, source.ranks, survey, settings.by, settings.layers)
    asked: dict[str, str | None] = {}
    with progress("summarize", source.total, "specimens") as bar:
        for row, counts in source.rows():
            if settings.quantify is not None and source.machine_named(row):
                asked[str(row["id"])] = counting.name_of(row)
            if counts:
                counting.take(row)
            else:
                counting.only_sample(row)
            bar.advance(1)
    if not counting.cells and not counting.told and settings.samples is None:
        raise BiocosmosError(f"no specimen of {stored.path} is selected: nothing to count")
    if settings.samples is not None:
        counting.register(_sample_rows(settings.samples, str(counting.sample)))
    counted = counting.result()
    own, said = (
        ([], []) if settings.confusion is None else judged_names(stored, settings.confusion, failures, counted.ids.tolist())
    )
    grouped = group(counted, rank=settings.rank, also=[*own, *(name for name in said if name is not None)])
    if settings.per_m2:
        grouped = per_area(grouped, counted, failures)
    confusion = confusion_of(grouped.also.tolist(), said, len(grouped.community.taxa)) if own else None
    doubt = None
    if settings.draws and len(counted.cell):
        doubt = doubt_of(grouped, confusion=confusion, draws=settings.draws, seed=settings.seed)
        grouped = replace(grouped, community=with_doubt(grouped.community, doubt))
    predicted = grouped.community.predicted
    if settings.chao1 and predicted:
        failures.add(CHAO1_WARNING, stage="summarize", severity="warning")
    if not len(counted.cell):
        failures.add("no specimen has a name that counts: all samples are empty", stage="summarize", severity="warning")
    facts = {"collection": str(stored.path), "names": settings.names, "by": list(settings.by), "rank": settings.rank}
    facts |= {name: getattr(settings, name) for name in ("volume", "share", "parts", "biovolume", "pixel", "split", "where")}
    facts |= {name: getattr(settings, name) for name in ("confusion", "draws", "seed", "rarefy", "ordination")}
    told = {name: value for name, value in facts.items() if value is not None}
    shares = None if settings.quantify is None else _shares(source, counting, asked, settings)
    return Summary(grouped, counted, failures, told, settings, doubt, confusion, shares)


def _shares(source: _Source, counting: Counting, asked: Mapping[str, str | None], settings: SummarizeSettings) -> SharesOfSamples:
    """Of the specimens that a machine named, named at a rank or not, by the samples of the community."""
    assert source.names is not None and settings.quantify is not None
    keys = names_of_cells(counting.cells, counting.by)
    sample_of = {id: keys[cell] for id, cell in asked.items() if cell is not None}
    if not sample_of:
        raise BiocosmosError("--quantify: no specimen of the samples is in the table of names")
    return quantify_samples(
        source.stored,
        source.names,
        sample_of,
        settings.quantify,
        rank=settings.rank,
        unknown=settings.unknown,
        draws=settings.draws,
        seed=settings.seed,
        failures=source.failures,
    )


class _Source:
    """Rows of the collection with the names that count."""

    def __init__(self, stored: Collection, settings: SummarizeSettings, failures: Failures) -> None:
        self.stored, self.names = stored, None if settings.names is None else read_kept(stored, settings.names)
        self.selection = settings.selected()
        within = self.selection.pop("within", None)
        self.selection["within"] = None
        told = {*settings.by, *settings.survey().columns}
        _refuse_pictures(stored, told)
        self.columns = [name for name in stored.filled_columns() if name not in NEVER_COUNTED or name in told - {"id"}]
        self.total = stored.dataset.count_rows()
        self.ranks = tuple(stored.ranks)
        self.failures, self.path = failures, stored.path
        self.inside: set[str] | None = None
        if within is not None and self.names is None:
            chosen = stored.scan(["id"], within=within)
            self.inside = {id for batch in chosen for id in batch.column("id").to_pylist()}
        elif within is not None:
            raise BiocosmosError("--within is of the collection's own names, not of those of --names: leave one of them out")
        self.schema = pa.schema([stored.dataset.schema.field(name) for name in ("id", *self.columns)])
        if self.names is not None:
            ranks = answered_ranks(self.names.column_names)
            self.ranks = (*ranks, *(rank for rank in stored.ranks if rank not in ranks))
            self.answers = Answers(self.names, failures, stored.path)
            self.keeps = own_names(stored, self.columns, self.selection, self.answers.row_of.keys(), COUNTS_AS)
            if self.keeps:
                reason = f"{len(self.keeps):,} specimens were named by a person in EcoTaxa: that name stays"
                failures.add(reason, stage="summarize", severity="warning")
            fresh = [name for name in self.columns if name not in self.names.column_names]
            self.schema = joined_schema(stored, self.names, fresh)

    def machine_named(self, row: Mapping[str, Any]) -> bool:
        """Whether a machine was asked what it is, and no person has said."""
        return self.names is not None and row["id"] in self.answers.row_of and row["id"] not in self.keeps

    def rows(self) -> Iterator[tuple[dict[str, Any], bool]]:
        """(a specimen, whether it is counted): others only say that their sample is there."""
        unnamed = 0
        for batch in self.stored.scan(["id", *self.columns], batch_size=ROWS, **self.selection):
            rows = batch.to_pylist()
            if self.names is None:
                yield from ((row, self.inside is None or row["id"] in self.inside) for row in rows)
                continue
            known = [row["id"] for row in rows if row["id"] in self.answers.row_of]
            said = dict(zip(known, self.answers.take(known)))
            for row in rows:
                if row["id"] in self.keeps:
                    yield row, True
                elif row["id"] in said:
                    yield joined(row, said[row["id"]]), True
                else:
                    unnamed += 1
                    yield row, False
        if unnamed:
            reason = f"{unnamed:,} specimens are not in the table of names: they count for no taxon"
            self.failures.add(reason, stage="summarize", source=self.path, severity="warning")


def _refuse_pictures(stored: Collection, told: set[str]) -> None:
    """Raises BiocosmosError where a column that was told holds neither texts nor numbers."""
    for field in stored.dataset.schema:
        kind = field.type
        if field.name in told and (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
            raise BiocosmosError(f"the column {field.name} of {stored.path} holds {kind}, no text or number: name another one")


def _sample_rows(path: Path, column: str) -> list[Mapping[str, Any]]:
    """The rows of a table of samples. Raises BiocosmosError for one that is none."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            rows: list[Mapping[str, Any]] = pq.read_table(path).to_pylist()
        elif suffix in (".csv", ".tsv", ".txt"):
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file, delimiter="," if suffix == ".csv" else "\t"))
        else:
            raise BiocosmosError(f"{path} is no table of samples: it must end in .csv, .tsv or .parquet")
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        raise BiocosmosError(f"cannot read samples from {path}: {first_line(error)}") from error
    if not rows:
        raise BiocosmosError(f"{path} has no sample: a row for each, with a column {column}")
    there = sample_column([str(name) for name in rows[0]], column if column in rows[0] else None)
    if there is None:
        have = ", ".join(map(str, rows[0]))
        raise BiocosmosError(f"{path} has no column {column!r}, which says which sample a row is: it has {have}")
    return [{**row, column: row.get(there)} for row in rows]


__all__ = ["Summary", "summarize"]
