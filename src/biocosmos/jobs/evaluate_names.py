"""Judge names: by the methods of an embedding and by trained heads, all alike, alone or side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from biocosmos import evaluate
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.evaluate import Report
from biocosmos.evaluate.prior_changes import Changes
from biocosmos.evaluate.promises.report import FEWEST, promise_report
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.namer import Namer, Specimens
from biocosmos.identify.namers.names import OF_BARCODES, OF_BOTH
from biocosmos.identify.namers.registry import find_namer
from biocosmos.identify.places.placed_identifier import PLACE
from biocosmos.identify.predictions import Predictions
from biocosmos.jobs.compare_heads import compare_heads
from biocosmos.jobs.evaluate_settings import EvaluateSettings
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.jobs.predict import part_blocks, part_facts, predict_part
from biocosmos.jobs.queries import encoder_for
from biocosmos.jobs.who_names import CALIBRATION, by_groups, default_method, head_of, identifier_of
from biocosmos.search.gallery import Gallery
from biocosmos.settings import names_in, refuse_changed
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection

MOST_PROMISED = 20_000
"""Specimens that promises are tested on, a seeded sample of more: class scores of all of them are held."""
BLOCK = 1024
_RULES = ("threshold", "error_rate", "promise", "delta", "novelty")


@dataclass
class Judged:
    """One namer that is asked about the part ``queries``.

    name: in tables; identifier: who answers as users are answered, None where these specimens calibrate it; gallery: what it
    knows, to show; encoder: of its vectors; whole: what it says of the part, where that is kept; held: what it says of specimens
    that may be pooled with those asked about to test promises, None without any; notes: sentences for the report; asked: what the
    identifier was made for; through: what is judged in place of what the namer says, with a prior of places; changes: what that
    changed.
    """

    name: str
    namer: Namer
    identifier: Identifier | None
    gallery: Gallery | None = None
    encoder: str | None = None
    whole: Predictions | None = None
    held: Callable[[], Predictions] | None = None
    notes: list[str] = field(default_factory=list)
    asked: IdentifySettings | None = None
    through: Callable[[Predictions], Predictions] | None = None
    changes: Changes | None = None


def judge_names(collection: Collection, encoders: Sequence[str], settings: EvaluateSettings) -> dict[str, Report]:
    """Reports on the namers that the settings name, by name: "names" and "promises" of one, "namers" of several.

    encoders: embeddings of the collection, for the methods. Specimens that a namer was fitted or calibrated on are refused by
    their ids. Raises BiocosmosError: an unknown method or part; promises that were asked for with too few specimens.
    """
    guard.refuse_part(collection, settings.queries, *settings.head, where=settings.where)
    methods = names_in(settings.method)
    by_method = [(encoder, method) for encoder in encoders for method in methods]
    if not methods and not settings.head:
        by_method = [(encoder, default_method(collection, encoder)) for encoder in encoders]
    namers = [_by_method(collection, encoder, method, len(encoders) > 1, settings) for encoder, method in by_method]
    heads = [str(folder) for folder in settings.head]
    short = [Path(name).name for name in heads]
    namers += [
        _by_head(collection, Path(folder), name, settings)
        for folder, name in zip(heads, short if len(set(short)) == len(short) else heads)
    ]
    if settings.prior is not None:
        from biocosmos.jobs.evaluate_with_prior import changed_names, with_prior

        namers = [each for one in namers for each in with_prior(collection, one, settings)]
        compared = _side_by_side(collection, namers, settings) if len(namers) > 1 else None
        if compared is None:
            return _alone(collection, namers[0], settings)
        return {"namers": compared, **changed_names(namers, settings)}
    if len(namers) > 1:
        return {"namers": _side_by_side(collection, namers, settings)}
    return _alone(collection, namers[0], settings)


def _alone(collection: Collection, one: Judged, settings: EvaluateSettings) -> dict[str, Report]:
    reports = {}
    sample = _Sample(collection.count(split=settings.queries, where=settings.where), settings.seed)
    stream, answers = _said(collection, one, settings, sample)
    if settings.protocol == "promises":
        for _ in stream:
            pass
    else:
        reports["names"] = evaluate.naming(stream, answers, gallery=one.gallery, name=one.name, seed=settings.seed)
        reports["names"].caveats[:0] = one.notes
    if settings.protocol != "ranks":
        reports |= _promises(one, sample, settings)
    return reports


def _side_by_side(collection: Collection, namers: Sequence[Judged], settings: EvaluateSettings) -> Report:
    said = {one.name: _said(collection, one, settings) for one in namers}
    if len(said) < len(namers):
        raise BiocosmosError(f"two namers are called alike ({', '.join(one.name for one in namers)}): name each once")
    whole = {
        one.name: (one.whole if one.through is None else one.through(one.whole), said[one.name])
        for one in namers
        if one.whole is not None
    }
    if len(whole) == len(namers):
        report = compare_heads(collection, whole, seed=settings.seed)
    else:
        report = evaluate.side_by_side(said, seed=settings.seed)
    report.caveats[:0] = [f"{one.name}: {note}" for one in namers for note in one.notes]
    return report


# ---- who names -------------------------------------------------------------------------------------------------------


def _by_method(collection: Collection, encoder: str, method: str, several: bool, settings: EvaluateSettings) -> Judged:
    encoder = _embedding(collection, encoder, method)
    part = settings.calibration or _calibration_part(collection, settings)
    split = settings.gallery.rpartition(":")[0] or "default"
    by_part = part is not None and not find_namer(method).hides_taxa
    asked = IdentifySettings(  # the one that is kept with the collection, if it is the same
        part=settings.queries,
        method=method,
        encoder=encoder,
        known=settings.gallery,
        calibration=settings.calibration or (part if by_part and by_groups(collection, split) else None),
        where=settings.where,
        seed=settings.seed,
        device=settings.device,
        **{name: getattr(settings, name) for name in _RULES},
    )
    identifier = identifier_of(collection, asked)
    namer = identifier.namer

    def pooled() -> Predictions:
        blocks = _blocks(collection, namer, encoder, str(part), settings, Failures())
        return Predictions.concatenate(namer.stream(blocks, part=part))

    name = f"{method}, {encoder}" if several else method
    held = None if part is None else pooled
    return Judged(name, namer, identifier, identifier.known, encoder, held=held, notes=list(identifier.notes), asked=asked)


def _embedding(collection: Collection, encoder: str, method: str) -> str:
    """The embedding of a method: that of barcodes compares letters, so that it stands beside others on an embedding of images;
    one of images and barcodes beside those on an embedding of barcodes."""
    kind = {OF_BARCODES: "sequences", OF_BOTH: "images"}.get(method)
    fits = kind is None or (collection.encoders[encoder].get("modality") == "dna") == (kind == "sequences")
    if fits:
        return encoder
    others = [name for name, facts in collection.encoders.items() if (facts.get("modality") == "dna") == (kind == "sequences")]
    return others[0] if kind == "sequences" and others else encoder_for(collection, None, str(kind))


def _calibration_part(collection: Collection, settings: EvaluateSettings) -> str | None:
    """The part "val" of the gallery's split, where it has one that neither asks nor answers: promises are tested on it too."""
    split, _, _ = settings.gallery.rpartition(":")
    part = f"{split}:{CALIBRATION}" if split else CALIBRATION
    if CALIBRATION not in collection.split(split or "default").counts():
        return None
    sides = [collection.table(["id"], split=name)["id"] for name in (part, settings.queries, settings.gallery)]
    return None if any(len(guard.common(sides[0], other)) for other in sides[1:]) else part


