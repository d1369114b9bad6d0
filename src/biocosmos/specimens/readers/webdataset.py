"""Webdataset tar shards as TreeOfLife has them: for every key an image and texts (.sci.txt, .com.txt, .taxonTag.txt ...)."""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import IMAGE_SUFFIXES, is_junk
from biocosmos.specimens.readers.archive import leads_outside
from biocosmos.specimens.readers.blocks import Shaper, gather
from biocosmos.specimens.readers.columns import SCIENTIFIC_NAME
from biocosmos.specimens.readers.names import clean
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.records import STANDARD, Source
from biocosmos.taxonomy import DARWIN_CORE
from biocosmos.taxonomy.scientific_names import parse

TEXT_LIMIT = 1 << 20  # bytes of one text
PROBED = 5000  # files of the first shard that tell which texts there are
TAG = re.compile(rf"\b({'|'.join(DARWIN_CORE)})\b")
OURS = {"sci": SCIENTIFIC_NAME, "scientific_name": SCIENTIFIC_NAME, "txt": "text", "cls": "label", "label": "label"}
TAXON_TAG, TAXON = "taxonTag", "taxon"
TAR_ERRORS = (tarfile.TarError, EOFError, OSError, zlib.error)


def read(path: Path, options: Options) -> Source:
    """A shard or a folder of shards, in the order of their names, each read once from its start to its end.

    Ranks come from the taxonTag ("kingdom Animalia phylum ..."), else from a taxon of all seven ranks. Texts are kept in
    columns of their own names.
    """
    shards = [path] if path.is_file() else sorted(p for p in path.rglob("*") if re.search(r"\.(tar|tar\.gz|tgz)$", p.name))
    if not shards:
        raise BiocosmosError(f"{path} has no tar files")
    texts = _texts(shards, options.failures)
    kinds: dict[str, pa.DataType] = {name: STANDARD[name] for name in ("id", "image")}
    kinds |= {options.columns.get(name, OURS.get(name, name)): pa.string() for name in texts}
    if {TAXON_TAG, TAXON} & set(texts):
        kinds |= dict.fromkeys(DARWIN_CORE, pa.string())
    shaper = Shaper(kinds, options.failures, ranks=options.ranks, taxonomy=options.taxonomy)

    def batches() -> Iterator[pa.RecordBatch]:
        unknown: set[str] = set()
        for shard in shards:
            yield from shaper.batches(gather(_rows(shard, options, set(texts), unknown), list(kinds), str(shard)))

    return Source(path.name, "webdataset", batches(), shaper.rank_columns, options.failures)


def _texts(shards: list[Path], failures: Failures) -> list[str]:
    """The kinds of text in the first shard that can be opened."""
    for shard in shards:
        try:
            with tarfile.open(shard, "r|*") as tar:
                kinds = [_split(member.name)[1] for member in islice(tar, PROBED) if member.isfile()]
        except TAR_ERRORS:
            continue
        return list(dict.fromkeys(kind for kind in kinds if not _is_image(kind)))
    raise BiocosmosError(f"cannot read {shards[0]} as a tar file")


def _split(name: str) -> tuple[str, str]:
    """("a/0001.sci.txt") -> ("a/0001", "sci"): the key ends at the first point of the file name, ".txt" is left out."""
    folder, _, base = name.removeprefix("./").rpartition("/")
    key, _, kind = base.partition(".")
    kind = kind.removesuffix(".txt") if kind != "txt" else kind
    return (f"{folder}/{key}" if folder else key), kind


def _is_image(kind: str) -> bool:
    return f".{kind.lower()}" in IMAGE_SUFFIXES


def _rows(
    shard: Path, options: Options, texts: set[str], unknown: set[str]
) -> Iterator[tuple[int | None, str | None, dict[str, Any]]]:
    number, key = 0, None
    held: dict[str, bytes | None] = {}
    for member_key, kind, content in _members(shard, options):
        if member_key != key:
            if key is not None:
                number += 1
                yield from _sample(shard, number, key, held, options)
            key, held = member_key, {}
        name = "image" if _is_image(kind) else kind
        if name in held:
            reason = f"a second .{kind}: the first is used"
            options.failures.add(reason, stage="read", source=shard, id=member_key, severity="warning")
        elif name == "image" or name in texts:
            held[name] = content
        elif name not in unknown:
            unknown.add(name)
            reason = f"the text .{kind} is not in the first shard: left out, here and further on"
            options.failures.add(reason, stage="read", source=shard, id=member_key, severity="warning")
    if key is not None:
        yield from _sample(shard, number + 1, key, held, options)


def _members(shard: Path, options: Options) -> Iterator[tuple[str, str, bytes | None]]:
    """(key, kind, content or None where refused) of the files, in order; a damaged shard ends where the damage begins."""

    def fail(reason: str, id: str | None = None) -> None:
        options.failures.add(reason, stage="read", source=shard, id=id)

    try:
        with tarfile.open(shard, "r|*") as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if not member.isfile() or is_junk(name.rsplit("/", 1)[-1]):
                    if member.issym() or member.islnk() or member.isdev():
                        fail("a link or device, not a file: refused", name)
                    continue
                if leads_outside(member.name):
                    fail("a path outside the archive: refused", member.name)
                    continue
                key, kind = _split(name)
                limit = options.max_image_bytes if _is_image(kind) else TEXT_LIMIT
                if member.size > limit:
                    fail(f"{member.size:,} bytes, more than the limit of {limit:,}: refused", name)
                    yield key, kind, None
                    continue
                file = tar.extractfile(member)
                yield key, kind, b"" if file is None else file.read()
    except TAR_ERRORS as error:
        fail(f"the shard cannot be read further: {error}")


def _sample(
    shard: Path, number: int, key: str, held: dict[str, bytes | None], options: Options
) -> Iterator[tuple[int | None, str | None, dict[str, Any]]]:
    if held.get("image") is None:
        if "image" not in held:
            options.failures.add("no image with this key", stage="read", source=shard, row=number, id=key)
        return
    values: dict[str, Any] = {"id": key, "image": held["image"]}
    words: dict[str, str] = {}
    for kind, content in held.items():
        if kind == "image" or content is None:
            continue
        try:
            text = content.decode("utf-8").strip()
        except UnicodeDecodeError:
            reason = f".{kind}.txt is not UTF-8: read as latin-1"
            options.failures.add(reason, stage="read", source=shard, row=number, id=key, severity="warning")
            text = content.decode("latin-1").strip()
        words[kind] = text
        values.setdefault(options.columns.get(kind, OURS.get(kind, kind)), text or None)
    yield number, key, {**ranks_of(words.get(TAXON_TAG, ""), words.get(TAXON, "")), **values}


def ranks_of(tag: str, taxon: str) -> dict[str, str]:
    """Darwin Core ranks from a taxonTag, else from a taxon of seven words; the species as a binomial.

    >>> ranks_of("kingdom Animalia class Aves genus Pica species hudsonia", "")
    {'kingdom': 'Animalia', 'class': 'Aves', 'genus': 'Pica', 'species': 'Pica hudsonia'}
    """
    parts = TAG.split(tag)
    ranks = {rank: name for rank, text in zip(parts[1::2], parts[2::2]) if (name := clean(text))}
    words = taxon.split()
    if not ranks and len(words) == len(DARWIN_CORE):
        ranks = dict(zip(DARWIN_CORE, words))
    genus, species = ranks.get("genus"), ranks.get("species")
    if genus and species and " " not in species and parse(f"{genus} {species}").species:
        ranks["species"] = f"{genus} {species}"
    return ranks
