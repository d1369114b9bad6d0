"""Who names where place and season count: the identifier that the settings ask for, and beside it one that a prior is combined
with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import is_file
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.keeping import STATE
from biocosmos.identify.places.fence_files import read_fences
from biocosmos.identify.places.placed_identifier import FENCES, PLACE, WITHOUT, Found, PlacedIdentifier, Where, around
from biocosmos.identify.places.placing import Chosen, Placing, known_rows, paths_of
from biocosmos.identify.priors import Prior, load_prior
from biocosmos.identify.priors.choosing import fit
from biocosmos.jobs.identify_settings import OWN_PRIOR, IdentifySettings, asks_place
from biocosmos.jobs.place_table import PlaceTable
from biocosmos.jobs.unlabelled import selection
from biocosmos.jobs.who_names import (
    NAMERS,
    answers_attributes_alone,
    device_of,
    fitted,
    head_of,
    identifier_of,
    in_use,
    keep,
    key_of,
    loaded,
)
from biocosmos.places import Places, country_and_region
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.placed import places_of
from biocosmos.tables import replacing

PLACING, PRIOR = "placing.json", "prior"
"""In the folder of an identifier that is kept with the collection: how its prior is combined, and the prior."""


def placed_identifier_of(collection: Collection, settings: IdentifySettings, failures: Failures) -> Identifier:
    """The identifier that the settings ask for: the plain one, where no place is asked for, to the bit; behind it the fences.

    Raises BiocosmosError also for a file of fences that cannot be read.
    """
    told = Failures()
    of_attributes = settings.head is not None and answers_attributes_alone(settings.head)
    table = None if settings.places is None or of_attributes else PlaceTable(settings.places, told)
    if of_attributes or not (settings.fence or settings.checklist):
        failures.extend(told)
        return _by_prior(collection, settings, table, failures)
    fences = read_fences(settings.fence, settings.checklist, told, way=settings.fence_way)  # type: ignore[arg-type]
    made = _by_prior(collection, settings, table, failures)
    bound = fences.bound(made.namer.taxonomy, told)
    failures.extend(told)
    if isinstance(made, PlacedIdentifier):
        how: dict[str, Any] = {"combined": made.combined, "placing": made.placing}
        found = PlacedIdentifier.of(made.plain, made.where, fences=bound, **how)
    else:
        found = PlacedIdentifier.of(made, _where(collection, settings, made, table), fences=bound)
    rules = [*fences.rules, *(rule for listed in fences.checklists for rule in listed.rules)]
    of_countries = sum(rule.country is not None for rule in rules)
    if of_countries and table is None and settings.part is None and settings.country is None:
        return _noted(found, f"{of_countries:,} rules are of countries: without --country they take nothing away")
    return found


def _by_prior(collection: Collection, settings: IdentifySettings, table: PlaceTable | None, failures: Failures) -> Identifier:
    """Without fences.

    Raises BiocosmosError: a prior that was asked for by name and cannot be had; see
    :func:`biocosmos.identify.places.placed_identifier.around`.
    """
    if not asks_place(settings) or (settings.head is not None and answers_attributes_alone(settings.head)):
        return identifier_of(collection, settings, failures)
    if settings.prior not in (None, OWN_PRIOR):
        load_prior(str(settings.prior))  # says what is wrong
    told = OnePlace.of(settings)
    if settings.part is None and settings.places is None and not known_rows(told.place).any():
        plain = identifier_of(collection, settings, failures)
        return _noted(plain, "no place and no day was told (--at, --on), so that the prior changes nothing")
    if in_use(collection, settings, Failures()) is not None:
        reason = "the model in use is left out: place is combined with a namer that is fitted on the known specimens"
        failures.add(reason, stage="identify", source=collection.path, severity="warning")
    try:
        plain, combined, placing = identifiers_with_prior(collection, settings, failures)
    except _NoPlaces as error:
        if settings.prior is not None:
            raise BiocosmosError(str(error)) from None
        plain = identifier_of(collection, settings, failures)
        return _noted(plain, f"place was not counted in: {error}")
    if combined is None:
        return _noted(plain, placing.note())
    return PlacedIdentifier.of(plain, _where(collection, settings, plain, table), combined=combined, placing=placing)


def said_of_place(identifier: Identifier, tables: Iterable[pa.Table]) -> list[str]:
    """How many of the specimens had a place, and how many names the prior changed, in a sentence; of a plain identifier none."""
    if not isinstance(identifier, PlacedIdentifier):
        return []
    specimens = placed = flipped = fenced = 0
    for table in tables:
        if identifier.fences is not None:
            fenced += len(table) - table[FENCES].null_count
        if identifier.combined is None:
            specimens += len(table)
            continue
        told = pc.is_valid(table[PLACE])
        specimens, placed = specimens + len(table), placed + int(pc.sum(told).as_py() or 0)
        other = pc.not_equal(pc.fill_null(table["best_guess"], ""), pc.fill_null(table[f"best_guess_{WITHOUT}"], ""))
        flipped += int(pc.sum(pc.and_(told, other)).as_py() or 0)
    by_fences = [] if identifier.fences is None else [f"fences and checklists touched the answers to {fenced:,} specimens"]
    if identifier.combined is None:
        return by_fences
    if not placed:
        return [
            *by_fences,
            "no specimen asked about has a place or a day (--at, --on, --places), so that the prior changed nothing",
        ]
    said = [
        *by_fences,
        f"place was counted in for {placed:,} of {specimens:,} specimens and changed the best guess of {flipped:,}",
    ]
    if placed < specimens:
        said.append(f"the other {specimens - placed:,} were named without it; {identifier.plain.describe()}")
    return said


class _NoPlaces(BiocosmosError):
    """The known specimens have no places that a prior could be fitted on."""


def _noted(identifier: Identifier, note: str) -> Identifier:
    return replace(identifier, notes=(note, *identifier.notes))


# ---------------------------------------------------------------------- where specimens were found


@dataclass(frozen=True)
class Stored:
    """Places of specimens of a collection, by id."""

    collection: Collection
    split: str | None = None
    where: str | None = None

    @cached_property
    def _rows(self) -> tuple[dict[str, int], Places]:
        ids, places = places_of(self.collection, split=self.split, where=self.where)
        return {id_: row for row, id_ in enumerate(ids.to_pylist())}, places

    @property
    def places(self) -> Places:
        """Of all of them."""
        return self._rows[1]

    def __call__(self, ids: npt.NDArray[np.object_]) -> Found:
        known, places = self._rows
        rows = np.array([known.get(str(id_), -1) for id_ in ids], np.int64)
        found = places.take(np.maximum(rows, 0)) if len(places) else Places.nowhere(len(ids))
        nowhere = Places.nowhere(len(ids))
        for name, values in vars(found).items():
            values[rows < 0] = getattr(nowhere, name)[rows < 0]
        return Found(found, [None] * len(ids))


@dataclass(frozen=True)
class OnePlace:
    """The same place for whatever is asked about."""

    place: Places
    region: str | None

    @classmethod
    def of(cls, settings: IdentifySettings) -> OnePlace:
        """As --at, --on, --depth and --country say it."""
        country, region = country_and_region(settings.country or "")
        return cls(Places.told(settings.at, settings.on, settings.depth, country), region)

    def __call__(self, ids: npt.NDArray[np.object_]) -> Found:
        return Found(self.place.take(np.zeros(len(ids), np.int64)), [self.region] * len(ids))


def _where(collection: Collection, settings: IdentifySettings, identifier: Identifier, table: PlaceTable | None) -> Where:
    if table is not None:
        return table
    if settings.part is None:
        return OnePlace.of(settings)
    return Stored(collection, *selection(collection, settings, identifier.namer.taxonomy.ranks))


# ---------------------------------------------------------------------- fitted, and kept with the collection


def identifiers_with_prior(
    collection: Collection, settings: IdentifySettings, failures: Failures
) -> tuple[Identifier, Identifier | None, Placing]:
    """The plain identifier, the combined one (None: place changes nothing) and how they are combined."""
    head = None
    if settings.head is not None:
        head = head_of(settings.head, device=settings.device, views=settings.views, novelty=settings.novelty)
    key = key_of(collection, settings, head)
    own = settings.prior in (None, OWN_PRIOR)
    if own and not known_rows(Stored(collection, where=settings.where).places).any():
        raise _NoPlaces(f"no known specimen of {collection.path} has a place or a date")
    told = ["collection" if own else _digest(Path(str(settings.prior))), settings.prior_way, key]
    folder, with_place = (collection.path / NAMERS / name for name in (key, hashlib.sha256(repr(told).encode()).hexdigest()[:16]))
    if not settings.fresh:
        kept = _kept(folder, with_place, device_of(settings))
        if kept is not None:
            failures.extend(kept[0].failures)
            return kept
    plain, held = fitted(collection, settings, head)
    failures.extend(plain.failures)
    prior = _own_prior(collection, plain, settings.seed) if own else load_prior(str(settings.prior))
    combined, placing = around(plain, held, prior, Stored(collection), way=settings.prior_way, seed=settings.seed)
    keep(plain, folder, failures)
    keep(plain if combined is None else combined, with_place, failures)
    if is_file(with_place / STATE):
        _keep_placing(placing, with_place, failures)
    return plain, combined, placing


def _own_prior(collection: Collection, plain: Identifier, seed: int) -> Prior:
    known = plain.known
    if known is None or known.taxa is None:
        raise _NoPlaces("the head has no known specimens to show: give a folder of 'biocosmos train place' with --prior")
    places = Stored(collection)(known.ids).places
    told = np.flatnonzero((places.has_place | places.has_day) & (known.taxa > 0))
    if not len(told):
        raise _NoPlaces(f"no known specimen of {collection.path} has a place or a date")
    taxa = np.array(paths_of(plain.namer.taxonomy, known.taxa[told]), object)
    return fit(taxa, places.take(told), ids=known.ids[told], seed=seed)


def _kept(folder: Path, with_place: Path, device: str) -> tuple[Identifier, Identifier | None, Placing] | None:
    """What an earlier call left, where all of it is there."""
    try:
        facts = json.loads((with_place / PLACING).read_text(encoding="utf-8"))
        chosen = None if facts["chosen"] is None else Chosen(**facts["chosen"])
        prior = load_prior(with_place / PRIOR)
        placing = Placing(prior, facts["way"], float(facts["floor"]), float(facts["exponent"]), chosen)
        plain = loaded(folder, (folder / STATE).stat().st_mtime_ns, device)
        combined = loaded(with_place, (with_place / STATE).stat().st_mtime_ns, device)
    except (BiocosmosError, OSError, ValueError, LookupError, TypeError):
        return None
    return plain, None if placing.exponent == 0 else combined, placing


def _keep_placing(placing: Placing, folder: Path, failures: Failures) -> None:
    try:
        placing.prior.save(folder / PRIOR)
        with replacing(folder / PLACING) as temporary:
            temporary.write_text(json.dumps(placing.about()), encoding="utf-8")
    except OSError as error:
        failures.add(f"the prior could not be kept: {error}", stage="identify", source=folder, severity="warning")


def _digest(folder: Path) -> str:
    """Of all files of a prior, SHA-256."""
    found = hashlib.sha256()
    for path in sorted(each for each in folder.rglob("*") if is_file(each)):
        found.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


__all__ = ["OnePlace", "Stored", "identifiers_with_prior", "placed_identifier_of", "said_of_place"]
