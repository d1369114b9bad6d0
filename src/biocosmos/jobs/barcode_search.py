"""Barcodes that are searched for: cleaned, the nearest by their encoder's cosine, put in order by alignment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.barcodes.alignment import Letters
from biocosmos.encoders.barcodes import NOT_COMPARED, BarcodeEncoder, comparable
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.jobs.queries import barcode_encoder_of_column
from biocosmos.jobs.sequence_files import BARCODE, sequence_files
from biocosmos.jobs.sequences import OfFiles, typed
from biocosmos.jobs.settings import SearchSettings
from biocosmos.search.gallery import Gallery
from biocosmos.search.reranking import CANDIDATES, rerank
from biocosmos.settings import UnusedSetting
from biocosmos.specimens.collection import Collection

AT_ONCE = 2048
STAGE = "search"


@dataclass
class AskedLetters:
    """Barcodes of a block; names: of the queries, which are ids of the collection where ``specimens`` is so."""

    names: list[str]
    barcodes: list[str]
    specimens: bool = False
    failures: Failures = field(default_factory=Failures)


def asks_barcodes(collection: Collection, encoder: str, settings: SearchSettings) -> bool:
    """Whether barcodes are searched for: with ``dna`` or ``fasta``, or specimens by an encoder of DNA."""
    dna = collection.encoders[encoder].get("modality") == "dna"
    asked = bool(settings.dna or settings.fasta)
    kinds = [name for name in ("images", "text", "id") if getattr(settings, name)]
    if asked and kinds:
        raise BiocosmosError("--dna and --fasta go with nothing else that is asked about: search twice")
    if kinds == ["id"] and not dna and settings.fold:
        raise UnusedSetting("fold", "--fold", "with barcodes, by an encoder of DNA such as kmer:7")
    return asked or (dna and kinds == ["id"])


def search_barcodes(collection: Collection, encoder: str, settings: SearchSettings) -> tuple[pa.Table, Failures, dict[str, Any]]:
    """The neighbours of every barcode: a table of query, position from 1, id, score (cosine) and, where they are aligned,
    identity (percent of the overlap), alignment_length and gaps (columns); what failed; and how it was searched."""
    loaded = barcode_encoder_of_column(collection, encoder, device=settings.device, precision=settings.precision)
    known = BARCODE in collection.stored_columns
    gallery = collection.gallery(encoder, columns=(BARCODE,) if known else (), **settings.selected())
    if not len(gallery):
        raise BiocosmosError(f"nothing to search in {collection.path}: no specimen with a vector was selected")
    if settings.fold and gallery.counts is None:
        raise UnusedSetting("fold", "--fold", "with an encoder that counts k-mers, such as kmer:7")
    letters = None
    if settings.align and known and gallery.columns is not None:
        letters = Letters([barcode or "" for barcode in gallery.columns[BARCODE].to_pylist()])
    failures, tables, how = Failures(), list[pa.Table](), dict[str, Any]()
    for asked in _asked(collection, settings):
        failures.extend(asked.failures)
        if asked.names:
            table, how = _neighbours(gallery, loaded, asked, letters, settings, failures)
            tables.append(table)
    if not tables or (failures.errors and not any(table.num_rows for table in tables)):
        raise BiocosmosError(f"nothing to ask: none of the barcodes can be compared ({_first(failures)})")
    return pa.concat_tables(tables), failures, how


def _neighbours(
    gallery: Gallery,
    encoder: BarcodeEncoder,
    asked: AskedLetters,
    letters: Letters | None,
    settings: SearchSettings,
    failures: Failures,
) -> tuple[pa.Table, dict[str, Any]]:
    """The table of one block."""
    vectors = encoder.encode_barcodes(asked.barcodes)
    good = comparable(vectors)
    for name in np.array(asked.names, object)[~good]:
        failures.add(f"the barcode has {NOT_COMPARED}", stage=STAGE, id=name)
    rows = np.flatnonzero(good)
    names, barcodes = [asked.names[i] for i in rows], [asked.barcodes[i] for i in rows]
    folded = gallery.counts is not None and (settings.fold or letters is not None)
    exclude = names if asked.specimens else None
    near = settings.k if letters is None else max(settings.k, CANDIDATES)
    hits = gallery.search(vectors[rows], near, exclude=exclude, fold=folded)
    columns = ["query", "position", "id", "score"]
    if letters is None:
        return hits.table(names).select(columns), dict(hits.provenance["search"])
    found = rerank(barcodes, letters, hits)
    found = found.first(settings.k) if settings.fold or not folded else found.unfolded(settings.k, exclude)
    table = found.hits.table(names).select(columns)
    for name, values in found.columns().items():
        table = table.append_column(name, pa.array(values))
    return table, {**hits.provenance["search"], "aligned": near}


def _asked(collection: Collection, settings: SearchSettings) -> Iterator[AskedLetters]:
    if settings.id:
        yield _specimens(collection, settings.id)
    yield from asked_letters(dna=settings.dna, fasta=settings.fasta)


def asked_letters(*, dna: Sequence[str] = (), fasta: Sequence[Path] = ()) -> Iterator[AskedLetters]:
    """Typed barcodes and those of files, cleaned, block by block; what is none is among the failures."""
    if dna:
        asked = AskedLetters([], [])
        for name, one in zip(dna, typed(dna)):
            if one.sequence is None:
                asked.failures.add(one.refused or "no barcode", stage=STAGE, id=name)
            else:
                asked.names.append(name)
                asked.barcodes.append(one.sequence)
        yield asked
    if fasta:
        missing = Failures()
        files = OfFiles(sequence_files(fasta, missing), AT_ONCE)
        yield AskedLetters([], [], failures=_of_search(missing))
        for block in files.blocks(lambda _: False):
            yield AskedLetters(block.ids, block.barcodes, failures=_of_search(block.failures))


def _of_search(rows: Any) -> Failures:
    told = Failures()
    for row in rows:
        told.append(replace(row, stage=STAGE))
    return told


def _specimens(collection: Collection, ids: tuple[str, ...]) -> AskedLetters:
    if BARCODE not in collection.stored_columns:
        raise BiocosmosError(f"{collection.path} has no barcodes: ask with --dna or --fasta")
    table = collection.take(ids, columns=[BARCODE])
    barcodes = dict(zip(table["id"].to_pylist(), table[BARCODE].to_pylist()))
    if missing := sorted(set(ids) - set(barcodes)):
        raise BiocosmosError(f"{collection.path} has no specimen '{missing[0]}'")
    if bare := sorted(id_ for id_ in ids if not barcodes[id_]):
        raise BiocosmosError(f"specimen '{bare[0]}' has no barcode")
    return AskedLetters(list(ids), [barcodes[id_] for id_ in ids], specimens=True)


def _first(failures: Failures) -> str:
    return failures.gravest() if len(failures) else "no sequence"
