"""Encoders of texts: names of taxa in, unit vectors out. One string names them, as it names encoders of images.

    run/text                a text tower that 'biocosmos train contrastive' wrote; run/ is its space
    ./bert-small            a folder of a BERT, as Hugging Face keeps it: config.json, vocab.txt or tokenizer.json, weights
    open_clip:NAME/TAG      the text half of an open_clip model, in the space of its images; a folder of one as well

Nothing heavy is imported until a model is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from biocosmos.encoders.modality import is_text_folder, tower_name
from biocosmos.encoders.spaces import sibling, space_of
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.taxon_texts import Wording

if TYPE_CHECKING:
    from biocosmos.encoders.encoder import Encoder

TEXTS_AT_ONCE = 256
NO_WORDS = "nothing can be computed from the text: it has no word"
"""Why a row of an encoder says nothing."""

Vectors = npt.NDArray[np.float32]


@runtime_checkable
class TextEncoder(Protocol):
    """What :func:`load_text_encoder` gives.

    name: the string it was loaded by; dim: numbers of a vector; modality: "text"; digest: of what it computes with, 16 hex
    digits; batch_size: texts of a call; wording: how the texts of specimens are written for it.
    """

    name: str
    dim: int
    modality: Literal["text"]
    digest: str
    batch_size: int
    wording: Wording

    def metadata(self) -> dict[str, Any]:
        """What must be known to compare rows: name, digest, dim, modality, preprocessing, precision, backend, device; and space,
        the digest of the space it is a tower of, if it is one."""

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """(n, dim) float32 unit vectors; a text without a word that can be read is a row of zeros."""


class ClipTexts:
    """The text half of a model of images and texts; an empty text is one too."""

    modality: Literal["text"] = "text"
    batch_size = TEXTS_AT_ONCE

    def __init__(self, encoder: Encoder) -> None:
        self._encoder, self.name, self.dim, self.digest = encoder, encoder.name, encoder.dim, encoder.digest
        self.wording = Wording()

    def metadata(self) -> dict[str, Any]:
        """See :class:`TextEncoder`."""
        facts = self._encoder.metadata()
        kept = {key: facts[key] for key in ("name", "digest", "dim", "device", "source")}
        written = {"preprocessing": {"texts": self.wording.as_dict()}, "precision": "float32", "backend": "torch"}
        return kept | {"modality": self.modality} | written

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """See :class:`TextEncoder`."""
        return self._encoder.encode_texts(texts)


class SpaceTexts:
    """The names of taxa for another tower of a space, as zero-shot naming asks for them: in its wording, and in no sentence."""

    templates = ("{lineage}",)

    def __init__(self, tower: TextEncoder) -> None:
        self._tower, self.text_wording = tower, tower.wording

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """(n, dim) float32 unit vectors. Raises BiocosmosError for a text that the tower finds no word in."""
        vectors = self._tower.encode_texts(texts)
        says = vectors.any(axis=1)
        if not says.all():
            text = texts[int(np.argmin(says))]
            raise BiocosmosError(f"'{text}' has no word of a name: ask for a taxon, such as order Diptera")
        return vectors


def texts_beside(name: str, digest: str, dim: int, *, device: str = "auto") -> SpaceTexts:
    """What reads names for the tower ``name`` of a space, whose weights have this digest.

    Raises BiocosmosError where no tower of texts stands beside it, and for one of another training.
    """
    beside = sibling(name, digest, "text")
    if beside is None:
        raise BiocosmosError(f"'{name}' is of no space with a tower of texts: train one with --text, or name another encoder")
    tower = load_text_encoder(beside, device=device)
    if tower.metadata().get("space") != space_of(name, digest) or tower.dim != dim:
        raise BiocosmosError(
            f"'{beside}' is not the tower of texts that '{name}' was trained with: bring that one, or train the space again"
        )
    return SpaceTexts(tower)


def load_text_encoder(name: str, *, device: str = "auto") -> TextEncoder:
    """Load an encoder of texts that is on this machine.

    Raises BiocosmosError: an unknown name; a model of images or of barcodes alone; a folder without its tokenizer, or that was
    changed; weights that are not on this machine, with the command that fetches them.
    """
    name = tower_name(name, "text")
    folder = Path(name)
    if is_text_folder(folder):
        from biocosmos.encoders.text_models import load_text_folder

        return load_text_folder(folder, name=name, device=device)
    from biocosmos.encoders.registry import load_encoder

    encoder = load_encoder(name, device=device)
    if encoder.modality != "image+text":
        raise BiocosmosError(
            f"encoder '{name}' reads no texts: name the folder of a text tower or of a BERT, or an open_clip model, such as "
            "open_clip:ViT-B-32/laion2b_s34b_b79k"
        )
    return ClipTexts(encoder)


__all__ = ["NO_WORDS", "ClipTexts", "SpaceTexts", "TextEncoder", "load_text_encoder", "texts_beside"]
