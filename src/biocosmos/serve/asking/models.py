"""The encoders that turn images, words and barcodes into vectors: loaded when first needed, asked by one thread at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.encoders.barcodes import NOT_COMPARED, BarcodeEncoder, Rows, comparable
from biocosmos.encoders.encoder import Encoder
from biocosmos.encoders.modality import Modality
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.jobs.queries import barcode_encoder_of_column, encoder_of_column
from biocosmos.jobs.sequences import typed
from biocosmos.jobs.space_queries import SpaceTowers, as_learnt, dense_barcodes
from biocosmos.serve.asking import limits
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.given_vectors import GIVEN
from biocosmos.trust import refuse_code

STAGE = "search"
Float32 = npt.NDArray[np.float32]


class OneAtATime(Encoder):
    """An encoder whose model is run by one thread at a time, whoever asks; everything else is the encoder's own."""

    def __init__(self, encoder: Encoder, lock: threading.RLock) -> None:
        self.__dict__.update(encoder.__dict__)
        self._encoder, self._running = encoder, lock

    def encode_images(self, batch: torch.Tensor, *, together: int | None = None) -> Float32:
        """See :meth:`Encoder.encode_images`; another thread gets its turn between two batches."""
        size = together or self.batch_size
        out = np.empty((len(batch), self.dim), np.float32)
        for start in range(0, len(batch), size):
            with self._running:
                out[start : start + size] = self._encoder.encode_images(batch[start : start + size], together=together)
        return out

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """See :meth:`Encoder.encode_texts`."""
        with self._running:
            return self._encoder.encode_texts(texts)

    def enter_thread(self) -> None:
        """Nothing to do: how many threads torch uses is the process's, and other requests are computing."""

    def leave_thread(self) -> None:
        """Nothing to do."""


@dataclass(frozen=True)
class AskedBarcode:
    """letters: in ACGTN, None without a barcode; reason: why there is nothing to compare; row: (1, dim), or counts of one."""

    letters: str | None
    reason: str
    row: Rows | None = None

    def with_row(self, rows: Rows, at: int) -> AskedBarcode:
        """With what an encoder made of it, unless that is nothing."""
        row = rows[at : at + 1]
        return replace(self, row=row) if comparable(row)[0] else replace(self, reason=NOT_COMPARED)


