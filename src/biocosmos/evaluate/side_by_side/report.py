"""Several namers on the same specimens: one table of them side by side, and each against the first, with paired intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.bootstrap import CONFIDENCE, DRAWS, Bootstrap
from biocosmos.evaluate.numbers.caveats import listed
from biocosmos.evaluate.numbers.rank_scores import agreement_differences
from biocosmos.evaluate.numbers.targets import Target
from biocosmos.evaluate.ranks import answered as answered_of
from biocosmos.evaluate.ranks import tables as tables_of
from biocosmos.evaluate.ranks.asked import ALL, Asked
from biocosmos.evaluate.ranks.caveats import naming_caveats
from biocosmos.evaluate.ranks.names import BEST_PATH, Names
from biocosmos.evaluate.ranks.report import KS, Answered, asked_and_named, check_ks, split_facts
from biocosmos.evaluate.report import Report
from biocosmos.evaluate.side_by_side.one_tree import together
from biocosmos.evaluate.side_by_side.page import page
from biocosmos.identify.predictions import Predictions

Array = npt.NDArray[Any]
Row = dict[str, Any]
Said: TypeAlias = (
    Predictions | Iterable[Predictions] | tuple[Predictions | Iterable[Predictions], Answered | None] | tuple[Asked, Names]
)


def side_by_side(
    namers: Mapping[str, Said],
    *,
    named: Mapping[str, npt.ArrayLike] | None = None,
    ks: Sequence[int] = KS,
    branch: str | None = None,
    decoding: str = BEST_PATH,
    seed: int = 0,
    bootstrap: int = DRAWS,
    confidence: float = CONFIDENCE,
) -> Report:
    """Namers beside each other; the first is what the others are measured against.

    namers: name -> predictions of the same specimens, in any order, whole or block by block, or these and the table of answers
    that was given, or what :func:`biocosmos.evaluate.ranks.names.from_answers` makes of a table of answers alone; trees that
    differ are cut to the ranks that all have. named: name -> (n,) the deepest node of the first namer's tree that each of its
    specimens was named by something without probabilities, such as its nearest neighbour; 0 for no name; they stand in the table
    and in the differences, after the namers. Other arguments as in :func:`naming`.

    Tables: summary, hierarchical, severity, consistency, rollback, answers, coverage, calibration, reliability, community,
    per_taxon as there, with a column namer; differences (each against the first: accuracy, precision, recall, F1 at every rank,
    over all specimens and within each branch; the hierarchical scores under the target "tree"), namers (what each is),
    answerable, specimens. A specimen is answerable when every namer knows its taxon.

    Raises BiocosmosError with no namer, and where specimens, truths or split hashes differ.
    """
    check_ks(ks)
    boot = Bootstrap(bootstrap, confidence, seed)
    if not namers:
        raise BiocosmosError("no namer to judge: pass namers={'name': predictions, ...}")
    pairs = {name: _pair(name, said, decoding) for name, said in namers.items()}
    for name, nodes in (named or {}).items():
        pairs = {**pairs, name: _only_named(*next(iter(pairs.values())), name, nodes, set(pairs))}
    asked, found = together(pairs, branch)
    targets = asked.targets()
    first = found[0]
    rows: dict[str, list[Row]] = {}
    for one in found:
        calibration, bins = tables_of.calibration_rows(one, asked, targets, confidence)
        for key, more in {
            "summary": tables_of.rank_rows(one, asked, targets, ks, boot),
            "differences": [] if one is first else _differences(first, one, asked, targets, boot),
            "hierarchical": tables_of.hierarchical_rows(one, asked, boot),
            "severity": tables_of.severity_rows(one, asked),
            "consistency": tables_of.consistency_rows(one, asked, boot),
            "rollback": answered_of.rollback_rows(one, asked, targets, boot),
            "coverage": tables_of.coverage_rows(one, asked, targets),
            "calibration": calibration,
            "reliability": bins,
            "community": answered_of.community_rows(one, asked, targets),
            "per_taxon": tables_of.taxon_rows(one, asked, targets, confidence),
            "namers": [_about(one)],
        }.items():
            rows.setdefault(key, []).extend(more)
    rows["answerable"] = tables_of.answerable_rows(asked, targets)
    tables = {key: _table(key, part) for key, part in rows.items()}
    tables["answers"] = pa.concat_tables([answered_of.answers_table(one, asked, confidence) for one in found])
    tables["specimens"] = answered_of.specimen_table(found, asked, targets)
    provenance: Row = {
        "protocol": "namers side by side",
        "baseline": first.name,
        "namers": {one.name: {key: value for key, value in one.facts.items() if not key.startswith("split")} for one in found},
        "encoders": {one.encoder: {} for one in found if one.facts},
        **split_facts(first),
        "decoding": decoding,
        "branch_rank": asked.branch_rank,
        "main_target": asked.main_target(targets).name,
        "options": {"ks": list(ks), "intervals": asdict(boot)},
    }
    caveats = _caveats(found, rows["differences"], provenance) + naming_caveats(asked, targets, tables, boot, provenance)
    return Report("side_by_side", "Namers on the same specimens", tables, caveats, provenance, page)


def _pair(name: str, said: Said, decoding: str) -> tuple[Asked, Names]:
    if isinstance(said, tuple) and isinstance(said[0], Asked):
        return said
    predictions, answers = said if isinstance(said, tuple) else (said, None)
    return asked_and_named(predictions, answers, name=name, decoding=decoding)


def _only_named(asked: Asked, first: Names, name: str, nodes: npt.ArrayLike, taken: set[str]) -> tuple[Asked, Names]:
    """Names without probabilities, over the first namer's tree and specimens."""
    given = np.asarray(nodes)
    if name in taken:
        raise BiocosmosError(f"two namers are called {name}: give each a name of its own")
    if given.shape != (len(asked.ids),) or (len(given) and not 0 <= given.min() <= given.max() < len(asked.taxonomy)):
        raise BiocosmosError(f"{name} needs one node of the tree for each of {len(asked.ids):,} specimens, 0 for no name")
    return asked, Names(name, asked.taxonomy.lineage(given))


