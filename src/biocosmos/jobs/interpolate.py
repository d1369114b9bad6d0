"""Weights between a base encoder and a trained one: a curve on validation images, and the chosen one on the test part, once."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from biocosmos import evaluate
from biocosmos.encoders.spaces import Space, read_space, save_space, space_of
from biocosmos.errors import BiocosmosError, ImageError
from biocosmos.evaluate import Report
from biocosmos.evaluate.interpolation.report import curve_report
from biocosmos.progress import progress
from biocosmos.search.gallery import Gallery
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection
from biocosmos.tables import replacing

if TYPE_CHECKING:
    from biocosmos.encoders.encoder import Encoder
    from biocosmos.encoders.towers import Towers

Vectors = npt.NDArray[np.float32]
VALIDATION = "val"
MOST_WEIGHTS = 101
READERS, READ_ROWS = 4, 64
ENCODER, SPACE = "encoder", "space"


def interpolate_collection(
    collection: Collection,
    *,
    encoders: Sequence[str],
    weights: str | Sequence[float] = "0:1:0.1",
    queries: str = "test",
    gallery: str = "train",
    validation: str = VALIDATION,
    groups: Sequence[str] = (),
    where: str | None = None,
    seed: int = 0,
    output: Path | None = None,
    patterns: Sequence[str] = (),
) -> Report:
    """Evaluate encoders between ``encoders[0]`` (weight 0, the base) and ``encoders[1]`` (weight 1, the trained one).

    For each weight the images of the part ``validation`` are embedded and asked about each other (all-vs-all); the weight with
    the highest recall@1 is chosen, the smallest of equal ones. Only the chosen encoder then answers ``queries`` against
    ``gallery``, beside the base and the trained one. With ``output`` it is saved in ``output/encoder``, unless it is one of the
    two; of a tower of a space also ``output/space``, the space with the chosen encoder in its place. patterns: only weights with
    such names, the others stay the trained ones; see :func:`biocosmos.encoders.interpolation.interpolated`. Killed and run again,
    the job goes on after the last weight that was embedded.

    weights: "start:stop:step", or a list, each in [0, 1].

    Raises BiocosmosError for anything but two encoders, weights outside [0, 1], encoders of different architectures, a part or
    embedding that is not there.
    """
    chosen_of = parse_weights(weights) if isinstance(weights, str) else _checked([float(w) for w in weights])
    if len(encoders) != 2:
        raise BiocosmosError(f"interpolation needs two encoders, the base and the trained one, not {len(encoders)}: use -e twice")
    if len({queries, gallery, validation}) < 3:
        raise BiocosmosError("the weight is chosen on a part of its own: queries, gallery and validation must be three parts")
    for part in (queries, validation):
        guard.refuse_part(collection, part, *encoders, where=where)
    from biocosmos.encoders.interpolation import interpolated
    from biocosmos.encoders.registry import build_encoder, load_towers

    base, trained = encoders
    ends = load_towers(base), load_towers(trained)
    interpolated(*ends, 0.5, patterns)  # refuses before anything is embedded
    room = collection.path / "work" / "interpolation"
    template = _common(*(collection.gallery(name, split=validation, where=where, columns=()) for name in encoders))
    if not len(template):
        raise BiocosmosError(f"no specimen of the part '{validation}' has vectors of {base} and {trained}: embed them")
    curve = []
    for weight in chosen_of:
        towers = interpolated(*ends, weight, patterns)
        vectors = _stored(collection, encoders, weight, towers, template)
        if vectors is None:
            encoder = build_encoder(f"{trained} at {weight:g}", towers)
            kept = _cache(room, encoder, template)
            vectors = np.load(kept) if kept.exists() else _embedded(collection, encoder, template, validation, where)
            with replacing(kept) as temporary, temporary.open("wb") as file:
                np.save(file, vectors)
        seen = np.isfinite(vectors).all(axis=1)
        assert template.taxa is not None
        mine = Gallery(
            template.ids[seen], vectors[seen], template.taxa[seen], template.taxonomy, {**template.provenance, "encoder": "curve"}
        )
        curve.append((weight, evaluate.retrieval(mine, ks=(1,), seed=seed, examples=0)))
    report = curve_report(curve, base, trained, validation, template.provenance, patterns)
    weight = report.provenance["chosen"]
    galleries = {n: collection.gallery(n, split=gallery, where=where, columns=groups) for n in encoders}
    asked = {n: collection.gallery(n, split=queries, where=where, columns=groups) for n in encoders}
    if 0 < weight < 1 or (patterns and not weight):
        towers = interpolated(*ends, weight, patterns)
        name = f"{trained} at {weight:g}"
        encoder = build_encoder(name, towers)
        for parts, part in ((galleries, gallery), (asked, queries)):
            both = _common(parts[base], parts[trained])
            vectors = _embedded(collection, encoder, both, part, where)
            seen = np.isfinite(vectors).all(axis=1)
            facts = {**both.provenance, **encoder.metadata(), "encoder": name}
            parts[name] = Gallery(
                both.ids[seen],
                vectors[seen],
                None if both.taxa is None else both.taxa[seen],
                both.taxonomy,
                facts,
                None if both.columns is None else both.columns.filter(seen),
            )
            for other in encoders:
                parts[other] = parts[other].subset(np.isin(parts[other].ids.astype(str), parts[name].ids.astype(str)))
        if output is not None:
            _save(output, towers, base, trained, report, template.ids)
    found = evaluate.compare(
        galleries, asked, groups=groups, seed=seed, training=galleries[base].taxa if gallery == "train" else None
    )
    shutil.rmtree(room, ignore_errors=True)
    return evaluate.combine(
        report, found, title=f"Between {base} and {trained}", names=["interpolation", f"{queries} against {gallery}"]
    )


def parse_weights(text: str) -> list[float]:
    """ "0:1:0.25" -> [0, 0.25, 0.5, 0.75, 1]; stop is included where a step reaches it. Raises BiocosmosError."""
    try:
        start, stop, step = (float(part) for part in text.split(":"))
    except ValueError:
        raise BiocosmosError(f"cannot read the weights {text!r}: write START:STOP:STEP, such as 0:1:0.1") from None
    if not (step > 0 and 0 <= start <= stop <= 1):
        raise BiocosmosError(f"the weights {text!r} must rise from 0 or more to 1 or less by a step above 0, such as 0:1:0.1")
    if (stop - start) / step > MOST_WEIGHTS - 1 + 1e-9:
        raise BiocosmosError(f"{text!r} asks for more than {MOST_WEIGHTS} weights, each of which embeds the validation images")
    count = int((stop - start) / step + 1e-9) + 1
    return _checked([round(start + i * step, 10) for i in range(count)])


def _checked(weights: list[float]) -> list[float]:
    if not weights or not all(0 <= weight <= 1 for weight in weights):
        raise BiocosmosError("weights between two encoders are numbers from 0 (the base) to 1 (the trained one)")
    return sorted(set(weights))


def _common(one: Gallery, other: Gallery) -> Gallery:
    """The rows of ``one`` that ``other`` has too."""
    return one.subset(np.isin(one.ids.astype(str), other.ids.astype(str)))


def _stored(collection: Collection, encoders: Sequence[str], weight: float, towers: Towers, template: Gallery) -> Vectors | None:
    """Vectors of the template's ids from the collection's own column, at an end whose column these towers would make again."""
    if weight not in (0.0, 1.0):
        return None
    name = encoders[int(weight)]
    facts = collection.encoders[name]
    if facts.get("digest") != towers.digest or facts.get("preprocessing") != towers.preprocessing.as_dict():
        return None
    selection = template.provenance["selection"]
    found = collection.gallery(name, split=selection["split"], where=selection["where"], columns=())
    row = {id_: i for i, id_ in enumerate(found.ids)}
    vectors: Vectors = found.vectors[[row[id_] for id_ in template.ids]]
    return vectors


def _cache(room: Path, encoder: Encoder, template: Gallery) -> Path:
    """Where the vectors of these ids by this encoder wait, should the job be killed."""
    facts = encoder.metadata()
    key = repr([facts["digest"], facts["preprocessing"], facts["precision"], template.ids.tolist()])
    return room / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.npy"


def _embedded(collection: Collection, encoder: Encoder, template: Gallery, part: str, where: str | None) -> Vectors:
    """(n, dim) float32 unit vectors of the template's ids in their order; NaN where an image cannot be read."""
    row = {id_: i for i, id_ in enumerate(template.ids)}
    out = np.full((len(template), encoder.dim), np.nan, np.float32)

    def read(source: bytes | str | None, crop: Any) -> torch.Tensor | None:
        try:
            return None if source is None else encoder.read(source, crop)
        except ImageError:
            return None

    with ThreadPoolExecutor(READERS) as pool, progress(encoder.name, total=len(template), unit="images") as bar:
        columns = ["id", "image", "image_path", "crop"]
        for batch in collection.scan(columns, split=part, where=where, batch_size=READ_ROWS):
            ids, crops = batch.column("id").to_pylist(), batch.column("crop").to_pylist()
            wanted = [i for i, id_ in enumerate(ids) if id_ in row]
            images = list(pool.map(read, [collection.image_source(batch, i) for i in wanted], [crops[i] for i in wanted]))
            readable = [(row[ids[i]], image) for i, image in zip(wanted, images) if image is not None]
            if readable:
                out[[place for place, _ in readable]] = encoder.encode_images(torch.stack([image for _, image in readable]))
            bar.advance(len(wanted))
    return out


