"""The one guard against leaks: what was fitted, calibrated or chosen on which specimens, by id, and who may not judge it.

Whatever learns from specimens leaves a record (:class:`Fitted`) in its folder: a trained encoder, a head, prototypes, a kept
namer. A record knows what it stands on, so that the specimens of a base encoder count for everything built on it.

    Fitted.of("the head in run", fitted=train_ids, chosen=val_ids, split=split.hash, stands_on=["base-run"]).save("run")
    guard.refuse(asked_ids, "run")                          # a folder, the name of an encoder, or a record in memory
    guard.refuse_part(collection, "test", "run", "other")   # a part of a split, before anything is computed
    guard.refuse_shared(queries.ids, gallery.ids, "queries are in the gallery", "use two parts of one split")
    report.caveats += guard.told(collection, asked_ids, "run")   # no leak, and flatters all the same
    report.caveats += guard.lookalikes(asked_gallery, learnt_gallery, collection)
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.facts import Several, parse_facts
from biocosmos.files import is_file, is_folder
from biocosmos.search.exact import ExactIndex
from biocosmos.search.gallery import Gallery
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.splits import Split
from biocosmos.tables import replacing

RECORD = "fitted.parquet"
"""The record's name in the folder of what was fitted."""
FITTED, CALIBRATED, CHOSEN = "fitted", "calibrated", "chosen"
USES = (FITTED, CALIBRATED, CHOSEN)
REFUSED = (FITTED, CALIBRATED)
"""Uses after which specimens may not judge; those that weights were chosen on flatter them little and are told instead."""
LOOKALIKE = 0.999
"""Cosine from which on two pictures are taken for one: a copy saved again, a frame and the next."""
MOST = 10_000
"""Specimens that are compared with what was learnt by their vectors, a seeded sample of more."""

_KEY = b"biocosmos.fitted"
_SHAPE = {"what": str, "split": (None, str), "stands_on": [Several(str, 2)]}
_NAMED = 3
_PRIOR = "place:"
"""Before the folder of a prior of places, as the name of an encoder."""
_DID = {FITTED: "trained", CALIBRATED: "calibrated", CHOSEN: "chose the weights of"}
_ELSEWHERE = "judge it on specimens it has not seen, such as another part of the split it was made with"

Ids: TypeAlias = Sequence[str] | npt.NDArray[np.object_] | pa.Array | pa.ChunkedArray


@dataclass(frozen=True, eq=False)
class Fitted:
    """What one thing was made from; make one with :meth:`of`.

    what: for messages, "the head in run"; ids: (n,) strings, ascending within a use; uses: (n,) one of :data:`USES` each; split:
    hash of the split they come from, None where there is none; stands_on: folders of what it was built on, as far as these are
    folders: an encoder of a library has learnt no specimen of ours.
    """

    what: str
    ids: pa.Array
    uses: pa.Array
    split: str | None = None
    stands_on: tuple[str, ...] = field(default=())

    @classmethod
    def of(
        cls,
        what: str,
        *,
        fitted: Ids = (),
        calibrated: Ids = (),
        chosen: Ids = (),
        split: str | None = None,
        stands_on: Iterable[str | Path] = (),
    ) -> Fitted:
        """A record. fitted: ids learnt from; calibrated: ids a calibration, a promise, a threshold or a detector was set on;
        chosen: ids that an epoch or a setting was chosen on; stands_on: names or folders of encoders and heads."""
        given = [pc.unique(_strings(ids)) for ids in (fitted, calibrated, chosen)]
        given = [ids.take(pc.sort_indices(ids)) for ids in given]
        uses = np.repeat(np.array(USES, object), [len(ids) for ids in given])
        bases = tuple(str(place) for place in map(_folder_of, stands_on) if is_folder(place.expanduser()))
        return cls(what, pa.concat_arrays(given), pa.array(uses, pa.string()), split, bases)

    def used(self, *uses: str) -> pa.Array:
        """The ids of some uses."""
        return self.ids.filter(pc.is_in(self.uses, value_set=pa.array(uses, pa.string())))

    def save(self, folder: str | Path) -> Path:
        """Write it into ``folder``. A base is written as a whole path and as seen from there, so that both may move together."""
        folder = Path(folder)
        places = [
            [str(Path(base).expanduser().resolve()), os.path.relpath(Path(base).expanduser(), folder)] for base in self.stands_on
        ]
        facts = json.dumps({"what": self.what, "split": self.split, "stands_on": places}).encode()
        table = pa.table({"id": self.ids, "use": self.uses}).replace_schema_metadata({_KEY: facts})
        with replacing(folder / RECORD) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        return folder / RECORD

    @classmethod
    def load(cls, folder: str | Path) -> Fitted:
        """Read what :meth:`save` wrote. Raises BiocosmosError for a record that cannot be read."""
        folder = Path(folder)
        try:
            table = pq.read_table(folder / RECORD)
            told = {"what": "a record", "remedy": "restore it"}
            facts = parse_facts((table.schema.metadata or {}).get(_KEY), _SHAPE, where=str(folder / RECORD), **told)
            ids, uses = (table[name].cast(pa.string()).combine_chunks() for name in ("id", "use"))
        except (OSError, KeyError, ValueError, pa.ArrowException, BiocosmosError) as error:
            raise BiocosmosError(
                f"{folder / RECORD}, which says what {folder} was fitted on, cannot be read ({first_line(error)}): "
                "restore it, or make the folder again"
            ) from error
        bases = [next((str(place) for place in (Path(a), folder / b) if is_folder(place)), a) for a, b in facts["stands_on"]]
        return cls(facts["what"], ids, uses, facts["split"], tuple(bases))