def _differences(first: Names, other: Names, asked: Asked, targets: Sequence[Target], boot: Bootstrap) -> list[Row]:
    """Everything of ``other`` minus that of ``first``, over the same specimens."""
    about = {"namer": other.name, "baseline": first.name}
    rows = []
    for target in targets:
        before, after = (named.codes(asked, target) for named in (first, other))
        for branch, over, part in asked.scopes(target):
            if over != "all":
                continue
            one = branch != ALL and target.name == asked.branch_rank
            known, right = part.query >= 0, (before == part.query, after == part.query)
            counts = {
                "gained": int((known & right[1] & ~right[0]).sum()),
                "lost": int((known & right[0] & ~right[1]).sum()),
                "specimens": int(known.sum()),
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
    [(name, pa.string()) for name in ("namer", "baseline", "branch", "target", "measure", "average")]
    + [(name, pa.float64()) for name in ("value", "low", "high")]
    + [(name, pa.int64()) for name in ("gained", "lost", "specimens")]
)


def _table(name: str, rows: Sequence[Row]) -> pa.Table:
    if name == "differences":
        return pa.Table.from_pylist(list(rows), schema=_DIFFERENCES)
    return pa.Table.from_pylist(list(rows)) if rows else pa.table({"namer": pa.array([], pa.string())})


def _about(named: Names) -> Row:
    """What a row of the table is."""
    if not named.facts:
        return {"namer": named.name, "kind": "names without probabilities", "encoder": None, "digest": None, "classes": None}
    facts = named.facts
    return {
        "namer": named.name,
        "kind": str(facts.get("namer") or facts.get("head") or "not recorded"),
        "encoder": named.encoder,
        "digest": None if facts.get("digest") is None else str(facts["digest"]),
        "classes": named.classes,
    }


def _caveats(found: Sequence[Names], differences: Sequence[Row], provenance: Row) -> list[str]:
    main, first = provenance["main_target"], found[0].name
    rows = [row for row in differences if row["branch"] == ALL and row["target"] == main and row["measure"] == "accuracy"]
    unclear = [row["namer"] for row in rows if row["low"] <= 0 <= row["high"]]
    out = []
    if unclear:
        out.append(
            f"Not told apart from {first} at {main}, because the interval of the difference in accuracy holds zero: "
            f"{listed(unclear)}. That is not a proof of being equal."
        )
    if len(found) > 2:
        out.append(
            f"{len(found)} rows are compared: the best of several looks better than it is. Choose on the validation part and "
            "report the choice on the test part."
        )
    if any(named.facts.get("head") for named in found):
        out.append(
            "Each head was trained once, from one seed: the intervals say what other specimens would give, not what another "
            "training of the same head would."
        )
    return out
