"""Who names: the identifier that the settings ask for, by vectors or by a trained head, kept with the collection."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.encoders.torch_backend import choose_device
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import is_file, is_there
from biocosmos.identify.attribute_identifier import AttributeIdentifier
from biocosmos.identify.confidence.held_out import HeldOut, Part
from biocosmos.identify.confidence.rules import AnswerRules
from biocosmos.identify.identifier import KEPT_HELD, Identifier
from biocosmos.identify.keeping import FORMAT, STATE
from biocosmos.identify.namers.attribute_heads import AttributeHead, has_attributes
from biocosmos.identify.namers.heads import HEAD, TrainedHead
from biocosmos.identify.namers.names import OF_BARCODES, OF_BOTH, OF_IMAGES
from biocosmos.identify.namers.registry import find_namer
from biocosmos.identify.novelty.registry import make_detector
from biocosmos.identify.predictions import Predictions
from biocosmos.identify.threads import SMALL_VECTORS, one_thread
from biocosmos.jobs.identify_settings import NOT_OF_NAMES, OF_PLACES, IdentifySettings, asks_unlabelled
from biocosmos.jobs.models import check_vectors, folder_of, model, promoted
from biocosmos.jobs.predict import predict_part
from biocosmos.jobs.queries import encoder_for
from biocosmos.provenance import package_version
from biocosmos.search.gallery import Gallery
from biocosmos.settings import flag, refuse_changed, settings_of, told
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection
from biocosmos.trust import refuse_code

TRAIN, CALIBRATION = "train", "val"
BARCODE, BIN = "barcode", "dna_bin"
APART = ("grouped", "column", "files", "bioscan")
"""Splits whose parts are of other sites or samples, as new images will be: their validation part calibrates better than folds."""
_WHO_NAMES = ("method", "head", "known", "within", "taxa", "where", "class_weight", "templates", "calibration")
_RULES = ("threshold", "error_rate", "promise", "delta", "sets", "novelty", "false_alarm_rate")
_AS_USUAL = IdentifySettings()
NAMERS, MOST_KEPT = "namers", 8
"""Folder of a collection in which fitted namers are kept, and how many: the ones used last."""


def identifier_of(
    collection: Collection, settings: IdentifySettings | None = None, failures: Failures | None = None, **options: Any
) -> Identifier:
    """The identifier that the settings ask for: the one kept with the collection, or fitted now and kept.

    What is kept is keyed by the version of the collection, the encoder's digest, the split and every option, so that it is never
    used where fitting anew would give another.
    """
    settings = told(IdentifySettings, **options) if settings is None else settings
    failures = Failures() if failures is None else failures
    if settings.head is not None and answers_attributes_alone(settings.head):
        return attributes_of_head(settings)
    refuse_changed(settings, ["gate"], "with a --head that answers attributes alone")
    chosen = in_use(collection, settings, failures)
    if chosen is not None:
        return chosen
    head = None
    if settings.head is None:
        guard.refuse_own_names(collection, collection.encoder_name(settings.encoder))
    else:
        head = head_of(settings.head, device=settings.device, views=settings.views, novelty=settings.novelty)
    folder = collection.path / NAMERS / key_of(collection, settings, head)
    if not settings.fresh and is_file(folder / STATE):
        try:
            identifier = loaded(folder, (folder / STATE).stat().st_mtime_ns, device_of(settings))
            with suppress(OSError):  # of a collection that may only be read
                folder.touch()
            failures.extend(identifier.failures)
            return identifier
        except BiocosmosError as error:
            failures.add(f"what was kept is fitted anew: {error}", stage="identify", source=folder, severity="warning")
    identifier, _ = fitted(collection, settings, head)
    failures.extend(identifier.failures)
    keep(identifier, folder, failures)
    return identifier


def fitted(collection: Collection, settings: IdentifySettings, head: TrainedHead | None) -> tuple[Identifier, HeldOut]:
    """The identifier that the settings ask for, made now, and the held-out specimens that calibrated it."""
    return _by_gallery(collection, settings) if head is None else _by_head(collection, head, settings)


def in_use(collection: Collection, settings: IdentifySettings, failures: Failures) -> Identifier | None:
    """The model that a person promoted ('biocosmos refit --promote'), where nothing is asked for that it is not.

    It names images, and specimens without a name; who names a part of a split is fitted on another part of it, always. Where it
    cannot be used, that is a warning in ``failures``.
    """
    chosen = promoted(collection)
    if chosen is None or _part_of_split(settings) is not None:
        return None
    asked = [name for name in (*_WHO_NAMES, *_RULES) if getattr(settings, name) != getattr(_AS_USUAL, name)]
    folder = folder_of(collection, chosen.name)
    try:
        about = model(collection, chosen.name)
        if settings.encoder not in (None, about.encoder):
            return None
        identifier = loaded(folder, (folder / STATE).stat().st_mtime_ns, device_of(settings))
        check_vectors(collection, about, identifier)
        alike = _stopping(AnswerRules(**rules_of(settings))) == _stopping(AnswerRules(**identifier.settings["rules"]))
        unlike = [name for name in asked if name in _WHO_NAMES or not alike]
        if unlike:
            raise BiocosmosError(f"{flag(unlike[0])} asks for another; names were given anew")
    except (BiocosmosError, OSError) as error:
        failures.add(f"{chosen.name}, which is in use, cannot be: {error}", stage="identify", source=folder, severity="warning")
        return None
    failures.extend(identifier.failures)
    if isinstance(pack := collection.facts_now().get("pack"), dict):
        return replace(identifier, notes=(f"named by the pack {chosen.by}, digest {pack.get('digest')}", *identifier.notes))
    return replace(identifier, notes=(f"named by {chosen.name}, which {chosen.by} put to use", *identifier.notes))


def by_groups(collection: Collection, split: str) -> bool:
    """Whether the parts of a split differ in sites or samples, so that only another part shows how new ones are named."""
    return collection.split(split).method in APART


def known_and_calibration(
    collection: Collection,
    encoder: str,
    *,
    part: str | None = None,
    known: str | None = None,
    calibration: str | None = None,
    where: str | None = None,
    hides: bool = False,
    both: bool = False,
) -> tuple[Gallery, Gallery | None]:
    """The labelled gallery that names, and the specimens its confidence is set on; None where it is to be cross-fitted.

    A part of the collection is named by "train", if the default split has it. Images from outside are named by every labelled
    specimen, whatever part it is in, since more known specimens name more right. Cross-fitted, there are several times as many
    specimens to calibrate on as "val" holds, and a promise that needs certainty answers the more; only where the split is by
    groups, whose own members are too like one another to stand for new ones, is it the part "val", or what ``calibration`` names.
    hides: the namer hides whole taxa of the gallery to be calibrated on, and no part shows as well how it does on unknown ones.
    both: specimens without a vector are known too, where they have a barcode.
    """
    parts = collection.split("default").counts() if "default" in collection.split_names else {}
    if known is None and part is not None and TRAIN in parts:
        known = TRAIN
    asks_itself = part in (CALIBRATION, f"default:{CALIBRATION}") or hides
    if calibration is None and known in (None, TRAIN) and CALIBRATION in parts and not asks_itself:
        calibration = CALIBRATION if by_groups(collection, "default") else None
    columns = barcode_columns(collection, encoder, both)
    also = BARCODE if both and BARCODE in columns else None
    gallery = collection.gallery(encoder, split=known, where=where, columns=columns, also=also)
    if calibration is None:
        return gallery, None
    held = collection.gallery(encoder, split=calibration, where=where, columns=columns, also=also)
    if known is None:
        apart = pc.is_in(pa.array(gallery.ids, pa.string()), value_set=pa.array(held.ids, pa.string()))
        gallery = gallery.subset(~apart.to_numpy(zero_copy_only=False))
    return gallery, held


def method_of(collection: Collection, settings: IdentifySettings) -> str:
    """The method that names: what is asked for, else the one for what the embedding is of."""
    return settings.method or default_method(collection, settings.encoder)


def embedding_of(collection: Collection, settings: IdentifySettings) -> str:
    """The embedding that names: for image and barcode together that of images, beside which barcodes are read as they are."""
    if settings.method == OF_BOTH:
        return encoder_for(collection, settings.encoder, "images")
    return collection.encoder_name(settings.encoder)


def default_method(collection: Collection, encoder: str | None) -> str:
    """The method where none is asked for: of barcodes by their letters, of images by a linear model of their vectors."""
    stored = collection.encoders[collection.encoder_name(encoder)]
    return OF_BARCODES if stored.get("modality") == "dna" and BARCODE in collection.stored_columns else OF_IMAGES


def barcode_columns(collection: Collection, encoder: str, both: bool = False) -> tuple[str, ...]:
    """The columns of a gallery of barcodes that its namer reads; of images none, but where it reads both."""
    if collection.encoders[encoder].get("modality") != "dna" and not both:
        return ()
    return tuple(name for name in (BARCODE, BIN) if name in collection.stored_columns)


def _part_of_split(settings: IdentifySettings) -> str | None:
    """The part that is named; None for specimens without a name, who are named as images from outside are."""
    return None if asks_unlabelled(settings) else settings.part


def _by_gallery(collection: Collection, settings: IdentifySettings) -> tuple[Identifier, HeldOut]:
    name, method = embedding_of(collection, settings), method_of(collection, settings)
    known, calibration = known_and_calibration(
        collection,
        name,
        part=_part_of_split(settings),
        known=settings.known,
        calibration=settings.calibration,
        where=settings.where,
        hides=find_namer(method).hides_taxa,
        both=find_namer(method).takes == "both",
    )
    text: dict[str, Any] = {}
    if method == "zero-shot":
        from biocosmos.identify.namers.text import read_templates

        if settings.encoder is None:
            refuse_code(name, collection.path)
        text["encoder"] = _reader_of_names(collection, name, settings)
        text["templates"] = None if settings.templates is None else read_templates(settings.templates)
    if settings.novelty is not None and make_detector(settings.novelty).needs_gradient:
        raise BiocosmosError(
            f"the novelty detector '{settings.novelty}' takes a gradient through a model of images, and '{method}' "
            "compares vectors: choose another detector, or name with a head that was trained without --freeze"
        )
    with one_thread(len(known) * known.dim < SMALL_VECTORS):
        return Identifier.fit_and_hold_out(
            known,
            method=method,
            calibration=calibration,
            within=settings.within,
            taxa=settings.taxa,
            class_weight=settings.class_weight,  # type: ignore[arg-type]
            seed=settings.seed,
            device=device_of(settings),
            **text,
            **rules_of(settings),
        )


def _reader_of_names(collection: Collection, name: str, settings: IdentifySettings) -> Any:
    """What reads the names of taxa for an embedding: its own encoder, or for barcodes the tower of texts of their space."""
    from biocosmos.encoders.registry import load_encoder
    from biocosmos.encoders.texts import texts_beside

    stored = collection.encoders[name]
    if stored.get("modality") == "dna":
        return texts_beside(name, str(stored.get("digest")), int(stored["dim"]), device=settings.device)
    return load_encoder(name, device=settings.device, precision=settings.precision, backend=settings.backend)


def head_of(folder: Path, *, device: str, views: int, novelty: str | None) -> TrainedHead:
    """The trained head in ``folder``, whose predictions carry what the detector ``novelty`` needs."""
    head = TrainedHead.load(folder, device=device).viewed(views)
    return head.with_gradient() if novelty is not None and make_detector(novelty).needs_gradient else head


def answers_attributes_alone(folder: Path) -> bool:
    """Whether a folder holds attribute heads and no head over ranks."""
    return has_attributes(folder) and not is_there(folder / HEAD)


def attributes_of_head(settings: IdentifySettings) -> AttributeIdentifier:
    """Who answers where the head of the settings names at no rank. Raises UnusedSetting for what only names have."""
    assert settings.head is not None
    where = f"where ranks are named, and the head in {settings.head} answers attributes alone"
    refuse_changed(settings, (*_RULES, *OF_PLACES, "known", "calibration", "top", "fresh", "shares"), where)
    head = attribute_head_of(settings.head, device=device_of(settings), views=settings.views, gate=settings.gate)
    return AttributeIdentifier.of(head, settings.seed)


def attribute_head_of(folder: Path, *, device: str, views: int = 1, gate: Path | None = None) -> AttributeHead:
    """The attribute heads in ``folder``, after those in ``gate`` where that is given."""
    head = AttributeHead.load(folder, device=device)
    return (head if gate is None else head.gated(AttributeHead.load(gate, device=device))).viewed(views)


def _by_head(collection: Collection, head: TrainedHead, settings: IdentifySettings) -> tuple[Identifier, HeldOut]:
    training = head.facts["training"]
    trained = training["settings"]
    calibration = settings.calibration or trained["validation"]
    if not calibration:
        raise BiocosmosError(f"the head in {head.folder} was trained without a validation part: name one with --calibration")
    split = collection.split_of(trained["split"])
    if split.describe()["hash"] != training["split_hash"]:
        raise BiocosmosError(
            f"the split of {collection.path} is not the one that the head in {head.folder} was trained on "
            f"(hash {split.describe()['hash']}, not {training['split_hash']}): train the head again"
        )
    held = predict_part(collection, head, calibration)
    known = predict_part(collection, replace(head, views=1, gradient=False), trained["split"])
    source = f"part '{calibration}' ({len(held):,} specimens)"
    gallery = known_gallery(known, head)
    about = {"calibration": calibration, "views": settings.views}
    parts = (Part(held, known.described(**{key: held.facts[key] for key in ("views",)})),)
    rules = AnswerRules(**rules_of(settings))
    apart = HeldOut(parts, source, True)
    return Identifier.around(head, apart, known=gallery, rules=rules, seed=settings.seed, settings=about), apart


def known_gallery(known: Predictions, head: TrainedHead) -> Gallery | None:
    """The training specimens by the features of the head, as a gallery; None where its features tell nothing."""
    rows = np.flatnonzero(known.features.any(1))
    if not len(rows):
        return None
    facts: dict[str, Any] = {"encoder": f"features of {head.folder}", "digest": head.digest, "split": known.facts.get("split")}
    taxa = np.maximum(known.truth[rows], 0)
    return Gallery.build(known.ids[rows], known.features[rows], taxa=taxa, taxonomy=known.taxonomy, provenance=facts)


def rules_of(settings: IdentifySettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in _RULES}


def _stopping(rules: AnswerRules) -> list[Any]:
    """What rules come to, however they were told."""
    return [rules.promises, rules.kind, rules.alpha, rules.given_delta, rules.fallback, rules.detector]


def chosen_on(identifier: Identifier) -> list[str]:
    if not isinstance(identifier.namer, TrainedHead):
        return []
    trained = identifier.namer.facts["training"].get("settings", {})
    if trained.get("keep") == "best" and identifier.settings.get("calibration") == trained.get("validation"):
        return [
            f"the weights were chosen on the part '{trained['validation']}', which calibrates them too: the promise may be a "
            "little too bold; train with --keep last, or give another part with --calibration"
        ]
    return []


# ---------------------------------------------------------------------- kept with the collection

_NOT_OF_NAMER = (*NOT_OF_NAMES, *OF_PLACES, "part", "top", "shares")
"""Settings that change nothing about who names; what ``part`` does is in the key by the parts that are known."""


def key_of(collection: Collection, settings: IdentifySettings, head: TrainedHead | None) -> str:
    """What the fitted namer depends on, 16 hex digits."""
    facts: dict[str, Any] = {name: getattr(settings, name) for name in settings_of(IdentifySettings) if name not in _NOT_OF_NAMER}
    facts["of_part"] = _part_of_split(settings) is not None
    if head is None:
        facts["method"] = method_of(collection, settings)
    rules = AnswerRules(**rules_of(settings))  # what is not given has defaults, which may be others one day
    facts["rules"] = _stopping(rules)
    facts["version"], facts["format"], facts["biocosmos"] = collection.dataset.version, FORMAT, package_version()
    facts["held"] = KEPT_HELD
    facts["splits"] = {name: collection.split(name).describe()["hash"] for name in collection.split_names}
    for name in ("taxa", "templates"):
        path = facts[name]
        facts[name] = None if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()
    if head is None:
        stored = collection.encoders[embedding_of(collection, settings)]
        facts["encoder"] = {key: stored.get(key) for key in ("name", "digest", "preprocessing", "precision")}
    else:
        facts["head"] = [str(head.folder.resolve()), head.digest]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


@lru_cache(maxsize=2)
def loaded(folder: Path, written: int, device: str) -> Identifier:
    """Read once a process: naming one photograph after another then costs what embedding it costs."""
    return Identifier.load(folder, device=device)


def keep(identifier: Identifier, folder: Path, failures: Failures) -> None:
    """Save, and drop all but the ones used last; a collection that cannot be written to is told and does not stop the naming."""
    try:
        identifier.save(folder)
        there = [path for path in folder.parent.iterdir() if is_file(path / STATE)]
        kept = sorted(there, key=lambda path: path.stat().st_mtime)
        for old in kept[:-MOST_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        failures.add(f"the fitted namer could not be kept: {error}", stage="identify", source=folder, severity="warning")


def device_of(settings: IdentifySettings) -> str:
    """The device that is computed on."""
    return str(choose_device(settings.device))
