"""Fit a prior of places, a kernel or a network: which taxa were collected near by, at that time of the year, at that depth."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.files import is_folder, is_there
from biocosmos.identify.priors.choosing import Chosen, choose
from biocosmos.identify.priors.prior import BEGUN as SETTINGS
from biocosmos.identify.priors.prior import Prior, load_prior
from biocosmos.jobs.place_settings import KERNEL, PlaceSettings
from biocosmos.outputs import place_of
from biocosmos.places import Places
from biocosmos.places.columns import NAMES
from biocosmos.places.kernel import KERNEL as KERNEL_FILE
from biocosmos.places.kernel import Bandwidths, KernelPrior
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.guard import RECORD, Fitted
from biocosmos.taxonomy.tree import Taxonomy

if TYPE_CHECKING:
    from biocosmos.train.place.training import NetworkResult

STANDARD = PlaceSettings()
NETWORK_FILES = (
    *("model.safetensors", "taxa.npz", "README.md", "biocosmos.json", "run.json", "computing.json", "steps.csv", "epochs.csv"),
    *("tensorboard", "checkpoints", SETTINGS),
)
"""What the training of a network leaves, its settings last."""
CAVEAT = "It tells where people collected, not where taxa live."


@dataclass(frozen=True)
class PlaceResult:
    """What :func:`train_place` did.

    prior: as written to ``folder``; chosen: how held-out cells liked a kernel, None where nothing could be held out and all
    bandwidths were told, and of a network; network: what its training did; placed, dated: specimens with a place, with a day;
    left_out: labelled ones with neither; main_process: this process is the one that tells the user.
    """

    folder: Path
    prior: Prior
    chosen: Chosen | None
    placed: int
    dated: int
    left_out: int
    network: NetworkResult | None = None

    @property
    def main_process(self) -> bool:
        """This process is the one that tells the user."""
        return self.network is None or self.network.main_process

    def rows(self) -> list[tuple[str, str]]:
        """(what, value) of the table that is shown."""
        return [
            ("taxa", f"{len(self.prior.taxa):,}"),
            ("specimens", f"{len(self.prior.learnt):,}"),
            ("with a place", f"{self.placed:,}"),
            ("with a date", f"{self.dated:,}"),
            ("left out: neither place nor date", f"{self.left_out:,}"),
            *(self._of_kernel(self.prior) if isinstance(self.prior, KernelPrior) else self._of_network()),
        ]

    def _of_kernel(self, prior: KernelPrior) -> list[tuple[str, str]]:
        h = prior.bandwidths
        table = [
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

    def _of_network(self) -> list[tuple[str, str]]:
        done = self.network
        if done is None:
            return []
        best = done.history.best or {}
        table = [("epochs", f"{len(done.history.epochs)}"), ("kept", f"epoch {best.get('epoch', len(done.history.epochs))}")]
        if "log_share" in best:
            table += [
                ("specimens of held-out cells, which chose it", f"{len(done.held):,}"),
                ("their -log p, overall shares alone", f"{done.base:.3f}"),
                ("their -log p, this prior", f"{-best['log_share']:.3f}"),
                ("not judged: taxon of held-out cells only", f"{done.left_out:,}"),
            ]
        return table


@dataclass(frozen=True, eq=False)
class PlacedSpecimens:
    """The n labelled specimens of a selection that say where or when.

    taxa: paths; left_out: labelled ones that say neither.
    """

    taxa: npt.NDArray[np.object_]
    places: Places
    ids: npt.NDArray[np.object_]
    left_out: int


def train_place(
    collection: Collection | str | Path, output: str | Path, settings: PlaceSettings = STANDARD, *, overwrite: bool = False
) -> PlaceResult:
    """Fit a prior on the labelled specimens that say where or when, and write it and the record of its specimens.

    ``output`` is a folder for :func:`biocosmos.identify.priors.load_prior`. Taxa are written as paths from the top of the
    collection's taxonomy, "Animalia/Arthropoda/...". The training of a network that was interrupted goes on.

    Raises:
        BiocosmosError: something is at ``output`` already, no labelled specimen has a place or a date, all are of one taxon,
            bandwidths that are not told cannot be chosen, or as :func:`biocosmos.train.place.training.train_network`.
    """
    folder = _free(place_of(output), overwrite, settings.method != KERNEL)
    stored = collection if isinstance(collection, Collection) else Collection.open(collection)
    told = placed_specimens(stored, settings)
    if len(set(told.taxa.tolist())) < 2:
        raise BiocosmosError(
            f"all {len(told.taxa):,} specimens with a place or a date are of one taxon, {told.taxa[0]}: nothing to tell apart"
        )
    split = None if settings.split is None else stored.split_of(settings.split).hash
    placed, dated = int(told.places.has_place.sum()), int(told.places.has_day.sum())

    def record(fitted: npt.NDArray[np.object_], chosen: npt.NDArray[np.object_]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        Fitted.of(f"the prior of places in {folder}", fitted=fitted, chosen=chosen, split=split).save(folder)

    if settings.method != KERNEL:
        from biocosmos.train.place.training import train_network

        network = settings.network(_selection(told))
        done = train_network(told.taxa, told.places, told.ids, network, folder, overwrite=overwrite, record=record)
        prior = load_prior(folder)
        return PlaceResult(folder, prior, None, placed, dated, told.left_out, done)
    bandwidths, chosen = _bandwidths(told.taxa, told.places, settings)
    prior = KernelPrior.fit(told.taxa, told.places, ids=told.ids, bandwidths=bandwidths)
    _empty(folder)
    prior.save(folder)
    record(told.ids, np.empty(0, object))
    return PlaceResult(folder, prior, chosen, placed, dated, told.left_out)


def placed_specimens(stored: Collection, settings: PlaceSettings) -> PlacedSpecimens:
    """The specimens that a prior is fitted on. Raises BiocosmosError where no labelled one has a place or a date."""
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
    ids = np.array(table["id"].to_pylist(), dtype=object)[rows]
    return PlacedSpecimens(_paths(stored.taxonomy, nodes[rows]), places, ids, int((~told).sum()))


def _selection(told: PlacedSpecimens) -> str:
    """The specimens in words that change where they do."""
    total = hashlib.sha256(repr((told.ids.tolist(), told.taxa.tolist())).encode())
    total.update(told.places.numbers.tobytes())
    return f"{len(told.ids):,} specimens {total.hexdigest()[:8]}"


def _free(folder: Path, overwrite: bool, network: bool) -> Path:
    """The folder, if a prior may be written there; a network may go on in its own."""
    if is_there(folder) and not is_folder(folder):
        raise BiocosmosError(f"{folder} is no folder: choose another name")
    if not is_folder(folder) or not (there := {path.name for path in folder.iterdir()}):
        return folder
    kernel, begun = there <= {KERNEL_FILE, RECORD}, _is_network(folder)
    if not kernel and not begun:
        raise BiocosmosError(f"{folder} holds something else than a prior of places: choose another name")
    if begun and network:
        return folder
    if not overwrite:
        raise BiocosmosError(f"{folder} exists already: choose another name, or --overwrite")
    if network:
        _empty(folder)
    return folder


def _is_network(folder: Path) -> bool:
    """Whether a network over places was begun there."""
    try:
        return "positive_weight" in (folder / SETTINGS).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _empty(folder: Path) -> None:
    """Take away the prior of places that is there, of either kind."""
    for name in (*NETWORK_FILES, KERNEL_FILE, RECORD) if is_folder(folder) else ():
        place = folder / name
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)


def _paths(taxonomy: Taxonomy, nodes: npt.NDArray[np.int32]) -> npt.NDArray[np.object_]:
    """The path of each node."""
    known, places = np.unique(nodes, return_inverse=True)
    paths = np.empty(len(known), dtype=object)
    paths[:] = [taxonomy.path_text(int(node)) for node in known]
    return np.asarray(paths[places])


def _bandwidths(taxa: npt.NDArray[np.object_], places: Places, settings: PlaceSettings) -> tuple[Bandwidths, Chosen | None]:
    h = settings
    try:
        chosen = choose(taxa, places, seed=h.seed, kilometres=h.kilometres, days=h.days, metres=h.metres, specimens=h.specimens)
    except BiocosmosError:
        if h.kilometres is None or h.days is None:
            raise
        standard = Bandwidths()
        return Bandwidths(h.kilometres, h.days, h.metres or standard.metres, h.specimens or standard.specimens), None
    return chosen.bandwidths, chosen
