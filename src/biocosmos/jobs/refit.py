"""Learn from the new labels: the linear head fitted anew on all that has a name, and compared with the one in use.

A part of the collection is held out for good: the part ``test`` of the default split, else a part that is drawn once and kept as
the split "held-out". Nobody learns from it, not even from what people say of it, so that the comparison stays honest however
often it is made. Nothing is promoted here: that is a person's to say (:func:`biocosmos.jobs.models.promote`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.threads import SMALL_VECTORS, one_thread
from biocosmos.jobs.models import Model, check_vectors, folder_of, model, promoted
from biocosmos.jobs.refit_compare import compared
from biocosmos.jobs.refit_settings import RefitSettings
from biocosmos.jobs.who_names import CALIBRATION, by_groups
from biocosmos.outputs import REPORTS
from biocosmos.provenance import now
from biocosmos.search.gallery import Gallery
from biocosmos.settings import told
from biocosmos.specimens import guard
from biocosmos.specimens.by_hand import current, names_now, record
from biocosmos.specimens.care.entry import who
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.identifications import text_table
from biocosmos.taxonomy import Taxonomy

HELD_OUT, TEST, REST = "held-out", "test", "rest"
SHARE = 0.2
"""Of the specimens, named or not, that are held out where there is no split: what is named among them later is held out too."""
ALONE = "the labels alone"
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Refitted:
    """What came of it. identifier: the new one; folder: where it is kept; model: what is told of it; page: its report, if any."""

    identifier: Identifier
    folder: Path
    model: Model
    page: Path | None = None


@dataclass(frozen=True)
class Named:
    """All specimens with a vector as they are called now, and who may be learnt from.

    gallery: over one tree, in which the names of the model in use are too; own: (n,) nodes that the collection's own labels say;
    held, by_people, left, calibration: (n,) bool, held out, named by people, doubted or disputed, kept to calibrate (None: nobody
    is); part, split: what is held out, and the facts of its split.
    """

    gallery: Gallery
    own: npt.NDArray[np.int32]
    held: Mask
    by_people: Mask
    left: Mask
    part: str
    split: dict[str, Any]
    calibration: Mask | None = None
    notes: list[str] = field(default_factory=list)

    def known(self, taxa: npt.NDArray[np.int32], *, besides: Mask | None = None) -> Gallery:
        """Those that may be learnt from, as ``taxa`` (n,) names them."""
        keep = (taxa > 0) & ~self.held & ~self.left
        if besides is not None:
            keep &= ~besides
        return self._of(keep, taxa)

    def judging(self) -> Gallery:
        """The held-out ones that have a name now."""
        assert self.gallery.taxa is not None
        return self._of(self.held & (self.gallery.taxa > 0) & ~self.left, self.gallery.taxa)

    def calibrating(self, taxa: npt.NDArray[np.int32]) -> Gallery | None:
        """Those that confidence is set on, where the split keeps groups apart."""
        if self.calibration is None:
            return None
        keep = self.calibration & (taxa > 0) & ~self.held & ~self.left
        return self._of(keep, taxa) if keep.any() else None

    def _of(self, keep: Mask, taxa: npt.NDArray[np.int32]) -> Gallery:
        whole = self.gallery
        facts = {**whole.provenance, "split": self.split}
        rows = np.flatnonzero(keep)
        return Gallery.build(whole.ids[rows], whole.vectors[rows], taxa=taxa[rows], taxonomy=whole.taxonomy, provenance=facts)


def refit(collection: Collection, settings: RefitSettings | None = None, **options: Any) -> Refitted:
    """Fit on the stored vectors of all specimens with a name, compare on the held-out ones, and keep it with the collection.

    Compared with the model in use; where none is, or it has learnt from specimens that are held out now, with a head fitted on
    the collection's own labels. Raises BiocosmosError: no vectors; fewer than two taxa to learn; a name that is taken; a promise
    that so few specimens cannot give.
    """
    settings = told(RefitSettings, **options) if settings is None else settings
    start = time.perf_counter()
    name = settings.name or f"refit-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    folder = folder_of(collection, name)
    if folder.exists():
        raise BiocosmosError(f"there is a model {name!r} already: choose another --name")
    notes: list[str] = [] if settings.labels is None else _labelled(collection, settings.labels, settings.by)
    encoder = collection.encoder_name(settings.encoder)
    guard.refuse_own_names(collection, encoder)
    before = _in_use(collection, encoder, notes)
    named = named_now(collection, encoder, None if before is None else before[1].namer.taxonomy)
    assert named.gallery.taxa is not None
    identifier = _fitted(named, named.gallery.taxa, settings, name)
    judging = named.judging()
    record = guard.Fitted.of(
        f"the model {name}",
        fitted=() if identifier.known is None else identifier.known.ids,
        calibrated=identifier.calibrated_on,
        stands_on=[encoder],
    )
    guard.refuse(judging.ids, record, asked="held-out specimens", remedy="make the split again, and refit")
    before = _unless_leaking(before, judging, collection, notes)
    if before is None:  # where people have said nothing, what the labels alone teach is what was learnt
        same = np.array_equal(named.own, named.gallery.taxa)
        before = (ALONE, identifier) if same else _on_labels_alone(named, settings, notes)
    found = compared(before, (name, identifier), judging, named.part, settings.seed)
    page = None if found.report is None else f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{name}.html"
    counts = {
        "fitted": 0 if identifier.known is None else len(identifier.known),
        "by_people": int((named.by_people & ~named.held & ~named.left).sum()),
        "left_out": int(named.left.sum()),
        "held_out": len(judging),
    }
    identifier.save(folder)
    kept = Model(
        name=name,
        made=now(),
        by=who(settings.by),
        encoder=encoder,
        says=_says(counts, named.part, None if before is None else before[0], time.perf_counter() - start),
        against=None if before is None else before[0],
        counts=counts,
        ranks=found.ranks,
        taxa=found.taxa,
        notes=[*notes, *named.notes, *found.notes, identifier.describe()],
        report=page,
    )
    place = None
    if page is not None and found.report is not None:
        place = found.report.html(collection.path / REPORTS / page, thumbnails=collection.picture_bytes)
    kept.save(folder)
    return Refitted(identifier, folder, kept, place)


def _labelled(collection: Collection, path: Path, by: str | None) -> list[str]:
    """Record the names of a table (id, taxon, maybe rank) as given by hand; a row without a name says nothing.

    Returns what is to be told. Raises BiocosmosError for a table that cannot be read, or of which no row can be taken.
    """
    try:
        table = pq.read_table(path) if path.suffix.lower() == ".parquet" else text_table(path)
        table = pa.table({name.strip(): table[name].cast(pa.string()) for name in table.column_names})
    except (OSError, ValueError, pa.ArrowException) as error:
        raise BiocosmosError(f"cannot read labels from {path}: {first_line(error)}") from error
    if "taxon" in table.column_names:
        table = table.filter(pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(table["taxon"]), ""), False))
    done = record(collection, table, by=by, how="labels of a new source")
    if not done.rows:
        why = done.failures.gravest() if len(done.failures) else "no row has a taxon"
        raise BiocosmosError(f"no label of {path} can be taken: {why}")
    left = f"; {len(done.failures):,} could not be: {done.failures.gravest()}" if len(done.failures) else ""
    return [f"{done.rows:,} labels of {path} were taken as given by hand{left}"]


def named_now(collection: Collection, encoder: str, more: Taxonomy | None = None) -> Named:
    """What every specimen with a vector of ``encoder`` is called now; more: a tree whose names are to be in the result's too."""
    whole = collection.gallery(encoder, columns=())
    assert whole.columns is not None
    ranks = collection.ranks or ("label",)
    ids = pa.array(whole.ids, pa.string())
    own = _rank_table(whole.columns, ranks)
    said, _ = names_now(collection)
    now_called = _overridden(own, ids, said, ranks)
    tables = [own, now_called, *([] if more is None else [_rank_table(more.rank_table(np.arange(len(more))), ranks)])]
    tree = Taxonomy.from_table(pa.concat_tables(tables), ranks)
    taxa = tree.index(now_called).astype(np.int32)
    order = np.argsort(taxa, kind="stable")
    gallery = Gallery(whole.ids[order], whole.vectors[order], taxa[order], tree, whole.provenance)
    ids = ids.take(pa.array(order))
    rows = current(collection)
    unclear = rows.filter(pc.or_(rows["disagreed"], pc.not_equal(rows["status"].cast(pa.string()), "validated")))
    part, split, held, calibration = _held_out(collection, ids)
    return Named(
        gallery,
        tree.index(own).astype(np.int32)[order],
        held,
        _among(ids, said["id"]),
        _among(ids, unclear["id"]),
        part,
        split,
        calibration,
    )


