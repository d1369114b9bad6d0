"""Zero-shot: a taxon is the mean of what the text encoder makes of its name in several sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from biocosmos.errors import BiocosmosError
from biocosmos.identify.blocks import FloatArray, NodeArray
from biocosmos.identify.encoding import refuse_mismatch
from biocosmos.identify.namer import FitOptions, GalleryNamer
from biocosmos.progress import progress
from biocosmos.search.gallery import Gallery
from biocosmos.specimens.taxon_texts import Wording
from biocosmos.taxonomy import Taxonomy

# {name} the taxon's name, {rank} its rank, {lineage} its names from the first rank down.
TEMPLATES = (
    "a photo of {name}.",
    "a close-up photo of {name}.",
    "a photo of the {rank} {name}.",
    "a microscope image of {name}.",
    "a museum specimen of {name}.",
    "a photo of {lineage}.",
)
_FIELDS = ("{name}", "{rank}", "{lineage}")
_TEXT_BATCH = 256


class TextEncoder(Protocol):
    """The part of an encoder that zero-shot needs.

    It may have ``templates``, sentences in place of :data:`TEMPLATES`, and ``text_wording``, how {lineage} is written for it: a
    text tower that was trained on names of taxa reads these and no sentences.
    """

    def encode_texts(self, texts: list[str]) -> FloatArray:
        """texts -> (n, d) float32 unit vectors."""
        ...


class ZeroShot:
    """Cosine between a query and the text of each taxon.

    Per taxon: encode every template, normalise, average, normalise again (Radford et al. 2021, arXiv:2103.00020, section
    3.1.4). ``texts``: (C, d) float32 unit rows; ``candidates``: (C,) int32 ascending.
    """

    def __init__(self, candidates: NodeArray, texts: FloatArray) -> None:
        self.candidates, self.texts = candidates, texts

    @classmethod
    def fit(
        cls, taxonomy: Taxonomy, candidates: NodeArray, encoder: TextEncoder, templates: Sequence[str] | None = None
    ) -> ZeroShot:
        """Encode the names of ``candidates`` with every template, by default the encoder's own; no image is looked at."""
        templates, wording = templates or templates_of(encoder), wording_of(encoder)
        per_batch = max(1, _TEXT_BATCH // len(templates))
        parts = []
        with progress("encode taxon names", total=len(candidates), unit="taxa") as bar:
            for a in range(0, len(candidates), per_batch):
                batch = candidates[a : a + per_batch]
                texts = [text for node in batch for text in prompts(taxonomy, int(node), templates, wording)]
                vectors = _unit(np.asarray(encoder.encode_texts(texts), np.float32))
                parts.append(_unit(vectors.reshape(len(batch), len(templates), -1).mean(axis=1)))
                bar.advance(len(batch))
        return cls(candidates, np.concatenate(parts))

    def scores(self, queries: FloatArray) -> FloatArray:
        """Cosines (q, C) float32."""
        return (queries @ self.texts.T).astype(np.float32)


class ZeroShotNamer(GalleryNamer):
    """:class:`ZeroShot` as a namer: the taxa of the gallery and all leaves of the taxonomy, those without a specimen too."""

    name, says = "zero-shot", "the text of its name; needs an encoder with a text tower, as open_clip: ones and spaces have"
    options = frozenset({"templates", "encoder"})
    fallback_temperature = 0.01  # CLIP's logit scale ends at 100

    @classmethod
    def fit(cls, gallery: Gallery, options: FitOptions) -> Self:
        """Encode the names. Raises BiocosmosError without an encoder that reads text, or with another than the gallery's."""
        encoder = options.encoder
        if encoder is None:
            raise BiocosmosError(
                "zero-shot names by text: give an encoder with a text tower, for example open_clip:ViT-B-32/laion2b_s34b_b79k"
            )
        described = getattr(encoder, "metadata", None)
        if callable(described):
            refuse_mismatch(gallery.provenance, {"encoder": {**described(), "preprocessing": None}}, "the texts")
        assert gallery.taxa is not None and gallery.taxonomy is not None
        named = np.union1d(gallery.taxa, gallery.taxonomy.leaves).astype(np.int32)
        if options.allowed is not None:
            named = named[options.allowed[named]]
        templates = check_templates(templates_of(encoder) if options.templates is None else options.templates)
        model = ZeroShot.fit(gallery.taxonomy, named, encoder, templates)
        if model.texts.shape[1] != gallery.dim:
            raise BiocosmosError(
                f"the texts have {model.texts.shape[1]} dimensions, the gallery {gallery.dim}: use the gallery's encoder"
            )
        return cls()._with(model, gallery)

    def _with(self, model: ZeroShot, gallery: Gallery) -> Self:
        self._model = model
        return self.known(gallery, model.candidates)

    def scores(self, vectors: FloatArray) -> FloatArray:
        """Cosines (n, C)."""
        return self._model.scores(vectors)

    def refitted(self, gallery: Gallery, options: FitOptions) -> Self:
        """The same texts, which no specimen was looked at for."""
        return type(self)()._with(self._model, gallery)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """texts."""
        return {"texts": self._model.texts}

    @classmethod
    def restore(cls, gallery: Gallery, classes: NodeArray, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """From its texts."""
        return cls()._with(ZeroShot(classes, np.asarray(arrays["texts"])), gallery)


def templates_of(encoder: object) -> tuple[str, ...]:
    """The sentences that taxa are named in for an encoder."""
    return getattr(encoder, "templates", None) or TEMPLATES


def wording_of(encoder: object) -> Wording | None:
    """How {lineage} is written for an encoder; None for all the names one after the other."""
    found = getattr(encoder, "text_wording", None)
    return found if isinstance(found, Wording) else None


def prompts(taxonomy: Taxonomy, node: int, templates: Sequence[str] = TEMPLATES, wording: Wording | None = None) -> list[str]:
    """One sentence per template for a taxon; underscores of label names become spaces.

    wording: of {lineage}; a taxon without a name at its ranks is written by all of its names.
    """
    path = taxonomy.path(node)
    lineage = [name.replace("_", " ") for name in path if name is not None]
    written = None if wording is None else wording.text(path, taxonomy.ranks)
    rank = int(taxonomy.rank[node])
    words = {"{name}": lineage[-1], "{lineage}": written or " ".join(lineage), "{rank}": taxonomy.ranks[rank]}
    out = []
    for template in templates:
        for field, word in words.items():
            template = template.replace(field, word)
        out.append(template)
    return out


def read_templates(path: str | Path) -> tuple[str, ...]:
    """One template a line, each with {name} or {lineage}; blank lines and lines starting with # are skipped."""
    path = Path(path)
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise BiocosmosError(f"cannot read the templates {path}: {error}") from error
    found = tuple(line for line in lines if line and not line.startswith("#"))
    return check_templates(found, str(path))


def check_templates(templates: Sequence[str], where: str = "templates") -> tuple[str, ...]:
    """Refuse an empty list and a template that would give every taxon the same sentence."""
    if not templates:
        raise BiocosmosError(f"{where}: no template; write one a line, for example: a photo of {{name}}")
    for template in templates:
        if "{name}" not in template and "{lineage}" not in template:
            raise BiocosmosError(
                f"{where}: {template!r} names no taxon; put {{name}} or {{lineage}} in it (fields: {', '.join(_FIELDS)})"
            )
    return tuple(templates)


def _unit(x: FloatArray) -> FloatArray:
    norms = np.linalg.norm(x, axis=-1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise BiocosmosError("zero-shot: the text encoder returned a zero or NaN vector; try another encoder or precision")
    out: FloatArray = (x / norms).astype(np.float32)
    return out
