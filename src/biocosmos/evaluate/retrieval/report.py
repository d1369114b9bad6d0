"""Retrieval: do the nearest specimens belong to the query's taxon? All-vs-all without self, or queries against a gallery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.bootstrap import CONFIDENCE, DRAWS, Bootstrap, Resample
from biocosmos.evaluate.numbers.caveats import retrieval_caveats
from biocosmos.evaluate.numbers.examples import confusion_table, example_table
from biocosmos.evaluate.numbers.neighbours import first_places, nearest
from biocosmos.evaluate.numbers.tallies import (
    SUMMARY,
    Tally,
    answerable_table,
    average_rows,
    group_table,
    query_table,
    taxon_table,
)
from biocosmos.evaluate.numbers.targets import Target, rank_targets, strata
from biocosmos.evaluate.report import Report, split_hash
from biocosmos.evaluate.retrieval.page import page
from biocosmos.identify.encoding import encoder_of, refuse_mismatch
from biocosmos.search.gallery import Gallery
from biocosmos.specimens import guard

Array = npt.NDArray[Any]
KS = (1, 5, 10)


def retrieval(
    gallery: Gallery,
    queries: Gallery | None = None,
    *,
    ks: Sequence[int] = KS,
    rules: Sequence[str] | None = None,
    ranks: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    bootstrap: int = DRAWS,
    resample: Resample = "specimens",
    confidence: float = CONFIDENCE,
    examples: int = 6,
) -> Report:
    """Share of queries with a member of their own taxon among the k nearest, per rank, per taxon, micro and macro.

    gallery: the labelled vectors. queries: another gallery of the same encoder and taxonomy (protocol P2, query-gallery); None
    asks every row of ``gallery`` about all others (protocol P1, all-vs-all; a query never finds its own id). ks: numbers of
    neighbours. rules: ways to name a query from its neighbours, tried in P2 for every target (see identify.rules). ranks: those
    to score, all by default. groups: columns of the gallery that count as targets of their own ("is the neighbour from the
    same group?") and as strata ("species among the fish"); a rank is a stratum. bootstrap, seed, resample, confidence: the
    intervals, see
    :class:`Bootstrap`. examples: queries of each kind shown in the report.

    Tables: summary, answerable, per_taxon, by_group, confusion, queries, examples. A rank that is null for a query leaves the
    query out at that rank, and is counted; a neighbour whose rank is null is wrong. Raises BiocosmosError when nothing is
    labelled, when query ids are in the gallery, and when the two come from different encoders or splits.
    """
    ks = checked_ks(ks)
    boot = Bootstrap(bootstrap, confidence, seed, resample)
    all_vs_all = queries is None
    if queries is not None:
        check_apart(gallery, queries)
    elif rules:
        raise BiocosmosError("rules need queries apart from the gallery: pass queries=, or leave rules out")
    gallery, queries, left_out = keep_labelled(gallery, queries, groups or ())
    taxa = rank_targets(gallery, queries, ranks)
    columns = strata(gallery, queries, groups or (), taxa)
    targets = [*taxa, *(column for column in columns if column.kind == "group")]
    if not targets:
        raise BiocosmosError("nothing to evaluate: no specimen has a taxon; label them, or name a column in groups=")

    if not len(gallery) or not len(queries):
        raise BiocosmosError(f"nothing to evaluate: no labelled specimen among the {'queries' if len(gallery) else 'gallery'}")
    found = nearest(gallery, queries, max(ks), without_self=all_vs_all)
    tallies = [Tally(t, f, t.answerable(all_vs_all=all_vs_all)) for t, f in zip(targets, first_places(found, targets))]
    if rules:
        from biocosmos.evaluate.retrieval.ruled import ruled_tallies

        tallies += ruled_tallies(gallery, queries, rules, targets, max(ks))
    nearest_tallies = tallies[: len(targets)]
    summary = [row for tally in tallies for row in average_rows(tally, ks, boot, _averages(tally.target, taxa))]
    tables = {
        "summary": pa.Table.from_pylist(summary, schema=SUMMARY),
        "answerable": answerable_table(nearest_tallies),
        "per_taxon": taxon_table(tallies, ks, confidence),
        "by_group": group_table(nearest_tallies, columns, ks, boot),
        "confusion": confusion_table(gallery.taxonomy, taxa, found.rows[:, 0], queries.ids, gallery.ids),
        "queries": query_table(queries.ids, tallies, max(ks)),
        "examples": example_table(gallery, queries, nearest_tallies, found, examples, seed),
    }
    protocol = "all-vs-all without self" if all_vs_all else "query-gallery"
    provenance = {
        "protocol": protocol,
        "gallery": {"specimens": len(gallery), **gallery.provenance},
        **({} if all_vs_all else {"queries": {"specimens": len(queries), **queries.provenance}}),
        "split_hash": split_hash(gallery.provenance),
        "options": {"ks": list(ks), "rules": list(rules or ()), "groups": list(groups or ()), "intervals": asdict(boot)},
    }
    name = encoder_of(gallery.provenance).get("name", "unnamed encoder")
    caveats = retrieval_caveats(nearest_tallies, tables, found, left_out, len(gallery), max(ks), boot, provenance)
    return Report("retrieval", f"Retrieval with {name}, {protocol}", tables, caveats, provenance, page)


def _averages(target: Target, taxa: Sequence[Target]) -> list[Target]:
    """The target itself and every coarser rank: species recall may be averaged by species, by genus, by family."""
    names = [t.name for t in taxa]
    return [*taxa[: names.index(target.name)], target] if target.kind == "rank" else [target]


def checked_ks(ks: Sequence[int]) -> tuple[int, ...]:
    """The ks ascending and once each. Raises BiocosmosError."""
    if not ks or min(ks) < 1:
        raise BiocosmosError(f"ks must be numbers of neighbours of at least 1, not {list(ks)}")
    return tuple(sorted({int(k) for k in ks}))


def check_apart(gallery: Gallery, queries: Gallery) -> None:
    """Refuse queries that are in the gallery, or that another encoder or split made. Raises BiocosmosError."""
    remedy = "use two parts of one split, or leave queries out for all-vs-all without self"
    guard.refuse_shared(queries.ids, gallery.ids, "query ids are in the gallery", remedy)
    refuse_mismatch(gallery.provenance, queries.provenance, "the queries")
    names = [encoder_of(part.provenance).get("name") for part in (gallery, queries)]
    if None not in names and names[0] != names[1]:
        raise BiocosmosError(
            f"the queries were embedded with {names[1]} and the gallery with {names[0]}: embed both with one encoder"
        )
    hashes = split_hash(gallery.provenance), split_hash(queries.provenance)
    if None not in hashes and hashes[0] != hashes[1]:
        raise BiocosmosError(f"queries and gallery come from two splits ({hashes[1]} and {hashes[0]}): use parts of one split")


def keep_labelled(gallery: Gallery, queries: Gallery | None, groups: Sequence[str]) -> tuple[Gallery, Gallery, Mapping[str, int]]:
    """Both without the rows that have neither a taxon nor a group: they can be neither asked nor an answer. And how many those
    were."""
    kept = _with_label(gallery, groups)
    left = gallery if kept.all() else gallery.subset(kept)
    counts = {"gallery": int((~kept).sum())}
    if queries is None:
        return left, left, counts
    asked = _with_label(queries, groups)
    return left, queries if asked.all() else queries.subset(asked), {**counts, "queries": int((~asked).sum())}


def _with_label(gallery: Gallery, groups: Sequence[str]) -> Array:
    labelled = np.zeros(len(gallery), dtype=bool) if gallery.taxa is None else np.asarray(gallery.taxa) > 0
    for name in groups:
        if gallery.columns is not None and name in gallery.columns.column_names:
            values = pc.utf8_trim_whitespace(gallery.columns.column(name).combine_chunks().cast(pa.string()))
            labelled = labelled | pc.fill_null(pc.not_equal(values, ""), False).to_numpy(zero_copy_only=False)
    return labelled
