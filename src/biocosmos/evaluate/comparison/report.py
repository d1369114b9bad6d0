"""Two or more encoders on one split: the same queries, the same gallery, taxon by taxon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.comparison.improvement import Paired, extremes_table, spread_table, training_table
from biocosmos.evaluate.comparison.page import page
from biocosmos.evaluate.numbers.bootstrap import CONFIDENCE, DRAWS, Bootstrap, Resample, paired_interval
from biocosmos.evaluate.numbers.caveats import comparison_caveats
from biocosmos.evaluate.numbers.examples import finest
from biocosmos.evaluate.numbers.metrics import hits_per_taxon
from biocosmos.evaluate.numbers.neighbours import first_places, nearest
from biocosmos.evaluate.numbers.tallies import SUMMARY, Tally, answerable_table, average_rows
from biocosmos.evaluate.numbers.targets import Target, rank_targets, strata
from biocosmos.evaluate.report import Report, split_hash
from biocosmos.evaluate.retrieval.report import KS, check_apart, checked_ks, keep_labelled
from biocosmos.evaluate.retrieval.ruled import ruled_tallies
from biocosmos.search.gallery import Gallery
from biocosmos.search.graph import Neighbours

Array = npt.NDArray[Any]
Row = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One encoder's neighbours and tallies."""

    name: str
    found: Neighbours
    tallies: list[Tally]


def compare(
    galleries: Mapping[str, Gallery],
    queries: Mapping[str, Gallery] | None = None,
    *,
    ks: Sequence[int] = KS,
    ranks: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    training: Mapping[str, int] | Array | None = None,
    rules: Sequence[str] | None = None,
    seed: int = 0,
    bootstrap: int = DRAWS,
    resample: Resample = "specimens",
    confidence: float = CONFIDENCE,
    examples: int = 6,
) -> Report:
    """Paired comparison of encoders by retrieval; the first one is the baseline the others are measured against.

    galleries: name -> gallery, of the same ids, labels and split; queries: name -> gallery for query-gallery, or None for
    all-vs-all without self. training: (n,) taxonomy nodes of the training specimens, or taxon name -> training images at the
    finest rank most queries have, to draw gains against; the gallery's own counts by default. groups: columns, which are
    targets too, or ranks. Other arguments as in :func:`retrieval`.

    Tables: summary (every encoder), differences (against the baseline, micro and macro, paired intervals), spread (means and
    medians over taxa per group), per_taxon (gains and losses), extremes (the five most and least improved), by_group, training
    (rank correlation of share and gain with training images), rules and rule_differences (with ``rules``), answerable, queries,
    examples. Raises BiocosmosError with fewer than two encoders, and when ids, labels or split hashes differ.
    """
    ks = checked_ks(ks)
    boot = Bootstrap(bootstrap, confidence, seed, resample)
    if len(galleries) < 2:
        raise BiocosmosError("a comparison needs at least two encoders: pass galleries={'name': gallery, ...}")
    if queries is not None and set(queries) != set(galleries):
        raise BiocosmosError(
            f"queries are of {', '.join(queries)} but galleries of {', '.join(galleries)}: pass both for every encoder"
        )
    baseline, *others = galleries
    sides = _sides(galleries, queries, groups or ())
    gallery, asked = sides[baseline]
    taxa = rank_targets(gallery, asked, ranks)
    columns = strata(gallery, asked, groups or (), taxa)
    targets = [*taxa, *(column for column in columns if column.kind == "group")]
    if not targets or not len(asked):
        raise BiocosmosError("nothing to compare: no specimen has a taxon; label them, or name a column in groups=")
    if rules and queries is None:
        raise BiocosmosError("rules need queries apart from the gallery: pass queries=, or leave rules out")
    runs = {name: _run(name, *sides[name], targets, max(ks), all_vs_all=queries is None) for name in galleries}
    first = runs[baseline]
    main = finest(first.tallies)
    counts = _training_counts(gallery, targets, main.target, training)
    pairs = [Paired(name, before, after) for name in others for before, after in zip(first.tallies, runs[name].tallies)]
    tables = {
        "summary": _summary(runs, ks, boot),
        "differences": _differences(first, [runs[name] for name in others], ks, boot),
        "per_taxon": _per_taxon(first, [runs[name] for name in others], ks, confidence, counts, columns),
        "spread": spread_table(pairs, main.target, columns, ks, boot),
        "extremes": extremes_table(pairs, main.target, ks[0], confidence, counts),
        "by_group": _by_group(first, [runs[name] for name in others], columns, ks, boot),
    }
    tables["training"] = training_table(tables["per_taxon"], boot)
    if rules:
        tables |= _by_rule(sides, baseline, rules, targets, boot)
    tables |= {
        "answerable": answerable_table(first.tallies),
        "queries": _queries(asked.ids, runs, main),
        "examples": _examples(first, [runs[name] for name in others], gallery, asked, main.target, examples, seed),
    }
    provenance = {
        "protocol": "comparison, " + ("all-vs-all without self" if queries is None else "query-gallery"),
        "baseline": baseline,
        "encoders": {name: dict(galleries[name].provenance) for name in galleries},
        "main_target": main.target.name,
        "training_counts": "given" if training is not None else "gallery",
        "split_hash": split_hash(galleries[baseline].provenance),
        "options": {"ks": list(ks), "groups": list(groups or ()), "rules": list(rules or ()), "intervals": asdict(boot)},
    }
    caveats = comparison_caveats(first.tallies, tables, boot, provenance)
    return Report("comparison", f"{', '.join(others)} against {baseline}", tables, caveats, provenance, page)


