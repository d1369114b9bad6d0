"""Barcodes as tokens of a language model: k-mers side by side, or overlapping, as numbers of a vocabulary.

Three vocabularies are in use: BarcodeBERT's (Arias et al. 2023, arXiv:2311.02401), its variant whose k-mers may hold N, and the
older one that CLIBD kept (Gong et al., ICLR 2025, arXiv:2405.17537). A shift of one base changes every token of k-mers that lie
side by side: training moves the frame at random (``offsets``), or lets tokens overlap (``stride`` below k).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

LONGEST = 660
"""Bases that are read, as published: COI barcodes of insects have 658."""
PAD = -1
"""Stands for the tokens after the end of a barcode, until :meth:`KmerTokens.padded` gives them their number."""
LARGEST_K = 9
VOCABULARIES = ("barcodebert", "with-n", "clibd")
_SPECIAL = {"barcodebert": 2, "with-n": 2, "clibd": 3}
_BASES, _OTHER = "ACGT", 4
_CODES = np.full(256, _OTHER, np.uint8)
for _letter, _code in zip(_BASES, range(4)):
    _CODES[ord(_letter)] = _CODES[ord(_letter.lower())] = _code

Tokens = npt.NDArray[np.int64]


@dataclass(frozen=True)
class KmerTokens:
    """A tokenizer.

    Attributes:
        k: bases of a token.
        stride: bases from one token to the next; 0 is k, side by side.
        vocabulary: "barcodebert": [MASK] 0, [UNK] 1, then the 4^k k-mers in the order A, C, G, T; a k-mer with another letter is
            [UNK]. "with-n": the same, and after them the k-mers with N in alphabetical order, 5^k in all (our choice: the
            published order depends on a library's version). "clibd": <MASK> 0, <CLS> 1, <UNK> 2, the k-mers; <CLS> comes first.
        length: bases that are read; what is beyond is cut off, what is shorter is filled with N on the right.
    """

    k: int = 4
    stride: int = 0
    vocabulary: str = "barcodebert"
    length: int = LONGEST

    def __post_init__(self) -> None:
        if not 1 <= self.k <= LARGEST_K:
            raise BiocosmosError(f"a token has 1 to {LARGEST_K} bases, not {self.k}")
        if self.vocabulary not in VOCABULARIES:
            raise BiocosmosError(f"vocabulary '{self.vocabulary}' is not known: choose {', '.join(VOCABULARIES)}")
        if not 0 <= self.stride <= self.k:
            raise BiocosmosError(f"tokens of {self.k} bases are 1 to {self.k} bases apart, not {self.stride}")
        if self.length < self.k:
            raise BiocosmosError(f"{self.length} bases hold no token of {self.k}")

    @property
    def step(self) -> int:
        """Bases from one token to the next."""
        return self.stride or self.k

    @property
    def mask(self) -> int:
        """The token that hides another."""
        return 0

    @property
    def unknown(self) -> int:
        """The token of a k-mer that is not in the vocabulary."""
        return self.special - 1

    @property
    def start(self) -> int | None:
        """The token before the first, None where there is none."""
        return 1 if self.vocabulary == "clibd" else None

    @property
    def special(self) -> int:
        """Tokens that are no k-mer: the first k-mer's number."""
        return _SPECIAL[self.vocabulary]

    @property
    def kmers(self) -> int:
        """K-mers of the vocabulary."""
        return int((5 if self.vocabulary == "with-n" else 4) ** self.k)

    @property
    def size(self) -> int:
        """All tokens of the vocabulary."""
        return self.special + self.kmers

    @property
    def tokens(self) -> int:
        """Tokens of a barcode, pads counted."""
        return (self.length - self.k) // self.step + 1 + (self.start is not None)

    def of(self, barcodes: Sequence[str], offsets: npt.NDArray[np.int64] | None = None) -> Tokens:
        """(n, tokens) int64, :data:`PAD` after the end of each barcode.

        offsets: (n,) bases left out at the beginning, which moves the frame. A token that reaches beyond the end is a pad, but a
        k-mer with N within the barcode is not: it is a real token, [UNK]. (The published mask says so too: it counts bases.)
        """
        letters, lengths = self.letters(barcodes, offsets)
        return self.of_letters(letters, lengths)

    def letters(
        self, barcodes: Sequence[str], offsets: npt.NDArray[np.int64] | None = None
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """((n, length) uint8: 0 to 3 for A, C, G, T, 4 for anything else and after the end; (n,) int64 bases of each)."""
        out = np.full((len(barcodes), self.length), _OTHER, np.uint8)
        lengths = np.zeros(len(barcodes), np.int64)
        for row, barcode in enumerate(barcodes):
            first = 0 if offsets is None else int(offsets[row])
            text = barcode[first : first + self.length].encode("ascii", "replace")
            out[row, : len(text)] = _CODES[np.frombuffer(text, np.uint8)]
            lengths[row] = len(text)
        return out, lengths

    def of_letters(self, letters: npt.NDArray[np.uint8], lengths: npt.NDArray[np.int64]) -> Tokens:
        """(n, tokens) int64 from what :meth:`letters` gives."""
        count = (self.length - self.k) // self.step + 1
        wide, codes = self.vocabulary == "with-n", np.zeros((len(letters), count), np.int64)
        known = np.ones(codes.shape, bool)
        for place in range(self.k):
            here = letters[:, place : place + count * self.step : self.step][:, :count]
            codes = codes * (5 if wide else 4) + here
            known &= here < _OTHER
        tokens = _numbers_with_n(self.k)[codes] if wide else np.where(known, codes + self.special, self.unknown)
        real = np.maximum((lengths - self.k) // self.step + 1, 0)
        tokens = np.where(np.arange(count) < real[:, None], tokens, PAD)
        if self.start is None:
            return tokens
        return np.concatenate([np.full((len(tokens), 1), self.start), tokens], 1)

    def padded(self, tokens: Tokens) -> tuple[Tokens, npt.NDArray[np.bool_]]:
        """(ids as published, a pad being the token of a k-mer of N; mask of the real ones), both shaped as ``tokens``."""
        return np.where(tokens == PAD, self.pad, tokens), tokens != PAD

    @property
    def pad(self) -> int:
        """The number a pad has in the vocabulary: [UNK], or the k-mer of N alone."""
        return int(_numbers_with_n(self.k)[5**self.k - 1]) if self.vocabulary == "with-n" else self.unknown

    def as_dict(self) -> dict[str, Any]:
        """As it is kept beside a trained model."""
        return {"k": self.k, "stride": self.stride, "vocabulary": self.vocabulary, "length": self.length}


@cache
def _numbers_with_n(k: int) -> Tokens:
    """(5^k,) the token of each k-mer as a number to the base 5 (A 0, C 1, G 2, T 3, N 4): those without N first."""
    numbers, digit = np.empty(5**k, np.int64), {"A": 0, "C": 1, "G": 2, "N": 4, "T": 3}
    plain, other = 2, 2 + 4**k
    for letters in product("ACGNT", repeat=k):
        code = 0
        for letter in letters:
            code = code * 5 + digit[letter]
        if "N" in letters:
            numbers[code], other = other, other + 1
        else:
            numbers[code], plain = plain, plain + 1
    return numbers