def _held_out(collection: Collection, ids: pa.Array) -> tuple[str, dict[str, Any], Mask, Mask | None]:
    """(part, facts of the split, who is held out, who calibrates); the split is made where there is none, once."""
    if "default" in collection.split_names and TEST in collection.split().counts():
        split, part = collection.split(), TEST
        set_apart = CALIBRATION in split.counts() and by_groups(collection, "default")
        calibration = _among(ids, split.part(CALIBRATION)) if set_apart else None
    else:
        if HELD_OUT not in collection.split_names:
            collection.make_split("random", name=HELD_OUT, fractions={REST: 1 - SHARE, TEST: SHARE})
        split, part, calibration = collection.split(HELD_OUT), f"{HELD_OUT}:{TEST}", None
    return part, split.identity(), _among(ids, split.part(TEST)), calibration


def _fitted(named: Named, taxa: npt.NDArray[np.int32], settings: RefitSettings, what: str) -> Identifier:
    calibration = named.calibrating(taxa)
    gallery = named.known(taxa, besides=None if calibration is None else named.calibration)
    if not len(gallery):
        raise BiocosmosError(f"{what}: no specimen outside the held-out part {named.part!r} has a name: label some first")
    with one_thread(gallery.vectors.size < SMALL_VECTORS):
        return Identifier.fit(
            gallery,
            method="linear",
            calibration=calibration,
            class_weight="balanced" if settings.balanced else None,
            error_rate=settings.error_rate,
            seed=settings.seed,
        )