def _by_head(collection: Collection, folder: Path, name: str, settings: EvaluateSettings) -> Judged:
    head = head_of(folder, device=settings.device, views=settings.views, novelty=settings.novelty)
    whole = predict_part(collection, head, settings.queries, where=settings.where, columns=settings.by)
    trained = head.facts["training"]
    part = settings.calibration or trained["settings"]["validation"]
    one = Judged(name, head, None, whole=whole, notes=guard.told(collection, whole.ids, folder))
    if not part:
        if settings.protocol == "promises":
            raise BiocosmosError(
                f"the head in {folder} was trained without a validation part: name one to calibrate on with --calibration"
            )
        refuse_changed(settings, _RULES, "where the head has a validation part, or with --calibration")
        one.notes.append("the head was trained without a validation part, so that nothing calibrates it: only p itself is judged")
        return one
    held = predict_part(collection, head, part, where=settings.where, columns=settings.by)
    one.held = lambda: held
    split = trained["settings"]["split"].rpartition(":")[0] or "default"
    if split not in collection.split_names or collection.split(split).describe()["hash"] != trained["split_hash"]:
        refuse_changed(settings, _RULES, "on a collection with the split that the head was trained on")
        one.notes.append(
            "the collection has not the split that the head was trained on, so that it is not asked for answers: only p is judged"
        )
    elif len(guard.common(whole.ids, held.ids)):
        refuse_changed(settings, _RULES, f"where --queries and the calibrating part '{part}' share no specimen")
        one.notes.append(f"the specimens of part '{part}' calibrate the head: only what it says by itself, p, is judged on them")
    else:
        rules = {name: getattr(settings, name) for name in _RULES if getattr(settings, name) is not None}
        asked = IdentifySettings(
            part=settings.queries,
            head=folder,
            views=settings.views,
            calibration=part,
            seed=settings.seed,
            device=settings.device,
            **rules,
        )
        one.identifier, one.asked = identifier_of(collection, asked), asked
        one.notes += one.identifier.notes
    return one


