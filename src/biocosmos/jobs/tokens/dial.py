"""The dial: of many ways to compute an encoder faster, the fastest that loses at most so much on the user's own images."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos import machine
from biocosmos.embed.parts import Work, locked_work
from biocosmos.encoders.encoder import Encoder
from biocosmos.encoders.modality import tower_name
from biocosmos.encoders.reduction.reduced import reduced
from biocosmos.encoders.reduction.spec import Reduction
from biocosmos.encoders.registry import load_towers
from biocosmos.encoders.towers import Towers
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.evaluate.dial.choice import Judged, pick, to_judge, why_not
from biocosmos.evaluate.dial.paired import ALPHA
from biocosmos.evaluate.dial.report import Line, dial_report
from biocosmos.evaluate.report import Report
from biocosmos.files import is_there
from biocosmos.identify.namers.heads import HEAD, TrainedHead, read_head_facts
from biocosmos.jobs.tokens.dial_folder import refuse_folder, write_folder
from biocosmos.jobs.tokens.dial_measures import names_of, right, vectors_of, with_towers
from biocosmos.jobs.tokens.dial_settings import ACCURACY, DialSettings
from biocosmos.jobs.tokens.dial_specimens import Sides, sides_of
from biocosmos.jobs.tokens.dial_ways import REFERENCE, Tried, Way, drop_slow, exact_at_its_fastest, times_as_fast, ways_of
from biocosmos.jobs.tokens.prepared import Prepared, prepare, save_array
from biocosmos.progress import Progress, progress
from biocosmos.provenance import encoder_name
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection
from biocosmos.tables import file_stem, replacing

Array = npt.NDArray[Any]
CHOOSING, JUDGING = "choosing", "judging"
_TIMED = 64
_SHORT = 100


@dataclass(frozen=True)
class Turned:
    """What the dial found. way: taken; folder: where it was written, None if nowhere; report: all of it."""

    way: Way
    folder: Path | None
    report: Report


def turn(collection: Collection, settings: DialSettings, output: Path | None = None) -> Turned:
    """Measure every way, take the fastest that loses at most ``settings.lose_at_most`` with 95 % confidence, and write it.

    The choosing specimens say which ways are worth judging, and in which order; the judging ones test these from slow to fast
    (:mod:`biocosmos.evaluate.dial.choice`). What was measured is kept in the collection's work folder: a run that was killed, or
    one that asks for more, goes on from it.

    output: a folder for the encoder that was chosen; None measures only.

    Raises BiocosmosError: no vision transformer; a test part; parts, labels or a head that are not there; too few specimens.
    """
    name = tower_name(encoder_name(settings.encoder or collection.encoder_name()))
    if output is not None:
        refuse_folder(output, name)
    towers = load_towers(name, named_by=None if settings.encoder else collection.path)
    _refuse_others(towers, name)
    head = _head_of(name, settings, towers)
    sides = sides_of(collection, settings, name, head)
    sides.enough(len(sides.judging), settings.lose_at_most)
    folder = collection.path / "work" / f"dial-{_key(collection, towers, sides)}"
    with locked_work(folder, doing="measuring this encoder") as work:
        if settings.overwrite:
            _clear(work)
        sides, images = _read(collection, towers, sides, work)
        sides.enough(len(sides.judging), settings.lose_at_most)
        bench = _Bench(towers, settings, sides, images, work, head)
        tried = bench.time(ways_of(settings, torch_alone=sides.measure == ACCURACY))
        taken, share = bench.choose(tried)
    dense = exact_at_its_fastest(tried)
    lines = [_line(one, dense, taken, settings.lose_at_most) for one in tried]
    facts = _facts(collection, name, towers, sides, settings)
    report = dial_report(lines, share, sides.measure, sides.rank, settings.lose_at_most, facts)
    report.caveats += guard.told(collection, sides.judging.ids, name)
    if head is not None and head.facts["taps"] and taken.way.reduction is not None:
        report.caveats.append("The head takes maps of the network's stages, which fewer tokens do not make: it did not go along.")
        head = None
    if output is not None:
        _write(output, taken.way, towers, name, head, sides, report)
    return Turned(taken.way, output, report)


def _refuse_others(towers: Towers, name: str) -> None:
    try:
        reduced(towers, Reduction("topk", keep=(1.0,)))
    except BiocosmosError as error:
        raise BiocosmosError(f"encoder '{name}': {error}") from error


def _head_of(name: str, settings: DialSettings, towers: Towers) -> TrainedHead | None:
    """The trained head in the encoder's folder; None without one, and for one on stored vectors: that folder is no encoder."""
    if not is_there(Path(name) / HEAD) or read_head_facts(name)["frozen"]:
        return None
    head = TrainedHead.load(name, device="cpu" if settings.device == "auto" else settings.device)
    if settings.measure in (None, ACCURACY):
        with_towers(head, reduced(towers, Reduction("topk", keep=(1.0,))))
    return head


