"""BERT's tokenizer, from the files beside its weights: words cut into the longest pieces of a vocabulary.

WordPiece as Devlin et al. 2019 (arXiv:1810.04805) publish it; no code of a folder is run, and no library is needed.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.facts import Number, read_facts
from biocosmos.files import is_file
from biocosmos.tables import replacing

VOCABULARY, TOKENIZER, CONFIG = "vocab.txt", "tokenizer.json", "tokenizer_config.json"
PAD = -1
START, END, UNKNOWN = "[CLS]", "[SEP]", "[UNK]"
INSIDE = "##"
"""Begins a piece that is not the first of its word."""
LONGEST = 100
"""Letters of a word; a longer one is unknown, as published."""
_MOST_BYTES = 1 << 26
_CJK = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2EBEF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))
_REMEDY = "restore it from where the model was published, or name another text model"


@dataclass(frozen=True)
class WordPieces:
    """A tokenizer: ``vocabulary`` in the order of its numbers; ``lower``: case and accents are folded."""

    vocabulary: tuple[str, ...]
    lower: bool = True

    @cached_property
    def _place(self) -> dict[str, int]:
        return {piece: number for number, piece in enumerate(self.vocabulary)}

    @cached_property
    def digest(self) -> str:
        """Of all that decides how a text is read, 16 hex digits."""
        return hashlib.sha256(json.dumps([self.vocabulary, self.lower]).encode()).hexdigest()[:16]

    def of(self, texts: Sequence[str], length: int) -> npt.NDArray[np.int64]:
        """(n, t) int64: [CLS], pieces, [SEP], at most ``length`` in all, then :data:`PAD`."""
        place = self._place
        every = [[place[piece] for word in _words(text, self.lower) for piece in self._pieces(word)] for text in texts]
        rows = [[place[START], *ids[: length - 2], place[END]] for ids in every]
        out = np.full((len(rows), max(map(len, rows), default=2)), PAD, np.int64)
        for row, ids in enumerate(rows):
            out[row, : len(ids)] = ids
        return out

    def _pieces(self, word: str) -> list[str]:
        """The longest pieces from the left; [UNK] for a word of which some part is no piece."""
        if len(word) > LONGEST:
            return [UNKNOWN]
        pieces, start = [], 0
        while start < len(word):
            mark = INSIDE if start else ""
            end = next((end for end in range(len(word), start, -1) if mark + word[start:end] in self._place), None)
            if end is None:
                return [UNKNOWN]
            pieces.append(mark + word[start:end])
            start = end
        return pieces

    def save(self, folder: Path) -> list[str]:
        """Write the files that :meth:`load` reads; returns their names."""
        with replacing(folder / VOCABULARY) as temporary:
            temporary.write_text("\n".join(self.vocabulary) + "\n", encoding="utf-8")
        with replacing(folder / CONFIG) as temporary:
            temporary.write_text(json.dumps({"do_lower_case": self.lower, "tokenizer_class": "BertTokenizer"}) + "\n")
        return [VOCABULARY, CONFIG]

    @classmethod
    def load(cls, folder: Path, size: int) -> WordPieces:
        """From ``vocab.txt`` or ``tokenizer.json``; size: tokens that the model knows.

        Raises BiocosmosError: neither is there, or it is damaged, no WordPiece, or of another model.
        """
        if is_file(folder / VOCABULARY):
            path = folder / VOCABULARY
            vocabulary, lower = _vocabulary(path), True
        elif is_file(folder / TOKENIZER):
            path = folder / TOKENIZER
            vocabulary, lower = _from_json(path)
        else:
            raise BiocosmosError(
                f"{folder} is a text model without its tokenizer: it has neither {VOCABULARY} nor {TOKENIZER}; copy the one that "
                "was published with the weights beside them"
            )
        if is_file(folder / CONFIG):
            facts = read_facts(folder / CONFIG, {"do_lower_case?": bool}, what="the configuration of a tokenizer", remedy=_REMEDY)
            lower = facts.get("do_lower_case", lower)
        if lacking := [token for token in (START, END, UNKNOWN) if token not in vocabulary]:
            raise BiocosmosError(f"{path} is no vocabulary of a BERT: it lacks {lacking[0]}; {_REMEDY}")
        if len(vocabulary) > size:
            raise BiocosmosError(
                f"{path} has {len(vocabulary):,} tokens and the model beside it knows {size:,}: they are of two models; {_REMEDY}"
            )
        return cls(tuple(vocabulary), lower)


def _vocabulary(path: Path) -> list[str]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
        tokens = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise BiocosmosError(f"cannot read the vocabulary {path} ({first_line(error)}): {_REMEDY}") from error
    tokens = [token.rstrip("\r") for token in tokens]
    return tokens[:-1] if tokens[-1] == "" else tokens


def _from_json(path: Path) -> tuple[list[str], bool]:
    shape = {
        "model": {"type?": "WordPiece", "vocab": {str: Number(0, 1 << 24, whole=True)}, "continuing_subword_prefix?": INSIDE},
        "normalizer?": (None, {"lowercase?": bool}),
    }
    facts = read_facts(path, shape, what="a tokenizer of words and their pieces", remedy=_REMEDY)
    place: dict[str, int] = facts["model"]["vocab"]
    if sorted(place.values()) != list(range(len(place))):
        raise BiocosmosError(f"{path} is no tokenizer of words and their pieces (its numbers have gaps): {_REMEDY}")
    return sorted(place, key=lambda piece: place[piece]), bool((facts.get("normalizer") or {}).get("lowercase", True))


def _words(text: str, lower: bool) -> Iterator[str]:
    """Words and signs: control characters dropped, signs and ideographs apart, case and accents folded if ``lower``."""
    word = ""
    for letter in _folded(text) if lower else text:
        kind = unicodedata.category(letter)
        if letter.isspace() or _stands_alone(letter, kind):
            if word:
                yield word
            word = ""
            if not letter.isspace():
                yield letter
        elif letter not in "\0\ufffd" and kind not in ("Cc", "Cf"):
            word += letter
    if word:
        yield word


def _folded(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(letter) != "Mn")


def _stands_alone(letter: str, kind: str) -> bool:
    """A sign, as BERT counts them: all of ASCII that is no letter or number, all of Unicode's punctuation; or an ideograph."""
    code = ord(letter)
    if code < 128:
        return code > 32 and not letter.isalnum() and code != 127
    return kind.startswith("P") or any(low <= code <= high for low, high in _CJK)
