"""What goes into a pack, and how it becomes files: one writer for packs that are built and packs that are joined."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.identify.identifier import Identifier
from biocosmos.identify.keeping import save_identifier
from biocosmos.jobs.packs.card import card
from biocosmos.jobs.packs.identifiers import class_gallery, without_places, without_specimens
from biocosmos.jobs.packs.proofs import Proofs
from biocosmos.provenance import package_version
from biocosmos.search.gallery import Gallery
from biocosmos.specimens.packs import layout
from biocosmos.specimens.packs.classes import Classes
from biocosmos.specimens.packs.vectors import given_back, kept, measured, write_tensors


@dataclass(frozen=True, eq=False)
class Content:
    """All that a pack says.

    gallery: its specimens with their vectors as they are before they are made smaller, columns id, label, ranks and more;
    identifier: fitted on them; proofs: vectors to ask with; encoder: facts as of :data:`biocosmos.specimens.packs.layout.SHAPE`;
    sources: what it was made from; made_from: facts for whoever wants to know; thumbnails: id -> JPEG.
    """

    name: str
    licence: str
    gallery: Gallery
    identifier: Identifier
    proofs: Proofs
    encoder: dict[str, Any]
    sources: tuple[dict[str, Any], ...]
    kind: str = "float16"
    least: int = 1
    columns: tuple[str, ...] = ()
    made_from: dict[str, Any] = field(default_factory=dict)
    thumbnails: dict[str, bytes] = field(default_factory=dict)
    pixels: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Written:
    """What a pack came to: its facts, and the bytes of its parts."""

    facts: dict[str, Any]
    sizes: dict[str, int]

    @property
    def recall(self) -> dict[str, Any] | None:
        """What the kept vectors lost, as :func:`biocosmos.specimens.packs.vectors.measured` says."""
        found: dict[str, Any] | None = self.facts["vectors"]["recall"]
        return found


def write_content(content: Content, folder: Path, encoder: Path | None = None) -> Written:
    """Write all files of a pack but its checksums into ``folder``; encoder: the folder of a trained one, to go in too."""
    gallery, identifier = content.gallery, content.identifier
    assert gallery.taxonomy is not None
    tree = identifier.namer.taxonomy
    learnt = gallery if identifier.known is None else identifier.known
    classes = Classes.of(learnt)
    tree.save(folder / layout.TAXONOMY)
    write_rows(classes.table(tree), folder / layout.CLASSES)
    write_tensors(folder / layout.STATISTICS, {"mean": classes.mean.astype("<f4"), "variance": classes.variance.astype("<f4")})
    recall = None
    back: Gallery | None = None
    if content.kind == "none":
        identifier = without_specimens(identifier, class_gallery(classes, learnt))
    else:
        recall = measured(gallery, content.kind, content.seed)
        write_rows(specimen_rows(content), folder / layout.SPECIMENS)
        arrays = kept(gallery.vectors, content.kind)
        write_tensors(folder / layout.VECTORS, arrays)
        back = Gallery(gallery.ids, given_back(arrays), gallery.taxa, gallery.taxonomy)
        if content.pixels:
            pictures = sorted(content.thumbnails.items())
            ids, images = (
                pa.array([id_ for id_, _ in pictures], pa.string()),
                pa.array([each for _, each in pictures], pa.binary()),
            )
            write_rows(pa.table({"id": ids, "image": images}), folder / layout.THUMBNAILS)
    identifier = without_places(identifier, content.name)
    save_identifier(identifier, folder / layout.IDENTIFIER, apart=True)
    content.proofs.answered(identifier, back).save(folder)
    if encoder is not None:
        copy_encoder(encoder, folder / layout.ENCODER)
    facts: dict[str, Any] = {
        "format": layout.FORMAT,
        "name": content.name,
        "licence": content.licence,
        "biocosmos": package_version(),
        "encoder": content.encoder,
        "ranks": list(tree.ranks),
        "specimens": len(gallery),
        "classes": len(classes.nodes),
        "least": content.least,
        "vectors": {"kind": content.kind, "recall": recall},
        "columns": [] if back is None else list(content.columns),
        "weights": encoder is not None,
        "thumbnails": None if back is None else content.pixels or None,
        "method": identifier.method,
        "sources": list(content.sources),
        "made_from": content.made_from,
    }
    (folder / layout.FACTS).write_text(json.dumps(facts, indent=1, default=str) + "\n", encoding="utf-8")
    (folder / layout.CARD).write_text(card(facts, classes.table(tree), content.proofs), encoding="utf-8")
    sizes: dict[str, int] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            part = path.relative_to(folder).parts[0]
            sizes[part] = sizes.get(part, 0) + path.stat().st_size
    return Written(facts, sizes)


def specimen_rows(content: Content) -> pa.Table:
    """id, label, the names at every rank, further columns, and which pack each row comes from."""
    columns = content.gallery.columns
    assert columns is not None
    label = ["label"] if "label" in columns.column_names else []
    ranks = content.identifier.namer.taxonomy.ranks
    wanted = dict.fromkeys(["id", *label, *ranks, *content.columns, layout.SOURCE])
    return columns.select([name for name in wanted if name in columns.column_names])


def write_rows(table: pa.Table, path: Path) -> None:
    """Parquet of a table without what its columns carry beside their values."""
    plain = pa.table({name: table[name].combine_chunks() for name in table.column_names})
    pq.write_table(plain, path, compression="zstd")


def copy_encoder(source: Path, place: Path) -> None:
    """Copy what an encoder's folder says belongs to it. Raises BiocosmosError for a folder that needs another."""
    from biocosmos.jobs.packs.weights import encoder_files

    for name in encoder_files(source):
        to = place / name
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes((source / name).read_bytes())