@dataclass(frozen=True)
class Shared:
    """Specimens that are on both sides. what: was made from them; use: how; ids: which, in the order asked."""

    what: str
    use: str
    ids: tuple[str, ...]

    def __str__(self) -> str:
        return f"{len(self.ids):,} ({_some(self.ids)}) {_DID[self.use]} {self.what}"


def records(*who: Fitted | str | Path) -> Iterator[Fitted]:
    """The records of folders, and of what these stand on, nearest first and once each; what has no record is passed over."""
    seen: set[Path] = set()
    waiting = list(who)
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, Fitted):
            yield one
            waiting += one.stands_on
            continue
        folder = _folder_of(one).expanduser()
        if is_file(folder / RECORD) and folder.resolve() not in seen:
            seen.add(folder.resolve())
            waiting.insert(0, Fitted.load(folder))


def _folder_of(name: str | Path) -> Path:
    """The folder that an encoder's name means: "run+atc-0.5" has the weights of "run", and has seen what these have seen; so has
    "place:prior" of the prior in that folder."""
    if str(name).startswith(_PRIOR):
        name = str(name).removeprefix(_PRIOR)
    base, reduced, _ = str(name).rpartition("+")
    return Path(base) if reduced and not is_folder(Path(name).expanduser()) else Path(name)


def shared(ids: Ids, *who: Fitted | str | Path, uses: Sequence[str] = REFUSED) -> list[Shared]:
    """Which of ``ids`` anyone of ``who``, or what it stands on, was made from: a row for each record and use that has some."""
    asked = _strings(ids)
    found = []
    for record in records(*who):
        for use in uses:
            both = common(asked, record.used(use))
            if len(both):
                found.append(Shared(record.what, use, tuple(both.tolist())))
    return found


def refuse(
    ids: Ids,
    *who: Fitted | str | Path,
    asked: str = "specimens asked about",
    remedy: str = _ELSEWHERE,
    uses: Sequence[str] = REFUSED,
) -> None:
    """Raise BiocosmosError when ``who``, or what it stands on, was made from some of ``ids``.

    who: records, folders of encoders, heads and namers, names of encoders (which have no record, and pass).
    """
    for found in shared(ids, *who, uses=uses):
        raise BiocosmosError(f"of the {len(ids):,} {asked}, {found}: {remedy}")


def refuse_part(
    collection: Collection,
    part: str,
    *who: Fitted | str | Path,
    where: str | None = None,
    uses: Sequence[str] = REFUSED,
) -> None:
    """:func:`refuse` for the specimens of a part of a split ("test", "mine:test") of ``collection``."""
    if any(True for _ in records(*who)):
        ids = collection.table(["id"], split=part, where=where)["id"]
        refuse(ids, *who, asked=f"specimens of part '{part}'", uses=uses)


def refuse_own_names(collection: Collection, *encoders: str) -> None:
    """Raise BiocosmosError for an embedding of the specimens' own names: it tells each its name, and nothing learns from that."""
    for encoder in encoders:
        if collection.encoders.get(encoder, {}).get("modality") == "text":
            raise BiocosmosError(
                f"'{encoder}' embedded the specimens' own names, so that each would be told its name by itself: name one "
                "of images or barcodes with --encoder"
            )


def common(ids: Ids, others: Ids) -> npt.NDArray[np.object_]:
    """(m,) those of ``ids`` that are among ``others``, in the order of ``ids``."""
    mine = _strings(ids)
    return np.asarray(mine.filter(pc.is_in(mine, value_set=_strings(others))).to_pylist(), object)


def refuse_shared(ids: Ids, others: Ids, what: str, remedy: str) -> None:
    """Raise BiocosmosError, "3 <what> (a, b, c): <remedy>", when two sets of ids meet."""
    both = common(ids, others)
    if len(both):
        raise BiocosmosError(f"{len(both):,} {what} ({_some(both)}): {remedy}")


