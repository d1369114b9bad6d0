"""Several packs of one encoder in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.jobs.packs.content import Content, Written, write_content
from biocosmos.jobs.packs.identifiers import OF_CLASSES, check_method, fitted
from biocosmos.jobs.packs.inside import encoder_facts, gallery_of, proofs_of, read_rows
from biocosmos.jobs.packs.proofs import Proof, Proofs
from biocosmos.jobs.packs.settings import LEAST_TESTS, JoinSettings
from biocosmos.search.gallery import Gallery
from biocosmos.settings import told
from biocosmos.specimens.packs import layout
from biocosmos.specimens.packs.reading import Pack, open_pack
from biocosmos.specimens.packs.writing import check_place, writing_pack
from biocosmos.specimens.rank_order import merge_orders
from biocosmos.taxonomy import Taxonomy

SAME = 0.99999
"""Cosine from which on two vectors are of one picture: rounding to int8 moves them less."""
ROUNDED = 0.999
"""The same where one of them was rounded to int8."""
STAGE = "merge"
_OWN = ("id", "label", layout.SOURCE, "_given", "_pack")


@dataclass(frozen=True)
class Joined:
    """What joining came to. written: the pack; repeated: specimens that two packs had alike, kept once; renamed: other specimens
    of an id that was taken, called PACK/ID now; alike: pairs of specimens of two packs with the same vector, both kept."""

    written: Written
    repeated: int
    renamed: int
    alike: int


def merge_packs(
    paths: Sequence[Path],
    output: Path,
    settings: JoinSettings | None = None,
    failures: Failures | None = None,
    **options: Any,
) -> Joined:
    """Write one pack with the specimens of several, each row with the pack it comes from; the identifier is fitted on them all.

    failures: gets a warning for each specimen that two packs have, by id or by vector.

    Raises BiocosmosError: fewer than two packs; packs of two encoders or without vectors, by name; licences that differ, unless
    one is said; a place that is taken.
    """
    settings = told(JoinSettings, **options) if settings is None else settings
    failures = Failures() if failures is None else failures
    check_place(output, overwrite=settings.overwrite)
    check_method(settings.method, settings.vectors)
    if len(paths) < 2:
        raise BiocosmosError("give two packs or more to join")
    packs = [open_pack(path) for path in paths]
    refuse_unlike(packs)
    licence = settings.licence or _licence(packs)
    ranks = _ranks(packs)
    rows, vectors, repeated, renamed = _rows(packs, ranks, failures)
    tree = Taxonomy.from_table(rows, ranks=ranks)
    facts = {"encoder": packs[0].facts["encoder"]["name"], **encoder_facts(packs[0])}
    gallery = Gallery.build(rows["id"].to_pylist(), vectors, taxa=tree.index(rows), taxonomy=tree, provenance=facts, columns=rows)
    alike = _tell_alike(gallery, packs, failures)
    novelty = settings.novelty or (OF_CLASSES if settings.vectors == "none" else None)
    identifier = fitted(gallery, method=settings.method, novelty=novelty, seed=settings.seed)
    content = Content(
        name=settings.name or Path(output).stem,
        licence=licence,
        gallery=gallery,
        identifier=identifier,
        proofs=_proofs(packs, gallery, settings.tests),
        encoder=packs[0].facts["encoder"],
        sources=tuple({"name": p.name, "digest": p.digest, "specimens": p.facts["specimens"]} for p in packs),
        kind=settings.vectors,
        least=min(int(pack.facts["least"]) for pack in packs),
        columns=tuple(name for name in rows.column_names if name not in (*_OWN, *ranks)),
        made_from={"packs": {pack.short: pack.facts["made_from"] for pack in packs}},
        seed=settings.seed,
    )
    pixels = [int(pack.facts["thumbnails"]) for pack in packs if pack.facts["thumbnails"]]
    if pixels:
        content = replace(content, thumbnails=_thumbnails(packs, rows), pixels=max(pixels))
    heavy = next((pack for pack in packs if pack.facts["weights"]), None)
    with writing_pack(output, overwrite=settings.overwrite) as folder:
        encoder = None if heavy is None else heavy.folder / layout.ENCODER
        return Joined(write_content(content, folder, encoder), repeated, renamed, alike)


def refuse_unlike(packs: Sequence[Pack]) -> None:
    """Raise BiocosmosError for packs whose vectors are of two encoders, and for one that has none."""
    first = packs[0]
    for pack in packs:
        if pack.facts["vectors"]["kind"] == "none":
            raise BiocosmosError(f"{pack.path} holds no vectors (--vectors none), and packs are joined by theirs")
        for key in ("digest", "dim", "preprocessing"):
            mine, other = first.facts["encoder"].get(key), pack.facts["encoder"].get(key)
            if mine != other:
                names = [f"{p.path} by '{p.facts['encoder']['name']}' ({p.facts['encoder']['digest']})" for p in (first, pack)]
                raise BiocosmosError(f"packs of two encoders ({key}) cannot be compared: {names[0]}, {names[1]}")


def _licence(packs: Sequence[Pack]) -> str:
    stated = sorted({str(pack.facts["licence"]) for pack in packs})
    if len(stated) > 1:
        raise BiocosmosError(f"the packs have {len(stated)} licences ({', '.join(stated)}): say one all allow with --licence")
    return stated[0]


def _ranks(packs: Sequence[Pack]) -> tuple[str, ...]:
    ranks: tuple[str, ...] = ()
    for pack in packs:
        ranks = merge_orders(ranks, tuple(pack.facts["ranks"]))
    return ranks


def _rows(
    packs: Sequence[Pack], ranks: Sequence[str], failures: Failures
) -> tuple[pa.Table, np.ndarray[Any, np.dtype[np.float32]], int, int]:
    """All specimens with vectors: those of the same id and vector once, others of an id that is taken under another."""
    tables, matrices, repeated, renamed = [], [], 0, 0
    taken: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = {}
    for at, pack in enumerate(packs):
        gallery = gallery_of(pack)
        assert gallery is not None and gallery.columns is not None
        names, kept = [], []
        for row, id_ in enumerate(str(each) for each in gallery.ids):
            name, vector = id_, gallery.vectors[row]
            if id_ in taken:
                if float(taken[id_] @ vector) >= _same(packs):
                    repeated += 1
                    failures.add(f"in {pack.name} too: kept once", stage=STAGE, source=pack.path, id=id_, severity="warning")
                    continue
                name, number = f"{pack.name}/{id_}", 2
                while name in taken:
                    name, number = f"{pack.name}/{id_}/{number}", number + 1
                renamed += 1
                why = f"another specimen of this id was there: it is {name} now"
                failures.add(why, stage=STAGE, source=pack.path, id=id_, severity="warning")
            taken[name] = vector
            names.append(name)
            kept.append(row)
        table = gallery.columns.take(pa.array(kept, pa.int64()))
        table = table.set_column(table.column_names.index("id"), "id", pa.array(names, pa.string()))
        known = [f"{pack.short}/{source}" if source != pack.name else pack.short for source in table[layout.SOURCE].to_pylist()]
        table = table.set_column(table.column_names.index(layout.SOURCE), layout.SOURCE, pa.array(known, pa.string()))
        table = table.append_column("_given", pa.array(gallery.ids[kept].tolist(), pa.string()))
        table = table.append_column("_pack", pa.array([at] * len(table), pa.int64()))
        tables.append(table)
        matrices.append(gallery.vectors[kept])
    rows = pa.concat_tables(tables, promote_options="permissive")
    for rank in ranks:
        if rank not in rows.column_names:
            rows = rows.append_column(rank, pa.nulls(len(rows), pa.string()))
    return rows, np.concatenate(matrices), repeated, renamed


def _same(packs: Sequence[Pack]) -> float:
    return ROUNDED if any(pack.facts["vectors"]["kind"] == "int8" for pack in packs) else SAME


def _tell_alike(gallery: Gallery, packs: Sequence[Pack], failures: Failures) -> int:
    """Warn of specimens of one pack that have the vector of one of another, under another id; how many there are."""
    assert gallery.columns is not None
    of = gallery.columns["_pack"].to_numpy()
    alike = 0
    for at, pack in enumerate(packs[1:], start=1):
        mine, before = np.flatnonzero(of == at), of < at
        if not len(mine) or not before.any():
            continue
        hits = gallery.search(gallery.vectors[mine], 1, mask=before)
        for row, other, score in zip(mine, hits.rows[:, 0], hits.scores[:, 0]):
            if score >= _same(packs):
                alike += 1
                why = f"its vector is that of '{gallery.ids[other]}': both are kept"
                failures.add(why, stage=STAGE, source=pack.path, id=str(gallery.ids[row]), severity="warning")
    return alike


def _proofs(packs: Sequence[Pack], gallery: Gallery, count: int) -> Proofs:
    """Tests of all packs in turn, under the ids and names that their specimens have now; held out where no pack has them."""
    assert gallery.columns is not None and gallery.taxonomy is not None and gallery.taxa is not None
    pairs = zip(*(gallery.columns[name].to_pylist() for name in ("_pack", "_given")))
    now = {pair: row for row, pair in enumerate(pairs)}
    there = {str(id_): row for row, id_ in enumerate(gallery.ids)}
    each = [proofs_of(pack) for pack in packs]
    tests: list[Proof] = []
    vectors = []
    for turn in range(max(len(proofs.tests) for proofs in each)):
        for at, proofs in enumerate(each):
            if turn >= len(proofs.tests):
                continue
            test = proofs.tests[turn]
            row = now.get((at, test.id), there.get(test.id))
            id_ = test.id if row is None else str(gallery.ids[row])
            taxon = test.taxon if row is None else gallery.taxonomy.path_text(int(gallery.taxa[row]))
            if id_ not in {known.id for known in tests}:
                tests.append(Proof(id_, taxon, test.held_out and row is None))
                vectors.append(proofs.vectors[turn])
    if len(tests) < LEAST_TESTS:
        raise BiocosmosError(f"the packs have {len(tests)} tests of their own, {LEAST_TESTS} are needed: build them anew")
    return Proofs(tuple(tests[:count]), np.stack(vectors[:count]))


def _thumbnails(packs: Sequence[Pack], rows: pa.Table) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    now = {(p, given): id_ for id_, given, p in zip(*(rows[c].to_pylist() for c in ("id", "_given", "_pack")))}
    for at, pack in enumerate(packs):
        if pack.has(layout.THUMBNAILS):
            table = read_rows(pack, layout.THUMBNAILS, {"id": pa.string(), "image": pa.binary()})
            for id_, image in zip(table["id"].to_pylist(), table["image"].to_pylist()):
                if (name := now.get((at, id_))) is not None:
                    found[name] = image
    return found
