"""Webdataset tar shards: for every key an image, texts (.sci.txt, .com.txt, .taxonTag.txt ...) and JSON.

As TreeOfLife has them, and as img2dataset writes them, which leaves what it could not download in a Parquet beside each shard.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, Failures, first_line
from biocosmos.files import IMAGE_SUFFIXES, is_file, readable
from biocosmos.specimens.readers.blocks import Shaper, gather
from biocosmos.specimens.readers.columns import SCIENTIFIC_NAME, our_names, shown
from biocosmos.specimens.readers.json_fields import JsonFields
from biocosmos.specimens.readers.lookup import Seen
from biocosmos.specimens.readers.names import clean
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.shards import TAR_ERRORS, entries, first_names, shards_of
from biocosmos.specimens.records import STANDARD, Source
from biocosmos.taxonomy import DARWIN_CORE
from biocosmos.taxonomy.scientific_names import parse

TEXT_LIMIT = 1 << 20  # bytes of one text
PROBED = 5000  # files of the first shard that tell which texts there are
MOST_TEXTS = 500  # kinds of text for a key
TAG = re.compile(rf"\b({'|'.join(DARWIN_CORE)})\b")
OURS = {"sci": SCIENTIFIC_NAME, "scientific_name": SCIENTIFIC_NAME, "txt": "text", "cls": "label", "label": "label"}
TAXON_TAG, TAXON, JSON = "taxonTag", "taxon", "json"
PLACED = ("id", "image", "image_path", "crop")  # said by the shard itself
DOWNLOADED = "success"
FAILURES_SHOWN = 1000
"""Of one shard's downloads; the others are counted."""

Row = tuple[int | None, str | None, dict[str, Any]]


def read(path: Path, options: Options) -> Source:
    """A shard or a folder of shards, in the order of their names, each read once from its start to its end.

    Ranks come from the taxonTag ("kingdom Animalia phylum ..."), else from a taxon of all seven ranks. Texts are kept in
    columns of their own names, the fields of a .json too. A key that an earlier shard has is named with its shard.
    """
    shards = shards_of(path)
    contents = _Contents.of(shards, options)
    shaper = Shaper(contents.kinds(), options.failures, ranks=options.ranks, taxonomy=options.taxonomy)

    def batches() -> Iterator[pa.RecordBatch]:
        with Seen() as seen:
            for shard in shards:
                rows = _Shard(shard, contents, options, seen).rows()
                yield from shaper.batches(gather(rows, list(contents.kinds()), str(shard)))
                _tell_downloads(shard, options.failures)

    return Source(path.name, "webdataset", batches(), shaper.rank_columns, options.failures)


@dataclass
class _Contents:
    """What the keys of the first shard have: texts, their columns, and the fields of their JSON."""

    texts: dict[str, str]
    fields: JsonFields
    unknown: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, shards: list[Path], options: Options) -> _Contents:
        """From the first shard that can be opened. Raises BiocosmosError if none can, or for a mapping of what is not there."""
        for shard in shards:
            try:
                found = first_names(shard, PROBED)
            except TAR_ERRORS:
                continue
            break
        else:
            raise BiocosmosError(f"cannot read {shards[0]} as a tar file")
        kinds = list(dict.fromkeys(split_name(name)[1] for name, _ in found))
        texts = [kind for kind in kinds if not _is_image(kind) and kind != JSON and not _is_image(kind.rsplit(".", 1)[-1])]
        columns = {kind: options.columns.get(kind, OURS.get(kind, kind)) for kind in texts[:MOST_TEXTS]}
        fields = JsonFields()
        for _, content in found:
            if content is not None:
                fields.add(_object(content) or {})
        for theirs in options.columns:
            if theirs not in columns and theirs not in fields.kinds:
                raise BiocosmosError(f"{shards[0]} has no column {theirs!r}; it has: {shown([*columns, *fields.kinds])}")
        given = {theirs: ours for theirs, ours in options.columns.items() if theirs in fields.kinds}
        fields.call(our_names(list(fields.kinds), given, str(shards[0])), {*columns.values(), *PLACED})
        return cls(columns, fields)

    def kinds(self) -> dict[str, pa.DataType]:
        """Our name -> type of every column."""
        kinds: dict[str, pa.DataType] = {name: STANDARD[name] for name in ("id", "image")}
        kinds |= {name: pa.string() for name in self.texts.values()} | self.fields.columns()
        if {TAXON_TAG, TAXON} & set(self.texts):
            kinds |= dict.fromkeys(DARWIN_CORE, pa.string())
        return kinds


def split_name(name: str) -> tuple[str, str]:
    """("a/0001.sci.txt") -> ("a/0001", "sci"): the key ends at the first point of the file name, ".txt" is left out."""
    folder, _, base = name.removeprefix("./").rpartition("/")
    key, _, kind = base.partition(".")
    kind = kind.removesuffix(".txt") if kind != "txt" else kind
    return (f"{folder}/{key}" if folder else key), kind


def _is_image(kind: str) -> bool:
    return f".{kind.lower()}" in IMAGE_SUFFIXES


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


