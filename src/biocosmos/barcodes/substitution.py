"""How a stretch of the gene COI changes along a branch: HKY85 for each codon position, no stop codon in frame.

Hasegawa, Kishino, Yano 1985, J. Mol. Evol. 22:160. A site of base frequencies p and rate r meets two kinds of events: at rate b r
its base is drawn anew from p; at rate b r (k - 1) P it is drawn anew among the bases of its own class (purines A G, pyrimidines
C T), whose frequencies sum to P. That is HKY85 exactly, with k for transitions over transversions, without a matrix exponential.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BASES = "ACGT"
"""The code of a base is its place here; purines are even."""
LENGTH = 658
"""Bases between the primers of Folmer et al. 1994. The first ends a codon, the other 657 are 219 whole codons."""
PROTEIN = (
    "TLYFIFGIWAGMVGTSLSLLIRAELGNPGSLIGDDQIYNTIVTAHAFIMIFFMVMPIMIGGFGNWLVPLMLGAPDMAFPRMNNMSFWLLPPSLTLLISSS"
    "IVENGAGTGWTVYPPLSSNIAHGGSSVDLAIFSLHLAGISSILGAINFITTIINMRLNNLSFDQMPLFVWAVGITAFLLLLSLPVLAGAITMLLTDRNLN"
    "TSFFDPAGGGDPILYQHLF"
)
"""What insects' barcodes mean, as textbooks show it: the root of every tree."""
AMINO_ACIDS = "KNKNTTTTSSSSMIMIQHQHPPPPRRRRLLLLEDEDAAAAGGGGVVVV*Y*YSSSSWCWCLFLF"
"""Invertebrate mitochondrial code (NCBI table 5): the meaning of codon 16 a + 4 b + c, in the order of BASES."""


@dataclass(frozen=True)
class Substitution:
    """The model's numbers; each row or entry is a codon position.

    Attributes:
        frequencies: (3, 4) of A C G T, about those of 9,369 insects' barcodes of 658 bases (ARISE, the Netherlands).
        rates: of the positions, relative to each other; the mean over all sites is one substitution per site and unit of time.
        shapes: of the gamma distribution of rates among the sites of a position: the smaller, the more sites never change.
        kappa: how much faster a transition is than a transversion to a base as frequent.
    """

    frequencies: tuple[tuple[float, float, float, float], ...] = (
        (0.29, 0.17, 0.27, 0.27),
        (0.14, 0.26, 0.17, 0.43),
        (0.46, 0.10, 0.03, 0.41),
    )
    rates: tuple[float, float, float] = (0.14, 0.02, 1.0)
    shapes: tuple[float, float, float] = (0.6, 0.4, 4.0)
    kappa: float = 6.0


class Sites:
    """The sites of one simulated gene: each has a codon position and a rate of its own, drawn once.

    Attributes:
        position: (LENGTH,) codon position 0, 1, 2.
        pace: (LENGTH,) float32, b r of the module's description.
    """

    def __init__(self, model: Substitution, random: np.random.Generator) -> None:
        self.model = model
        self.position = (np.arange(LENGTH) - 1) % 3
        p = np.array(model.frequencies)
        self._cumulative = np.cumsum(p, axis=1)
        of_class = np.stack([p[:, 0] + p[:, 2], p[:, 1] + p[:, 3]] * 2, axis=1)  # (3, 4): P of each base's class
        self._any_event = 1 + (model.kappa - 1) * of_class  # (3, 4): of both kinds, in units of the first kind's rate
        self._frequencies, self._of_class = p, of_class
        changes = (p * ((1 - p) + (model.kappa - 1) * (of_class - p))).sum(1)  # per position, where b = 1
        rates = np.array(model.rates) * LENGTH / (np.bincount(self.position) @ model.rates)
        shapes = np.array(model.shapes)[self.position]
        drawn = random.gamma(shapes) / shapes
        for codon in range(3):
            drawn[self.position == codon] /= drawn[self.position == codon].mean()
        self.pace = (rates / changes)[self.position] * drawn

    def root(self, random: np.random.Generator) -> NDArray[np.uint8]:
        """(LENGTH,) codes: PROTEIN, each codon drawn among those of its amino acid by the frequencies of its bases."""
        p = self._frequencies
        weights = (p[0][:, None, None] * p[1][None, :, None] * p[2][None, None, :]).ravel()
        found = [random.choice(4, p=p[2])]
        for letter in PROTEIN:
            codons = np.array([i for i, meant in enumerate(AMINO_ACIDS) if meant == letter])
            codon = int(random.choice(codons, p=weights[codons] / weights[codons].sum()))
            found += [codon // 16, codon // 4 % 4, codon % 4]
        return np.array(found, np.uint8)

    def evolve(self, parents: NDArray[np.uint8], times: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.uint8]:
        """Each sequence after its time; a codon that would become a stop stays as its parent's.

        parents: (n, LENGTH) codes; times: (n,) expected substitutions per site. Returns (n, LENGTH) codes.
        """
        children = parents.copy()
        waits = random.standard_exponential(parents.shape, np.float32)  # until the first event, in events
        spans = np.outer(times.astype(np.float32), self.pace.astype(np.float32))
        rows, sites = np.nonzero(waits < spans * np.float32(self._any_event.max()))
        before, codon = parents[rows, sites], self.position[sites]
        waits, spans = waits[rows, sites], spans[rows, sites]
        happens = waits < spans * self._any_event[codon, before]
        rows, sites, before, codon = rows[happens], sites[happens], before[happens], codon[happens]
        anew = waits[happens] < spans[happens]
        drawn = random.random(len(rows))
        after = (drawn[:, None] >= self._cumulative[codon, :3]).sum(1)
        lower = before % 2  # A of the purines, C of the pyrimidines
        within = lower + 2 * (drawn >= self._frequencies[codon, lower] / self._of_class[codon, lower])
        children[rows, sites] = np.where(anew, after, within)
        rows, codons = np.nonzero(stops(children))
        for place in range(3):
            children[rows, 1 + 3 * codons + place] = parents[rows, 1 + 3 * codons + place]
        return children

    def expected_difference(self, time: float) -> float:
        """Share of sites at which two sequences differ that ``time`` substitutions per site lie between, stops aside."""
        p, spans = self._frequencies[self.position], self.pace[:, None] * time
        of_class = self._of_class[self.position]
        none, no_anew = np.exp(-spans * self._any_event[self.position]), np.exp(-spans)
        same = none + (no_anew - none) * p / of_class + (1 - no_anew) * p
        return float(1 - (p * same).sum(1).mean())

    def time_for(self, difference: float) -> float:
        """Substitutions per site after which two sequences are expected to differ at this share of the sites; by bisection.

        Raises ValueError for a share that is never reached.
        """
        low, high = 0.0, 1.0
        while self.expected_difference(high) < difference:
            low, high = high, 2 * high
            if high > 1e6:
                raise ValueError(f"a difference of {difference} is never reached: sites that changed often look alike again")
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self.expected_difference(middle) < difference else (low, middle)
        return high


def stops(sequences: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(n, 219) whether a codon is TAA or TAG, the two stops of the code. sequences: (n, LENGTH) codes."""
    found: NDArray[np.bool_] = (sequences[:, 1::3] == 3) & (sequences[:, 2::3] == 0) & (sequences[:, 3::3] % 2 == 0)
    return found
