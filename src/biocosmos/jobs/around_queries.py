"""What is asked about that is not of a specimen itself: places, sounds and satellite images, as vectors of their encoders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from biocosmos.encoders.beside.encoder import AUDIO, SATELLITE, FileEncoder, load_file_encoder
from biocosmos.encoders.places.encoder import ENVIRONMENT, PLACE, PlaceEncoder, known, load_place_encoder, vectors_and_reasons
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.jobs.barcode_search import STAGE
from biocosmos.jobs.queries import Queries, encoder_for, made_by_another
from biocosmos.jobs.settings import SearchSettings
from biocosmos.places import Places, parse_day, parse_place
from biocosmos.specimens.collection import Collection
from biocosmos.trust import refuse_code

OPTIONS: dict[str, str] = {PLACE: "--place", AUDIO: "--sound", SATELLITE: "--satellite"}
"""What is asked about -> the option that says it."""


def asked_around(settings: SearchSettings) -> dict[str, tuple[str, ...]]:
    """What ``settings`` asks about, of :data:`OPTIONS`; only what is there."""
    given = {PLACE: settings.place, AUDIO: _paths(settings.sound), SATELLITE: _paths(settings.satellite)}
    return {what: said for what, said in given.items() if said}


def asking(what: str, have: Iterable[str]) -> str:
    """The modality whose encoder takes what is asked about, of those that there are: a place asks rasters too."""
    found = list(have)
    return ENVIRONMENT if what == PLACE and PLACE not in found and ENVIRONMENT in found else what


def asked_places(said: Sequence[str]) -> Places:
    """Places as they are typed: LATITUDE,LONGITUDE, behind it @DATE and @DEPTHm where they are known.

    Raises BiocosmosError for what is none.
    """
    return Places.of_numbers(np.array([_one(place) for place in said]))


def around_queries(encoder: PlaceEncoder | FileEncoder, said: Sequence[str]) -> Queries:
    """n things that are asked about as vectors of the encoder that takes them; what gives none is a failure."""
    failures = Failures()
    vectors: npt.NDArray[np.float32]
    if isinstance(encoder, FileEncoder):
        vectors, why = encoder.encode_paths(said)
    else:
        places = asked_places(said)
        vectors, why = vectors_and_reasons(encoder, places)
        lacking = ~known(places, encoder.takes)
        needs = f"the encoder takes a {' and a '.join(encoder.takes)}: write --place 52.05,5.05@2026-06-04@10m"
        why = {row: needs if lacking[row] else reason for row, reason in why.items()}
    for row, reason in why.items():
        failures.add(reason, stage=STAGE, source=said[row], row=row + 1)
    good = np.flatnonzero(vectors.any(axis=1))
    return Queries([said[int(row)] for row in good], vectors[good], False, failures, encoder.metadata())


def around_encoder(name: str, modality: str, *, device: str = "auto") -> PlaceEncoder | FileEncoder:
    """The encoder of this name, which took places, the environment there, or files of this modality when it embedded."""
    return (load_place_encoder if modality in (PLACE, ENVIRONMENT) else load_file_encoder)(name, device=device)


def own_kind_queries(collection: Collection, settings: SearchSettings) -> tuple[str, Queries]:
    """Places, sounds or satellite images among their own kind: the embedding that is searched, and the vectors that ask.

    Raises BiocosmosError where the collection has no embedding of that kind, or several and none was named, or its encoder here
    is another.
    """
    asked = asked_around(settings)
    if len(asked) > 1 or settings.images or settings.text or settings.id or settings.dna or settings.fasta:
        raise BiocosmosError(f"{OPTIONS[next(iter(asked))]} goes with nothing else that is asked about: search twice")
    ((what, said),) = asked.items()
    name = encoder_for(collection, settings.encoder, what)
    if settings.encoder is None:
        refuse_code(name, collection.path)
    encoder = around_encoder(name, collection.encoders[name]["modality"], device=settings.device)
    if encoder.digest != collection.encoders[name].get("digest"):
        raise made_by_another(collection, name)
    return name, around_queries(encoder, said)


def _one(said: str) -> tuple[float, float, float, float]:
    """Latitude, longitude, day and depth of one place as it is typed."""
    where, *rest = (part.strip() for part in said.split("@"))
    day = depth = float("nan")
    for part in rest:
        if part.endswith("m"):
            try:
                depth = float(part[:-1])
            except ValueError:
                depth = -1.0
            if not 0 <= depth < np.inf:
                raise BiocosmosError(f"--place {said}: {part!r} is no depth: write metres below the surface, such as @10m")
        else:
            day = parse_day(part)
    return (*parse_place(where), day, depth)


def _paths(files: Sequence[Path]) -> tuple[str, ...]:
    return tuple(str(file) for file in files)


__all__ = ["OPTIONS", "around_encoder", "around_queries", "asked_around", "asked_places", "asking", "own_kind_queries"]
