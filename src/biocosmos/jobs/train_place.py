"""Fit a prior of places: which taxa were collected near by, at that time of the year, at that depth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.files import is_folder, is_there
from biocosmos.identify.priors.choosing import Chosen, choose
from biocosmos.identify.priors.kernel import KERNEL, Bandwidths, KernelPrior
from biocosmos.jobs.place_settings import PlaceSettings
from biocosmos.outputs import place_of
from biocosmos.places import Places
from biocosmos.places.columns import NAMES
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.guard import RECORD, Fitted
from biocosmos.taxonomy.tree import Taxonomy

STANDARD = PlaceSettings()
CAVEAT = "It tells where people collected, not where taxa live."


@dataclass(frozen=True)
class PlaceResult:
    """What :func:`train_place` did.

    prior: as written to ``folder``; chosen: how held-out cells liked it, None where nothing could be held out and all bandwidths
    were told; placed, dated: its specimens with a place, with a day; left_out: labelled ones with neither.
    """

    folder: Path
    prior: KernelPrior
    chosen: Chosen | None
    placed: int
    dated: int
    left_out: int

    def rows(self) -> list[tuple[str, str]]:
        """(what, value) of the table that is shown."""
        h = self.prior.bandwidths
        table = [
            ("taxa", f"{len(self.prior.taxa):,}"),
            ("specimens", f"{len(self.prior.taxon):,}"),
            ("with a place", f"{self.placed:,}"),
            ("with a date", f"{self.dated:,}"),
            ("left out: neither place nor date", f"{self.left_out:,}"),
            ("kilometres", f"{h.kilometres:g}"),
            ("days", f"{h.days:g}"),
            ("metres of depth", f"{h.metres:g}"),
            ("specimens that the overall shares count for", f"{h.specimens:g}"),
        ]
        if self.chosen is not None:
            table += [
                ("specimens of held-out cells", f"{self.chosen.judged:,}"),
                ("their -log p, overall shares alone", f"{self.chosen.base:.3f}"),
                ("their -log p, this prior", f"{self.chosen.nll.min():.3f}"),
                ("not judged: taxon of one part of the cells only", f"{self.chosen.left_out:,}"),
            ]
        return table


def train_place(
    collection: Collection | str | Path, output: str | Path, settings: PlaceSettings = STANDARD, *, overwrite: bool = False
) -> PlaceResult:
    """Fit a kernel prior on the labelled specimens that say where or when, and write it and the record of its specimens.

    ``output`` is a folder for :func:`biocosmos.identify.priors.load_prior`. Taxa are written as paths from the top of the
    collection's taxonomy, "Animalia/Arthropoda/...".

    Raises:
        BiocosmosError: something is at ``output`` already, no labelled specimen has a place or a date, all are of one taxon, or
            bandwidths that are not told cannot be chosen.
    """
    folder = _free(place_of(output), overwrite)
    stored = collection if isinstance(collection, Collection) else Collection.open(collection)
    columns = [name for name in NAMES if name in stored.stored_columns]
    table = stored.table(["id", *stored.ranks, *columns], **settings.selected())
    nodes = stored.taxonomy.index(table) if stored.ranks else np.full(len(table), -1, np.int32)
    nodes = np.where(nodes == 0, -1, nodes)
    if settings.rank is not None:
        nodes = stored.taxonomy.ancestor(nodes, settings.rank)
    named = np.flatnonzero(nodes >= 0)
    places = Places.of_table(table).take(named)
    told = places.has_place | places.has_day
    if not told.any():
        missing = "no labelled specimen" if len(named) else "no specimen is labelled, so that none"
        raise BiocosmosError(
            f"{missing} of {stored.path} has a place or a date: give columns latitude and longitude, or date ('biocosmos update')"
        )
    rows, places = named[told], places.take(np.flatnonzero(told))
    taxa = _paths(stored.taxonomy, nodes[rows])
    if len(set(taxa.tolist())) < 2:
        raise BiocosmosError(
            f"all {len(rows):,} specimens with a place or a date are of one taxon, {taxa[0]}: nothing to tell apart"
        )
    ids = np.array(table["id"].to_pylist(), dtype=object)[rows]
    bandwidths, chosen = _bandwidths(taxa, places, settings)
    prior = KernelPrior.fit(taxa, places, ids=ids, bandwidths=bandwidths)
    prior.save(folder)
    split = None if settings.split is None else stored.split_of(settings.split).hash
    Fitted.of(f"the prior of places in {folder}", fitted=ids, split=split).save(folder)
    return PlaceResult(folder, prior, chosen, int(places.has_place.sum()), int(places.has_day.sum()), int((~told).sum()))


def _free(folder: Path, overwrite: bool) -> Path:
    """The folder, if a prior may be written there."""
    if is_there(folder) and not is_folder(folder):
        raise BiocosmosError(f"{folder} is no folder: choose another name")
    if is_folder(folder) and (there := {path.name for path in folder.iterdir()}):
        if not there <= {KERNEL, RECORD}:
            raise BiocosmosError(f"{folder} holds something else than a prior of places: choose another name")
        if not overwrite:
            raise BiocosmosError(f"{folder} exists already: choose another name, or --overwrite")
    return folder


def _paths(taxonomy: Taxonomy, nodes: npt.NDArray[np.int32]) -> npt.NDArray[np.object_]:
    """The path of each node."""
    known, places = np.unique(nodes, return_inverse=True)
    paths = np.empty(len(known), dtype=object)
    paths[:] = [taxonomy.path_text(int(node)) for node in known]
    return np.asarray(paths[places])


def _bandwidths(taxa: npt.NDArray[np.object_], places: Places, settings: PlaceSettings) -> tuple[Bandwidths, Chosen | None]:
    h = settings
    try:
        chosen = choose(taxa, places, kilometres=h.kilometres, days=h.days, metres=h.metres, specimens=h.specimens)
    except BiocosmosError:
        if h.kilometres is None or h.days is None:
            raise
        standard = Bandwidths()
        return Bandwidths(h.kilometres, h.days, h.metres or standard.metres, h.specimens or standard.specimens), None
    return chosen.bandwidths, chosen