@dataclass
class _Shard:
    """One tar on its way to specimens."""

    shard: Path
    contents: _Contents
    options: Options
    seen: Seen

    def rows(self) -> Iterator[Row]:
        """(number of the key, None, values) of every key with an image; a damaged shard ends where the damage begins."""
        number, key = 0, None
        held: dict[str, bytes | None] = {}
        for member_key, kind, content in self._members():
            if member_key != key:
                if key is not None:
                    number += 1
                    yield from self._sample(number, key, held)
                key, held = member_key, {}
            self._hold(held, member_key, kind, content)
        if key is not None:
            yield from self._sample(number + 1, key, held)

    def _say(self, reason: str, id: str, number: int | None = None, warning: bool = True) -> None:
        severity = "warning" if warning else "error"
        self.options.failures.add(reason, stage="read", source=self.shard, row=number, id=id, severity=severity)  # type: ignore[arg-type]

    def _members(self) -> Iterator[tuple[str, str, bytes | None]]:
        """(key, kind, content or None where refused) of the files, in order."""
        for name, size, content in entries(self.shard, self.options.failures):
            key, kind = split_name(name)
            limit = self.options.max_image_bytes if _is_image(kind) else TEXT_LIMIT
            if size > limit:
                self._say(f"{size:,} bytes, more than the limit of {limit:,}: refused", name, warning=False)
                yield key, kind, None
                continue
            read = b"" if content is None else content.read(limit + 1)
            if len(read) < size:
                raise_short(name)
            yield key, kind, read

    def _hold(self, held: dict[str, bytes | None], key: str, kind: str, content: bytes | None) -> None:
        name = "image" if _is_image(kind) else kind
        if name in held:
            self._say(f"a second .{kind}: the first is used", key)
        elif name == "image" or name in self.contents.texts or (name == JSON and self.contents.fields.kinds):
            held[name] = content
        elif _is_image(name.rsplit(".", 1)[-1]):
            self._say(f"{key}.{kind} is not used: a key ends at the first point of a name, so that .{kind} is no image", key)
        elif name not in self.contents.unknown:
            self.contents.unknown.add(name)
            self._say(f"the text .{kind} is not in the first shard: left out, here and further on", key)

    def _sample(self, number: int, key: str, held: dict[str, bytes | None]) -> Iterator[Row]:
        if held.get("image") is None:
            if "image" not in held:
                self._say("no image with this key", key, number, warning=False)
            return
        values: dict[str, Any] = {"id": self._id(key), "image": held["image"]}
        words: dict[str, str] = {}
        for kind, content in held.items():
            if kind == "image" or content is None:
                continue
            if kind == JSON:
                values = {**self._json(content, key, number), **values}
                continue
            words[kind] = self._text(kind, content, key, number)
            values.setdefault(self.contents.texts[kind], words[kind] or None)
        yield number, key, {**ranks_of(words.get(TAXON_TAG, ""), words.get(TAXON, "")), **values}

    def _id(self, key: str) -> str:
        if self.seen.count(key) == 1:
            return key
        own = f"{self.shard.name}/{key}"
        return own if self.seen.count(own) == 1 else next(n for i in count(2) if self.seen.count(n := f"{own}-{i}") == 1)

    def _json(self, content: bytes, key: str, number: int) -> dict[str, Any]:
        found = _object(content)
        if found is None:
            self._say("its .json is no object: left out", key, number)
            return {}
        values, new = self.contents.fields.take(found)
        for name in new - self.contents.unknown:
            self.contents.unknown.add(name)
            self._say(
                f"the field {name[:80]!r} of its .json is not in the first shard: left out, here and further on", key, number
            )
        return values

    def _text(self, kind: str, content: bytes, key: str, number: int) -> str:
        try:
            return content.decode("utf-8").strip()
        except UnicodeDecodeError:
            self._say(f".{kind}.txt is not UTF-8: read as latin-1", key, number)
            return content.decode("latin-1").strip()


def raise_short(name: str) -> None:
    """Raise tarfile.ReadError: the tar ends inside this file."""
    raise tarfile.ReadError(f"it ends inside {name!r}")


def _tell_downloads(shard: Path, failures: Failures) -> None:
    """Tell what img2dataset could not download, from the Parquet that it writes beside each shard."""
    table = shard.with_name(f"{shard.name.split('.')[0]}.parquet")
    if not is_file(table):
        return
    failed = 0
    try:
        with pq.ParquetFile(table) as file:
            wanted = [name for name in ("key", "url", "status", "error_message") if name in file.schema_arrow.names]
            if "status" not in wanted:
                return
            for batch in file.iter_batches(columns=wanted):
                for row in batch.to_pylist():
                    if row["status"] in (DOWNLOADED, None):
                        continue
                    failed += 1
                    if failed <= FAILURES_SHOWN:
                        why = f": {row['error_message']}" if row.get("error_message") else ""
                        where = f" ({row['url']})" if row.get("url") else ""
                        reason = readable(f"not downloaded by img2dataset, {row['status']}{why}{where}")
                        failures.add(reason, stage="read", source=table, id=row.get("key") and readable(str(row["key"])))
    except (OSError, ValueError, pa.ArrowException) as error:
        failures.add(f"cannot be read: {first_line(error)}", stage="read", source=table, severity="warning")
    if failed > FAILURES_SHOWN:
        failures.add(f"{failed - FAILURES_SHOWN:,} more images were not downloaded", stage="read", source=table)


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
