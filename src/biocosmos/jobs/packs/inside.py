"""What a checked pack holds, read as data: specimens with their vectors, classes, tests, the identifier."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.arrays import read_arrays
from biocosmos.errors import BiocosmosError, first_line
from biocosmos.facts import read_facts
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.keeping import STATE, completed
from biocosmos.jobs.packs.identifiers import class_gallery
from biocosmos.jobs.packs.proofs import Proofs
from biocosmos.search.gallery import Gallery
from biocosmos.specimens.packs import layout
from biocosmos.specimens.packs.classes import Classes
from biocosmos.specimens.packs.reading import Pack
from biocosmos.specimens.packs.vectors import read_tensors, read_vectors
from biocosmos.specimens.records import ADDED_BY_COLLECTION, BESIDE, EMBEDDING_PREFIX
from biocosmos.specimens.stored_types import column_name
from biocosmos.taxonomy import Taxonomy
from biocosmos.unfinished import scratch_folder

AGAIN = "get the pack again from where it came"
RESERVED_COLUMNS = ("id", "label", "image", "image_path", "crop", layout.SOURCE, *BESIDE, *ADDED_BY_COLLECTION)
"""Columns that no rank and no further column of a pack may be called: a stranger's would be read as places of files here."""
MOST_TIMES = 1000
"""A table may grow to so many times the bytes of its file."""


def read_rows(pack: Pack, name: str, kinds: Mapping[str, pa.DataType]) -> pa.Table:
    """A table of a pack that has columns of these types. Raises BiocosmosError for a file of anything else."""
    path = pack.file(name)
    try:
        with pq.ParquetFile(path) as file:
            groups = [file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups)]
            if sum(groups) > MOST_TIMES * max(path.stat().st_size, 1 << 12):
                raise ValueError(f"it would grow to {sum(groups):,} bytes")
            table = file.read()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise BiocosmosError(f"{pack.path}: cannot read {name} ({first_line(error)}): {AGAIN}") from error
    for column, kind in kinds.items():
        if column not in table.column_names or table.schema.field(column).type != kind:
            raise BiocosmosError(f"{pack.path}: {name} has no column '{column}' of {kind}: {AGAIN}")
    return table


def taxonomy_of(pack: Pack) -> Taxonomy:
    """The tree. Raises BiocosmosError where its ranks are not those that the pack says."""
    kinds = dict.fromkeys(pack.facts["ranks"], pa.string())
    return Taxonomy.from_table(read_rows(pack, layout.TAXONOMY, kinds), ranks=pack.facts["ranks"])


def classes_of(pack: Pack) -> tuple[Taxonomy, Classes]:
    """The tree and what is known of each class. Raises BiocosmosError for numbers that cannot be."""
    tree = taxonomy_of(pack)
    kinds = {**dict.fromkeys(tree.ranks, pa.string()), "count": pa.int64(), "share": pa.float64()}
    table = read_rows(pack, layout.CLASSES, kinds)
    shape = (pack.facts["classes"], pack.facts["encoder"]["dim"])
    tensors = read_tensors(pack.file(layout.STATISTICS))
    for name in ("mean", "variance"):
        if name not in tensors or tensors[name].shape != shape or not np.isfinite(tensors[name]).all():
            raise BiocosmosError(f"{pack.path}: {layout.STATISTICS} holds no '{name}' of {shape}: {AGAIN}")
    nodes, counts = tree.index(table), table["count"].to_numpy()
    wrong = len(table) != shape[0] or table["count"].null_count or (counts < 1).any() or (nodes < 1).any()
    if wrong or not (np.diff(nodes) > 0).all() or not np.allclose(table["share"].to_numpy(), counts / max(counts.sum(), 1)):
        raise BiocosmosError(f"{pack.path}: {layout.CLASSES} does not fit the rest of the pack: {AGAIN}")
    mean, variance = (tensors[name].astype(np.float64) for name in ("mean", "variance"))
    return tree, Classes(nodes, counts.astype(np.int64), mean, variance)


def gallery_of(pack: Pack) -> Gallery | None:
    """The specimens with their vectors as float32, in the pack's order; None for a pack without vectors."""
    facts = pack.facts
    if facts["vectors"]["kind"] == "none":
        return None
    tree = taxonomy_of(pack)
    kinds = {"id": pa.string(), layout.SOURCE: pa.string(), **dict.fromkeys(tree.ranks, pa.string())}
    rows = read_rows(pack, layout.SPECIMENS, kinds)
    label = [("label", pa.string())] if "label" in rows.column_names else []
    for name, kind in label:
        if rows.schema.field(name).type != kind:
            raise BiocosmosError(f"{pack.path}: {layout.SPECIMENS} has no column '{name}' of {kind}: {AGAIN}")
    shown = dict.fromkeys([*kinds, *(name for name, _ in label), *_further(pack, rows)])
    rows = rows.select(list(shown))
    if len(rows) != facts["specimens"] or rows["id"].null_count or len(rows["id"].unique()) != len(rows):
        raise BiocosmosError(f"{pack.path}: {layout.SPECIMENS} does not hold {facts['specimens']:,} ids: {AGAIN}")
    vectors = read_vectors(pack.file(layout.VECTORS), facts["vectors"]["kind"], len(rows), facts["encoder"]["dim"])
    taxa = tree.index(rows)
    if (taxa < 0).any():
        raise BiocosmosError(f"{pack.path}: a specimen of {layout.SPECIMENS} has a taxon that the tree lacks: {AGAIN}")
    if (np.diff(taxa) < 0).any():
        raise BiocosmosError(f"{pack.path}: {layout.SPECIMENS} is not in the order of the tree: {AGAIN}")
    provenance = {"encoder": facts["encoder"]["name"], **encoder_facts(pack)}
    return Gallery(np.asarray(rows["id"].to_pylist(), object), vectors, taxa, tree, provenance, rows)