def _key(collection: Collection, towers: Towers, sides: Sides) -> str:
    """Of what was measured: other weights, specimens, images or measures begin anew."""
    rows = collection.take([*sides.choosing.ids, *sides.judging.ids], columns=["id", "content_hash", "crop"])
    told = [towers.digest, towers.preprocessing.as_dict(), sides.measure == ACCURACY, sides.rank, machine.processor()]
    total = hashlib.sha256(repr(told).encode())
    for row in rows.to_pylist():
        total.update(repr(sorted(row.items())).encode())
    return total.hexdigest()[:12]


def _clear(work: Work) -> None:
    for path in work.folder.iterdir():
        if path.name != "lock":
            path.unlink()


# ---------------------------------------------------------------------- images


def _read(collection: Collection, towers: Towers, sides: Sides, work: Work) -> tuple[Sides, tuple[Prepared, Prepared]]:
    """Both sides without those whose image cannot be read; what an earlier run prepared is taken."""
    made = [
        prepare(collection, side.ids, towers.preprocessing, work.folder / name, stage="dial", failures=Failures())
        for side, name in ((sides.choosing, CHOOSING), (sides.judging, JUDGING))
    ]
    kept = sides.readable(made[0][1], made[1][1])
    for side in (kept.choosing, kept.judging):
        if not len(side):
            raise BiocosmosError(f"no image of {collection.path} can be read: see 'biocosmos failures {collection.path}'")
    return kept, (made[0][0], made[1][0])


# ---------------------------------------------------------------------- measuring


class _Bench:
    """Times ways, computes what they say of the two sides, and keeps both in the work folder.

    head: in whose names it is measured; None for vectors.
    """

    def __init__(
        self,
        towers: Towers,
        settings: DialSettings,
        sides: Sides,
        images: tuple[Prepared, Prepared],
        work: Work,
        head: TrainedHead | None,
    ) -> None:
        self.towers, self.settings, self.sides, self.images, self.work = towers, settings, sides, images, work
        self.head = head if sides.measure == ACCURACY else None

    def time(self, ways: list[Way]) -> list[Tried]:
        """Every way, the ones that are not worth a look with the reason."""
        place = self.work.folder / "times.json"
        known: dict[str, list[float]] = json.loads(place.read_text(encoding="utf-8")) if is_there(place) else {}
        tried = [Tried(way) for way in ways]
        reference: Encoder | None = None
        with progress("time ways", len(tried), "ways") as bar:
            for one in tried:
                bar.describe(f"time {one.way.name}")
                try:
                    if one.way.name not in known:
                        if reference is None:
                            reference = REFERENCE.encoder(self.towers, self.settings.device)
                        encoder = one.way.encoder(self.towers, self.settings.device)
                        known[one.way.name] = list(times_as_fast(encoder, reference, self.images[0].pixels[:_TIMED]))
                        with replacing(place) as temporary:
                            temporary.write_text(json.dumps(known), encoding="utf-8")
                        del encoder
                    one.times, one.images_per_second = known[one.way.name]
                    one.times = 1.0 if one.way == REFERENCE else one.times
                except BiocosmosError as error:
                    one.dropped = f"not here: {_short(error)}"
                bar.advance()
        if not any(one.way.exact and not one.dropped for one in tried):  # float32 was not asked for: it is there all the same
            tried.insert(0, Tried(REFERENCE, 1.0, known.get(REFERENCE.name, [1.0, float("nan")])[1]))
        drop_slow(tried)
        return tried

    def choose(self, tried: list[Tried]) -> tuple[Tried, float]:
        """(what is taken, share of the judging specimens that is right with all tokens); what is found stands in ``tried``."""
        margin, dense = self.settings.lose_at_most, exact_at_its_fastest(tried)
        looked = [one for one in tried if not one.dropped and not (one.way.exact and one is not dense)]
        choosing, judging = len(self.sides.choosing), len(self.sides.judging)
        with progress("choose", (len(looked) * choosing) + judging, "images") as bar:
            whole = self.side(dense.way, 0, bar), self.side(dense.way, 1, bar)
            base = right(self.sides, whole, whole)
            for one in looked:
                mine = whole[0] if one is dense else self.side(one.way, 0, bar)
                one.loss = float(base[0].mean() - right(self.sides, (mine, whole[1][:0]), whole)[0].mean())
        speeds, losses = [one.times / dense.times for one in looked], [one.loss or 0.0 for one in looked]
        for one, why in zip(looked, why_not(speeds, losses, margin, [one.way.name for one in looked])):
            one.dropped = "" if one is dense else why
        order = [looked[i] for i in to_judge(speeds, losses, margin)]
        with progress("judge", len(order) * judging, "images") as bar:
            for one in order:
                mine = right(self.sides, (np.load(self.place(one.way, 0)), self.side(one.way, 1, bar)), whole)[1]
                one.judged = Judged(int((base[1] & ~mine).sum()), int((~base[1] & mine).sum()), len(mine))
        place, probabilities = pick([one.judged for one in order if one.judged is not None], margin)
        for one, probability in zip(order, probabilities):
            one.probability = probability
        return dense if place < 0 else order[place], float(base[1].mean())

    def place(self, way: Way, which: int) -> Path:
        """Where vectors or names of one side are kept."""
        kind = "names" if self.head is not None else "vectors"
        return self.work.folder / f"{file_stem(way.name)}-{(CHOOSING, JUDGING)[which]}-{kind}.npy"

    def side(self, way: Way, which: int, bar: Progress) -> Array:
        """Vectors or names of one side, as an earlier run kept them, or computed now."""
        bar.describe(f"{('choose', 'judge')[which]}: {way.name}")
        place, images = self.place(way, which), self.images[which]
        if is_there(place):
            bar.advance(len(images.pixels))
        elif self.head is not None:
            assert self.sides.rank is not None
            save_array(place, names_of(self.head, way.towers(self.towers), self.sides.rank, images, bar))
        else:
            save_array(place, vectors_of(way.encoder(self.towers, self.settings.device), images.pixels, bar))
        answers: Array = np.load(place)
        return answers


