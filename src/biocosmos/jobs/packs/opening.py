"""A pack in place of a collection: unpacked once into the cache of this machine, so that every verb that reads works alike.

The copy is keyed by the digest of all files of the pack, which are compared with their checksums each time it is opened.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import is_folder, is_there
from biocosmos.jobs.models import PROMOTED, Model, Promotion, folder_of
from biocosmos.jobs.packs.inside import encoder_facts, gallery_of, means_of, read_rows, tried, unpack_identifier
from biocosmos.jobs.packs.weights import digest_of
from biocosmos.machine import memory_file
from biocosmos.provenance import encoder_name
from biocosmos.search.gallery import Gallery
from biocosmos.specimens import given_vectors
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.packs import layout
from biocosmos.specimens.packs.reading import Pack, open_pack
from biocosmos.specimens.records import BATCH_ROWS, Source
from biocosmos.unfinished import ScratchFolder, remove, unfinished_path, writing

MOST_KEPT = 8
"""Packs that are kept unpacked: the ones used last."""
MODEL = "identifier"
VERSION = 2
"""Of how a pack is unpacked: another is unpacked anew."""
_held: dict[str, ScratchFolder] = {}


def collection_of(path: str | Path, encoder: str | None = None) -> Path:
    """The folder of a collection with all that a pack holds; encoder: as it was typed, a folder where the pack's is one.

    Raises BiocosmosError as :func:`open_pack`, and where the encoder that was typed is another than the pack's.
    """
    pack = open_pack(path)
    name = _name_of(pack, encoder)
    key = hashlib.sha256(f"{VERSION} {pack.digest} {name}".encode()).hexdigest()[:16]
    stem = Path(path).name.removesuffix(layout.ZIP).removesuffix(layout.SUFFIX) or "pack"
    folder = _cache(key)
    place = folder / f"{stem}.cosmos"
    if is_there(place):
        with suppress(OSError):
            os.utime(folder)
        return place
    with writing(place):
        folder.mkdir(parents=True, exist_ok=True)
        aside = unfinished_path(place)
        try:
            _unpack(pack, aside, name, place, folder / layout.ENCODER)
            if not is_there(place):
                aside.rename(place)
        finally:
            remove(aside)
    _forget(folder)
    return place


def collection_in(pack: Path | str) -> Collection:
    """A pack as a collection: :func:`collection_of`, opened."""
    return Collection.open(collection_of(pack))


def cache_folder() -> Path:
    """Where packs are unpacked: beside what is remembered of this machine (``BIOCOSMOS_CACHE``)."""
    return memory_file().parent / "packs"


def _cache(key: str) -> Path:
    """Where a pack is unpacked: the cache, or where that cannot be written a folder that goes with this process."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder / key
    except OSError:
        pass
    return _held.setdefault(key, ScratchFolder()).path / key


def _forget(latest: Path) -> None:
    """Remove all but the packs used last."""
    with suppress(OSError):
        kept = sorted((each for each in latest.parent.iterdir() if is_folder(each)), key=lambda each: each.stat().st_mtime)
        for old in kept[:-MOST_KEPT]:
            if old != latest:
                shutil.rmtree(old, ignore_errors=True)


def _name_of(pack: Pack, typed: str | None) -> str:
    """What the embedding is called here: the pack's own name for it, or the folder that was typed and holds the same weights."""
    encoder = pack.facts["encoder"]
    own, digest = str(encoder["name"]), str(encoder["digest"])
    if pack.facts["weights"] and typed in (None, own):
        return own
    if typed is None or encoder_name(typed) == own:
        return own
    here = digest_of(typed)
    if here == digest:
        return encoder_name(typed)
    other = f" (weights {here})" if here is not None else ""
    raise BiocosmosError(f"{pack.path} holds vectors of '{own}' (weights {digest}), and none of '{typed}'{other}: name that one")


def _unpack(pack: Pack, folder: Path, name: str, place: Path, encoder: Path) -> None:
    gallery = gallery_of(pack)
    shown = means_of(pack) if gallery is None else gallery
    tried(pack, gallery)
    if pack.facts["weights"] and name == pack.facts["encoder"]["name"]:
        name = str(_encoder(pack, encoder))
    collection = Collection.create(folder)
    failures = Failures()
    collection.add(Source(str(pack.path), "pack", _rows(pack, shown), tuple(pack.facts["ranks"]), failures), pack=True)
    facts = {"name": name, **encoder_facts(pack)}
    given_vectors.add(collection, name, shown.ids, shown.vectors, facts=facts)
    kept = folder_of(collection, MODEL)
    kept.parent.mkdir(parents=True, exist_ok=True)
    unpack_identifier(pack, gallery, kept)
    made = Model(MODEL, "", pack.short, name, f"the identifier of {pack.short}", None, {"fitted": len(shown)})
    made.save(kept)
    said = {"name": pack.name, "digest": pack.digest, "path": str(pack.path), "folder": bool(pack.facts["encoder"]["folder"])}
    collection.save_facts(**{PROMOTED: asdict(Promotion(MODEL, pack.short, "")), "pack": said, "default_encoder": name})


def _rows(pack: Pack, shown: Gallery) -> Iterator[pa.RecordBatch]:
    """The specimens as a reader gives them, each with its small picture where the pack has one."""
    columns = shown.columns
    if columns is None:
        assert shown.taxonomy is not None and shown.taxa is not None
        columns = shown.taxonomy.rank_table(shown.taxa).append_column("id", pa.array(shown.ids.tolist(), pa.string()))
    if pack.has(layout.THUMBNAILS):
        pictures = read_rows(pack, layout.THUMBNAILS, {"id": pa.string(), "image": pa.binary()})
        row_of = {id_: row for row, id_ in enumerate(pictures["id"].to_pylist())}
        rows = pa.array([row_of.get(id_) for id_ in shown.ids], pa.int64())
        columns = columns.append_column("image", pictures["image"].take(rows))
    yield from columns.combine_chunks().to_batches(BATCH_ROWS)


def _encoder(pack: Pack, place: Path) -> Path:
    """The folder of the encoder that came with a pack, under its own name."""
    name = Path(str(pack.facts["encoder"]["name"])).name
    target = place / (name if layout.is_pack_path(name) else "model")
    if is_there(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = unfinished_path(target)
    try:
        shutil.copytree(pack.folder / layout.ENCODER, aside)
        aside.rename(target)
    finally:
        remove(aside)
    return target
