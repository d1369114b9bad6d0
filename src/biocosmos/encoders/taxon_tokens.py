"""Taxonomic strings as tokens: a word that was seen has its own token beside its pieces, a new word its pieces alone.

    tokens = TaxonTokens.learnt(["Diptera Culicidae Aedes vexans", ...])
    tokens.of(["Diptera Culicidae Aedes cinereus"])        # (1, 4, pieces) int64: three words known, one in pieces

A word is what its own token says plus what its pieces say, as in fastText (Bojanowski et al. 2017, arXiv:1607.04606), so that a
species nobody saw still lies where its order, family and genus are. Pieces are byte pairs merged as often as they are met in the
distinct words (Sennrich et al. 2016, arXiv:1508.07909): "idae", "ella", "myia". The 256 bytes are pieces too: every script has
some. Our deviation from both: the pieces of a word are its parts one after the other, not all its n-grams, so that it can be
read back.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.facts import Number, read_facts
from biocosmos.tables import replacing
from biocosmos.taxonomy import KNOWN_RANKS

FILE = "taxon_tokens.json"
FORMAT = 1
PAD = -1
LENGTH = 24
"""Words of a text that are read: sixteen ranks, and the words of a name."""
LONGEST = 64
"""Bytes of a word that are read: of a script that writes no blanks a whole sentence is one."""
WORDS, MERGES = 100_000, 2000
BYTES = 256
_WORD_LIMIT, _MERGE_LIMIT = 1 << 24, 1 << 20
_NO_RANKS = ("status", "label")
_RANKS = frozenset(rank for rank in KNOWN_RANKS if rank not in _NO_RANKS) | {"epithet"}
_AROUND = frozenset({"a", "an", "the", "of", "photo", "sp", "spp"})
"""Words around a name in a sentence, and those that say that a species is open."""
_COMMON_NAME = "with common name"
_AUTHORS = re.compile(r"\([^()]*\b1[5-9]\d\d\b[^()]*\)|\([^()]*\b20\d\d\b[^()]*\)|(?<=[a-z] )\w[^\W\d]*,? (?:1[5-9]|20)\d\d\b")
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
_WORD = re.compile(r"\w+")
_SHAPE = {
    "format": FORMAT,
    "words": [str],
    "merges": [[Number(0, 1 << 24, whole=True)]],
    "length": Number(1, 4096, whole=True),
    "cased": False,
}

Tokens = npt.NDArray[np.int64]


def words_of(text: str) -> list[str]:
    """The words of a taxonomic string as they are looked up.

    Lower case without accents, hyphens and apostrophes closed up ("c-album" is "calbum"), authors with a year, ranks ("order
    Diptera"), and the words around a name ("a photo of") left out, unless nothing else is there; a word that comes twice in a
    row, as a genus before its binomial, once.
    """
    text = _AUTHORS.sub(" ", unicodedata.normalize("NFC", text).replace("_", " "))
    folded = unicodedata.normalize("NFKD", text.casefold()).casefold()
    folded = "".join(letter for letter in folded if not unicodedata.combining(letter))
    folded = re.sub(r"(?<=\w)['’ʼ`´‐‑-](?=\w)", "", folded)
    folded = f" {' '.join(_WORD.findall(folded))} ".replace(f" {_COMMON_NAME} ", " ")
    every = folded.split()
    kept = [word for word in every if word not in _RANKS and word not in _AROUND and not _YEAR.fullmatch(word)] or every
    words = [word for i, word in enumerate(kept) if i == 0 or word != kept[i - 1]]
    return [_cut(word) for word in words]


def _cut(word: str) -> str:
    raw = word.encode("utf-8", "replace")
    return word if len(raw) <= LONGEST else raw[:LONGEST].decode("utf-8", "ignore")


@dataclass(frozen=True)
class TaxonTokens:
    """A tokenizer of taxonomic strings.

    Attributes:
        words: those with a token of their own, by how many texts have them.
        merges: pairs of pieces that become one, in the order they were learnt; pieces are numbered from the bytes 0 to 255 on.
        length: words of a text that are read.
    """

    words: tuple[str, ...]
    merges: tuple[tuple[int, int], ...]
    length: int = LENGTH
    _known: dict[str, tuple[int, ...]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def learnt(cls, texts: Iterable[str], *, words: int = WORDS, merges: int = MERGES, length: int = LENGTH) -> TaxonTokens:
        """From the texts of a training part, the same whatever their order and number.

        words: at most so many get a token, the commonest. merges: at most so many; a pair is merged while at least two words have
        it, the commonest first, equal ones by their bytes.
        """
        counts = Counter(word for text in set(texts) for word in set(words_of(text)))
        common = sorted(counts, key=lambda word: (-counts[word], word))[:words]
        return cls(tuple(common), tuple(_byte_pairs(sorted(counts), merges)), length)

    @property
    def size(self) -> int:
        """Tokens in all: pieces first, then words."""
        return BYTES + len(self.merges) + len(self.words)

    @property
    def pieces(self) -> int:
        """Tokens that are pieces: the number of the first word."""
        return BYTES + len(self.merges)

    @cached_property
    def digest(self) -> str:
        """Of all that decides how a text is read, 16 hex digits."""
        facts = json.dumps([self.words, self.merges, self.length], ensure_ascii=False)
        return hashlib.sha256(facts.encode()).hexdigest()[:16]

    @cached_property
    def _place(self) -> dict[str, int]:
        return {word: self.pieces + i for i, word in enumerate(self.words)}

    @cached_property
    def _order(self) -> dict[tuple[int, int], int]:
        return {pair: i for i, pair in enumerate(self.merges)}

    @cached_property
    def _spelt(self) -> list[bytes]:
        """What each piece stands for."""
        spelt = [bytes([i]) for i in range(BYTES)]
        for one, other in self.merges:
            spelt.append(spelt[one] + spelt[other])
        return spelt

    def of(self, texts: Sequence[str]) -> Tokens:
        """(n, words, 1 + pieces) int64: of each word its own token, :data:`PAD` for one that is not known, then its pieces.

        PAD fills. As wide as the longest text and word of these need, at least one word and one piece.
        """
        every = [[self._word(word) for word in words_of(text)[: self.length]] for text in texts]
        wide = max((len(words) for words in every), default=0)
        deep = max((len(word) for words in every for word in words), default=0)
        out = np.full((len(texts), max(wide, 1), max(deep, 2)), PAD, np.int64)
        for row, words in enumerate(every):
            for place, word in enumerate(words):
                out[row, place, : len(word)] = word
        return out

    def texts(self, tokens: Tokens) -> list[str]:
        """What tokens say, words with a blank between: the way back from :meth:`of`."""
        out = []
        for row in tokens:
            words = []
            for own, *pieces in row.tolist():
                if own >= self.pieces:
                    words.append(self.words[own - self.pieces])
                elif pieces and pieces[0] != PAD:
                    raw = b"".join(self._spelt[piece] for piece in pieces if piece != PAD)
                    words.append(raw.decode("utf-8", "ignore"))
            out.append(" ".join(words))
        return out

    def unknown(self, text: str) -> list[str]:
        """The words of a text that have no token of their own."""
        return [word for word in words_of(text) if word not in self._place]

    def _word(self, word: str) -> tuple[int, ...]:
        if word not in self._known:
            if len(self._known) >= WORDS:  # a gallery of names has fewer
                self._known.clear()
            pieces = list(word.encode("utf-8", "replace"))
            while len(pieces) > 1:
                pairs = [(self._order.get(pair, len(self.merges)), i) for i, pair in enumerate(pairwise(pieces))]
                rank, at = min(pairs)
                if rank == len(self.merges):
                    break
                pieces[at : at + 2] = [BYTES + rank]
            self._known[word] = (self._place.get(word, PAD), *pieces)
        return self._known[word]

    def save(self, folder: Path) -> str:
        """Write :data:`FILE` in ``folder``, whole or not at all; returns its name."""
        facts = {
            "format": FORMAT,
            "what": "words of taxonomic strings, lower case, and byte pairs; see biocosmos.encoders.taxon_tokens",
            "cased": False,
            "length": self.length,
            "merges": [list(pair) for pair in self.merges],
            "words": list(self.words),
        }
        with replacing(folder / FILE) as temporary:
            temporary.write_text(json.dumps(facts, ensure_ascii=False) + "\n", encoding="utf-8")
        return FILE

    @classmethod
    def load(cls, folder: Path) -> TaxonTokens:
        """From a folder. Raises BiocosmosError for a file that is missing, damaged or no tokenizer."""
        path = folder / FILE
        told = {"what": "the tokenizer of a text tower", "remedy": "restore it from where the tower was trained, or train again"}
        facts = read_facts(path, _SHAPE, **told)
        merges = [tuple(pair) for pair in facts["merges"]]
        for i, pair in enumerate(merges):
            if len(pair) != 2 or max(pair) >= BYTES + i:
                raise BiocosmosError(f"{path} is not {told['what']} (merge {i} is of pieces that come later): {told['remedy']}")
        if len(set(facts["words"])) < len(facts["words"]):
            raise BiocosmosError(f"{path} is not {told['what']} (a word comes twice): {told['remedy']}")
        return cls(tuple(facts["words"]), tuple((one, other) for one, other in merges), facts["length"])


def _byte_pairs(words: Sequence[str], most: int) -> list[tuple[int, int]]:
    """Merges of the commonest pairs, counted over distinct words, each word once for each place."""
    spelt = [bytes([i]) for i in range(BYTES)]
    pieces = [list(word.encode("utf-8", "replace")) for word in words]
    counts: Counter[tuple[int, int]] = Counter()
    where: dict[tuple[int, int], set[int]] = defaultdict(set)
    for row, word in enumerate(pieces):
        for pair in pairwise(word):
            counts[pair] += 1
            where[pair].add(row)
    heap = [(-count, spelt[a] + b"\0" + spelt[b], (a, b)) for (a, b), count in counts.items()]
    heapq.heapify(heap)
    merges: list[tuple[int, int]] = []
    while heap and len(merges) < most:
        count, _, pair = heapq.heappop(heap)
        if counts[pair] != -count:
            continue  # counted anew since
        if -count < 2:
            break
        new = len(spelt)
        spelt.append(spelt[pair[0]] + spelt[pair[1]])
        merges.append(pair)
        changed = set()
        for row in sorted(where.pop(pair)):
            before = pieces[row]
            after = _merged(before, pair, new)
            for old in pairwise(before):
                counts[old] -= 1
                changed.add(old)
            for fresh in pairwise(after):
                counts[fresh] += 1
                where[fresh].add(row)
                changed.add(fresh)
            pieces[row] = after
        counts[pair] = 0
        for a, b in changed:
            if counts[a, b] > 0 and (a, b) != pair:
                heapq.heappush(heap, (-counts[a, b], spelt[a] + b"\0" + spelt[b], (a, b)))
    return merges


def _merged(pieces: list[int], pair: tuple[int, int], new: int) -> list[int]:
    out: list[int] = []
    i = 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(new)
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out
