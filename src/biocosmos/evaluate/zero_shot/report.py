"""Zero-shot: how well do the taxa's names alone, read by a text tower, name the images?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
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
from biocosmos.identify.namers.text import TextEncoder, check_templates, read_templates
from biocosmos.progress import progress
from biocosmos.search.gallery import Gallery
from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]
Row = dict[str, Any]
KS = (1, 3, 5)
# What stands for a taxon in a sentence; "X with common name Y" as in BioCLIP's training texts (arXiv:2311.18803).
TEXT_TYPES = {
    "sci": "scientific name",
    "com": "common name",
    "taxon": "taxonomic string",
    "sci_com": "scientific + common name",
    "taxon_com": "taxonomic string + common",
}
_COMMON_COLUMNS = ("vernacularName", "common_name", "commonName", "common name", "common")
_QUERIES = 4096
_TEXTS = 256


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
    need common names only where there are some by default. templates: 80 of our own by default. common: the column of the
    galleries with common names, or scientific name -> common name; a taxon without one is written by its scientific name, and
    counted. rank: the finest that half the queries have by default; the candidates are all taxa of the taxonomy at that rank.

    Tables: summary (encoder, text type, k, micro and macro, with bootstrap intervals), per_taxon, texts (what was written for
    each taxon). Raises BiocosmosError for an unknown type or rank, a template without a name, no labelled query.
    """
    ks = checked_ks(ks)
    boot = Bootstrap(bootstrap, confidence, seed)
    templates = check_templates(templates or sentences())
    first = next(iter(galleries))
    target = _target(galleries[first], rank)
    taxonomy = galleries[first].taxonomy
    assert taxonomy is not None
    candidates = np.flatnonzero(taxonomy.rank == taxonomy.ranks.index(target.name))
    known = _common_names(galleries, common)
    words = names_of(taxonomy, candidates, known)
    has_common = [bool(name) for name in words["common"]]
    wanted = list(types or (TEXT_TYPES if any(has_common) else ("sci", "taxon")))
    if unknown := [kind for kind in wanted if kind not in TEXT_TYPES]:
        raise BiocosmosError(f"no text type '{unknown[0]}': choose {', '.join(TEXT_TYPES)}")
    rows: list[Row] = []
    taxon_rows: list[pa.Table] = []
    for name, gallery in galleries.items():
        mine = _target(gallery, target.name)
        truth = np.append(mine.nodes, -1)[mine.query]
        asked = truth >= 0
        for kind in wanted:
            texts = text_vectors(encoders[name], words[kind], templates)
            first_right = _places(gallery.vectors, texts, np.searchsorted(candidates, truth), asked)
            rows += _rows(name, kind, mine, first_right, asked, ks, boot)
            taxon_rows.append(_per_taxon(name, kind, mine, first_right, ks, confidence))
    provenance = {
        "protocol": "zero-shot",
        "encoders": {name: dict(gallery.provenance) for name, gallery in galleries.items()},
        "main_target": target.name,
        "candidates": len(candidates),
        "templates": list(templates),
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
    elif not any(has_common) and types is None:
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
    return Report("zero_shot", f"Zero-shot with {' and '.join(galleries)}", tables, caveats, provenance)


def sentences() -> tuple[str, ...]:
    """The 80 sentences that come with the package."""
    text = resources.files("biocosmos.evaluate.zero_shot").joinpath("sentences.txt").read_text(encoding="utf-8")
    return tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def read_sentences(path: str | Path) -> tuple[str, ...]:
    """Sentences from a file, one a line with {name} in each. Raises BiocosmosError."""
    found = read_templates(path)
    for template in found:
        if "{name}" not in template:
            raise BiocosmosError(f"{path}: {template!r} has no {{name}}: here {{name}} stands for every text type")
    return found


def common_name_column(columns: Sequence[str]) -> str | None:
    """The column that holds common names, if one is called as they are elsewhere."""
    return next((name for name in _COMMON_COLUMNS if name in columns), None)


def names_of(taxonomy: Taxonomy, nodes: Array, common: Mapping[str, str]) -> dict[str, list[str]]:
    """For each text type what stands for each of the nodes; "common" has the common name itself, "" where there is none.

    sci: the name, with the genus before it where a species has only its epithet; taxon: the names from the first rank down,
    without a genus that its species repeats. Underscores of label names become spaces.
    """
    out: dict[str, list[str]] = {kind: [] for kind in ("common", *TEXT_TYPES)}
    for node in nodes:
        path = taxonomy.path(int(node))
        named = [(rank, name.replace("_", " ")) for rank, name in zip(taxonomy.ranks, path) if name is not None]
        rank, scientific = named[-1]
        genus = dict(named).get("genus")
        if rank == "species" and genus:
            if " " not in scientific:
                scientific = f"{genus} {scientific}"
            if scientific.startswith(f"{genus} "):
                named = [pair for pair in named if pair[0] != "genus"]
        string = " ".join([*(name for _, name in named[:-1]), scientific])
        vernacular = common.get(str(path[taxonomy.ranks.index(rank)]), "").strip()
        out["common"].append(vernacular)
        out["sci"].append(scientific)
        out["com"].append(vernacular or scientific)
        out["taxon"].append(string)
        out["sci_com"].append(f"{scientific} with common name {vernacular}" if vernacular else scientific)
        out["taxon_com"].append(f"{string} with common name {vernacular}" if vernacular else string)
    return out


def text_vectors(encoder: TextEncoder, names: Sequence[str], templates: Sequence[str]) -> Array:
    """(names, d) float32 unit vectors: the mean of each name's sentences."""
    each = max(1, _TEXTS // len(templates))
    parts = []
    with progress("encode taxon names", total=len(names), unit="taxa") as bar:
        for start in range(0, len(names), each):
            batch = names[start : start + each]
            texts = [template.replace("{name}", name) for name in batch for template in templates]
            vectors = np.asarray(encoder.encode_texts(texts), np.float32).reshape(len(batch), len(templates), -1)
            parts.append((vectors / np.linalg.norm(vectors, axis=2, keepdims=True)).mean(axis=1))
            bar.advance(len(batch))
    means = np.concatenate(parts)
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise BiocosmosError("zero-shot: the text encoder returned a zero or NaN vector; try another encoder or precision")
    unit: Array = (means / norms).astype(np.float32)
    return unit


def _target(gallery: Gallery, rank: str | None) -> Target:
    target = finest_common(gallery, rank, "zero-shot")
    if not (target.query >= 0).any():
        raise BiocosmosError("zero-shot needs labelled specimens: no specimen of this part has a name")
    return target


def _common_names(galleries: Mapping[str, Gallery], common: str | Mapping[str, str] | None) -> dict[str, str]:
    """Finest name of a specimen -> its most frequent common name."""
    if common is None or isinstance(common, Mapping):
        return dict(common or {})
    found: dict[str, dict[str, int]] = {}
    for gallery in galleries.values():
        if gallery.columns is None or common not in gallery.columns.column_names or gallery.taxa is None:
            continue
        assert gallery.taxonomy is not None
        for node, name in zip(gallery.taxa, gallery.columns[common].to_pylist()):
            if name and node > 0:
                counts = found.setdefault(str(gallery.taxonomy.names[node]), {})
                counts[str(name).strip()] = counts.get(str(name).strip(), 0) + 1
    return {taxon: max(sorted(counts), key=lambda name: counts[name]) for taxon, counts in found.items()}


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
