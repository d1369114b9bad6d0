"""What is measured of an encoder that is computed some way: vectors or names of the two sides, and who is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.encoders.encoder import Encoder
from biocosmos.encoders.feature_maps import Trunk
from biocosmos.encoders.image_reader import ahead
from biocosmos.encoders.towers import Towers
from biocosmos.errors import BiocosmosError
from biocosmos.identify.namer import Specimens
from biocosmos.identify.namers.head_model import HeadModel
from biocosmos.identify.namers.heads import TrainedHead
from biocosmos.jobs.tokens.dial_settings import AGREEMENT
from biocosmos.jobs.tokens.dial_specimens import Side, Sides
from biocosmos.jobs.tokens.nearest import nearest
from biocosmos.jobs.tokens.prepared import Prepared
from biocosmos.progress import Progress

Array = npt.NDArray[Any]
BLOCK = 64


def vectors_of(encoder: Encoder, pixels: Array, bar: Progress) -> Array:
    """(n, dim) float32 unit vectors, computed as ``embed`` computes: a batch a stream."""

    def encoded(start: int) -> Array:
        return encoder.encode_images(torch.from_numpy(np.array(pixels[start : start + encoder.batch_size])))

    starts = range(0, len(pixels), encoder.batch_size)
    found = [np.empty((0, encoder.dim), np.float32)]
    for block in ahead(encoded, starts, encoder.streams, enter=encoder.enter_thread, leave=encoder.leave_thread):
        found.append(block)
        bar.advance(len(block))
    return np.concatenate(found)


def names_of(head: TrainedHead, towers: Towers, rank: str, images: Prepared, bar: Progress) -> Array:
    """(n,) int64 node of the head's tree at ``rank`` that is most probable, by the head over these towers, torch in float32."""
    one = with_towers(head, towers)
    found = [np.empty(0, np.int64)]
    ids = np.array(["asked"] * BLOCK, object)
    nodes = np.asarray(head.taxonomy.ancestor(head.classes, rank), np.int64)
    kinds, of_kind = np.unique(nodes, return_inverse=True)
    for start in range(0, len(images.pixels), BLOCK):
        rows = slice(start, start + BLOCK)
        pixels = torch.from_numpy(np.array(images.pixels[rows]))
        sizes = np.array(images.log_sizes[rows]) if head.wants_sizes else None
        said = one.said(Specimens(ids[: len(pixels)], images=pixels, sizes=sizes))
        scores = said.logits.astype(np.float64)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        summed = np.zeros((len(scores), len(kinds)))
        np.add.at(summed.T, of_kind, scores.T)
        found.append(kinds[summed.argmax(axis=1)])
        bar.advance(len(pixels))
    return np.concatenate(found)


def with_towers(head: TrainedHead, towers: Towers) -> TrainedHead:
    """The same head over the same weights, computed with other tokens.

    Raises BiocosmosError for a head on stored vectors, and for one that takes maps: fewer tokens make none.
    """
    from dataclasses import replace

    if head.facts["taps"] and towers.reduction is not None:
        raise BiocosmosError(
            f"the head in {head.folder} takes maps of the network's stages, and fewer tokens make no map: train a head of "
            "features alone (flat, marginalised, conditional, multitask), or take --measure recall"
        )
    trunk = Trunk(towers, taps=head.facts["taps"] or 1)
    model = HeadModel(trunk, head.model.head, head.preprocessing).to(head.device).eval()
    return replace(head, model=model)


def right(sides: Sides, answers: tuple[Array, Array], dense: tuple[Array, Array]) -> tuple[Array, Array]:
    """Who is right on the choosing side and on the judging side, (n,) bool each; none of the latter where it is not computed.

    answers, dense: what :func:`vectors_of` or :func:`names_of` gave for the two sides, of this way and with all tokens.
    """
    if answers[0].ndim == 1:
        return answers[0] == sides.choosing.truth, answers[1] == sides.judging.truth[: len(answers[1])]
    mine = nearest(answers[0], answers[0], own=True), nearest(answers[1], answers[0])
    if sides.measure == AGREEMENT:
        theirs = nearest(dense[0], dense[0], own=True), nearest(dense[1][: len(answers[1])], dense[0])
        return mine[0] == theirs[0], mine[1] == theirs[1]
    return _same(sides.choosing, mine[0], sides.choosing), _same(sides.judging, mine[1], sides.choosing)


def _same(asked: Side, rows: Array, answering: Side) -> Array:
    return np.asarray(asked.truth[: len(rows)] == answering.truth[rows])
