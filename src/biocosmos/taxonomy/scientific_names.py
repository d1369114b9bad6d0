"""Reading scientific names: what is certain of genus and species; what is not stays a label, with the reason.

A name is read word by word, as the codes of nomenclature build it: genus, (subgenus), epithet, ranks and epithets below,
authorship. Whatever does not fit leaves the species open, and the genus too where that is in doubt: a wrong species is worse than
none. docs/taxonomy.md has the table of what counts as certain.
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache
from typing import Literal, NamedTuple

from biocosmos.taxonomy.name_words import (
    ABOVE_GENUS,
    AUCTORUM,
    COLLECTIVES,
    CONNECTIVES,
    CROSSES,
    ENGLISH,
    ENGLISH_ENDINGS,
    EXCEPTIONS,
    FIXED_ENDINGS,
    GROUPS,
    NO_GENUS,
    OR,
    PARTICLES,
    QUALIFIERS,
    RANKS_ABOVE,
    RANKS_BELOW,
    STAGES,
    UNDETERMINED,
    USUAL_ENDINGS,
    VERNACULAR,
)

Kind = Literal["species", "infraspecies", "hybrid", "formula", "cultivar", "uninomial", "open", "virus", "code", "other"]
"""species and infraspecies: a binomial, and one with more epithets. hybrid: a named one (Salix × rubens). formula: parents
(Carex lurida × Carex folliculata). uninomial: one word, of any rank. open: the genus at most is said (sp., cf., larvae). virus,
code (BOLD:AAA0001, OTU 12), other: no Latin name that can be read with certainty."""


class Name(NamedTuple):
    """What is certain of a name.

    genus, species: the genus and the binomial, or None; the genus is always the beginning of the species. canonical: all of the
    name but its authors, for looking it up ("Canis lupus familiaris"), None where the name is open. reason: why the species is
    left open, in a few words that go on from "the name ..."; None for a binomial or a plain word.
    """

    genus: str | None = None
    species: str | None = None
    kind: Kind = "other"
    canonical: str | None = None
    authorship: str | None = None
    reason: str | None = None


WHOLE = ("us.", "a.", "um.", "is.", "ii.", "ae.", "ens.")
_LETTERS = [chr(code) for code in range(0x41, 0x250) if chr(code).isalpha() and chr(code) not in "ªº"]
_UPPER = "".join(letter for letter in _LETTERS if letter.isupper())
_LOWER = "".join(letter for letter in _LETTERS if letter.islower())
# Of names themselves: the codes know no signs but the diaeresis (ICN 60.7, ICZN 27 and 32.5.2); ø, å and ligatures stand in many
# lists all the same. Any other accent is that of a word of a living language: "Médusa élégante".
_CAPITAL, _SMALL = "A-ZÄÖÜËÏØÅÆŒ", "a-zäöüëïøåæœ"
GENUS = re.compile(rf"[{_CAPITAL}][{_SMALL}]+(?:-[{_CAPITAL}{_SMALL}][{_SMALL}]+)?")
# One letter or a number may come first (c-album, v-insignitus, 7-punctata), an apostrophe may stand inside (o'brieni).
EPITHET = re.compile(
    rf"(?:[{_SMALL}]-|\d{{1,2}}-?(?=[{_SMALL}]{{4}}))?(?:[{_SMALL}]{{1,2}}')?[{_SMALL}]{{2,}}(?:-[{_SMALL}]{{2,}})*"
)
CODE = re.compile(r"(?i)bold:\S*|(z?otu|asv|esv|motu|bin|sh|haplotype|cluster)[ _#-]?\d[\w.]*|[a-z]{1,4}\d{3,}\w*")
NUMBER = re.compile(r"[\d.,+-]*\d[\d.,]*")
SP = re.compile(r"(?i:sp(p|ec|ecies)?[.\d(-])|spp?[A-Z]\b")
VIRUS = re.compile(r"(?i)\w*(virus|viruses|viroid|viroids|phage|phages|prion|prions|plasmid|satellites?)\b|[A-Z]{0,4}NPV\b")
VIRAL = ("vir", "phage", "prion", "plasmid", "satellite", "npv")  # one of them stands in whatever VIRUS finds
YEAR = re.compile(r"\b(1[5-9]|20)\d\d\b")
ABBREVIATED = re.compile(rf"[{_UPPER}][{_LOWER}]{{0,3}}\.(?:-?[{_UPPER}][{_LOWER}]{{0,3}}\.)*")
_SIGNS = str.maketrans(
    dict.fromkeys("‐‑‒–—−﹣－", "-")
    | dict.fromkeys("’‘ʼʹ´`′‛", "'")
    | dict.fromkeys("“”„«»″", '"')
    | dict.fromkeys("✕✖⨯╳⨉", "×")
    | dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff†‡♀♂⚥☿")
    | {"_": " ", "？": "?", "（": "(", "）": ")", "，": ", "}
    | {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl"}
)


def parse(name: str) -> Name:
    """What is certain of a scientific name; see :class:`Name`. Never raises.

    >>> parse("Pica hudsonia (Sabine, 1823)")[:3]
    ('Pica', 'Pica hudsonia', 'species')
    >>> parse("Salix x rubens")[:3]
    ('Salix', 'Salix × rubens', 'hybrid')
    >>> parse("Oithona sp. A")[:3]
    ('Oithona', None, 'open')
    >>> parse("black-billed magpie").reason
    'begins in lower case'

    One word is no binomial and may be of any rank: genus and species are None.
    """
    return _parse(name) if len(name) <= MOST_LETTERS else Name(reason="is too long for a name")


def forget() -> None:
    """Forget the names read before, which are remembered since tables repeat them: for measurements."""
    _parse.cache_clear()


MOST_LETTERS = 500  # the longest names of checklists, with their authors, have about 250


@lru_cache(maxsize=1 << 15)
def _parse(name: str) -> Name:
    text = tidied(name)
    if not text:
        return Name(reason="is blank")
    words = text.split()
    sign = ""
    if words[0] == "×" or (words[0] in ("x", "X", "+") and len(words) > 1 and GENUS.fullmatch(words[1])):
        sign, words = "× " if words[0] != "+" else "+ ", words[1:]
    if words and words[0].startswith("+") and GENUS.fullmatch(words[0][1:]):
        sign, words[0] = "+ ", words[0][1:]
    if len(words) > 2 and words[0].rstrip(".").lower() in ("candidatus", "ca") and words[0][0] == "C":
        words = words[1:]
    if len(words) > 2 and words[0].endswith(FIXED_ENDINGS) and GENUS.fullmatch(words[1]) and _is_epithet(words[2]):
        words = words[1:]  # "Asteraceae Bellis perennis"
    doubt = _no_name(words)
    if doubt is not None:
        return doubt
    return _Reading(words, sign).name()


def tidied(name: str) -> str:
    """The name with one kind of blank, dash, quote and multiplication sign, composed accents, and no markup or sex signs."""
    text = html.unescape(re.sub(r"</?\w{1,6}/?>", "", name)) if "<" in name or "&" in name else name
    text = unicodedata.normalize("NFC", text).translate(_SIGNS)
    text = " ".join(text.replace("×", " × ").replace(";", "; ").replace("|", " | ").split())
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    return text.rstrip(",;:").rstrip()


def _no_name(words: list[str]) -> Name | None:
    """The answer for a text that does not begin as a Latin name does, else None."""
    text = " ".join(words)
    if not words:
        return Name(reason="has no word")
    first = words[0]
    lower = text.lower()
    if (
        any(part in lower for part in VIRAL)
        and VIRUS.search(text)
        and not (first.endswith("virus") and len(words) == 2 and _is_epithet(words[1]))
    ):
        return Name(kind="virus", reason="is that of a virus or the like")
    if CODE.fullmatch(first) or CODE.fullmatch(text) or NUMBER.fullmatch(text):
        return Name(kind="code", reason="is a code")
    if "?" in first or first.strip(".").lower() in QUALIFIERS:
        return Name(kind="open", reason="is doubtful from its first word on")
    if ABBREVIATED.fullmatch(first) or re.match(rf"[{_UPPER}]\.[{_LOWER}]", first):
        return Name(reason="has an abbreviated genus")
    if first.strip(".,:;").lower() in NO_GENUS:
        return Name(reason="does not begin with a genus")
    if first[0].islower():
        return Name(reason="begins in lower case")
    if len(first) > 1 and first.isupper():
        return Name(reason="is all in capitals") if len(words) > 1 or first.isalpha() else Name(kind="code", reason="is a code")
    if not GENUS.fullmatch(first):
        return Name(reason="does not begin with a Latin word")
    return None


def _is_epithet(word: str) -> bool:
    """Whether a word can be an epithet: Latin letters in lower case, and none of the words that are something else."""
    return EPITHET.fullmatch(word) is not None and not (
        _is_marked(word)
        or word in UNDETERMINED
        or word in QUALIFIERS
        or word in STAGES
        or word in PARTICLES
        or word in ENGLISH
        or word in COLLECTIVES
        or word in VERNACULAR
    )


def _is_marked(word: str) -> bool:
    """Whether a hyphen hangs something on an epithet that is no part of it: plumosus-group, similis-female."""
    last = word.rpartition("-")[2]
    return last != word and (last in GROUPS or last in STAGES or last in UNDETERMINED or last in QUALIFIERS)


def is_open(epithet: str) -> bool:
    """Whether what stands in the place of an epithet leaves the species open: "sp.", "cf. typica", "larvae", "sp.12", "7".

    >>> is_open("sp."), is_open("c-album")
    (True, False)
    """
    words = tidied(epithet).split()
    return not words or not _is_epithet(words[-1] if len(words) == 2 and words[0] == "×" else " ".join(words))


def says_nothing(epithet: str) -> bool:
    """Whether a word says outright that the species is not known: "sp.", "spp.", "indet.", "sp.12"."""
    bare = tidied(epithet).strip(".,()").lower()
    return bare in UNDETERMINED or SP.match(bare) is not None


class _Reading:
    """One name, read from the left."""

    def __init__(self, words: list[str], sign: str) -> None:
        self.words, self.sign = words, sign
        self.first = words[0]
        self.epithets: list[str] = []
        self.hybrid = False
        self.parted = False  # a comma or semicolon stands behind the epithet

    @property
    def genus(self) -> str:
        return self.sign + self.first

    def name(self) -> Name:
        at = self._after_subgenus(1)
        if isinstance(at, int) and at < len(self.words) and _is_epithet(self.words[at].rstrip(",;")):
            self.parted = self.words[at][-1] in ",;"
            self.words[at] = self.words[at].rstrip(",;")
        if isinstance(at, Name):
            return at
        if at >= len(self.words):
            return self._uninomial(at)
        word = self.words[at]
        if word == "×" or (word in ("x", "X") and at + 1 < len(self.words) and self._follows_sign(at + 1)):
            if at + 1 < len(self.words) and _is_epithet(self.words[at + 1]):
                self.hybrid = True
                return self._below(at + 1)
            return self._formula(at)
        if _is_epithet(word.rstrip("?")) and word.endswith("?"):
            return self._open("has a question mark at its epithet")
        if _is_epithet(word) or (self.first, word) in EXCEPTIONS:
            return self._below(at)
        return self._no_epithet(at)

    # ---- before the epithet ------------------------------------------------------------------------------------------

    def _after_subgenus(self, at: int) -> int | Name:
        """The place after a subgenus or section, or the answer where brackets hold something else."""
        words = self.words
        if at < len(words) and words[at].rstrip(".") in RANKS_ABOVE and at + 1 < len(words) and GENUS.fullmatch(words[at + 1]):
            return at + 2
        if at >= len(words) or not words[at].startswith("("):
            return at
        end = next((i for i in range(at, len(words)) if words[i].rstrip(",.;").endswith(")")), None)
        if end is None:
            return self._open("has a bracket that is not closed", certain=False)
        inner = " ".join(words[at : end + 1]).strip("(),.; ")
        head = inner.split()[0].strip(".").lower() if inner else ""
        if not inner or "?" in inner or head in QUALIFIERS or (head in UNDETERMINED and head not in RANKS_ABOVE):
            return self._open("is qualified in brackets")
        name = inner.split()[-1] if head in RANKS_ABOVE or head == "subg" else inner
        if end + 1 < len(words) and (GENUS.fullmatch(name) or EPITHET.fullmatch(name)):
            following = words[end + 1]
            if following.strip("().?").lower() in QUALIFIERS:
                return self._open("is qualified in brackets")
            if EPITHET.fullmatch(following.rstrip("?.,;")) or following in ("×", "x", "X") or _in(following, UNDETERMINED):
                return end + 1
        if not (GENUS.fullmatch(name) or YEAR.search(inner) or re.search(rf"[{_UPPER}]", inner)):
            return self._open("has a bracket that is no subgenus")
        return self._uninomial(at)

    def _follows_sign(self, at: int) -> bool:
        word = self.words[at]
        return _is_epithet(word) or GENUS.fullmatch(word) is not None or ABBREVIATED.fullmatch(word) is not None

    def _no_epithet(self, at: int) -> Name:
        """The answer where the word in the epithet's place is none."""
        word = self.words[at]
        bare = word.strip(".,;:()[]").lower()
        if word.startswith(("'", '"')) or bare == "cv" or any(_is_cultivar(other) for other in self.words[at + 1 :]):
            return self._open("goes on with a cultivar", kind="cultivar")
        if "?" in word or bare in QUALIFIERS:
            return self._open(f"is qualified by {word!r}")
        if bare in STAGES or _is_marked(bare):
            return self._open(f"goes on with {word!r}, which is no epithet")
        if bare in UNDETERMINED or SP.match(word):
            told = not (bare in ("sp", "spp") and at + 1 == len(self.words))
            return self._open(f"goes on with {word!r}, which is no epithet" if told else None)
        if (word[0].islower() and bare in PARTICLES and word not in OR) or re.match(rf"[dl]'[{_UPPER}]", word):
            return self._open("goes on with an author", authorship=" ".join(self.words[at:]))
        if any(letter.isdigit() for letter in word) and word[0].isalpha() and not YEAR.search(word):
            return self._open(f"goes on with {word!r}, which is no epithet")
        if word[0].islower() and "/" in word and all(_is_epithet(part) for part in word.split("/") if part):
            return self._open("holds several species")
        if EPITHET.fullmatch(word.rstrip(".")) and word.endswith(".") and _is_epithet(word.rstrip(".")):
            ends = (
                at + 1 == len(self.words) and len(word) > 6 and word.endswith(("us.", "a.", "um.", "is.", "ii.", "ae.", "ens."))
            )
            if ends:  # the end of a sentence, not an abbreviation
                self.words[at] = word.rstrip(".")
                return self._below(at)
            return self._open("has an abbreviated epithet")
        if re.fullmatch(rf"[{_LOWER}]\.?", word) and at + 1 < len(self.words) and _is_epithet(self.words[at + 1]):
            return self._open("has a single letter before its epithet")
        if (word[0].islower() or word[0] == "[") and not word.rstrip(",;.").replace("-", "").replace("'", "").isalpha():
            return self._open(f"goes on with {word!r}, which is no epithet")
        if word[0].isupper() or word.startswith(("(", "&")):
            if self._is_authorship(at):
                return self._uninomial(at)
            return self._open("has a second word in capitals", certain=False)
        return self._open("does not go on with an epithet", certain=False)

    def _is_authorship(self, at: int) -> bool:
        rest = " ".join(self.words[at:])
        signs = YEAR.search(rest) or "&" in rest or self.words[at].rstrip(",").endswith(".") or rest.startswith("(")
        return (
            bool(signs)
            or bool({"et", "ex", "in"} & set(self.words[at:]))
            or (self.words[at].isupper() and len(self.words[at]) > 2)
        )

    # ---- the epithet and what follows --------------------------------------------------------------------------------

    def _below(self, at: int) -> Name:
        """The answer from a species epithet at ``at``: the ranks below it, authors, and whatever calls it in question."""
        words = self.words
        if self.first.endswith(FIXED_ENDINGS) or self.first in ABOVE_GENUS:
            return Name(kind="open", reason=f"begins with {self.first}, which is above the genus")
        if self.hybrid and words[at].startswith("-"):
            return self._open("does not go on with an epithet")
        self.epithets = [words[at]]
        if not self.hybrid and re.fullmatch(r"x[bcdfgjklmnpqrstvwz].*", words[at]):
            return self._open("may be that of a hybrid, with x for its sign")
        if self.parted and at + 2 < len(words) and GENUS.fullmatch(words[at + 1]) and _is_epithet(words[at + 2].rstrip(",;")):
            return self._formula(at + 1)
        authors: list[str] = []
        ended = False  # by a word that is neither epithet nor author: what follows describes the specimen
        i = at + 1
        while i < len(words):
            word, bare, following = words[i], words[i].strip(".,;()[]").lower(), words[i + 1 : i + 2]
            if word in ("×", "+") or (word in ("x", "X") and (not following or self._follows_sign(i + 1))):
                return self._formula(i)
            if (word in OR and not authors and following and self._begins_taxon(i + 1)) or word.startswith("/"):
                return self._formula(i)
            doubt = self._doubt_below(word, bare, following)
            if doubt is not None:
                return doubt
            if bare in QUALIFIERS:
                i += 2  # "Aus bus cf. cus": what is below the species is in doubt, not the species
                continue
            if bare in ("non", "nec", "sensu", "emend", "cv") or _is_cultivar(word):
                break
            if bare in ("f", "form") and following and following[0] == "sp." and i + 2 < len(words):
                following, i = words[i + 2 : i + 3], i + 1  # forma specialis
            if (bare in RANKS_BELOW or bare == "f.sp") and word[0].islower() and following and EPITHET.fullmatch(following[0]):
                if _is_epithet(following[0]) and not ended:
                    self.epithets.append(following[0])
                i += 2
                continue
            if not authors and not ended and _is_epithet(word) and len(word) > 2:
                self.epithets.append(word)
            elif not (bare in UNDETERMINED and word[0].islower()) or bare in PARTICLES:
                ended = ended or not self._is_author(i, bool(authors))
                if not ended:
                    authors.append(word)
            i += 1
        return self._binomial(authors)

    def _doubt_below(self, word: str, bare: str, following: list[str]) -> Name | None:
        """The answer where a word behind the epithet leaves the species open, else None."""
        if "?" in word or (bare in QUALIFIERS and not (following and _is_epithet(following[0]) and bare != "?")):
            return self._open(f"is qualified by {word!r}")
        if bare in AUCTORUM or (bare == "sensu" and following and following[0].strip(".").lower() in AUCTORUM):
            return self._open("is used in another sense than its author's")
        if bare in GROUPS and word[0].islower():
            return self._open("is that of a group of species")
        if bare in CROSSES:
            return self._open("is said to be that of a hybrid")
        return None

    def _is_author(self, at: int, begun: bool) -> bool:
        """Whether a word behind the epithets belongs to their authors: it has a capital, is a particle, or the year of one.

        begun: whether there are authors before it. Capitals of vernacular names (Red fox), stages (V) and codes do not count.
        """
        word = self.words[at]
        following = self.words[at + 1] if at + 1 < len(self.words) else ""
        bare = word.strip(".,;()").lower()
        start = word.lstrip("(,")
        if not start or word[0] in "[#-|":
            return begun and word == ","
        if bare in PARTICLES and (start[0].islower() or not start[0].isalpha()):
            known = begun or word in ("'t",) or bare not in CONNECTIVES
            return known and (begun or following[:1].isupper() or following.strip(".") in PARTICLES)
        if YEAR.search(word):
            return True
        if re.match(rf"[{_LOWER}]{{1,2}}'[{_UPPER}]", start):
            return True
        if not start[0].isalpha() or start[0].islower():
            return False
        if re.fullmatch(r"C?[IVX]+|[A-Z]", word):
            return begun
        if begun:
            return True
        if bare in VERNACULAR and bare in NO_GENUS:
            return YEAR.search(" ".join(self.words[at:])) is not None
        after = following.strip(".,;()").lower()
        plain = word.strip("(").isalpha() or "-" in word
        named = following[:1].islower() and not following.endswith(".") and _is_plain(after)
        return not (plain and (named or (bare in NO_GENUS and after in VERNACULAR)))

    def _binomial(self, authors: list[str]) -> Name:
        species = f"{self.genus} × {self.epithets[0]}" if self.hybrid else f"{self.genus} {self.epithets[0]}"
        kind: Kind = "hybrid" if self.hybrid or self.sign else "infraspecies" if len(self.epithets) > 1 else "species"
        return Name(self.genus, species, kind, " ".join([species, *self.epithets[1:]]), " ".join(authors) or None)

    def _begins_taxon(self, at: int) -> bool:
        word, following = self.words[at], self.words[at + 1 : at + 2]
        return _is_epithet(word) or bool(
            following and _is_epithet(following[0]) and (GENUS.fullmatch(word) or ABBREVIATED.fullmatch(word))
        )

    def _formula(self, at: int) -> Name:
        """Two species or more: the genus is certain where all of them share it."""
        parts: list[list[str]] = [[]]
        for word in self.words[at:]:
            if word in ("×", "x", "X") or word in OR:
                parts.append([])
            else:
                parts[-1] += [part for part in word.split("/") if part]
        parents = [part for part in parts if part]
        shared = bool(parents) and all(self._shares_genus(part) for part in parents)
        reason = "is a formula of several species" if parents else "is a formula with a parent missing"
        return self._open(reason, certain=shared, kind="formula")

    def _shares_genus(self, part: list[str]) -> bool:
        first = part[0]
        if _is_epithet(first):
            return True
        if len(part) < 2 or not _is_epithet(part[1]):
            return False
        return first == self.first or (bool(ABBREVIATED.fullmatch(first)) and self.first.startswith(first.rstrip(".")))

    # ---- answers -----------------------------------------------------------------------------------------------------

    def _uninomial(self, at: int) -> Name:
        return Name(kind="uninomial", canonical=self.genus, authorship=" ".join(self.words[at:]) or None)

    def _open(self, reason: str | None, *, certain: bool = True, kind: Kind = "open", authorship: str | None = None) -> Name:
        """Without a species; with the genus if that is certain and the first word is no higher taxon."""
        above = self.first.endswith((*FIXED_ENDINGS, *USUAL_ENDINGS, *ENGLISH_ENDINGS)) or self.first in ABOVE_GENUS
        genus = self.genus if certain and not above else None
        return Name(genus, None, kind if certain or kind != "open" else "other", None, authorship, reason)


def _in(word: str, words: frozenset[str]) -> bool:
    return word.strip(".,;()").lower() in words


def _is_plain(word: str) -> bool:
    """Whether a word in lower case is neither a particle, nor a rank, nor one of the words that stand behind authors."""
    return not any(word in known for known in (PARTICLES, RANKS_BELOW, UNDETERMINED, STAGES, GROUPS, AUCTORUM)) and word.isalpha()


def _is_cultivar(word: str) -> bool:
    return word in ("Group", "Grex", "gx", "Gp") or (word.startswith("'") and word[1:2].isupper())
