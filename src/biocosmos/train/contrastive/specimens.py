"""The specimens that a space is learnt from and watched by: what each of them has, and who belongs together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.encoders.beside.encoder import COLUMNS
from biocosmos.encoders.modality import Modality
from biocosmos.errors import BiocosmosError
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.records import BINS
from biocosmos.taxonomy import Taxonomy
from biocosmos.train.contrastive.settings import AUTO, BIN, DEFAULTS, SPECIMEN, ContrastiveSettings

FEWEST = 2
"""Specimens, of two labels, that a modality must share with another: of one there is nothing to tell apart."""
WHAT = {
    "image": "a picture",
    "dna": "a barcode",
    "text": "a name",
    "place": "a place",
    "environment": "a place of which rasters could tell",
    "satellite": "a satellite image",
    "audio": "a sound",
}
_SEEN_BY = {"image": ("image_path", "content_hash"), "dna": ("barcode",)}
Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class ModalRows:
    """n specimens, by ascending id: first those that are learnt from, then those that are only watched.

    collection: whose they are; ids: (n,); learnt: how many are learnt from; nodes: (n,) int64 deepest taxon, 0 for none;
    taxonomy: of the whole collection; there: of each modality that is trained (n,) bool, whether the collection has it: a
    picture, a barcode, a name; labels: (n,) int64, specimens of one label belong together; facts: counts for people.
    """

    collection: Collection
    ids: list[str]
    learnt: int
    nodes: npt.NDArray[np.int64]
    taxonomy: Taxonomy
    there: Mapping[Modality, npt.NDArray[np.bool_]]
    labels: npt.NDArray[np.int64]
    facts: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def taxa(self, rank: str) -> npt.NDArray[np.int64]:
        """(n,) node at a rank, -1 where none is known. Raises BiocosmosError for a rank the collection does not have."""
        return self.taxonomy.ancestor(self.nodes, rank).astype(np.int64)


def resolved(collection: Collection, settings: ContrastiveSettings) -> tuple[ContrastiveSettings, list[str]]:
    """The settings with every "auto" said, and a sentence on each modality that was left out since the part has none of it.

    Raises BiocosmosError for an encoder that was named, and of whose modality the part has nothing.
    """
    _, there = _read(collection, settings.split)
    said: dict[str, Any] = {}
    notes = []
    for modality in settings.every:
        asked, has = getattr(settings, modality), bool(there[modality].any())
        if not asked or (has and asked != AUTO):
            continue
        if asked == AUTO:
            said[modality] = DEFAULTS[modality] if has else ""
            if not has:
                notes.append(f"no specimen of part '{settings.split}' has {WHAT[modality]}: trained without --{modality}")
            continue
        raise BiocosmosError(
            f"no specimen of part '{settings.split}' of {collection.path} has {WHAT[modality]}: "
            f"{settings.without(modality)}, or name another part"
        )
    if settings.targets == AUTO:
        ranks = collection.ranks
        said["targets"] = "species" if "species" in ranks else ranks[-1] if ranks else SPECIMEN
    left = [modality for modality in settings.every if said.get(modality, getattr(settings, modality))]
    if len(left) < 2:
        raise BiocosmosError(
            f"part '{settings.split}' of {collection.path} has {WHAT[left[0]] if left else 'nothing'} of its specimens and "
            "nothing else: a space needs two of pictures, barcodes and names"
        )
    return replace(settings, **said) if said else settings, notes


def modal_rows(collection: Collection, settings: ContrastiveSettings) -> ModalRows:
    """The specimens of the training part that say anything of how modalities go together, and those of the validation part.

    Raises BiocosmosError for a rank or BINs that the collection does not have, a modality of which no two specimens have another
    beside it, and specimens of the validation part that are trained on.
    """
    table, there = _read(collection, settings.split)
    kinds = settings.kinds
    labels = _labels(collection, settings, table)
    used = _used(settings, labels, there)
    table, labels = table.filter(pa.array(used)), labels[used]
    there = {modality: there[modality][used] for modality in kinds}
    _refuse_lonely(settings, labels, there)
    parts, learnt = [table], len(table)
    held = _held(collection, settings)
    if held is not None:
        guard_ids = held[0]["id"].to_pylist()
        what = f"specimens of validation part '{settings.validation}' are trained on"
        guard.refuse_shared(guard_ids, table["id"].to_pylist(), what, "name a part of the same split that is not")
        parts.append(held[0])
        there = {modality: np.concatenate([there[modality], held[1][modality]]) for modality in kinds}
        labels = np.concatenate([labels, -1 - np.arange(len(held[0]))])
    whole = pa.concat_tables(parts)
    taxonomy = collection.taxonomy if collection.ranks else Taxonomy.from_table({"none": [None]}, ("none",))
    nodes = np.maximum(taxonomy.index(whole).astype(np.int64), 0) if collection.ranks else np.zeros(len(whole), np.int64)
    counts = {modality: int(there[modality][:learnt].sum()) for modality in kinds}
    together = {f"{a} and {b}": int((there[a] & there[b])[:learnt].sum()) for a, b in settings.pairs}
    facts = {"specimens": learnt, "with": counts, "with both": together, "left_out": int((~used).sum())}
    facts["groups"] = len(np.unique(labels[:learnt]))
    return ModalRows(collection, whole["id"].to_pylist(), learnt, nodes, taxonomy, there, labels, facts)  # type: ignore[arg-type]


def _read(collection: Collection, split: str) -> tuple[pa.Table, dict[str, npt.NDArray[np.bool_]]]:
    """Specimens of a part by ascending id, and what each has."""
    bins = [name for name in BINS if name in collection.stored_columns][:1]
    seen = [name for names in _SEEN_BY.values() for name in names]
    files = {modality: column for modality, column in COLUMNS.items() if column in collection.stored_columns}
    placed = {"latitude", "longitude"} <= set(collection.stored_columns)
    where = ["latitude", "longitude"] if placed else []
    columns = ["id", *collection.ranks, *seen, *bins, *where, *files.values()]
    table = collection.table(list(dict.fromkeys(columns)), split=split).sort_by("id")
    has_picture = np.asarray(pc.or_(pc.is_valid(table["image_path"]), pc.is_valid(table["content_hash"])))
    letters = pc.utf8_trim(pc.utf8_upper(pc.fill_null(table["barcode"], "")), "N-")
    named = np.zeros(len(table), bool)
    for rank in collection.ranks:
        named |= np.asarray(pc.is_valid(table[rank]))
    there = {"image": has_picture, "dna": np.asarray(pc.not_equal(letters, "")), "text": named}
    known = [np.asarray(pc.is_valid(table[name])) for name in where]
    there["place"] = there["environment"] = np.logical_and(*known) if known else np.zeros(len(table), bool)
    for modality in COLUMNS:
        there[modality] = np.asarray(pc.is_valid(table[files[modality]])) if modality in files else np.zeros(len(table), bool)
    return table, there


def _held(collection: Collection, settings: ContrastiveSettings) -> tuple[pa.Table, dict[str, npt.NDArray[np.bool_]]] | None:
    """The validation part; None without one."""
    name, _, part = settings.validation.rpartition(":")
    have = collection.split(name or "default").counts() if part else {}
    missing = [each for each in part.split("+") if each not in have]
    if missing:
        if settings.patience is not None:
            raise BiocosmosError(
                f"--patience watches the part '{missing[0]}', which the split does not have: make one, or name another"
            )
        return None
    return _read(collection, settings.validation)


def _labels(collection: Collection, settings: ContrastiveSettings, table: pa.Table) -> npt.NDArray[np.int64]:
    """(n,) who belongs together; a specimen without a name there belongs to itself."""
    own = -1 - np.arange(len(table))
    if settings.targets == SPECIMEN:
        return own
    if settings.targets == BIN:
        column = next((name for name in BINS if name in table.column_names), None)
        if column is None:
            raise BiocosmosError(
                f"{collection.path} has no column of BINs ({', '.join(BINS)}): use --targets specimen, or a rank"
            )
        codes = pc.dictionary_encode(table[column].combine_chunks()).indices
        found = np.asarray(pc.fill_null(codes, -1)).astype(np.int64)
    else:
        if settings.targets not in collection.ranks:
            known = ", ".join(collection.ranks) or "none"
            raise BiocosmosError(
                f"--targets {settings.targets}: {collection.path} has no such rank, its ranks are {known}; specimen and bin "
                "need none"
            )
        taxonomy = collection.taxonomy
        nodes = np.maximum(taxonomy.index(table).astype(np.int64), 0)
        found = taxonomy.ancestor(nodes, settings.targets).astype(np.int64)
    return np.where(found >= 0, found, own)


def _used(settings: ContrastiveSettings, labels: Array, there: Mapping[str, npt.NDArray[np.bool_]]) -> npt.NDArray[np.bool_]:
    """(n,) which specimens have a positive in some pair of modalities: their own other side, or that of one of their label."""
    used = np.zeros(len(labels), bool)
    for a, b in settings.pairs:
        for one, other in ((a, b), (b, a)):
            used |= there[one] & np.isin(labels, np.unique(labels[there[other]]))
    return used


def _refuse_lonely(settings: ContrastiveSettings, labels: Array, there: Mapping[str, npt.NDArray[np.bool_]]) -> None:
    for modality in settings.kinds:
        most = 0
        for pair in settings.pairs:
            if modality in pair:
                a, b = pair
                most = max(most, len(np.intersect1d(labels[there[a]], labels[there[b]])))
        if most < FEWEST:
            others = " or ".join(WHAT[other] for other in settings.kinds if other != modality)
            raise BiocosmosError(
                f"{most or 'no'} {settings.targets} of part '{settings.split}' has {WHAT[modality]} and also {others}: a space "
                f"is learnt from {FEWEST} or more; name another part, or {settings.without(modality)}"
            )


__all__ = ["ModalRows", "modal_rows", "resolved"]