def _line(one: Tried, dense: Tried, taken: Tried, margin: float) -> Line:
    """A way as the report shows it, with why it was taken or not."""
    line = Line(
        tokens=one.way.tokens,
        precision=one.way.precision,
        backend=one.way.backend,
        times=one.times / dense.times if one.times else None,
        images_per_second=one.images_per_second if one.times else None,
        choosing_loss=one.loss,
        taken=one is taken,
        why=_why(one, dense, taken, margin),
    )
    if one.judged is None:
        return line
    low, high = one.judged.ends()
    judged = one.judged
    return replace(
        line,
        loss=judged.loss,
        low=low,
        high=high,
        losses=judged.losses,
        gains=judged.gains,
        judged=judged.count,
        probability=one.probability,
    )


def _why(one: Tried, dense: Tried, taken: Tried, margin: float) -> str:
    if one is dense:
        return "taken: nothing faster was shown to lose so little" if one is taken else "the encoder as it is, at its fastest"
    if one is taken:
        return "the fastest that is shown to lose no more than is allowed"
    if one.judged is not None:
        if one.probability is None:
            return "faster than the one that ended the sequence: not tested"
        failed = one.probability > ALPHA
        return f"not shown to lose at most {margin:g}: it ended the sequence" if failed else "passed, and a faster one did too"
    if one.way.exact and not one.dropped:
        return f"the same numbers, and {dense.way.backend} computes them faster"
    return one.dropped


def _short(error: BiocosmosError) -> str:
    """The first words of an error: the whole of a library's would fill the page."""
    words = str(error)
    return words if len(words) <= _SHORT else f"{words[:_SHORT].rsplit(' ', 1)[0]} ..."


def _facts(collection: Collection, name: str, towers: Towers, sides: Sides, settings: DialSettings) -> dict[str, Any]:
    return {
        "collection": collection.path.stem,
        "encoders": {name: {"digest": towers.digest, "preprocessing": towers.preprocessing.as_dict()}},
        "encoder": name,
        "processor": machine.processor(),
        "choosing": {"who": sides.words[0], "specimens": len(sides.choosing)},
        "judging": {"who": sides.words[1], "specimens": len(sides.judging)},
        "split_hash": sides.split,
        "options": {key: value for key, value in vars(settings).items() if value not in (None, "", False)},
    }


def _write(output: Path, way: Way, towers: Towers, name: str, head: TrainedHead | None, sides: Sides, report: Report) -> None:
    taken = report.rows("ways", taken=True)[0]
    training = {
        "what": f"{name} computed as {way.name}, chosen by 'biocosmos tokens dial'; its weights are those of {name}.",
        "times as fast": f"{taken['times']:.2f}",
        "lost": None if taken["loss"] is None else f"{taken['loss']:.4f}, below {taken['high']:.4f} with 95 % confidence",
        "chosen on": f"{sides.measure} of {len(sides.judging):,} specimens of {sides.words[1]}",
        "split": sides.split,
    }
    recorded = {"backend": way.backend, "precision": way.precision}
    write_folder(output, way.towers(towers), name, recorded, head, judged=sides.judging.ids, split=sides.split, training=training)
