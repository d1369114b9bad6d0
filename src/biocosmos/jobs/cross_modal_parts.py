"""Parts of a collection as vectors of every modality of one space, and the towers that made them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from biocosmos.embed import embed
from biocosmos.encoders.modality import MODALITIES, described, towers_of
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.cross_modal.sides import DNA, Array, Side, together
from biocosmos.provenance import encoder_name
from biocosmos.search.gallery import Gallery
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.readers.names import clean_taxon
from biocosmos.taxonomy import Taxonomy

BARCODE = "barcode"
_ADD = {
    "image": "add pictures ('biocosmos add')",
    DNA: "add barcodes (a column of them, 'biocosmos add --barcodes')",
    "text": "give the names of its taxa ('biocosmos add --metadata')",
}


@dataclass(frozen=True, eq=False)
class Part:
    """Specimens of a part that have a vector of any modality, in the order of the taxonomy.

    name: "test"; ids: (n,) object; nodes: (n,) int64 of the taxonomy, 0 for no name; side: their vectors and taxa; galleries:
    modality -> those that have it.
    """

    name: str
    ids: npt.NDArray[np.object_]
    nodes: Array
    side: Side
    galleries: Mapping[str, Gallery]

    def __len__(self) -> int:
        return len(self.ids)

    def joined(self, other: Part) -> Side:
        """The specimens of both as one side, those of this part first."""
        return together([self.side, other.side])


def space_towers(collection: Collection, given: str | None) -> tuple[str, dict[str, str], list[str]]:
    """The name of a space, its towers' embeddings in the collection by modality, and those that were embedded now.

    given: a space, or one of its towers; None for the only space the collection is embedded with. Raises BiocosmosError for what
    is no space, for embeddings of two spaces, and for fewer than two modalities, with what to do.
    """
    if given is None:
        if len(collection.spaces()) != 1:
            collection.tower(None, MODALITIES[0])  # says what to do
        name = next(iter(collection.spaces()))
    else:
        name = encoder_name(given)
        folder, _, leaf = name.rpartition("/")
        name = folder if leaf in MODALITIES and folder and (towers_of(folder) or folder in collection.spaces()) else name
    towers, made = {str(modality): tower for modality, tower in towers_of(name).items()}, []
    if not towers and name not in collection.spaces():
        raise BiocosmosError(
            f"'{given}' is no space: --protocol cross-modal is of a folder that 'biocosmos train contrastive {collection.path} "
            "-o FOLDER' wrote"
        )
    if any(tower not in collection.encoders for tower in towers.values()):
        before = set(collection.encoders)
        embed(collection, name)
        made = [tower for tower in towers.values() if tower in collection.encoders and tower not in before]
    there = collection.spaces().get(name, {})
    _refuse_two_spaces(collection, name, towers, there)
    if len(there) < 2:
        lacking = next((modality for modality in MODALITIES if modality not in there and modality in (towers or MODALITIES)), DNA)
        raise BiocosmosError(
            f"{collection.path} has vectors of {' and '.join(there.values()) or 'no tower'} alone, and --protocol cross-modal "
            f"compares two modalities: {_ADD[lacking]}, then run 'biocosmos embed {collection.path} -e {name}'"
        )
    return name, there, made


def _refuse_two_spaces(collection: Collection, name: str, towers: Mapping[str, str], there: Mapping[str, str]) -> None:
    """Raise BiocosmosError where a tower's embedding is of another training than the other's, or than the folder now."""
    from biocosmos.encoders.spaces import read_space

    others = [tower for modality, tower in towers.items() if tower in collection.encoders and there.get(modality) != tower]
    stale = others
    if towers:
        space = read_space(name)
        stale = others + [tower for tower in there.values() if collection.encoders[tower].get("space") != space.digest]
    if stale:
        raise BiocosmosError(
            f"'{stale[0]}' in {collection.path} was made by another training than the space '{name}' as it is now: their vectors "
            f"cannot be compared; run 'biocosmos embed {collection.path} -e {name} --overwrite'"
        )


def base_of(tower: str) -> str | None:
    """The encoder under a tower's projection, by the name that its folder tells; None where it has none or was tuned itself."""
    told = described(Path(tower)).get("base")
    name = told.get("name") if isinstance(told, dict) else told
    return name if isinstance(name, str) else None


def part_of(collection: Collection, towers: Mapping[str, str], part: str, where: str | None) -> Part:
    """A part of a split ("test", "train+key_unseen") with the vectors of every tower.

    Raises BiocosmosError for a collection without names of taxa, and for a part that is not there.
    """
    galleries = {
        modality: collection.gallery(
            tower,
            split=part,
            where=where,
            columns=[BARCODE] if modality == DNA and BARCODE in collection.stored_columns else [],
        )
        for modality, tower in towers.items()
    }
    place: dict[str, int] = {}
    for gallery in galleries.values():
        if gallery.taxa is None or gallery.taxonomy is None:
            raise BiocosmosError(
                f"{collection.path} has no names of taxa, and keys are judged by them: give rank columns at ingest"
            )
        for id_, taxon in zip(gallery.ids.tolist(), gallery.taxa.tolist()):
            place.setdefault(id_, taxon)
    ids = np.array(list(place), object)
    taxa = np.array(list(place.values()), np.int64)
    order = np.argsort(taxa, kind="stable")
    ids, taxa = ids[order], taxa[order]
    row = {id_: i for i, id_ in enumerate(ids.tolist())}
    vectors: dict[str, Array] = {}
    for modality, gallery in galleries.items():
        vectors[modality] = np.zeros((len(ids), gallery.dim), np.float32)
        vectors[modality][[row[id_] for id_ in gallery.ids.tolist()]] = gallery.vectors
    taxonomy = next(iter(galleries.values())).taxonomy
    assert taxonomy is not None
    return Part(part, ids, np.maximum(taxa, 0), Side(vectors, rank_codes(taxonomy, taxa)), galleries)


def rank_codes(taxonomy: Taxonomy, taxa: Array) -> dict[str, Array]:
    """Rank -> (n,) int64 nodes at it of taxa (n,), -1 where there is none, or a word for none stands ("not_classified")."""
    found = {}
    for rank in taxonomy.ranks:
        nodes = taxonomy.ancestor(np.maximum(taxa, 0), rank).astype(np.int64)
        there = np.unique(nodes[nodes >= 0])
        unknown = there[[clean_taxon(name) is None for name in taxonomy.names[there].tolist()]] if len(there) else there
        found[rank] = np.where(np.isin(nodes, unknown), -1, nodes)
    return found
