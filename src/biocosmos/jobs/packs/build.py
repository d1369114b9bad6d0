"""A pack of a collection."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.encoders.model_card import licence_of
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import is_folder
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.namers.registry import DEFAULT_NAMER
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.jobs.packs.content import Content, Written, write_content
from biocosmos.jobs.packs.identifiers import OF_CLASSES, check_method, fitted
from biocosmos.jobs.packs.inside import RESERVED_COLUMNS
from biocosmos.jobs.packs.proofs import Proofs, chosen
from biocosmos.jobs.packs.settings import LEAST_TESTS, BuildSettings
from biocosmos.jobs.who_names import default_method, identifier_of, known_and_calibration
from biocosmos.search.gallery import Gallery
from biocosmos.settings import told
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.given_vectors import GIVEN
from biocosmos.specimens.packs.layout import SOURCE
from biocosmos.specimens.packs.writing import check_place, writing_pack
from biocosmos.specimens.records import EMBEDDING_PREFIX
from biocosmos.specimens.stored_vectors import holds_kmers
from biocosmos.taxonomy import Taxonomy

LICENCE_COLUMNS = ("license", "licence", "dcterms:license", "rights")
"""Columns in which sources state the licence of each specimen, the first that says something counts."""
_QUALITY = 85
_KEPT_FACTS = ("dim", "modality", "preprocessing", "precision")


def build_pack(
    collection: Collection, output: Path, settings: BuildSettings | None = None, failures: Failures | None = None, **options: Any
) -> Written:
    """Write a pack of a collection to ``output``, NAME.pack or NAME.zip; whole or not at all, equal bytes for equal input.

    settings, or as options: see :class:`BuildSettings`. Pictures that cannot be made smaller go to ``failures``.

    Raises BiocosmosError: no licence; nothing to name by; vectors that no encoder made, or k-mers; a way of naming that a pack
    cannot hold; a place that is taken.
    """
    settings = told(BuildSettings, **options) if settings is None else settings
    failures = Failures() if failures is None else failures
    check_place(output, overwrite=settings.overwrite)
    check_method(settings.method, settings.vectors)
    name = collection.encoder_name(settings.encoder)
    guard.refuse_own_names(collection, name)
    facts = _encoder_facts(collection, name)
    licence = settings.licence or _licence(collection, settings.known)
    columns = _columns(collection, settings.columns)
    gallery = _select(collection, name, settings, columns)
    identifier = _identifier(collection, name, settings, gallery)
    gallery = _with_source(gallery, settings.name or collection.path.stem)
    content = Content(
        name=settings.name or collection.path.stem,
        licence=licence,
        gallery=gallery,
        identifier=identifier,
        proofs=_proofs(collection, name, settings, gallery, identifier),
        encoder=facts,
        sources=({"name": collection.path.name, "digest": None, "specimens": len(gallery)},),
        kind=settings.vectors,
        least=settings.least,
        columns=columns,
        made_from=_made_from(collection, settings),
        seed=settings.seed,
    )
    if settings.thumbnails:
        pictures = _thumbnails(collection, gallery, settings.thumbnails, failures)
        content = replace(content, thumbnails=pictures, pixels=settings.thumbnails)
    with writing_pack(output, overwrite=settings.overwrite) as folder:
        return write_content(content, folder, Path(name) if settings.weights else None)


def _encoder_facts(collection: Collection, name: str) -> dict[str, Any]:
    stored = collection.encoders[name]
    if stored.get("backend") == GIVEN or not stored.get("digest"):
        raise BiocosmosError(
            f"the vectors '{name}' of {collection.path} were given, and no photograph can be embedded so: embed with an encoder"
        )
    if holds_kmers(stored):
        raise BiocosmosError(f"'{name}' counts k-mers, which are no vectors for a pack: share the barcodes themselves, as FASTA")
    folder = is_folder(name)
    kept = {key: stored[key] for key in _KEPT_FACTS if stored.get(key) is not None}
    said = Path(name).name if folder or Path(name).is_absolute() else name
    return {"name": said, "digest": str(stored["digest"]), **kept, "folder": folder, "licence": licence_of(name)}


def _licence(collection: Collection, part: str | None) -> str:
    """What all specimens state. Raises BiocosmosError where they state nothing, or not the same."""
    for name in LICENCE_COLUMNS:
        found = next((each for each in collection.stored_columns if each.lower() == name.replace(":", "_")), None)
        if found is None:
            continue
        stated = pc.unique(collection.table([found], split=part)[found].cast(pa.string())).to_pylist()
        there = [each.strip() for each in stated if each is not None and each.strip()]
        if len(there) == 1 and None not in stated:
            return str(there[0])
        if there:
            blank = " and of some nothing is said" if None in stated else ""
            raise BiocosmosError(
                f"the specimens of {collection.path} have {len(there)} licences ({', '.join(sorted(there)[:3])}){blank}: "
                "say one that all of them allow with --licence"
            )
    raise BiocosmosError(f"a pack needs a licence, and {collection.path} states none: say it, --licence cc-by-4.0")


def _columns(collection: Collection, asked: Sequence[str]) -> tuple[str, ...]:
    taken = {"id", "label", *collection.ranks}
    for name in asked:
        if name.startswith(EMBEDDING_PREFIX) or (name in RESERVED_COLUMNS and name not in taken):
            raise BiocosmosError(f"--columns {name}: pictures and vectors are no columns of a pack's specimens")
    return tuple(name for name in collection.chosen_columns(list(dict.fromkeys(asked))) if name not in taken)


def _select(collection: Collection, name: str, settings: BuildSettings, columns: tuple[str, ...]) -> Gallery:
    """The specimens of the pack, in the order of a tree that knows of no others."""
    label = ["label"] if "label" in collection.stored_columns and "label" not in collection.ranks else []
    gallery = collection.gallery(name, split=settings.known, columns=[*label, *columns])
    if gallery.taxa is None or not (gallery.taxa > 0).any():
        raise BiocosmosError(f"no specimen of {collection.path} with a vector of '{name}' has a taxon: label some")
    if settings.least > 1:
        counts = np.bincount(gallery.taxa[gallery.taxa > 0], minlength=int(gallery.taxa.max()) + 1)
        gallery = gallery.subset((gallery.taxa == 0) | (counts[gallery.taxa] >= settings.least))
        if not len(gallery) or not int(gallery.taxa.max()):  # type: ignore[union-attr]
            raise BiocosmosError(f"no taxon has {settings.least} specimens: choose a smaller --least")
    assert gallery.columns is not None
    tree = Taxonomy.from_table(gallery.columns, ranks=collection.ranks)
    return Gallery.build(
        gallery.ids,
        gallery.vectors,
        taxa=tree.index(gallery.columns),
        taxonomy=tree,
        provenance=gallery.provenance,
        columns=gallery.columns,
    )


def _identifier(collection: Collection, name: str, settings: BuildSettings, gallery: Gallery) -> Identifier:
    """Who names 'biocosmos identify' by; of a pack that leaves specimens out, one that never knew of them."""
    novelty = settings.novelty or (OF_CLASSES if settings.vectors == "none" else None)
    if settings.least == 1:
        asked = {"method": settings.method, "novelty": novelty, "known": settings.known}
        if settings.method is None and default_method(collection, name) != DEFAULT_NAMER:
            asked["method"] = DEFAULT_NAMER
        stated: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
        return identifier_of(collection, told(IdentifySettings, encoder=name, seed=settings.seed, **stated))
    known, calibration = known_and_calibration(collection, name, known=settings.known)
    mine = gallery.subset(np.isin(gallery.ids.astype(str), known.ids.astype(str)))
    if calibration is not None:
        assert gallery.taxonomy is not None and calibration.columns is not None
        rows = gallery.taxonomy.index(calibration.columns)
        there = rows > 0
        calibration = Gallery.build(
            calibration.ids[there],
            calibration.vectors[there],
            taxa=rows[there],
            taxonomy=gallery.taxonomy,
            provenance=calibration.provenance,
            columns=calibration.columns.filter(pa.array(there)),
        )
    return fitted(mine, calibration=calibration, method=settings.method, novelty=novelty, seed=settings.seed)


def _with_source(gallery: Gallery, name: str) -> Gallery:
    assert gallery.columns is not None
    columns = gallery.columns.drop_columns([each for each in (SOURCE,) if each in gallery.columns.column_names])
    columns = columns.append_column(SOURCE, pa.array([name] * len(columns), pa.string()))
    return replace_columns(gallery, columns)


def replace_columns(gallery: Gallery, columns: pa.Table) -> Gallery:
    """The same gallery with other columns."""
    return Gallery(gallery.ids, gallery.vectors, gallery.taxa, gallery.taxonomy, gallery.provenance, columns)


def _proofs(collection: Collection, name: str, settings: BuildSettings, gallery: Gallery, identifier: Identifier) -> Proofs:
    """Of specimens that nothing learnt from, where there are enough of such; their taxa are in the pack."""
    seen = set(gallery.ids.tolist()) | set(identifier.calibrated_on.tolist())
    if identifier.known is not None:
        seen |= set(identifier.known.ids.tolist())
    if settings.known is not None:
        others = collection.gallery(name, columns=())
        assert gallery.taxonomy is not None and others.columns is not None
        taxa = gallery.taxonomy.index(others.columns)
        free = (taxa > 0) & np.array([id_ not in seen for id_ in others.ids], bool)
        if free.sum() >= LEAST_TESTS:
            apart = Gallery.build(others.ids[free], others.vectors[free], taxa=taxa[free], taxonomy=gallery.taxonomy)
            return chosen(apart, settings.tests, lambda id_: True)
    proofs = chosen(gallery, settings.tests, lambda id_: False)
    if len(proofs.tests) < LEAST_TESTS:
        raise BiocosmosError(f"a pack needs {LEAST_TESTS} labelled specimens to ask with, and there are {len(proofs.tests)}")
    return proofs


def _made_from(collection: Collection, settings: BuildSettings) -> dict[str, Any]:
    facts: dict[str, Any] = {"collection": collection.path.name, "part": settings.known}
    if settings.known is not None:
        facts["split"] = collection.split_of(settings.known).identity()
    return facts


def _thumbnails(collection: Collection, gallery: Gallery, pixels: int, failures: Failures) -> dict[str, bytes]:
    """id -> JPEG of its picture, cropped as it is embedded; one that cannot be read goes to ``failures``."""
    from PIL import Image

    from biocosmos.errors import ImageError
    from biocosmos.images.reading import read_image

    found: dict[str, bytes] = {}
    wanted = set(gallery.ids.tolist())
    for batch in collection.dataset.to_batches(columns=["id", "image", "image_path", "crop"], batch_size=256):
        for row in batch.to_pylist():
            source = row["image"] if row["image"] is not None else row["image_path"]
            if row["id"] not in wanted or source is None:
                continue
            try:
                crop = None if row["crop"] is None else tuple(row["crop"])
                picture = Image.fromarray(read_image(source, crop=crop).pixels)
                picture.thumbnail((pixels, pixels))
                out = io.BytesIO()
                picture.save(out, "JPEG", quality=_QUALITY)
                found[row["id"]] = out.getvalue()
            except (ImageError, OSError) as error:
                failures.add(f"no small picture: {error}", stage="pack", id=row["id"], severity="warning")
    return found