def _further(pack: Pack, rows: pa.Table) -> list[str]:
    """Columns beside those of every pack. Raises BiocosmosError for one that would be read as a file, an image or vectors."""
    for name in [*pack.facts["columns"], *(rank for rank in pack.facts["ranks"] if rank != "label")]:
        means = name in RESERVED_COLUMNS or name.startswith(EMBEDDING_PREFIX) or column_name(name) != name
        if means or (name not in rows.column_names):
            raise BiocosmosError(f"{pack.path}: a pack may not have a column '{name[:40]}', or lacks it: {AGAIN}")
    return list(pack.facts["columns"])


def tried(pack: Pack, gallery: Gallery | None) -> tuple[Identifier, Proofs, Proofs]:
    """The identifier of a pack, the tests as they must be answered, and as they are answered here.

    Raises BiocosmosError where its parts do not fit one another, whatever that comes to while it names.
    """
    proofs = proofs_of(pack)
    try:
        identifier = identifier_in(pack, gallery)
        return identifier, proofs, proofs.answered(identifier, gallery)
    except BiocosmosError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError, AssertionError) as error:
        raise BiocosmosError(f"{pack.path}: its identifier does not fit the rest of it ({first_line(error)}): {AGAIN}") from error


def encoder_facts(pack: Pack) -> dict[str, object]:
    """Digest, dim and preprocessing of the vectors."""
    encoder = pack.facts["encoder"]
    return {
        key: encoder[key] for key in ("digest", "dim", "modality", "preprocessing", "precision") if encoder.get(key) is not None
    }


def proofs_of(pack: Pack) -> Proofs:
    """The vectors to ask with, and what they must be answered."""
    return Proofs.load(pack.file(layout.TESTS), pack.file(layout.ASKED), pack.facts["encoder"]["dim"])


def unpack_identifier(pack: Pack, gallery: Gallery | None, folder: Path) -> Path:
    """The identifier of a pack with its vectors, in ``folder``; gallery: as :func:`gallery_of` gives it.

    Raises BiocosmosError for one that names files elsewhere, or knows specimens that the pack has not.
    """
    source = pack.folder / layout.IDENTIFIER
    names = [name for name in pack.files if name.startswith(f"{layout.IDENTIFIER}/")]
    if f"{layout.IDENTIFIER}/{STATE}" not in names:
        raise BiocosmosError(f"{pack.path} has no {layout.IDENTIFIER}/{STATE}: {AGAIN}")
    told = {"what": "an identifier", "remedy": AGAIN}
    state = read_facts(source / STATE, {"namer": {"name": str, "folder?": str}, "files": {str: str}}, **told)
    if "folder" in state["namer"]:
        raise BiocosmosError(f"{pack.path}: its identifier stands on a folder outside of the pack: {AGAIN}")
    read_arrays(source / "arrays.npz", {}, **told)  # nothing in it is an object, and nothing grows
    folder.mkdir(parents=True)
    for name in names:
        shutil.copyfile(pack.folder / name, folder / name.rpartition("/")[2])
    known = means_of(pack) if gallery is None else gallery
    row_of = {str(id_): row for row, id_ in enumerate(known.ids)}

    def vectors_of(ids: list[str]) -> npt.NDArray[np.float32]:
        if missing := [id_ for id_ in ids if id_ not in row_of]:
            raise BiocosmosError(f"{pack.path}: its identifier knows '{missing[0]}', of which the pack has no vector: {AGAIN}")
        return known.vectors[[row_of[id_] for id_ in ids]]

    return completed(folder, vectors_of)


def identifier_in(pack: Pack, gallery: Gallery | None) -> Identifier:
    """The identifier of a pack, ready to name; gallery: as :func:`gallery_of` gives it."""
    with scratch_folder() as folder:
        loaded = Identifier.load(unpack_identifier(pack, gallery, folder / "identifier"))
        if loaded.known is not None:  # its vectors are mapped from a file that goes
            loaded.known.vectors = np.array(loaded.known.vectors)
        return loaded


def means_of(pack: Pack) -> Gallery:
    """The class means of a pack as unit vectors, with ids "mean of TAXON"."""
    tree, classes = classes_of(pack)
    facts = {"encoder": pack.facts["encoder"]["name"], **encoder_facts(pack)}
    nothing = Gallery(np.empty(0, object), np.empty((0, 0), np.float32), np.empty(0, np.int32), tree, facts)
    return class_gallery(classes, nothing)