class Models:
    """Of one collection."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._running = threading.RLock()
        self._barcode_encoders: dict[str, BarcodeEncoder] = {}
        self._towers: dict[tuple[str, str], Any] = {}

    def get(self, encoder: str) -> OneAtATime:
        """The encoder that made an embedding. Raises BiocosmosError where it cannot be had here, or made other vectors."""
        with self._running:
            return self.one_at_a_time(encoder_of_column(self._collection, encoder))

    def one_at_a_time(self, encoder: Encoder) -> OneAtATime:
        """An encoder that waits while another of these computes."""
        return OneAtATime(encoder, self._running)

    def refusals(self, encoder: str) -> dict[str, str | None]:
        """Of "images", "texts" and "dna", in one line, why they cannot be asked with; None where they can. Nothing is loaded."""
        facts = self._collection.encoders[encoder]
        no_model = None
        if facts.get("backend") == GIVEN:
            no_model = f"the vectors '{encoder}' were made elsewhere and no model of them is here: search by specimens"
        else:
            try:
                refuse_code(encoder, self._collection.path)
            except BiocosmosError as error:
                no_model = str(error)
        if facts.get("modality") == "text":
            no_image = f"'{encoder}' compares the names of specimens, not images: choose another embedding"
            return {"images": no_image, "texts": no_model, "dna": self._no_barcodes(encoder)}
        if facts.get("modality") == "dna":
            no_image = f"'{encoder}' compares DNA barcodes, not images: choose another embedding"
            no_words = f"'{encoder}' compares DNA barcodes and knows no words"
            return {"images": no_image, "texts": no_words, "dna": no_model}
        no_text = None if facts.get("modality") == "image+text" else f"'{encoder}' has no text tower: it knows images only"
        return {
            "images": no_model,
            "texts": no_model or no_text,
            "dna": self._no_barcodes(encoder),
        }

    def _no_barcodes(self, encoder: str) -> str:
        """Why an encoder of images cannot be asked with barcodes."""
        have = [name for name, facts in self._collection.encoders.items() if facts.get("modality") == "dna"]
        if have:
            return f"'{encoder}' knows images only: choose {' or '.join(have)}"
        return "this collection has no encoder of barcodes yet: start “Compute vectors” with kmer:7"

    def texts(self, encoder: str, texts: Sequence[str], space: SpaceTowers | None = None) -> Float32:
        """(n, dim) vectors of words, by an encoder of images and words, or by the tower of a space."""
        if not texts:
            return np.empty((0, 0), np.float32)
        if space is None:
            return self.get(encoder).encode_texts(texts)
        with self._running:
            tower = self._tower(space, "text")
            found: Float32 = tower.encode_texts(as_learnt(self._collection, tower.wording, texts))
        return found

    def _tower(self, space: SpaceTowers, modality: Modality) -> Any:
        """Loaded once a training."""
        key = (space.digest, modality)
        if key not in self._towers:
            self._towers[key] = getattr(space, modality)()
        return self._towers[key]

    def barcodes(self, encoder: str, texts: Sequence[str], space: SpaceTowers | None = None) -> list[AskedBarcode]:
        """Of each text its barcode, cleaned as files of queries are, and its row: of a space, always a vector."""
        found = [AskedBarcode(one.sequence, one.refused or "") for one in typed(texts)]
        letters = [one.letters for one in found if one.letters is not None]
        if not letters:
            return found
        with self._running:
            rows: Rows
            if space is None:
                rows = self._barcode_encoder(encoder).encode_barcodes(letters)
            else:
                rows, _ = dense_barcodes(self._tower(space, "dna"), letters)
        there = iter(range(len(letters)))
        return [one if one.letters is None else one.with_row(rows, next(there)) for one in found]

    def _image_tower(self, space: SpaceTowers) -> OneAtATime:
        with self._running:
            return self.one_at_a_time(self._tower(space, "image"))

    def _barcode_encoder(self, encoder: str) -> BarcodeEncoder:
        """Loaded once, as long as the embedding is of the same weights."""
        kept = self._barcode_encoders.get(encoder)
        if kept is None or kept.digest != self._collection.encoders[encoder].get("digest"):
            kept = self._barcode_encoders[encoder] = barcode_encoder_of_column(self._collection, encoder)
        return kept

    def images(
        self,
        encoder: str,
        files: Sequence[Path],
        failures: Failures,
        *,
        seconds: float = limits.SEARCH_SECONDS,
        space: SpaceTowers | None = None,
    ) -> tuple[Float32, npt.NDArray[np.int64]]:
        """Vectors (m, dim) of the images that could be read, and their places in ``files``; the others are in ``failures``, by
        their ``row`` from 1; what comes after ``seconds`` is among them."""
        model, until = self.get(encoder) if space is None else self._image_tower(space), time.monotonic() + seconds
        parts, kept = [np.empty((0, model.dim), np.float32)], [np.empty(0, np.int64)]
        for start in range(0, len(files), model.batch_size):  # so many are read by the calling thread alone
            some, told = files[start : start + model.batch_size], Failures()
            if time.monotonic() > until:
                for row in range(start, len(files)):
                    failures.add(f"not looked at: {seconds:.0f} seconds were over", stage=STAGE, row=row + 1)
                break
            vectors, places = model.encode_files([str(file) for file in some], failures=told, stage=STAGE)
            parts.append(vectors)
            kept.append(places + start)
            for one in told:
                failures.append(replace(one, row=(one.row or 0) + start))
        return np.concatenate(parts), np.concatenate(kept)
