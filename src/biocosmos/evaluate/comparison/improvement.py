"""Where a gain falls: means and medians over taxa and groups, most and least improved, and whether training images explain it.

"Genus recall" has meant two things. Here *genus retrieval* asks for the right genus and averages over genera; *species recall by
genus* asks for the right species, within each genus, and averages over genera. Both are in every table, named so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.evaluate.numbers.bootstrap import Bootstrap, paired_interval
from biocosmos.evaluate.numbers.correlation import rank_correlation
from biocosmos.evaluate.numbers.metrics import hits_per_taxon
from biocosmos.evaluate.numbers.tallies import Tally
from biocosmos.evaluate.numbers.targets import Target

Array = npt.NDArray[Any]
Row = dict[str, Any]
EXTREMES = 5
# Queries a taxon needs to be named among the extremes, and taxa a group or rank needs to be drawn or correlated.
ENOUGH_QUERIES, ENOUGH_TAXA = 5, 5
ALL = "all"


@dataclass(frozen=True)
class Paired:
    """One encoder's tally beside the baseline's, of one target."""

    encoder: str
    before: Tally
    after: Tally

    @property
    def target(self) -> Target:
        """What both were asked for."""
        return self.before.target


@dataclass(frozen=True)
class Gains:
    """What each taxon of ``by`` gained at one k.

    queries, right, gained, lost: (taxa,) int64: answerable queries; those the baseline got right; those only the encoder got
    right; those only the baseline did. taxa: (t,) int64 codes of the taxa with queries; every other array has these alone.
    """

    taxa: Array
    queries: Array
    right: Array
    gained: Array
    lost: Array

    @classmethod
    def count(cls, pair: Paired, by: Target, k: int, inside: Array | None = None) -> Gains:
        """Over the answerable queries, of those ``inside`` (q,) bool if given, that have a taxon at ``by``."""
        keep = pair.before.answerable & (by.query >= 0)
        if inside is not None:
            keep &= inside
        before, after = pair.before.first < k, pair.after.first < k
        masks = keep, keep & before, keep & after & ~before, keep & before & ~after
        queries, *rest = (hits_per_taxon(by.query, mask, len(by)) for mask in masks)
        taxa = np.flatnonzero(queries)
        return cls(taxa, queries[taxa], *(column[taxa] for column in rest))

    @property
    def before(self) -> Array:
        """(t,) share the baseline got right."""
        share: Array = self.right / self.queries
        return share

    @property
    def after(self) -> Array:
        """(t,) share the encoder got right."""
        share: Array = (self.right + self.gained - self.lost) / self.queries
        return share

    @property
    def gain(self) -> Array:
        """(t,) difference of the shares, in [-1, 1]."""
        share: Array = (self.gained - self.lost) / self.queries
        return share


def measure(target: Target, by: Target) -> str:
    """ "genus retrieval" where the right genus is asked for; "species recall by genus" where the right species is."""
    return f"{target.name} retrieval" if target.name == by.name else f"{target.name} recall by {by.name}"


def measures(pairs: Sequence[Paired], main: Target) -> Iterator[tuple[Paired, Target]]:
    """Every target averaged over its own taxa, then the main one over the taxa of each coarser rank."""
    for pair in pairs:
        yield pair, pair.target
    ranks = [pair.target for pair in pairs if pair.target.kind == "rank"]
    names = [target.name for target in ranks]
    if main.name in names:
        found = next(pair for pair in pairs if pair.target.name == main.name)
        for by in ranks[: names.index(main.name)]:
            yield found, by


def second_target(pairs: Sequence[Paired], main: Target) -> Target | None:
    """The next coarser rank than the main one that has enough taxa to say something, as genus is to species; or None."""
    ranks = [pair for pair in pairs if pair.target.kind == "rank"]
    names = [pair.target.name for pair in ranks]
    for pair in reversed(ranks[: names.index(main.name)] if main.name in names else []):
        if len(np.unique(pair.target.query[pair.before.answerable])) >= ENOUGH_TAXA:
            return pair.target
    return None


def spread_table(pairs: Sequence[Paired], main: Target, strata: Sequence[Target], ks: Sequence[int], boot: Bootstrap) -> pa.Table:
    """Mean and median over taxa of each taxon's share by both encoders, and the mean gain with its paired interval.

    One row per encoder, measure, k and group: ``all`` queries, then those of each value of each of ``strata``.
    """
    rows = []
    for encoder in dict.fromkeys(pair.encoder for pair in pairs):
        for pair, by in measures([pair for pair in pairs if pair.encoder == encoder], main):
            for group, value, inside in _groups(strata, by):
                for k in ks:
                    found = Gains.count(pair, by, k, inside)
                    if not len(found.taxa):
                        continue
                    gain = boot.paired_macro(found.gained, found.lost, found.queries)
                    rows.append(
                        {
                            "encoder": encoder,
                            "measure": measure(pair.target, by),
                            "target": pair.target.name,
                            "averaged_over": by.name,
                            "k": k,
                            "group": group,
                            "value_of_group": value,
                            "taxa": len(found.taxa),
                            "queries": int(found.queries.sum()),
                            "baseline_mean": float(found.before.mean()),
                            "baseline_median": float(np.median(found.before)),
                            "mean": float(found.after.mean()),
                            "median": float(np.median(found.after)),
                            "gain": gain.value,
                            "low": gain.low,
                            "high": gain.high,
                            "improved": int((found.gain > 0).sum()),
                            "worsened": int((found.gain < 0).sum()),
                        }
                    )
    return pa.Table.from_pylist(rows, schema=_SPREAD)


_SPREAD = pa.schema(
    [(name, pa.string()) for name in ("encoder", "measure", "target", "averaged_over")]
    + [("k", pa.int32()), ("group", pa.string()), ("value_of_group", pa.string()), ("taxa", pa.int64()), ("queries", pa.int64())]
    + [(name, pa.float64()) for name in ("baseline_mean", "baseline_median", "mean", "median", "gain", "low", "high")]
    + [("improved", pa.int64()), ("worsened", pa.int64())]
)


def _groups(strata: Sequence[Target], by: Target) -> Iterator[tuple[str, str, Array | None]]:
    yield ALL, ALL, None
    for group in strata:
        if group.name != by.name:
            for code, value in enumerate(group.names):
                yield group.name, str(value), group.query == code


def extremes_table(
    pairs: Sequence[Paired], main: Target, k: int, confidence: float, training: Mapping[str, Array], each: int = EXTREMES
) -> pa.Table:
    """The ``each`` taxa with the highest gain and the ``each`` with the lowest, at the main rank and the next coarser one.

    Only taxa with at least five answerable queries; none is in both halves. Equal gains: more queries first.
    training: rank -> (taxa,) training images of each of its codes.
    """
    rows = []
    for encoder in dict.fromkeys(pair.encoder for pair in pairs):
        mine = [pair for pair in pairs if pair.encoder == encoder]
        second = second_target(mine, main)
        shown = {main.name} | ({second.name} if second else set())
        for pair, by in measures(mine, main):
            if by.kind != "rank" or by.name not in shown:
                continue
            found = Gains.count(pair, by, k)
            order = np.lexsort((by.paths[found.taxa].astype(str), -found.queries, -found.gain))
            order = order[found.queries[order] >= ENOUGH_QUERIES]
            low, high = paired_interval(found.gained, found.lost, found.queries, confidence)
            best = order[:each]
            reverse = np.lexsort((by.paths[found.taxa].astype(str), -found.queries, found.gain))
            rest = set(order[each:].tolist())
            worst = np.array([i for i in reverse.tolist() if i in rest][:each], dtype=np.int64)
            for direction, places in (("most improved", best), ("least improved", worst)):
                for place, i in enumerate(places):
                    rows.append(
                        {
                            "encoder": encoder,
                            "measure": measure(pair.target, by),
                            "target": pair.target.name,
                            "averaged_over": by.name,
                            "k": k,
                            "direction": direction,
                            "place": place + 1,
                            "taxon": str(by.names[found.taxa[i]]),
                            "path": str(by.paths[found.taxa[i]]),
                            "queries": int(found.queries[i]),
                            "training": int(training[by.name][found.taxa[i]]),
                            "baseline_hit": float(found.before[i]),
                            "hit": float(found.after[i]),
                            "gain": float(found.gain[i]),
                            "low": float(low[i]),
                            "high": float(high[i]),
                            "gained": int(found.gained[i]),
                            "lost": int(found.lost[i]),
                        }
                    )
    return pa.Table.from_pylist(rows, schema=_EXTREMES)


_EXTREMES = pa.schema(
    [(name, pa.string()) for name in ("encoder", "measure", "target", "averaged_over")]
    + [("k", pa.int32()), ("direction", pa.string()), ("place", pa.int32()), ("taxon", pa.string()), ("path", pa.string())]
    + [("queries", pa.int64()), ("training", pa.int64())]
    + [(name, pa.float64()) for name in ("baseline_hit", "hit", "gain", "low", "high")]
    + [("gained", pa.int64()), ("lost", pa.int64())]
)


def training_table(per_taxon: pa.Table, boot: Bootstrap) -> pa.Table:
    """Spearman's rank correlation of a taxon's training images with its share by the baseline, by the encoder, and its gain.

    per_taxon: as in a comparison. One row per encoder, target, k, group (``all`` taxa, then those of each value of each group
    column that has enough) and ``of``: baseline_hit, hit, gain. low, high: bootstrap over taxa. Null where it is not defined.
    """
    columns = {name: per_taxon[name].to_numpy() for name in ("encoder", "target", "k", "training", "baseline_hit", "hit", "gain")}
    homes = {
        name: per_taxon[name].to_numpy() for name in per_taxon.column_names if name.startswith("group:") and per_taxon.num_rows
    }
    rows = []
    kinds = list(dict.fromkeys(zip(columns["encoder"], columns["target"], columns["k"])))
    for encoder, target, k in kinds:
        here = (columns["encoder"] == encoder) & (columns["target"] == target) & (columns["k"] == k)
        parts = [(ALL, ALL, here)]
        for name, home in homes.items():
            for value in sorted({value for value in home[here] if value is not None}):
                parts.append((name.removeprefix("group:"), value, here & (home == value)))
        for group, value, mask in parts:
            if group != ALL and (group == target or mask.sum() < ENOUGH_TAXA):
                continue
            for of in ("baseline_hit", "hit", "gain"):
                found = rank_correlation(columns["training"][mask], columns[of][mask], boot)
                rows.append(
                    {
                        "encoder": encoder,
                        "target": target,
                        "k": int(k),
                        "group": group,
                        "value_of_group": value,
                        "of": of,
                        "taxa": int(mask.sum()),
                        "spearman": None if found is None else found.value,
                        "low": None if found is None else found.low,
                        "high": None if found is None else found.high,
                    }
                )
    return pa.Table.from_pylist(rows, schema=_TRAINING)


_TRAINING = pa.schema(
    [("encoder", pa.string()), ("target", pa.string()), ("k", pa.int32())]
    + [(name, pa.string()) for name in ("group", "value_of_group", "of")]
    + [("taxa", pa.int64()), ("spearman", pa.float64()), ("low", pa.float64()), ("high", pa.float64())]
)