def _sides(
    galleries: Mapping[str, Gallery], queries: Mapping[str, Gallery] | None, groups: Sequence[str]
) -> dict[str, tuple[Gallery, Gallery]]:
    """Every encoder's gallery and queries, in the baseline's order of ids. Raises BiocosmosError where they are not the same
    specimens."""
    baseline = next(iter(galleries))
    out = {}
    for name in galleries:
        gallery = _aligned(galleries[baseline], galleries[name], baseline, name, "gallery")
        asked = None
        if queries is not None:
            asked = _aligned(queries[baseline], queries[name], baseline, name, "queries")
            check_apart(gallery, asked)
        left, right, _ = keep_labelled(gallery, asked, groups)
        out[name] = (left, right)
    return out


def _aligned(base: Gallery, other: Gallery, base_name: str, name: str, what: str) -> Gallery:
    """``other`` in the order of ``base``, with its labels and columns."""
    if other is base:
        return base
    hashes = split_hash(base.provenance), split_hash(other.provenance)
    if None not in hashes and hashes[0] != hashes[1]:
        raise BiocosmosError(
            f"{base_name} and {name} come from two splits ({hashes[0]} and {hashes[1]}): compare encoders on one split"
        )
    order = np.argsort(other.ids.astype(str), kind="stable")
    place = np.argsort(np.argsort(base.ids.astype(str), kind="stable"), kind="stable")
    if len(base) != len(other) or not np.array_equal(other.ids[order][place], base.ids):
        only = np.setxor1d(base.ids.astype(str), other.ids.astype(str))
        raise BiocosmosError(
            f"the {what} of {base_name} and {name} are not the same specimens ({len(base):,} and {len(other):,}, "
            f"{len(only):,} in one only): "
            "embed all of them with both encoders and select one split"
        )
    order = order[place]
    if (base.taxa is None) != (other.taxa is None) or (
        base.taxonomy and other.taxonomy and base.taxonomy.digest != other.taxonomy.digest
    ):
        raise BiocosmosError(f"{base_name} and {name} have different taxonomies: select both from one collection")
    if base.taxa is not None and other.taxa is not None and not np.array_equal(other.taxa[order], base.taxa):
        raise BiocosmosError(
            f"{base_name} and {name} have different labels for the same ids: select both from one version of the collection"
        )
    return Gallery(base.ids, other.vectors[order], base.taxa, base.taxonomy, other.provenance, base.columns)


def _run(name: str, gallery: Gallery, asked: Gallery, targets: Sequence[Target], k: int, *, all_vs_all: bool) -> Run:
    found = nearest(gallery, asked, k, without_self=all_vs_all)
    places = first_places(found, targets)
    return Run(name, found, [Tally(t, f, t.answerable(all_vs_all=all_vs_all)) for t, f in zip(targets, places)])


def _summary(runs: Mapping[str, Run], ks: Sequence[int], boot: Bootstrap) -> pa.Table:
    rows = [
        {"encoder": name, **row}
        for name, run in runs.items()
        for tally in run.tallies
        for row in average_rows(tally, ks, boot, [tally.target])
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema([("encoder", pa.string()), *SUMMARY]))


