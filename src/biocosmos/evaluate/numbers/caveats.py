"""What a report must not be read to say, in sentences with the numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.numbers.neighbours import same_image
from biocosmos.evaluate.numbers.tallies import Tally
from biocosmos.evaluate.numbers.targets import Target

if TYPE_CHECKING:
    from biocosmos.search.graph import Neighbours

# A taxon with fewer queries has a rough share of its own; a novelty number with fewer on either side is rough as a whole.
FEW = 10
MANY_NOVEL = 100


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
    out = answerable_caveats(tables["answerable"].to_pylist())
    out += few_caveat(tallies)
    out += [sentence for tally in tallies if (sentence := spelling_caveat(tally.target))]
    for part, count in left_out.items():
        if count:
            out.append(
                f"{count:,} specimens of the {part} have no label and were left out: they could be neither asked nor an answer."
            )
    copies = same_image(found)
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


def answerable_caveats(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What no encoder could have answered, and what has no name."""
    out = []
    lost = [row for row in rows if row["unanswerable"]]
    if lost:
        where = [
            f"{row['unanswerable']:,} of {row['asked']:,} at {row['target']} ({taxa_text(row['unanswerable_taxa'])})"
            for row in lost
        ]
        out.append(
            f"Unanswerable queries: {listed(where)}. The gallery has no specimen of their taxa but perhaps the query itself, "
            "so no encoder could be right: "
            "they count as wrong in “all”, are left out of “answerable”, and nothing is known about how these taxa would do."
        )
    null = [row for row in rows if row["null"]]
    if null:
        where = [f"{row['null']:,} at {row['target']}" for row in null]
        out.append(
            f"Of {rows[0]['queries']:,} queries some have no name at a rank and say nothing there: {listed(where)}. A "
            "neighbour or answer without a name there counts as wrong."
        )
    return out


def few_caveat(tallies: Sequence[Tally]) -> list[str]:
    """Taxa with so few queries that their own share is rough; one sentence for all ranks, or none."""
    where = []
    for tally in tallies:
        counts = tally.target.query_counts()
        few, some = int(((counts > 0) & (counts < FEW)).sum()), int((counts > 0).sum())
        if few:
            where.append(f"{few:,} of {some:,} at {tally.target.name}")
    if not where:
        return []
    return [
        f"Taxa with fewer than {FEW} queries: {listed(where)}. Their own shares are rough (read the interval, not the "
        "value), and in a macro average they weigh as much as the "
        "common ones."
    ]


def listed(parts: Sequence[str]) -> str:
    """ "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def taxa_text(count: int) -> str:
    """ "1 taxon", "12 taxa"."""
    return f"{count:,} {'taxon' if count == 1 else 'taxa'}"


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
    sources = [provenance.get("gallery") or {}, *(provenance.get("encoders") or {}).values()]
    of_a_part = any((source.get("selection") or {}).get("split") for source in sources)
    if str(provenance.get("protocol")).endswith("all-vs-all without self") and not of_a_part:
        out.append(
            "All-vs-all uses every specimen, those an encoder may have been trained on included: for an encoder trained on "
            "this collection, use query-gallery on its test part."
        )
    return out


def comparison_caveats(
    tallies: Sequence[Tally], tables: Mapping[str, pa.Table], boot: Bootstrap, provenance: Mapping[str, Any]
) -> list[str]:
    """Sentences for a comparison, the gravest first."""
    out = answerable_caveats(tables["answerable"].to_pylist())
    unclear = [
        f"{row['encoder']} at {row['target']}"
        for row in tables["differences"].to_pylist()
        if row["over"] == "answerable"
        and row["average"] == "micro"
        and row["k"] == provenance["options"]["ks"][0]
        and row["low"] <= 0 <= row["high"]
    ]
    if unclear:
        out.append(
            f"Not told apart from {provenance['baseline']}, because the interval of the difference holds zero: "
            f"{listed(unclear)}. That is not a proof of being equal."
        )
    out += few_caveat(tallies)
    encoders = len(provenance["encoders"])
    if encoders > 2:
        out.append(
            f"{encoders} encoders were compared: the best of several looks better than it is. Choose on one part of "
            "the split and report the choice on another."
        )
    out.append(
        "Intervals of single taxa are not corrected for the number of taxa: among many some leave out zero by chance. The "
        "most improved and most worsened taxa are partly "
        "lucky and unlucky ones, and would on new specimens come out nearer to the mean."
    )
    if provenance["training_counts"] != "given":
        out.append(
            "Training counts were not given; gains are drawn against gallery counts, which say nothing about what an "
            "encoder was trained on."
        )
    out.append(interval_caveat(boot))
    out += provenance_caveats(provenance)
    return out