def _save(output: Path, towers: Towers, base: str, trained: str, report: Report, chosen_on: guard.Ids) -> None:
    """The encoder, and where it was a tower of a space, the space with it."""
    from biocosmos.encoders.registry import load_towers
    from biocosmos.encoders.saving import save_encoder

    facts = report.provenance
    patched = facts["options"].get("patterns")
    training = {
        "what": f"weights {facts['chosen']:g} of the way from {base} to {trained}{f', of {patched}' if patched else ''}",
        "chosen on": f"recall@1 of {facts['main_target']} on the part {facts['validation']}, all-vs-all",
        "split": facts["split_hash"],
        "interpolated with": base,
    }
    folder = output / ENCODER
    if towers.base is None:
        digest = save_encoder(folder, towers, base=trained, training=training)
    else:
        beneath = load_towers(towers.base.name)
        digest = save_encoder(
            folder, beneath, base=towers.base.name, projection=towers.projection, frozen=True, training=training
        )
    record = guard.Fitted.of(f"the encoder in {folder}", chosen=chosen_on, split=facts["split_hash"], stands_on=[trained, base])
    record.save(folder)
    if space_of(trained, load_towers(trained).digest) is not None:
        _save_space(output / SPACE, read_space(Path(trained).parent), folder, digest)


def _save_space(folder: Path, space: Space, encoder: Path, digest: str) -> None:
    """The space with another tower of images; what reads projections over its own folders goes with it."""
    folder.mkdir(parents=True, exist_ok=True)
    for modality, tower in space.towers.items():
        shutil.rmtree(folder / modality, ignore_errors=True)
        shutil.copytree(encoder if modality == "image" else tower, folder / modality)
        for record in guard.records(encoder if modality == "image" else tower):
            record.save(folder / modality)  # which says where what it stands on lies, as seen from here
            break
    training = {**space.training, "what": f"{space.training.get('what', 'a space')}; its image tower was patched"}
    save_space(folder, {**space.digests, "image": digest}, dim=space.dim, training=training)
