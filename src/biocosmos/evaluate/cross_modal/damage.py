"""Barcodes as they come from old, degraded or badly read specimens: cut short, and with wrong bases; the same by the seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from biocosmos.evaluate.cross_modal.scores import AVERAGES, Row, nearest
from biocosmos.evaluate.cross_modal.sides import AVERAGED, DNA, IMAGE, SEEN, UNSEEN, Array, Side, unit
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.open_world.scores import harmonic_mean, share_within

LENGTHS = (300, 200, 100)
ERRORS = (0.01, 0.02, 0.05)
START, END = "start", "end"
_BASES = "ACGT"


@dataclass(frozen=True)
class Damage:
    """bases: how many are left, None for all; end: at which end they lie; errors: the share of bases read as another one;
    missing: nothing is left at all."""

    bases: int | None = None
    end: str = START
    errors: float = 0.0
    missing: bool = False

    @property
    def name(self) -> str:
        """In words: "whole", "300 bases of the start", "2 % wrong bases", "missing"."""
        if self.missing:
            return "missing"
        if self.bases is not None:
            return f"{self.bases} bases of the {self.end}"
        return f"{100 * self.errors:g} % wrong bases" if self.errors else "whole"

    def of(self, ids: Sequence[str], barcodes: Sequence[str | None], seed: int = 0) -> list[str | None]:
        """The barcodes (n,) after it; None stays None. Wrong bases are drawn by the seed and the id, so that what happens to one
        specimen does not depend on the others: each A, C, G or T becomes one of the other three with the chance ``errors``."""
        if self.missing:
            return [None] * len(barcodes)
        cut = [_cut(each, self.bases, self.end) for each in barcodes]
        if not self.errors:
            return cut
        return [None if each is None else _misread(each, self.errors, f"{seed} {id_}") for id_, each in zip(ids, cut)]


DAMAGES = (
    Damage(),
    *(Damage(bases, end) for bases in LENGTHS for end in (START, END)),
    *(Damage(errors=share) for share in ERRORS),
    Damage(missing=True),
)


def damage_scores(keys: Side, queries: Mapping[str, Side], by: str = DNA, *, bootstrap: Bootstrap | None = None) -> list[Row]:
    """Rows of rank, average and the share of each part whose nearest key is of its taxon, with the harmonic mean.

    queries: part ("seen", "unseen") -> who asks, with vectors of damaged barcodes under "dna"; a row of zeros where nothing is
    left to compute from. by: "dna", the barcode alone, which is wrong where nothing is left; or "averaged", the mean of image and
    barcode against that of the keys, or the image alone where no barcode is left.
    """
    boot = Bootstrap() if bootstrap is None else bootstrap
    found: dict[str, Array] = {}
    for part, side in queries.items():
        asking = side if by == DNA else Side({DNA: unit(side.vectors[IMAGE] + side.vectors[DNA])}, side.taxa)
        answering = keys if by == DNA else Side({DNA: keys.matrix(AVERAGED)}, {})
        found[part] = np.full(len(side), -1, np.int64)
        if len(rows := asking.rows(DNA)):
            near = nearest(answering, asking, DNA, DNA, 1)[0][:, 0]
            found[part][rows] = near if by == DNA else keys.rows(AVERAGED)[near]
    answers = {
        part: (side.taxa, {rank: np.append(codes, -1)[found[part]] for rank, codes in keys.taxa.items()})
        for part, side in queries.items()
    }
    return shares_of_answers(list(keys.taxa), answers, boot)


def shares_of_answers(
    ranks: Sequence[str], answers: Mapping[str, tuple[Mapping[str, Array], Mapping[str, Array]]], boot: Bootstrap
) -> list[Row]:
    """Rows as of :func:`damage_scores`; answers: part -> (true, said), each rank -> (n,) codes, -1 for none."""
    made = []
    for rank in ranks:
        for average in AVERAGES:
            row: Row = {"rank": rank, "average": average}
            for part, (true, said) in answers.items():
                shared = share_within(true[rank], said[rank][:, None], 1, average, boot)
                row |= {f"{part}{end}": of for end, of in zip(("", "_low", "_high"), shared)}
            made.append({**row, "harmonic_mean": harmonic_mean(row[SEEN], row[UNSEEN])})
    return made


def _cut(barcode: str | None, bases: int | None, end: str) -> str | None:
    if barcode is None or bases is None:
        return barcode
    letters = barcode.strip("N")  # what was never read is not a base that is left
    return letters[:bases] if end == START else letters[-bases:]


def _misread(barcode: str, share: float, key: str) -> str:
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"))
    wrong, turn = rng.random(len(barcode)) < share, rng.integers(1, 4, len(barcode))
    letters = list(barcode)
    for i in np.flatnonzero(wrong):
        if letters[i] in _BASES:
            letters[i] = _BASES[(_BASES.index(letters[i]) + int(turn[i])) % 4]
    return "".join(letters)
