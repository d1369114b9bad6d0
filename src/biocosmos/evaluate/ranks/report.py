"""Names, rank by rank: how often right, how bad the mistakes, how far down answers go, whether confidence is true, what is novel.

Whatever names is judged here alike: by its predictions, by the answers it gave to whoever asked, or best by both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.bootstrap import CONFIDENCE, DRAWS, Bootstrap
from biocosmos.evaluate.ranks import answered as answered_of
from biocosmos.evaluate.ranks import tables as tables_of
from biocosmos.evaluate.ranks.asked import Asked
from biocosmos.evaluate.ranks.caveats import naming_caveats
from biocosmos.evaluate.ranks.names import BEST_PATH, Names, from_answers, read, with_answers
from biocosmos.evaluate.ranks.page import page
from biocosmos.evaluate.report import Report, split_hash
from biocosmos.identify.predictions import Predictions
from biocosmos.search.gallery import Gallery
from biocosmos.specimens import guard
from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]
Row = dict[str, Any]
Answered: TypeAlias = pa.Table | Callable[[], pa.Table]
KS = (2, 3, 5)
# Facts of a namer that say what was asked, which stand elsewhere in a report's provenance.
_OF_THE_SPLIT = ("split", "split_hash")


def naming(
    predictions: Predictions | Iterable[Predictions] | None = None,
    answers: Answered | None = None,
    *,
    truth: Gallery | pa.Table | npt.ArrayLike | None = None,
    taxonomy: Taxonomy | None = None,
    gallery: Gallery | None = None,
    name: str | None = None,
    ks: Sequence[int] = KS,
    branch: str | None = None,
    decoding: str = BEST_PATH,
    seed: int = 0,
    bootstrap: int = DRAWS,
    confidence: float = CONFIDENCE,
    examples: int = 6,
) -> Report:
    """Judge one namer at every rank of its tree.

    predictions: what it says of the specimens, whole or block by block; answers: the table it gave to whoever asked, of the same
    specimens (:meth:`Identifier.identify`), or what gives it once the predictions are read: calibrated confidence, roll-back,
    novelty, neighbours. Either may be left out; with both, confidence is judged as told, and before calibration beside it.
    truth, taxonomy: for answers alone, whose truth is a Gallery or a table with ``id`` and rank columns that hold every id, or
    (n,) nodes in their order; taxonomy: needed unless ``truth`` is a Gallery. gallery: what the namer was fitted on; it shows
    what a taxon looks like, and for answers alone it says which taxa could have been answered, and so which specimens are
    unanswerable and novel; without it all count as answerable.

    name: of the namer in tables, its kind by default; ks: of top-k; branch: the rank whose taxa are reported apart (living and
    non-living, of status), the first by default; decoding: how a name is read at each rank, one of ``DECODINGS`` (the last two
    may contradict themselves); seed, bootstrap (draws, 0 for no intervals) and confidence of the intervals, specimens being
    resampled; examples: specimens of each kind shown.

    Tables: summary (accuracy, precision, recall, F1, top-k per branch and rank, over all specimens and over the answerable ones),
    hierarchical, severity, consistency (other ways to read, what each gains or loses), rollback (how often each rank was
    answered and right), answers (where the roll-back stopped), coverage, calibration, reliability, novelty, community, per_taxon,
    confusion, answerable, specimens, examples. A null rank of the truth judges nothing. A specimen is unanswerable at a rank when
    the namer knows no taxon at or under its true one there: wrong in "all", left out of "answerable".

    Raises BiocosmosError when no specimen has a known taxon, for an unknown rank, k or decoding, raw ranks where there are none,
    ids that are missing from the truth or the answers, and ids that are in the gallery.
    """
    check_ks(ks)
    boot = Bootstrap(bootstrap, confidence, seed)
    asked, named = asked_and_named(predictions, answers, truth, taxonomy, gallery, name, decoding, branch)
    targets = asked.targets()
    calibration, bins = tables_of.calibration_rows(named, asked, targets, confidence)
    rows = {
        "summary": tables_of.rank_rows(named, asked, targets, ks, boot),
        "hierarchical": tables_of.hierarchical_rows(named, asked, boot),
        "severity": tables_of.severity_rows(named, asked),
        "consistency": tables_of.consistency_rows(named, asked, boot),
        "rollback": answered_of.rollback_rows(named, asked, targets, boot),
        "coverage": tables_of.coverage_rows(named, asked, targets),
        "calibration": calibration,
        "reliability": bins,
        "community": answered_of.community_rows(named, asked, targets),
        "per_taxon": tables_of.taxon_rows(named, asked, targets, confidence),
        "answerable": tables_of.answerable_rows(asked, targets),
    }
    tables = {key: _table(found) for key, found in rows.items()}
    tables["answers"] = answered_of.answers_table(named, asked, confidence)
    tables["novelty"] = answered_of.novelty_table(named, asked)
    tables["confusion"] = tables_of.confusion_table(named, asked, targets, shown_by(gallery, asked.taxonomy))
    tables["specimens"] = answered_of.specimen_table([named], asked, targets)
    tables["examples"] = answered_of.example_table(named, asked, examples, seed)
    provenance = {
        "protocol": "naming",
        "namer": {"name": named.name, **{key: value for key, value in named.facts.items() if key not in _OF_THE_SPLIT}},
        **({"answers": dict(named.answers_facts)} if named.answers_facts else {}),
        "encoders": {named.encoder: {}},
        **split_facts(named),
        "decoding": decoding,
        "branch_rank": asked.branch_rank,
        "main_target": asked.main_target(targets).name,
        "withheld_as_novel": answered_of.withheld(named, asked),
        "options": {"ks": list(ks), "intervals": asdict(boot)},
    }
    caveats = naming_caveats(asked, targets, tables, boot, provenance)
    return Report("ranks", f"Names by {named.name}, rank by rank", tables, caveats, provenance, page)


def asked_and_named(
    predictions: Predictions | Iterable[Predictions] | None,
    answers: Answered | None,
    truth: Gallery | pa.Table | npt.ArrayLike | None = None,
    taxonomy: Taxonomy | None = None,
    gallery: Gallery | None = None,
    name: str | None = None,
    decoding: str = BEST_PATH,
    branch: str | None = None,
) -> tuple[Asked, Names]:
    """What is asked and what was said, from predictions, answers or both; see :func:`naming`."""
    if predictions is not None:
        asked, named = read(predictions, name, decoding, branch)
        if answers is not None:
            named = with_answers(named, asked, answers() if callable(answers) else answers, decoding)
    elif answers is not None:
        if decoding != BEST_PATH:
            raise BiocosmosError(f"a table of answers holds the best path alone: '{decoding}' needs the predictions")
        table = answers() if callable(answers) else answers
        asked, named = from_answers(table, truth, taxonomy, gallery, name, branch)
    else:
        raise BiocosmosError("nothing to judge: pass predictions, a table of answers, or both")
    if gallery is not None:
        guard.refuse_shared(asked.ids, gallery.ids, "identified ids are in the gallery", "judge on specimens it has not seen")
    return asked, named


def check_ks(ks: Sequence[int]) -> None:
    """Raise BiocosmosError unless ``ks`` are numbers of at least 1."""
    if any(not isinstance(k, (int, np.integer)) or k < 1 for k in ks):
        raise BiocosmosError(f"top-k needs whole numbers of 1 or more, not {', '.join(map(str, ks))}")


def split_facts(named: Names) -> Row:
    """The split that was asked, as the namer's facts say."""
    return {"split": named.facts.get("split"), "split_hash": split_hash(named.facts)}


def shown_by(gallery: Gallery | None, taxonomy: Taxonomy) -> Any:
    """nodes (n,) -> (n,) object: the id of a gallery specimen of each, None where there is none; None without a gallery."""
    if gallery is None or gallery.taxa is None or gallery.taxonomy is None or gallery.taxonomy.digest != taxonomy.digest:
        return None
    taxa, ids = gallery.taxa, gallery.ids

    def shown(nodes: Array) -> Array:
        out = np.full(len(nodes), None, dtype=object)
        if len(ids):
            row = np.minimum(np.searchsorted(taxa, nodes), len(ids) - 1)
            there = (nodes >= 0) & (taxa[row] >= nodes) & (taxa[row] < taxonomy.end[nodes])
            out[there] = ids[row[there]]
        return out

    return shown


def _table(rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows)) if rows else pa.table({"namer": pa.array([], pa.string())})
