"""What a report must not be read to say, in sentences with the numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from biocosmos.evaluate.bootstrap import Bootstrap
from biocosmos.evaluate.tallies import Tally
from biocosmos.evaluate.targets import Target

if TYPE_CHECKING:
    from biocosmos.evaluate.neighbours import Neighbours

FEW = 10


def retrieval_caveats(
    tallies: Sequence[Tally],
    tables: Mapping[str, pa.Table],
    found: Neighbours,
    left_out: Mapping[str, int],
    gallery_size: int,
    k: int,
    boot: Bootstrap,
    provenance: Mapping[str, Any],
) -> list[str]:
    """Sentences for a retrieval report, the gravest first."""
    out = []
    for tally, row in zip(tallies, tables["answerable"].to_pylist()):
        name = tally.target.name
        if row["unanswerable"]:
            out.append(
                f"{row['unanswerable']:,} of {row['asked']:,} queries are unanswerable at {name}: no other specimen of their "
                f"{row['unanswerable_taxa']:,} taxa is in the gallery, so no encoder could be right. They count as wrong in "
                "'all' and are left out "
                "of 'answerable'; nothing is known about how these taxa would do."
            )
        if row["null"]:
            out.append(
                f"{row['null']:,} of {row['queries']:,} queries have no {name} and say nothing at that rank; a neighbour "
                f"without {name} counts as wrong."
            )
    out += [sentence for tally in tallies if (sentence := _few(tally.target.name, tally.target.query_counts(), "queries"))]
    out += [sentence for tally in tallies if (sentence := spelling_caveat(tally.target))]
    for part, count in left_out.items():
        if count:
            out.append(
                f"{count:,} specimens of the {part} have no label and were left out: they could be neither asked nor an answer."
            )
    copies = found.copies()
    if copies.any():
        best = tallies[-1] if tallies[-1].target.kind == "rank" else tallies[0]
        right = best.asked & copies & (best.first == 0)
        out.append(
            f"{int(copies.sum()):,} queries have a copy of themselves in the gallery (cosine of 0.99999 or more), which for "
            f"{int(right.sum()):,} of them "
            f"is the right answer at {best.target.name} for free: find and remove duplicates before comparing with other work."
        )
    if k > gallery_size:
        out.append(
            f"k = {k} is more than the {gallery_size:,} gallery specimens: hit@{k} asks only whether the taxon is there at all."
        )
    out += certain_caveats(tables["summary"].to_pylist())
    out.append(interval_caveat(boot))
    out += provenance_caveats(provenance)
    return out


def _few(name: str, counts: Any, of: str) -> str | None:
    counts = counts[counts > 0]
    few = int((counts < FEW).sum())
    if not few:
        return None
    return (
        f"{few:,} of {len(counts):,} taxa at {name} have fewer than {FEW} {of}: their own shares are rough (read the "
        "interval, not the value), "
        "and in the macro average they weigh as much as the common ones."
    )


def spelling_caveat(target: Target) -> str | None:
    """Names that differ only by case or white space, which may be one taxon counted as two."""
    keys = map(str, target.names if target.kind == "group" else target.paths)
    alike: dict[str, list[str]] = defaultdict(list)
    for key, name in zip(keys, target.names):
        alike[" ".join(key.lower().split())].append(str(name))
    twice = [names for names in alike.values() if len(names) > 1]
    if not twice:
        return None
    shown = "; ".join(" / ".join(repr(n) for n in names) for names in twice[:3])
    return (
        f"{len(twice):,} names at {target.name} differ only by case or white space ({shown}): if they are one taxon, "
        "right answers were counted as wrong."
    )


def certain_caveats(summary: Sequence[Mapping[str, Any]]) -> list[str]:
    """All right or all wrong: resampling sees no spread there, the rule of three does."""
    rows = [r for r in summary if r["average"] == "micro" and r["over"] == "answerable" and r["k"] == 1 and r["queries"]]
    out = []
    for row in rows:
        if row["taxa"] == 1:
            out.append(f"All answerable queries have the same {row['target']}: being right there means nothing.")
        elif row["right"] in (0, row["queries"]):
            word, bound = ("all", "below") if row["right"] else ("none", "above")
            edge = 1 - 3 / row["queries"] if row["right"] else 3 / row["queries"]
            out.append(
                f"At {row['target']} {word} of the {row['queries']:,} answerable queries are right, so the bootstrap "
                "interval has no width; with this many "
                f"queries the true share may still be as far {bound} as {np.clip(edge, 0, 1):.3f} (rule of three)."
            )
    return out


def interval_caveat(boot: Bootstrap) -> str:
    """What the intervals do and do not cover."""
    if not boot.draws:
        return "No intervals were asked for: differences between the numbers cannot be told from chance."
    what = {
        "specimens": "drawing specimens anew (micro averages: among all queries; macro averages: within each taxon, the taxa "
        "staying the same), so they say what other specimens of these taxa would give, not what other taxa would",
        "taxa": "drawing whole taxa anew, so they say what other taxa of this kind would give",
    }[boot.resample]
    return (
        f"Intervals hold {boot.confidence:.0%} of {boot.draws:,} bootstrap draws (seed {boot.seed}) made by {what}. They "
        "take specimens as independent: images of one individual, "
        "sample or site are alike, and then the true uncertainty is larger. They say nothing about other cameras, places or "
        "years."
    )


def provenance_caveats(provenance: Mapping[str, Any]) -> list[str]:
    """Missing facts without which the numbers cannot be made again."""
    out = []
    if not provenance.get("split_hash"):
        out.append(
            "No split hash is recorded with these vectors: another person cannot check that they evaluated the same "
            "specimens by it."
        )
    if provenance.get("protocol") == "all-vs-all without self":
        out.append(
            "All-vs-all uses every specimen, those an encoder may have been trained on included: for an encoder trained on "
            "this collection, use query-gallery on its test part."
        )
    return out