# ---- what it says ----------------------------------------------------------------------------------------------------


class _Sample:
    """A seeded sample of a stream of predictions, of at most :data:`MOST_PROMISED` of ``total`` specimens."""

    def __init__(self, total: int, seed: int) -> None:
        rows = np.arange(total)
        if total > MOST_PROMISED:
            rows = np.sort(np.random.default_rng(seed).choice(total, MOST_PROMISED, replace=False))
        self.wanted, self.seen, self.blocks = rows, 0, list[Predictions]()

    def offer(self, block: Predictions) -> None:
        """Keep what is wanted of the next block."""
        mine = self.wanted[(self.wanted >= self.seen) & (self.wanted < self.seen + len(block))] - self.seen
        self.blocks.append(block.subset(mine))
        self.seen += len(block)

    def predictions(self) -> Predictions:
        """What was kept."""
        return Predictions.concatenate(self.blocks)


def _said(
    collection: Collection, one: Judged, settings: EvaluateSettings, sample: _Sample | None = None
) -> tuple[Iterator[Predictions], Callable[[], pa.Table] | None]:
    """What the namer says of the part asked, block by block, and then the table of its answers, if it answers."""
    facts, failures = part_facts(collection, settings.queries, settings.where), Failures()
    tables: list[pa.Table] = []
    if one.whole is None:
        blocks = _blocks(collection, one.namer, one.encoder, settings.queries, settings, failures)
        found = one.namer.stream(blocks, **facts)
    else:
        found = (one.whole.subset(np.arange(a, min(a + BLOCK, len(one.whole)))) for a in range(0, len(one.whole), BLOCK))

    def stream() -> Iterator[Predictions]:
        for predictions in found:
            if one.identifier is not None:
                tables.append(one.identifier.answered(predictions).table)
            judged = predictions if one.through is None else one.through(predictions)
            if one.changes is not None:
                one.changes.add(predictions, judged, tables[-1][PLACE])
            if sample is not None:
                sample.offer(judged)
            yield judged
        if len(failures):
            one.notes.append(f"{len(failures):,} specimens of part '{settings.queries}' have no vector and were left out")

    return stream(), None if one.identifier is None else lambda: one.identifier.finished(tables, facts)  # type: ignore[union-attr]


def _blocks(
    collection: Collection, namer: Namer, encoder: str | None, part: str, settings: EvaluateSettings, failures: Failures
) -> Iterator[Specimens]:
    """A part of the collection as the namer takes it, with the columns that results are grouped by."""
    wanted = [name for name in dict.fromkeys(["image_path", *settings.by]) if name in collection.stored_columns]
    return part_blocks(collection, namer, part, encoder=encoder, where=settings.where, columns=wanted, failures=failures)


def _promises(one: Judged, sample: _Sample, settings: EvaluateSettings) -> dict[str, Report]:
    """The report on promises; nothing where there are too few specimens for one and it is not what was asked for."""
    required = settings.protocol == "promises"
    if one.held is None:
        if required:
            raise BiocosmosError(
                f"no specimens are kept apart to set promises on beside part '{settings.queries}': name a part with --calibration"
            )
        return {}
    asked, held = sample.predictions(), one.held()
    more = held.subset(~np.isin(held.ids.astype(str), asked.ids.astype(str)))  # no specimen on both sides of a draw
    pooled = more.joined(asked) if len(more) else asked
    if not required and int((pooled.truth != 0).sum()) < 2 * FEWEST:
        return {}
    report = promise_report(pooled, groups=settings.by or None, seed=settings.seed)
    if sample.seen > MOST_PROMISED:
        report.caveats.append(f"Promises were tested on {MOST_PROMISED:,} of the {sample.seen:,} specimens, drawn by the seed.")
    return {"promises": report}
