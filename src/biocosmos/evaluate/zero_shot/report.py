"""Zero-shot: how well do the taxa's names alone, read by a text tower, name the images?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.bootstrap import CONFIDENCE, DRAWS, Bootstrap, wilson
from biocosmos.evaluate.numbers.caveats import interval_caveat, provenance_caveats, taxa_text
from biocosmos.evaluate.numbers.metrics import hits_per_taxon
from biocosmos.evaluate.numbers.targets import Target, finest_common
from biocosmos.evaluate.report import Report, split_hash
from biocosmos.evaluate.retrieval.report import checked_ks
from biocosmos.evaluate.zero_shot.page import page
from biocosmos.evaluate.zero_shot.texts import NAME, TEXT_TYPES, common_names, names_of, sentences, text_vectors
from biocosmos.identify.namers.text import TextEncoder, check_templates, wording_of
from biocosmos.search.gallery import Gallery

Array = npt.NDArray[Any]
Row = dict[str, Any]
KS = (1, 3, 5)
_QUERIES = 4096


def zero_shot(
    galleries: Mapping[str, Gallery],
    encoders: Mapping[str, TextEncoder],
    *,
    types: Sequence[str] | None = None,
    templates: Sequence[str] | None = None,
    common: str | Mapping[str, str] | None = None,
    ks: Sequence[int] = KS,
    rank: str | None = None,
    seed: int = 0,
    bootstrap: int = DRAWS,
    confidence: float = CONFIDENCE,
) -> Report:
    """Top-k accuracy of names chosen by cosine with the texts of all taxa of the collection at one rank.

    A taxon's text vector: every sentence of ``templates`` with the taxon in it is encoded and made unit, then their mean is
    made unit (Radford et al. 2021, arXiv:2103.00020, section 3.1.4). The logit scale does not change the order and is left out.

    galleries: encoder -> image vectors to name; encoders: encoder -> its text tower. types: of :data:`TEXT_TYPES`, those that
    need common names only where there are some by default. templates: 80 of our own by default; a tower that was trained on names
    alone (of a space) is asked with the name as it was trained on, and by default with no other type. common: the column of the
    galleries with common names, or scientific name -> common name; a taxon without one is written by its scientific name, and
    counted. rank: the finest that half the queries have by default; the candidates are all taxa of the taxonomy at that rank.

    Tables: summary (encoder, text type, k, micro and macro, with bootstrap intervals), per_taxon, texts (what was written for
    each taxon). Raises BiocosmosError for an unknown type or rank, a template without a name, no labelled query.
    """
    ks = checked_ks(ks)
    boot = Bootstrap(bootstrap, confidence, seed)
    asked_with = {name: check_templates(templates or _sentences(encoder)) for name, encoder in encoders.items()}
    first = next(iter(galleries))
    target = _target(galleries[first], rank)
    taxonomy = galleries[first].taxonomy
    assert taxonomy is not None
    candidates = np.flatnonzero(taxonomy.rank == taxonomy.ranks.index(target.name))
    known = common_names(galleries, common)
    written = {name: names_of(taxonomy, candidates, known, wording_of(encoders[name])) for name in galleries}
    words = written[first]
    has_common = [bool(name) for name in words["common"]]
    of_names = all(wording_of(encoders[name]) is not None for name in galleries)
    wanted = list(types or (("taxon",) if of_names else TEXT_TYPES if any(has_common) else ("sci", "taxon")))
    if unknown := [kind for kind in wanted if kind not in TEXT_TYPES]:
        raise BiocosmosError(f"no text type '{unknown[0]}': choose {', '.join(TEXT_TYPES)}")
    rows: list[Row] = []
    taxon_rows: list[pa.Table] = []
    for name, gallery in galleries.items():
        mine = _target(gallery, target.name)
        truth = np.append(mine.nodes, -1)[mine.query]
        asked = truth >= 0
        for kind in wanted:
            texts = text_vectors(encoders[name], written[name][kind], asked_with[name])
            first_right = _places(gallery.vectors, texts, np.searchsorted(candidates, truth), asked)
            rows += _rows(name, kind, mine, first_right, asked, ks, boot)
            taxon_rows.append(_per_taxon(name, kind, mine, first_right, ks, confidence))
    provenance = {
        "protocol": "zero-shot",
        "encoders": {name: dict(gallery.provenance) for name, gallery in galleries.items()},
        "main_target": target.name,
        "candidates": len(candidates),
        "templates": list(dict.fromkeys(sentence for own in asked_with.values() for sentence in own)),
        "split_hash": split_hash(galleries[first].provenance),
        "options": {"ks": list(ks), "types": wanted, "intervals": asdict(boot)},
    }
    tables = {
        "summary": pa.Table.from_pylist(rows),
        "per_taxon": pa.concat_tables(taxon_rows),
        "texts": pa.table({"taxon": words["sci"], "common": words["common"], **{kind: words[kind] for kind in wanted}}),
    }
    caveats = []
    if not all(has_common) and any(kind.endswith("com") for kind in wanted):
        caveats.append(
            f"{taxa_text(has_common.count(False))} of {len(candidates):,} have no common name and were written by their "
            "scientific name there: the text types with common names are partly the others."
        )
    elif not any(has_common) and types is None and not of_names:
        caveats.append("No common names were given, so the text types that use them were not tried.")
    if target.name not in ("species", "genus", "family", "order", "class", "phylum", "kingdom"):
        caveats.append(
            f"The names at {target.name} are labels and not all of them names of taxa: a text tower may know few of these words."
        )
    caveats.append(
        f"Only the {len(candidates):,} taxa of this collection could be answered: with more candidates accuracy is lower."
    )
    if len(wanted) * len(galleries) > 1:
        caveats.append("The best of several text types looks better than it is: choose one on another part of the split.")
    caveats += [interval_caveat(boot), *provenance_caveats(provenance)]
    return Report("zero_shot", f"Zero-shot with {' and '.join(galleries)}", tables, caveats, provenance, page)


def _sentences(encoder: TextEncoder) -> tuple[str, ...]:
    """Ours, or the name alone for a tower that was trained on names."""
    return sentences() if wording_of(encoder) is None else (NAME,)


def _target(gallery: Gallery, rank: str | None) -> Target:
    target = finest_common(gallery, rank, "zero-shot")
    if not (target.query >= 0).any():
        raise BiocosmosError("zero-shot needs labelled specimens: no specimen of this part has a name")
    return target


def _places(vectors: Array, texts: Array, truth: Array, asked: Array) -> Array:
    """(q,) place of the true taxon, from 0, equal cosines in the order of candidates; of no meaning where not ``asked``."""
    out = np.zeros(len(vectors), dtype=np.int64)
    columns = np.arange(len(texts))
    step = max(1, min(_QUERIES, 2**24 // max(len(texts), 1)))
    for start in range(0, len(vectors), step):
        part = slice(start, min(start + step, len(vectors)))
        cosines = vectors[part] @ texts.T
        mine = np.where(asked[part], truth[part], 0)
        own = cosines[np.arange(len(mine)), mine][:, None]
        out[part] = (cosines > own).sum(1) + ((cosines == own) & (columns < mine[:, None])).sum(1)
    return out


def _rows(name: str, kind: str, target: Target, first: Array, asked: Array, ks: Sequence[int], boot: Bootstrap) -> list[Row]:
    counts = target.query_counts()
    rows = []
    for k in ks:
        hits = hits_per_taxon(target.query, asked & (first < k), len(target))
        for average, value in (("micro", boot.micro(hits, counts)), ("macro", boot.macro(hits, counts))):
            rows.append(
                {
                    "encoder": name,
                    "text": kind,
                    "target": target.name,
                    "k": k,
                    "average": average,
                    "value": value.value,
                    "low": value.low,
                    "high": value.high,
                    "right": int(hits.sum()),
                    "queries": int(counts.sum()),
                    "taxa": int((counts > 0).sum()),
                }
            )
    return rows


def _per_taxon(name: str, kind: str, target: Target, first: Array, ks: Sequence[int], confidence: float) -> pa.Table:
    counts = target.query_counts()
    some = np.flatnonzero(counts)
    columns: dict[str, Any] = {
        "encoder": [name] * len(some),
        "text": [kind] * len(some),
        "taxon": target.names[some].tolist(),
        "path": target.paths[some].tolist(),
        "queries": counts[some],
    }
    for k in ks:
        hits = hits_per_taxon(target.query, (target.query >= 0) & (first < k), len(target))[some]
        low, high = wilson(hits, counts[some], confidence)
        columns |= {f"top-{k}": hits / counts[some], f"low-{k}": low, f"high-{k}": high}
    return pa.table(columns)
