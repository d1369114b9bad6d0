"""What is asked about: image files, folders, words, DNA barcodes or specimens of the collection, as vectors of one encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.encoders.barcodes import NOT_COMPARED, BarcodeEncoder, comparable, load_barcode_encoder
from biocosmos.encoders.encoder import Encoder
from biocosmos.encoders.modality import TAKES
from biocosmos.encoders.registry import load_encoder
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import image_files, is_folder
from biocosmos.provenance import encoder_name
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.given_vectors import GIVEN
from biocosmos.specimens.stored_vectors import read_stored
from biocosmos.trust import refuse_code

_TAKEN_BY: dict[str, tuple[tuple[str, ...], str]] = {
    "images": (("image",), "efficientnet-lite0"),
    "sequences": (("dna",), "kmer:7"),
    "place": (("place", "environment"), "place:15km"),
    "audio": (("audio",), "audio:FOLDER"),
    "satellite": (("satellite",), "satellite:NAME"),
}
"""What is asked about -> the modalities that take it, the nearest first, and an encoder to embed with."""


@dataclass
class Queries:
    """Vectors to ask about.

    ids: one name per query (the path as it was given, the text, or the specimen's id); vectors: (q, d) float32 unit rows, or
    counts of k-mers;
    specimens: True when the ids are specimens of the collection, which must not find themselves.
    """

    ids: list[str]
    vectors: npt.NDArray[np.float32] | KmerCounts
    specimens: bool = False
    failures: Failures = field(default_factory=Failures)
    encoder: dict[str, Any] = field(default_factory=dict)


def encode_queries(
    collection: Collection,
    encoder: str,
    *,
    images: Sequence[Path] = (),
    texts: Sequence[str] = (),
    ids: Sequence[str] = (),
    barcodes: Sequence[str] = (),
    **how: Any,
) -> Queries:
    """Vectors for images, texts, barcodes and specimens, with the encoder that made the collection's embedding.

    ``how``: typed, device, precision and backend, see :func:`encoder_of_column`. Images that fail are in
    ``failures``. Raises BiocosmosError if the encoder's weights or preprocessing are not those of the embedding, if an id
    is unknown or has no vector, or if nothing is asked.
    """
    if not images and not texts and not ids and not barcodes:
        raise BiocosmosError("nothing to ask: give images, --text, --dna, --place, --sound, --satellite or --id")
    if ids and not (images or texts or barcodes):
        return specimen_queries(collection, encoder, ids)
    if barcodes:
        if images or texts or ids:
            raise BiocosmosError("--dna goes with nothing else that is asked about: search twice")
        return _barcodes(collection, encoder, barcodes, how)
    loaded = encoder_of_column(collection, encoder, **how)
    facts = loaded.metadata()
    failures = Failures()
    names: list[str] = []
    parts: list[npt.NDArray[np.float32]] = []
    if images:
        files = image_files(images, failures)
        vectors, kept = loaded.encode_files([str(file) for file in files], failures=failures)
        names += [str(files[row]) for row in kept]
        parts.append(np.asarray(vectors, np.float32))
    if texts:
        names += list(texts)
        parts.append(np.asarray(loaded.encode_texts(list(texts)), np.float32))
    if ids:
        specimens = specimen_queries(collection, encoder, ids)
        names += specimens.ids
        parts.append(np.asarray(specimens.vectors))
    return Queries(names, np.concatenate(parts), bool(ids), failures, facts)


def _barcodes(collection: Collection, encoder: str, barcodes: Sequence[str], how: Mapping[str, Any]) -> Queries:
    where = {name: how[name] for name in ("device", "precision") if name in how}
    loaded = barcode_encoder_of_column(collection, encoder, **where)
    failures = Failures()
    vectors = loaded.encode_barcodes(barcodes)
    good = comparable(vectors)
    for row in np.flatnonzero(~good):
        failures.add(f"the barcode has {NOT_COMPARED}", stage="encode", row=int(row) + 1)
    return Queries([barcodes[int(row)] for row in np.flatnonzero(good)], vectors[good], False, failures, loaded.metadata())


def barcode_encoder_of_column(
    collection: Collection, encoder: str, *, device: str = "auto", precision: str = "auto"
) -> BarcodeEncoder:
    """The encoder of barcodes that made an embedding. Raises BiocosmosError if its weights are not those of the embedding, and as
    :func:`encoder_for` where the embedding is not of barcodes."""
    loaded = load_barcode_encoder(encoder_for(collection, encoder, "sequences"), device=device, precision=precision)
    if collection.encoders[encoder].get("digest") != loaded.digest:
        raise made_by_another(collection, encoder)
    return loaded


def encoder_for(collection: Collection, encoder: str | None, kind: str) -> str:
    """The embedding that what is asked about is compared by: the one that was named, else the collection's default where it is of
    that kind, else the one of that kind that it has. kind: "images", "sequences", "place", "audio" or "satellite".

    Raises BiocosmosError where it has none, or several and none was named, with the command that helps.
    """
    wanted, make = _TAKEN_BY[kind]
    have = {name: str(facts.get("modality", "image")).partition("+")[0] for name, facts in collection.encoders.items()}
    fitting = [name for name, modality in have.items() if modality in wanted]
    what = TAKES[wanted[0]]
    if encoder is not None and (towers := collection.spaces().get(encoder_name(encoder))):
        return collection.tower(encoder, next((modality for modality in wanted if modality in towers), wanted[0]))
    # a default is an embedding of specimens themselves: nothing else is found missing because of it
    default = collection.default_encoder if kind in ("images", "sequences") else None
    name = default if encoder is None else collection.encoder_name(encoder)
    if name in fitting:
        return str(name)
    alone = [each for each in fitting if not collection.encoders[each].get("space")]  # a space is asked where it is named
    if encoder is None and 1 in (len(fitting), len(alone)):
        return fitting[0] if len(fitting) == 1 else alone[0]
    if encoder is None and fitting:
        raise BiocosmosError(
            f"{collection.path} has several embeddings of {what}: name one with --encoder ({', '.join(fitting)})"
        )
    instead = (
        f"name {' or '.join(fitting)} with --encoder" if fitting else f"run 'biocosmos embed {collection.path} -e {make}' first"
    )
    who = f"the embedding '{name}' is not of {what}" if name else f"{collection.path} has no embedding of {what}"
    raise BiocosmosError(f"{who}, which are asked about: {instead}")


def made_by_another(collection: Collection, encoder: str, key: str = "digest") -> BiocosmosError:
    """What is said of an encoder here that differs from the one that made the embedding in this fact."""
    if isinstance(pack := collection.facts_now().get("pack"), dict):
        made = collection.encoders[encoder].get(key)
        return BiocosmosError(
            f"encoder '{encoder}' here has another {key} than the one that {pack.get('path')} was made with"
            f"{f' ({made})' if isinstance(made, str) else ''}: bring that one, and name its folder with -e"
        )
    return BiocosmosError(
        f"encoder '{encoder}' here has another {key} than the one that embedded {collection.path}: "
        f"embed again with 'biocosmos embed {collection.path} --encoder {encoder} --overwrite'"
    )


def encoder_of_column(collection: Collection, encoder: str, *, typed: bool = False, **how: Any) -> Encoder:
    """The encoder that made an embedding of the collection; how: device, precision and backend.

    typed: a person named it, so that it may be code (:mod:`biocosmos.trust`); else the collection did.
    Raises BiocosmosError if its weights or preprocessing are not those of the embedding, or its vectors were given.
    """
    stored = collection.encoders[encoder]
    if stored.get("backend") == GIVEN:
        raise BiocosmosError(
            f"the vectors '{encoder}' of {collection.path} were given, and no model of them is here to embed images or texts: "
            f"ask with specimens of the collection, or name another --encoder"
        )
    if not typed:
        refuse_code(encoder, collection.path)
    pack = collection.facts_now().get("pack")
    if isinstance(pack, dict) and pack.get("folder") and not is_folder(encoder):
        raise BiocosmosError(
            f"{pack.get('path')} was made with the encoder in the folder '{encoder}' (weights {stored.get('digest')}), not "
            "in the pack: name that folder here with -e"
        )
    loaded = image_encoder(encoder, stored, **how)
    facts = loaded.metadata()
    for key in ("digest", "preprocessing"):
        if stored.get(key) is not None and _plain(stored[key]) != _plain(facts.get(key)):
            raise made_by_another(collection, encoder, key)
    return loaded


def image_encoder(encoder: str, stored: Mapping[str, Any], **how: Any) -> Encoder:
    """The encoder of this name, which prepares images as for the column with the facts ``stored``; how: as for
    :func:`encoder_of_column`."""
    resize = (stored.get("preprocessing") or {}).get("resize")
    return _loaded(encoder, stored.get("digest"), resize, tuple(sorted(how.items())))


@lru_cache(maxsize=1)
def _loaded(encoder: str, digest: str | None, resize: Any, how: tuple[tuple[str, Any], ...]) -> Encoder:
    """The encoder used last, so that one photograph after another does not load it anew; digest: of the weights wanted."""
    return load_encoder(encoder, resize=resize, **dict(how))


def _plain(value: Any) -> Any:
    import json

    return json.loads(json.dumps(value, default=str))


def specimen_queries(collection: Collection, encoder: str, ids: Sequence[str]) -> Queries:
    """Specimens by their stored vectors of an embedding. Raises BiocosmosError for an unknown id, and one without a vector."""
    column = collection.embedding_column(encoder)
    table = collection.take(ids, columns=[column])
    if missing := sorted(set(ids) - set(table["id"].to_pylist())):
        raise BiocosmosError(f"{collection.path} has no specimen '{missing[0]}'")
    if table[column].null_count:
        row = table[column].is_null().index(True).as_py()
        raise BiocosmosError(
            f"specimen '{table['id'][row]}' has no vector of '{encoder}': run 'biocosmos embed {collection.path}'"
        )
    vectors = read_stored(table[column], collection.encoders[encoder])
    return Queries(list(ids), vectors, True, Failures(), collection.encoders[encoder])
