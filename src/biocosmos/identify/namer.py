"""The contract of everything that names: specimens in, block by block, predictions out.

Roll-back, promises, sets, novelty, evidence, evaluation and pages stand on :class:`Predictions` alone. A new way to name is a
child of :class:`Namer` (or of :class:`GalleryNamer`, where it is fitted on the vectors of labelled specimens), entered in
:mod:`biocosmos.identify.namers.registry`.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from biocosmos.errors import BiocosmosError
from biocosmos.identify.attribute_columns import PROBABILITIES, AskedTask, answer_columns, packed, predictions_of, unpacked
from biocosmos.identify.attributes import AttributePredictions
from biocosmos.identify.blocks import block_rows
from biocosmos.identify.encoding import encoder_of
from biocosmos.identify.predictions import Predictions
from biocosmos.search.gallery import Gallery
from biocosmos.search.hits import Hits
from biocosmos.taxonomy import Taxonomy

if TYPE_CHECKING:
    from biocosmos.identify.confidence.held_out import HeldOut

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Ids = npt.NDArray[np.object_]
Takes = Literal["vectors", "images", "barcodes", "both"]


@dataclass(frozen=True, eq=False)
class Specimens:
    """A block of n specimens, with what its namer takes; one more modality is one more field.

    ids: (n,) object array of str; vectors: (n, d) float32 unit vectors of the namer's encoder; images: (n, 3, size, size) uint8,
    prepared as the namer's ``preprocessing`` says; sizes: (n, 2) float32 logarithms of height and width in pixels before that;
    truth: (n,) int32 nodes of the namer's taxonomy, 0 unknown, -1 not in it, None for all unknown; columns: one row a specimen;
    barcodes: (n,) object array of str, upper case ACGTN. For a namer that takes "both", a specimen without an image has a vector
    of zeros, and one without a barcode "" or None.
    """

    ids: Ids
    vectors: Float32 | None = None
    images: torch.Tensor | None = None
    sizes: Float32 | None = None
    truth: Int32 | None = None
    columns: pa.Table | None = None
    barcodes: npt.NDArray[np.object_] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, rows: slice) -> Specimens:
        """Those of a slice."""
        parts: dict[str, Any] = {name: part[rows] for name, part in vars(self).items() if part is not None and name != "columns"}
        columns = None if self.columns is None else self.columns.slice(rows.start, rows.stop - rows.start)
        return Specimens(**parts, columns=columns)

    @classmethod
    def concatenated(cls, blocks: Sequence[Specimens]) -> Specimens:
        """One or more blocks of the same kinds as one."""
        parts = {name: [vars(block)[name] for block in blocks] for name, part in vars(blocks[0]).items() if part is not None}
        joined: dict[str, Any] = {
            name: pa.concat_tables(part) if name == "columns" else torch.cat(part) if name == "images" else np.concatenate(part)
            for name, part in parts.items()
        }
        return cls(**joined)


class Said(NamedTuple):
    """What a namer computes of a block: logits (n, C) and features (n, d) float32; rank_scores as in :class:`Predictions`;
    attributes: (n, A) float32 probabilities of the classes of all attributes, None of a namer that answers names only."""

    logits: Float32
    features: Float32
    rank_scores: tuple[Float32, ...] | None = None
    attributes: Float32 | None = None


class Namer(ABC):
    """Names specimens. A child sets the attributes and overrides :meth:`said`.

    name: what a user types; says: one line; takes: what its blocks of :class:`Specimens` must hold; wants_sizes: that they
    must hold sizes too.
    taxonomy: its tree; classes: (C,) int32 ascending nodes, the taxa it chooses among; learnt: (m,) ids of the specimens it was
    fitted on, none of which it may be asked about.
    """

    name: ClassVar[str]
    says: ClassVar[str]
    takes: ClassVar[Takes] = "vectors"
    wants_sizes: bool = False
    taxonomy: Taxonomy
    classes: Int32
    learnt: Ids
    rank_nodes: tuple[Int32, ...] = ()
    asked_tasks: tuple[AskedTask, ...] = ()
    """The attributes it answers beside names."""

    @abstractmethod
    def said(self, specimens: Specimens) -> Said:
        """Scores and features of one block, in memory whole."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """Encoder, digest, split and so on, JSON-ready: the facts of its predictions."""

    @property
    def title(self) -> str:
        """How its answers call it in their column ``method``."""
        return self.name

    def predict(self, specimens: Specimens, **facts: Any) -> Predictions:
        """What it says of one block. Raises BiocosmosError for a block without what it takes."""
        self.refuse_without(specimens)
        return self.predictions(specimens, self.said(specimens), specimens.columns, **facts)

    def refuse_without(self, specimens: Specimens) -> None:
        """Raise BiocosmosError for a block without what it takes."""
        if getattr(specimens, self.takes) is None:
            raise BiocosmosError(f"the namer {self.title!r} takes {self.takes}, and these specimens come without")

    def predictions(self, specimens: Specimens, found: Said, columns: pa.Table | None, **facts: Any) -> Predictions:
        """What was computed of a block, as everything that stands on a namer takes it; columns: one row a specimen."""
        if found.attributes is not None:
            beside = pa.table({PROBABILITIES: packed(found.attributes)})
            columns = beside if columns is None else columns.append_column(PROBABILITIES, beside[PROBABILITIES])
        return Predictions(
            ids=specimens.ids,
            taxonomy=self.taxonomy,
            classes=self.classes,
            logits=found.logits,
            features=found.features,
            truth=np.zeros(len(specimens), np.int32) if specimens.truth is None else specimens.truth,
            rank_scores=found.rank_scores,
            rank_nodes=self.rank_nodes if found.rank_scores is not None else (),
            facts={"namer": self.title, **self.about(), **facts},
            columns=columns,
        )

    def shown(self, predictions: Predictions, known: Gallery | None) -> dict[str, pa.Array]:
        """More columns of the table of answers, one value a specimen: its attributes."""
        return answer_columns(self.attributes_of(predictions)) if self.asked_tasks else {}

    def attributes_of(self, predictions: Predictions) -> AttributePredictions:
        """What it said of attributes with these predictions of its own."""
        count = sum(len(task.classes) for task in self.asked_tasks)
        columns = predictions.columns
        if columns is not None and PROBABILITIES in columns.column_names:
            values = unpacked(columns[PROBABILITIES], count)
        else:  # of no specimen
            values = np.empty((len(predictions), count), np.float32)
        return predictions_of(predictions.ids, self.asked_tasks, values)

    def stream(self, blocks: Iterable[Specimens], **facts: Any) -> Iterator[Predictions]:
        """What it says of a stream of blocks, one block of :func:`block_rows` in memory at a time, in their order.

        A stream without a specimen gives one empty block, so that whoever reads it knows the tree.
        """
        size, any_block = block_rows(len(self.classes)), False
        for block in blocks:
            for start in range(0, len(block), size):
                any_block = True
                yield self.predict(block.rows(slice(start, min(start + size, len(block)))), **facts)
        if not any_block:
            yield self.nothing(**facts)

    def nothing(self, features: int = 0, **facts: Any) -> Predictions:
        """Predictions of no specimen; features: their width."""
        empty = np.empty((0, len(self.classes)), np.float32)
        return Predictions(
            np.empty(0, object),
            self.taxonomy,
            self.classes,
            empty,
            np.empty((0, features), np.float32),
            np.empty(0, np.int32),
            facts={"namer": self.title, **self.about(), **facts},
        )


@dataclass(frozen=True)
class FitOptions:
    """What a namer may be fitted with; one that is not of its :attr:`GalleryNamer.options` is refused.

    class_weight: "balanced" weighs taxa alike (linear). templates, encoder: sentences and the text encoder that reads them
    (zero-shot). allowed: (nodes,) bool, the taxa that may be the answer, None for all; device: to compute on; seed: of folds.
    """

    class_weight: Literal["balanced"] | None = None
    templates: Sequence[str] | None = None
    encoder: Any = None
    allowed: npt.NDArray[np.bool_] | None = field(default=None, repr=False)
    device: str = "cpu"
    seed: int = 0


class GalleryNamer(Namer):
    """A namer that is fitted in moments on the unit vectors of labelled specimens, and so can be fitted again without some.

    options: names of the fields of :class:`FitOptions` that it uses; temperature: its scores are divided by it to be logits;
    own_scale: its scores are logits as they are; fallback_temperature: where no specimen can be held out to fit one.
    detectors: the novelty detectors that can read its features, the default first; () for all.
    unknown_below: the mass of an inner class is that of its members that it does not know, not of specimens known no deeper.
    """

    options: ClassVar[frozenset[str]] = frozenset()
    own_scale: ClassVar[bool] = False
    fallback_temperature: ClassVar[float] = 0.05
    detectors: ClassVar[tuple[str, ...]] = ()
    unknown_below: ClassVar[bool] = False
    temperature: float = 1.0

    @classmethod
    @abstractmethod
    def fit(cls, gallery: Gallery, options: FitOptions) -> Self:
        """Fit on the labelled rows of a gallery, none of them unlabelled."""

    @abstractmethod
    def scores(self, vectors: Float32) -> Float32:
        """vectors: (n, d) float32 unit. Returns (n, C) float32, higher is better; -inf where there is nothing to compare with."""

    @abstractmethod
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What was fitted, beyond the gallery, to be saved."""

    provenance: dict[str, Any]

    def known(self, gallery: Gallery, classes: Int32) -> Self:
        """Take tree, ids and provenance from the gallery fitted on; returns self."""
        assert gallery.taxonomy is not None
        self.taxonomy, self.classes, self.learnt = gallery.taxonomy, classes, gallery.ids
        self.provenance = gallery.provenance
        return self

    def about(self) -> dict[str, Any]:
        """The encoder of its vectors, the split it was fitted on, and a digest of what it learnt."""
        return {"encoder": encoder_of(self.provenance), "split": self.provenance.get("split"), "digest": self.digest} | (
            {"unknown_below": True} if self.unknown_below else {}
        )

    @cached_property
    def digest(self) -> str:
        """Of name, classes, specimens, encoder and fitted arrays, 16 hex digits."""
        found = hashlib.sha256(f"{self.name} {self.taxonomy.digest} {encoder_of(self.provenance).get('digest')}".encode())
        found.update("\n".join(self.learnt.tolist()).encode())
        for name, array in sorted({**self.arrays(), "classes": self.classes}.items()):
            found.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return found.hexdigest()[:16]

    @classmethod
    @abstractmethod
    def restore(cls, gallery: Gallery, classes: Int32, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """The namer again, from the gallery it was fitted on and what :meth:`arrays` gave."""

    hides_taxa: ClassVar[bool] = False
    """Whether :meth:`held_out` hides whole taxa too."""

    def held_out(self, gallery: Gallery, seed: int) -> HeldOut | None:
        """Specimens of the gallery it was fitted on as it sees them without them, where it has a way of its own; None for the
        usual one (:func:`biocosmos.identify.confidence.held_out.cross_fitted`)."""
        return None

    def held_out_alone(self, gallery: Gallery, seed: int) -> dict[str, HeldOut]:
        """By what its column "evidence" may say, held-out specimens as it sees them by that alone; none for a namer that takes
        one thing only."""
        return {}

    def nearest(self, predictions: Predictions, known: Gallery) -> Hits | None:
        """The nearest known specimens, where it has found them itself; None to search for those with the nearest features."""
        return None

    def no_deeper(self, predictions: Predictions) -> Int64 | None:
        """(n,) the rank below which a specimen is given no name, however sure, -1 for none at all; None for no such bound."""
        return None

    def refitted(self, gallery: Gallery, options: FitOptions) -> Self:
        """The same kind of namer on another gallery, such as this one's without a fold."""
        return self.fit(gallery, options)

    def said(self, specimens: Specimens) -> Said:
        """Scores over the temperature, and the vectors themselves as features."""
        assert specimens.vectors is not None
        return Said(self.scores(specimens.vectors) / np.float32(self.temperature), specimens.vectors)
