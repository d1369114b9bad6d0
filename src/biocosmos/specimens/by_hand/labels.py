"""What people said, made the labels of a collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.by_hand.acts import DUBIOUS, STAGE
from biocosmos.specimens.by_hand.saying import current
from biocosmos.taxonomy import Taxonomy

if TYPE_CHECKING:
    from biocosmos.specimens.care.change import ChangeSummary
    from biocosmos.specimens.collection import Collection


def labels_from(
    collection: Collection, *, by: str | None = None, note: str | None = None, dry_run: bool = False
) -> ChangeSummary:
    """Make what people said the labels and ranks of the specimens, as one change of the history that ``undo`` takes back.

    Names that are doubted, and specimens of which two people say different things, are left as they are and told (failures of the
    summary). Ranks below the name are cleared.
    """
    from biocosmos.specimens.care.change import change

    columns, left = names_now(collection)
    summary = change(collection, columns, verb="update", by=by, note=note or "names given by hand", clear=True, dry_run=dry_run)
    summary.failures.extend(left)
    return summary


def names_now(collection: Collection) -> tuple[dict[str, pa.Array], Failures]:
    """What specimens are called by people as of now: ``id``, ``label`` and each rank of the collection; and who is left out.

    Names that are doubted, and specimens of which two people say different things, are left out, with a warning each. Ranks below
    the name are null. Where the collection has no ranks the name is the label alone.
    """
    tree, ranks = collection.taxonomy if collection.ranks else None, collection.ranks
    table: dict[str, list[Any]] = {"id": [], "label": [], **{rank: [] for rank in ranks if rank != "label"}}
    left, paths = Failures(), dict[tuple[str, str | None], Mapping[str, str | None]]()
    for row in current(collection).to_pylist():
        if row["disagreed"] or row["status"] == DUBIOUS:
            why = "two people give it different names" if row["disagreed"] else f"{row['by']} doubts the name {row['taxon']}"
            left.add(f"{why}: the label was left as it is", stage=STAGE, id=row["id"], severity="warning")
            continue
        name = (row["taxon"], row["rank"])
        path = paths[name] = paths[name] if name in paths else path_of(tree, *name)
        table["id"].append(row["id"])
        table["label"].append(path.get("label") if "label" in ranks else row["taxon"])
        for rank in table.keys() - {"id", "label"}:
            table[rank].append(path.get(rank))
    return {name: pa.array(cells, pa.string()) for name, cells in table.items()}, left


def path_of(tree: Taxonomy | None, taxon: str, rank: str | None) -> Mapping[str, str | None]:
    """Rank -> name of a taxon; of a name that is not in the tree its own rank alone."""
    if tree is not None:
        try:
            node = tree.find(f"{rank}:{taxon}" if rank else taxon)
        except BiocosmosError:
            return {rank: taxon} if rank else {}
        return dict(zip(tree.ranks, tree.path(node)))
    return {}