def _changes(first: Tally, second: Tally, keep: Array, k: int) -> tuple[Array, Array, Array]:
    """(taxa,) queries only the second got right, only the first got right, and all, of those to ``keep``."""
    codes, taxa = first.target.query, len(first.target)
    before, after = first.first < k, second.first < k
    return tuple(
        hits_per_taxon(codes, keep & chosen, taxa) for chosen in (after & ~before, before & ~after, np.ones_like(before))
    )  # type: ignore[return-value]


def _difference_rows(first: Run, other: Run, ks: Sequence[int], boot: Bootstrap, inside: Array | None = None) -> list[Row]:
    rows = []
    for before, after in zip(first.tallies, other.tallies):
        for over, keep in before.over():
            for k in ks:
                gained, lost, counts = _changes(before, after, keep if inside is None else keep & inside, k)
                if not counts.sum():
                    continue
                for average, interval in (("micro", boot.paired_micro), ("macro", boot.paired_macro)):
                    value = interval(gained, lost, counts)
                    rows.append(
                        {
                            "baseline": first.name,
                            "encoder": other.name,
                            "target": before.target.name,
                            "kind": before.target.kind,
                            "k": k,
                            "over": over,
                            "average": average,
                            "value": value.value,
                            "low": value.low,
                            "high": value.high,
                            "gained": int(gained.sum()),
                            "lost": int(lost.sum()),
                            "queries": int(counts.sum()),
                            "taxa": int((counts > 0).sum()),
                        }
                    )
    return rows


_DIFFERENCES = pa.schema(
    [(name, pa.string()) for name in ("baseline", "encoder", "target", "kind")]
    + [("k", pa.int32()), ("over", pa.string()), ("average", pa.string())]
    + [(name, pa.float64()) for name in ("value", "low", "high")]
    + [(name, pa.int64()) for name in ("gained", "lost", "queries", "taxa")]
)


def _differences(first: Run, others: Sequence[Run], ks: Sequence[int], boot: Bootstrap) -> pa.Table:
    rows = [row for other in others for row in _difference_rows(first, other, ks, boot)]
    return pa.Table.from_pylist(rows, schema=_DIFFERENCES)


def _by_group(first: Run, others: Sequence[Run], groups: Sequence[Target], ks: Sequence[int], boot: Bootstrap) -> pa.Table:
    rows = [
        {"group": group.name, "value_of_group": str(value), **row}
        for group in groups
        for code, value in enumerate(group.names)
        for other in others
        for row in _difference_rows(first, other, ks, boot, group.query == code)
        if row["target"] != group.name
    ]
    schema = pa.schema([("group", pa.string()), ("value_of_group", pa.string()), *_DIFFERENCES])
    return pa.Table.from_pylist(rows, schema=schema)


def _per_taxon(
    first: Run,
    others: Sequence[Run],
    ks: Sequence[int],
    confidence: float,
    training: Mapping[str, Array],
    groups: Sequence[Target],
) -> pa.Table:
    """Every answerable taxon at every k: both shares, gain with its interval, and the group that most of its queries are in."""
    parts = []
    for other in others:
        for before, after in zip(first.tallies, other.tallies):
            target = before.target
            counts = np.bincount(target.query[before.answerable], minlength=len(target))
            some = np.flatnonzero(counts)
            home = {f"group:{group.name}": pa.array(_most_common(target, group)[some].tolist(), pa.string()) for group in groups}
            for k in ks:
                gained, lost, _ = (part[some] for part in _changes(before, after, before.answerable, k))
                right = hits_per_taxon(target.query, before.answerable & (before.first < k), len(target))[some]
                low, high = paired_interval(gained, lost, counts[some], confidence)
                parts.append(
                    pa.table(
                        {
                            "encoder": pa.array([other.name] * len(some), pa.string()),
                            "target": pa.array([target.name] * len(some), pa.string()),
                            "k": pa.array(np.full(len(some), k), pa.int32()),
                            "taxon": pa.array(target.names[some].tolist(), pa.string()),
                            "path": pa.array(target.paths[some].tolist(), pa.string()),
                            **home,
                            "queries": counts[some],
                            "training": training[target.name][some],
                            "baseline_hit": right / counts[some],
                            "hit": (right + gained - lost) / counts[some],
                            "gain": (gained - lost) / counts[some],
                            "low": low,
                            "high": high,
                            "gained": gained,
                            "lost": lost,
                        }
                    )
                )
    return pa.concat_tables(parts)


