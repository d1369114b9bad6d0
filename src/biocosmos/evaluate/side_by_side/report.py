"""Several heads on the same specimens: one table of them side by side, and each against the first, with paired intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.bootstrap import CONFIDENCE, DRAWS, Bootstrap
from biocosmos.evaluate.numbers.caveats import listed
from biocosmos.evaluate.numbers.rank_scores import agreement_differences
from biocosmos.evaluate.numbers.targets import Target
from biocosmos.evaluate.ranks import tables as tables_of
from biocosmos.evaluate.ranks.decodings import ALL, BEST_PATH, Answers, Asked, answers
from biocosmos.evaluate.ranks.report import KS, check_ks, consistency, encoder_name, judged_targets, level_caveats, main_target
from biocosmos.evaluate.report import Report, split_hash
from biocosmos.evaluate.side_by_side.page import page
from biocosmos.identify.predictions import Predictions
from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]
Row = dict[str, Any]


def heads_report(
    heads: Mapping[str, Predictions],
    *,
    named: Mapping[str, npt.ArrayLike] | None = None,
    ks: Sequence[int] = KS,
    branch: str | None = None,
    decoding: str = BEST_PATH,
    seed: int = 0,
    bootstrap: int = DRAWS,
    confidence: float = CONFIDENCE,
) -> Report:
    """Heads beside each other; the first is what the others are measured against.

    heads: name -> predictions of the same specimens (in any order) over the same tree. named: name -> (n,) the deepest node each
    specimen of the first head was named by something without probabilities, such as its nearest neighbour; 0 for no name; they
    stand in the table and in the differences, after the heads. Other arguments as in :func:`levels_report`.

    Tables: summary, hierarchical, severity, consistency, calibration, reliability, per_taxon as there, with a column head;
    differences (each against the first: accuracy, precision, recall, F1 at every rank, over all specimens and within each
    branch; the hierarchical scores under the target "tree"), heads (what each is), answerable, specimens. A specimen is
    answerable when every head has a class for its taxon.

    Raises BiocosmosError with no head, and where specimens, truths, trees or split hashes differ.
    """
    check_ks(ks)
    boot = Bootstrap(bootstrap, confidence, seed)
    aligned = _aligned(heads)
    first, base = next(iter(aligned.items()))
    asked = _asked(list(aligned.values()), branch)
    targets = judged_targets(asked)
    found = [answers(predictions, name, decoding) for name, predictions in aligned.items()]
    found += [_named(base.taxonomy, name, nodes, len(base), set(aligned)) for name, nodes in (named or {}).items()]
    by_head: dict[str, list[Row]] = {name: [] for name in ("summary", "hierarchical", "severity", "consistency")}
    calibration: list[Row] = []
    bins: list[Row] = []
    taxa: list[Row] = []
    for head in found:
        by_head["summary"] += tables_of.level_rows(head, asked, targets, ks, boot)
        by_head["hierarchical"] += tables_of.hierarchical_rows(head, asked, boot)
        by_head["severity"] += tables_of.severity_rows(head, asked)
        if head.name in aligned:
            by_head["consistency"] += consistency(aligned[head.name], head, asked, boot)
        more, edges = tables_of.calibration_rows(head, asked, targets, confidence)
        calibration, bins = calibration + more, bins + edges
        taxa += tables_of.taxon_rows(head, asked, targets, confidence)
    differences = [row for head in found[1:] for row in _differences(found[0], head, asked, targets, boot)]
    tables = {
        "summary": pa.Table.from_pylist(by_head.pop("summary")),
        "differences": pa.Table.from_pylist(differences, schema=_DIFFERENCES),
        **{name: pa.Table.from_pylist(rows) for name, rows in by_head.items()},
        "calibration": pa.Table.from_pylist(calibration),
        "reliability": pa.Table.from_pylist(bins),
        "per_taxon": pa.Table.from_pylist(taxa),
        "heads": pa.Table.from_pylist([_about(name, aligned.get(name)) for name in (head.name for head in found)]),
        "answerable": pa.Table.from_pylist(tables_of.answerable_rows(asked, targets)),
        "specimens": tables_of.specimen_table(found, asked, targets),
    }
    provenance: Row = {
        "protocol": "heads",
        "baseline": first,
        "heads": {name: _facts(predictions) for name, predictions in aligned.items()} | {name: {} for name in named or {}},
        "encoders": {encoder_name(predictions): {} for predictions in aligned.values()},
        "split": base.facts.get("split"),
        "split_hash": split_hash(base.facts),
        "decoding": decoding,
        "branch_rank": asked.branch_rank,
        "main_target": main_target(asked, targets).name,
        "options": {"ks": list(ks), "intervals": asdict(boot)},
    }
    caveats = _caveats(first, len(found), differences, provenance) + level_caveats(asked, targets, tables, boot, provenance)
    return Report("side_by_side", "Heads on the same specimens", tables, caveats, provenance, page)


def _aligned(heads: Mapping[str, Predictions]) -> dict[str, Predictions]:
    """All predictions in the first one's order. Raises BiocosmosError where they are not of the same specimens, tree and "
    "split."""
    if not heads:
        raise BiocosmosError("no head to judge: pass heads={'name': predictions, ...}")
    first, base = next(iter(heads.items()))
    place = {id_: row for row, id_ in enumerate(base.ids.tolist())}
    if len(place) < len(base):
        raise BiocosmosError(f"{first} answers some specimens twice: predict each once")
    out = {}
    for name, predictions in heads.items():
        if predictions.taxonomy.digest != base.taxonomy.digest:
            raise BiocosmosError(
                f"{name} has another tree than {first} ({', '.join(predictions.ranks)} against {', '.join(base.ranks)}): "
                "train both with the same --ranks on one collection"
            )
        ids = predictions.ids.tolist()
        strange = next((id_ for id_ in ids if id_ not in place), None)
        if len(ids) != len(place) or strange is not None or len(set(ids)) < len(ids):
            which = f"{strange} is not among those of {first}" if strange is not None else f"{len(ids):,} against {len(place):,}"
            raise BiocosmosError(f"{name} and {first} answer different specimens ({which}): predict the same part with both")
        order = np.empty(len(ids), np.int64)
        order[[place[id_] for id_ in ids]] = np.arange(len(ids))
        out[name] = predictions.subset(order)
        if not np.array_equal(out[name].truth, base.truth):
            raise BiocosmosError(f"{name} and {first} have different true taxa: predict both from one version of the collection")
        hashes = split_hash(predictions.facts), split_hash(base.facts)
        if None not in hashes and hashes[0] != hashes[1]:
            raise BiocosmosError(f"{name} and {first} come from two splits ({hashes[0]} and {hashes[1]}): predict both from one")
    return out