def refuse_outside(ids: Ids, split: Split, part: str, what: str) -> None:
    """Raise BiocosmosError, "3 of 9 <what> are not in part ...", for ids that ``split`` has in another part, or not at all."""
    mine = _strings(ids)
    outside = mine.filter(pc.invert(pc.is_in(mine, value_set=split.part(part)))).to_pylist()
    if outside:
        row = pc.index_in(pa.scalar(outside[0]), value_set=split.ids).as_py()
        first = "in no part" if row is None else f"in part '{split.parts[row]}'"
        raise BiocosmosError(
            f"{len(outside):,} of {len(mine):,} {what} are not in part '{part}' of split '{split.name}' "
            f"({outside[0]} is {first}): make them again on this split"
        )


# ---------------------------------------------------------------------- pictures that are the same under two ids


def copies(collection: Collection, ids: Ids, others: Ids) -> list[tuple[str, str]]:
    """(one of ``ids``, the first of ``others`` whose picture is the same bytes cropped alike): two ids of one collection."""
    table = collection.dataset.to_table(columns=["id", "content_hash", "crop"])
    crop = table["crop"].combine_chunks()
    sides = [pc.fill_null(pc.cast(pc.list_element(crop, i), pa.string()), "") for i in range(4)]
    content = pc.binary_join_element_wise(table["content_hash"].combine_chunks(), *sides, " ")
    known = pc.is_valid(content)
    names, content = table["id"].combine_chunks().filter(known), content.filter(known)
    mine, theirs = (pc.is_in(names, value_set=_strings(side)) for side in (ids, others))
    learnt, learnt_content = names.filter(theirs), content.filter(theirs)
    place = pc.index_in(content.filter(mine), value_set=learnt_content)
    pairs = zip(names.filter(mine).to_pylist(), learnt.take(place).to_pylist())
    return [(one, other) for one, other in pairs if other is not None and one != other]


def near_identical(asked: Gallery, learnt: Gallery, *, cosine: float = LOOKALIKE, seed: int = 0) -> list[tuple[str, str]]:
    """(id of ``asked``, the id of ``learnt`` it lies nearest to) where that is another id and their cosine exceeds ``cosine``."""
    if not len(asked) or not len(learnt):
        return []
    rows = np.arange(len(asked))
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:MOST])
    found = ExactIndex(learnt.vectors).search(asked.vectors[rows], 1)
    near = found.scores[:, 0] > cosine
    pairs = zip(asked.ids[rows[near]], learnt.ids[found.rows[near, 0]])
    return [(str(one), str(other)) for one, other in pairs if str(one) != str(other)]


def lookalikes(
    asked: Gallery | Ids, learnt: Gallery | Ids, collection: Collection | None = None, *, what: str = "learnt from"
) -> list[str]:
    """A sentence, for the caveats of a report, on pictures that both sides have under two ids; nothing where there are none.

    Two galleries are compared by their vectors, and the ids of ``collection`` by the bytes of their images. Such pictures are
    told and not refused: they may be two photographs of one animal, and only a person can say.
    """
    mine, theirs = (side.ids if isinstance(side, Gallery) else side for side in (asked, learnt))
    same = {} if collection is None else dict(copies(collection, mine, theirs))
    near = dict(near_identical(asked, learnt)) if isinstance(asked, Gallery) and isinstance(learnt, Gallery) else {}
    both = near | same
    if not both:
        return []
    named = ", ".join(f"{one} = {other}" for one, other in list(both.items())[:_NAMED])
    kinds = f"{len(same):,} byte for byte, {len(both) - len(same):,} by a cosine above {LOOKALIKE}"
    return [
        f"{len(both):,} of the {len(mine):,} pictures asked about look the same as one {what}, under another id ({kinds}; {named}"
        f"{', ...' if len(both) > _NAMED else ''}): figures on them flatter; a grouped split keeps together what belongs together"
    ]


def told(collection: Collection, ids: Ids, *who: Fitted | str | Path) -> list[str]:
    """Sentences, for the caveats of a report on ``ids``, on what is no leak and flatters all the same.

    Specimens that the weights of ``who`` were chosen on, and those whose picture taught ``who`` under another id.
    """
    found = [
        f"{len(one.ids):,} of the {len(ids):,} specimens asked about chose the weights of {one.what} (its best epoch, or when it "
        "stopped): figures on them flatter a little"
        for one in shared(ids, *who, uses=(CHOSEN,))
    ]
    for record in records(*who):
        found += lookalikes(ids, record.used(FITTED), collection, what=f"that trained {record.what}")
    return found


def _strings(ids: Ids | Any) -> pa.Array:
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.combine_chunks()
    return ids.cast(pa.string()) if isinstance(ids, pa.Array) else pa.array([str(id_) for id_ in ids], pa.string())


def _some(ids: Sequence[str] | npt.NDArray[np.object_]) -> str:
    return ", ".join(str(id_) for id_ in ids[:_NAMED]) + (", ..." if len(ids) > _NAMED else "")