def _most_common(target: Target, group: Target) -> Array:
    """(taxa,) object: the group value that most queries of each taxon have, None where none has one."""
    both = (target.query >= 0) & (group.query >= 0)
    out = np.full(len(target), None, dtype=object)
    pairs, counts = np.unique(target.query[both] * max(len(group), 1) + group.query[both], return_counts=True)
    for i in np.argsort(counts, kind="stable"):
        out[pairs[i] // len(group)] = str(group.names[pairs[i] % len(group)])
    return out


def _training_counts(
    gallery: Gallery, targets: Sequence[Target], main: Target, training: Mapping[str, int] | Array | None
) -> dict[str, Array]:
    """Target -> (taxa,) training images of each; the gallery's own where they are not given."""
    counts = {target.name: target.gallery_counts() for target in targets}
    if isinstance(training, Mapping):
        counts[main.name] = np.array([training.get(str(name), 0) for name in main.names], dtype=np.int64)
    elif training is not None and gallery.taxonomy is not None:
        for target in targets:
            if target.kind == "rank":
                nodes = gallery.taxonomy.ancestor(np.maximum(np.asarray(training), 0), target.name)
                all_nodes = np.bincount(nodes[nodes >= 0], minlength=len(gallery.taxonomy))
                counts[target.name] = all_nodes[target.nodes]
    return counts


def _by_rule(
    sides: Mapping[str, tuple[Gallery, Gallery]], baseline: str, rules: Sequence[str], targets: Sequence[Target], boot: Bootstrap
) -> dict[str, pa.Table]:
    """Every rule by every encoder at k = 1: their shares, and each encoder's difference from the baseline by the same rule."""
    named = {
        name: Run(name, Neighbours(np.empty((0, 1)), np.empty((0, 1))), ruled_tallies(*side, rules, targets, 1))
        for name, side in sides.items()
    }
    rows: list[Row] = []
    for rule in rules:
        runs = {name: replace(run, tallies=[t for t in run.tallies if t.finder == rule]) for name, run in named.items()}
        rows += [
            {**row, "finder": rule}
            for name, run in runs.items()
            if name != baseline
            for row in _difference_rows(runs[baseline], run, (1,), boot)
        ]
    schema = pa.schema([*_DIFFERENCES, ("finder", pa.string())])
    return {"rules": _summary(named, (1,), boot), "rule_differences": pa.Table.from_pylist(rows, schema=schema)}


def _queries(ids: Array, runs: Mapping[str, Run], main: Tally) -> pa.Table:
    """One row per query: its taxon at the main target and the place of the first right neighbour by every encoder."""
    index = next(i for i, tally in enumerate(next(iter(runs.values())).tallies) if tally.target is main.target)
    columns = {
        "id": pa.array(ids.tolist(), pa.string()),
        main.target.name: pa.array(main.target.names_of(main.target.query), pa.string()),
    }
    for name, run in runs.items():
        tally = run.tallies[index]
        missing = ~tally.asked | (tally.first >= run.found.rows.shape[1])
        columns[f"{name} first right"] = pa.array(tally.first + 1, pa.int32(), mask=missing)
    return pa.table(columns)


EXAMPLES = pa.schema(
    [
        (name, pa.string())
        for name in ("kind", "encoder", "id", "taxon", "baseline_id", "baseline_taxon", "encoder_id", "encoder_taxon")
    ]
)


def _examples(
    first: Run, others: Sequence[Run], gallery: Gallery, asked: Gallery, target: Target, each: int, seed: int
) -> pa.Table:
    """Queries that one encoder alone got right at once, drawn at random by ``seed``, with both nearest neighbours."""
    rows = []
    for other in others:
        near = first.found.rows[:, 0], other.found.rows[:, 0]
        right = [(row >= 0) & (np.append(target.gallery, -2)[row] == target.query) & (target.query >= 0) for row in near]
        both = (near[0] >= 0) & (near[1] >= 0)
        rng = np.random.default_rng(seed)
        for kind, mask in (("gained", right[1] & ~right[0]), ("lost", right[0] & ~right[1])):
            for query in rng.permutation(np.flatnonzero(mask & both))[:each]:
                names = target.names_of(np.array([target.query[query], *(target.gallery[row[query]] for row in near)]))
                ids = [str(gallery.ids[row[query]]) for row in near]
                rows.append(
                    dict(
                        zip(
                            EXAMPLES.names,
                            (kind, other.name, str(asked.ids[query]), names[0], ids[0], names[1], ids[1], names[2]),
                        )
                    )
                )
    return pa.Table.from_pylist(rows, schema=EXAMPLES)