def _asked(heads: Sequence[Predictions], branch: str | None) -> Asked:
    """The specimens, where a taxon is answerable only if every head can answer it."""
    every = [Asked.of(predictions, branch) for predictions in heads]
    return replace(every[0], able=np.logical_and.reduce([asked.able for asked in every]))


def _named(taxonomy: Taxonomy, name: str, nodes: npt.ArrayLike, size: int, taken: set[str]) -> Answers:
    given = np.asarray(nodes)
    if name in taken:
        raise BiocosmosError(f"two answers are called {name}: give each a name of its own")
    if given.shape != (size,) or (len(given) and not 0 <= given.min() <= given.max() < len(taxonomy)):
        raise BiocosmosError(f"{name} needs one node of the tree for each of {size:,} specimens, 0 for no name")
    return Answers(name, taxonomy.lineage(given))


def _differences(first: Answers, other: Answers, asked: Asked, targets: Sequence[Target], boot: Bootstrap) -> list[Row]:
    """Everything of ``other`` minus that of ``first``, over the same specimens."""
    about = {"head": other.name, "baseline": first.name}
    rows = []
    for target in targets:
        before, after = (tables_of.said_codes(head, asked, target) for head in (first, other))
        for branch, over, part in tables_of.scopes(asked, target):
            if over != "all":
                continue
            one = branch != ALL and target.name == asked.branch_rank
            judged = part.query >= 0
            right = before == part.query, after == part.query
            counts = {
                "gained": int((judged & right[1] & ~right[0]).sum()),
                "lost": int((judged & right[0] & ~right[1]).sum()),
                "specimens": int(judged.sum()),
            }
            for measure, average, value in agreement_differences(part.query, before, after, len(part), boot):
                if not (one and average != "micro"):
                    scope = {"branch": branch, "target": target.name, "measure": measure, "average": average}
                    rows.append({**about, **scope, **value._asdict(), **counts})
    for branch, inside in asked.branches():
        keep = inside & asked.judged
        for measure, value in tables_of.tree_differences(first, other, asked, keep, boot) if keep.any() else ():
            scope = {"branch": branch, "target": tables_of.TREE, "measure": measure, "average": "pooled"}
            rows.append({**about, **scope, **value._asdict(), "specimens": int(keep.sum())})
    return rows


_DIFFERENCES = pa.schema(
    [(name, pa.string()) for name in ("head", "baseline", "branch", "target", "measure", "average")]
    + [(name, pa.float64()) for name in ("value", "low", "high")]
    + [(name, pa.int64()) for name in ("gained", "lost", "specimens")]
)


def _facts(predictions: Predictions) -> Row:
    return {key: value for key, value in predictions.facts.items() if key not in ("split", "split_hash")}


def _about(name: str, predictions: Predictions | None) -> Row:
    """What a row of the table is."""
    if predictions is None:
        return {"head": name, "kind": "names without probabilities", "encoder": None, "digest": None, "classes": None}
    digest = predictions.facts.get("digest")
    return {
        "head": name,
        "kind": str(predictions.facts.get("head", "not recorded")),
        "encoder": encoder_name(predictions),
        "digest": None if digest is None else str(digest),
        "classes": len(predictions.classes),
    }


def _caveats(first: str, heads: int, differences: Sequence[Row], provenance: Row) -> list[str]:
    main = provenance["main_target"]
    rows = [row for row in differences if row["branch"] == ALL and row["target"] == main and row["measure"] == "accuracy"]
    unclear = [row["head"] for row in rows if row["low"] <= 0 <= row["high"]]
    out = []
    if unclear:
        out.append(
            f"Not told apart from {first} at {main}, because the interval of the difference in accuracy holds zero: "
            f"{listed(unclear)}. That is not a proof of being equal."
        )
    if heads > 2:
        out.append(
            f"{heads} rows are compared: the best of several looks better than it is. Choose on the validation part and "
            "report the choice on the test part."
        )
    out.append(
        "Each head was trained once, from one seed: the intervals say what other specimens would give, not what another "
        "training of the same head would."
    )
    return out