def _in_use(collection: Collection, encoder: str, notes: list[str]) -> tuple[str, Identifier] | None:
    """The model in use by name, if it names by these vectors."""
    chosen = promoted(collection)
    if chosen is None:
        return None
    try:
        about = model(collection, chosen.name)
        if about.encoder != encoder:
            notes.append(f"{chosen.name}, which is in use, names by vectors of {about.encoder}: not compared with it")
            return None
        identifier = Identifier.load(folder_of(collection, chosen.name))
        check_vectors(collection, about, identifier)
    except BiocosmosError as error:
        notes.append(f"not compared with {chosen.name}, which is in use: {first_line(error)}")
        return None
    return chosen.name, identifier


def _unless_leaking(
    before: tuple[str, Identifier] | None, judging: Gallery, collection: Collection, notes: list[str]
) -> tuple[str, Identifier] | None:
    """The model in use, unless it has learnt from specimens that judge."""
    if before is None:
        return None
    try:
        guard.refuse(judging.ids, folder_of(collection, before[0]), asked="held-out specimens", remedy="promote another")
    except BiocosmosError as error:
        notes.append(f"not compared with {before[0]}, which is in use: {first_line(error)}")
        return None
    return before


def _on_labels_alone(named: Named, settings: RefitSettings, notes: list[str]) -> tuple[str, Identifier] | None:
    """What the collection's own labels teach; None where they teach nothing."""
    try:
        return ALONE, _fitted(named, named.own, settings, ALONE)
    except BiocosmosError as error:
        notes.append(f"nothing to compare with: {first_line(error)}")
        return None


def _rank_table(table: pa.Table, ranks: tuple[str, ...]) -> pa.Table:
    """The rank columns as text, null where there are none."""
    columns = [
        table[rank].cast(pa.string()).combine_chunks() if rank in table.column_names else pa.nulls(table.num_rows, pa.string())
        for rank in ranks
    ]
    return pa.table(dict(zip(ranks, columns)))


def _overridden(own: pa.Table, ids: pa.Array, said: dict[str, pa.Array], ranks: tuple[str, ...]) -> pa.Table:
    """The rank columns with what people say in place of what is stored, wherever they say something."""
    place = pc.index_in(ids, value_set=said["id"])
    by_people = place.is_valid()
    return pa.table({rank: pc.if_else(by_people, said[rank].take(place), own[rank].combine_chunks()) for rank in ranks})


def _among(ids: pa.Array, some: pa.Array | pa.ChunkedArray) -> Mask:
    """(n,) bool: which of ``ids`` are among ``some``."""
    values = some.combine_chunks() if isinstance(some, pa.ChunkedArray) else some
    found: Mask = pc.is_in(ids, value_set=values.cast(pa.string())).to_numpy(zero_copy_only=False)
    return found


def _says(counts: dict[str, int], part: str, against: str | None, seconds: float) -> str:
    left = f", {counts['left_out']:,} doubted or disputed left out" if counts["left_out"] else ""
    beside = f" beside {against}" if against is not None else ""
    judged = f"judged on {counts['held_out']:,} of part {part}{beside}" if counts["held_out"] else f"part {part} has no name yet"
    return f"Fitted on {counts['fitted']:,} specimens, {counts['by_people']:,} named by people{left}; {judged}; {seconds:.1f} s"


__all__ = ["HELD_OUT", "Named", "Refitted", "named_now", "refit"]
