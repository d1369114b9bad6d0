"""Image files that a table names: which specimens they are of, and whether they are others than those that are stored."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import Failures
from biocosmos.specimens.ingest import CHECK_THREADS, check_row
from biocosmos.specimens.records import ADDED_BY_COLLECTION

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

IMAGES = ("image_path", "image", *ADDED_BY_COLLECTION)
"""What a specimen says of its image; no blank cell clears it."""
ROWS_AT_ONCE = 1024


def by_file(collection: Collection, table: pa.Table, failures: Failures, *, stage: str) -> pa.Table:
    """The table with the ids of the specimens whose image file is called so: as the id is, else by the whole path, else by the
    name of the file, where only one has it. Where several have it, the row is told and left out."""
    wanted = set(table["id"].to_pylist())
    ids, paths, names = set[str](), dict[str, str](), dict[str, str | None]()
    for batch in collection.dataset.to_batches(columns=["id", "image_path"]):
        for id_, path in zip(batch.column("id").to_pylist(), batch.column("image_path").to_pylist()):
            ids |= {id_} & wanted
            whole = path or id_
            if whole in wanted:
                paths[whole] = id_
            name = whole.replace("\\", "/").rsplit("/", 1)[-1]
            if name in wanted:
                names[name] = id_ if name not in names else None
    found = [name if name in ids else paths.get(name) or names.get(name, name) for name in table["id"].to_pylist()]
    for row in [row for row, id_ in enumerate(found) if id_ is None]:
        reason = "several specimens have an image file of this name: say which by id, or by its folder"
        failures.add(reason, stage=stage, row=row + 1, id=table["id"][row].as_py())
    whole = table.set_column(table.column_names.index("id"), "id", pa.array(found, pa.string()))
    return whole.filter(pc.is_valid(whole["id"]))


def with_images(collection: Collection, table: pa.Table, failures: Failures, *, stage: str) -> pa.Table:
    """The table with what its images are: their hash and size where they are others than those stored, nothing where they are
    the same. An image that cannot be read is told, and the specimen keeps the one it has."""
    given = [name for name in ("image_path", "image") if name in table.column_names]
    if not given:
        return table
    parts = []
    ids = collection.dataset.to_table(columns=["id"], filter="image IS NOT NULL")["id"]
    packed = set(ids.filter(pc.is_in(ids, value_set=table["id"].combine_chunks())).to_pylist())
    with ThreadPoolExecutor(CHECK_THREADS, thread_name_prefix="check") as pool:
        for start in range(0, len(table), ROWS_AT_ONCE):
            parts += _checked(collection, table.select(["id", *given]).slice(start, ROWS_AT_ONCE), packed, failures, stage, pool)
    stored = collection.dataset.schema
    kinds = {name: stored.field(name).type for name in IMAGES}
    for name, kind in kinds.items():
        if name in table.column_names:
            table = table.drop_columns([name])
        table = table.append_column(name, pa.array([part[name] for part in parts], kind))
    return table


def _checked(
    collection: Collection, rows: pa.Table, packed: set[str], failures: Failures, stage: str, pool: ThreadPoolExecutor
) -> list[dict[str, Any]]:
    """For each row, what is to be set of :data:`IMAGES`."""
    asked = ["content_hash", "image_path"]
    stored = {row["id"]: row for row in collection.take(rows["id"].to_pylist(), columns=asked).to_pylist()}
    nothing = dict.fromkeys(IMAGES)

    def look(row: dict[str, Any]) -> dict[str, Any]:
        there, path, content = stored.get(row["id"]), row.get("image_path"), row.get("image")
        if there is None or (path is None and content is None) or (content is None and path == there["image_path"]):
            return nothing
        checked = check_row(path, content)
        if checked.problem is not None:
            reason = f"{checked.problem}: the specimen keeps its image"
            failures.add(reason, stage=stage, source=path, id=row["id"], severity="warning")
            return nothing
        for told in checked.notes:
            failures.add(told, stage=stage, source=path, id=row["id"], severity="warning")
        pack = content is not None or row["id"] in packed
        if checked.content_hash == there["content_hash"]:
            return nothing if pack else {**nothing, "image_path": path}
        found = {"content_hash": checked.content_hash, "width": checked.width, "height": checked.height}
        return {**nothing, **found, **({"image": checked.content} if pack else {"image_path": path})}

    return list(pool.map(look, rows.to_pylist()))
