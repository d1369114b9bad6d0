"""Names that sound like Latin and belong to nobody; a likeness to a real taxon is chance."""

from __future__ import annotations

CONSONANTS = ("b", "br", "c", "cl", "d", "f", "g", "l", "m", "n", "p", "ph", "pr", "r", "s", "st", "t", "th", "tr", "v")
VOWELS = ("a", "e", "i", "o", "u")
SYLLABLES = tuple(consonant + vowel for consonant in CONSONANTS for vowel in VOWELS)
LAST = ("l", "m", "n", "r", "s", "t", "d", "c", "p", "x")
GENUS_ENDINGS = ("us", "a", "ia", "is", "es", "ella", "on", "ops")
EPITHET_ENDINGS = ("ata", "ensis", "ella", "ina", "osa", "alis", "ula", "ica")
SCATTER = 61_803_398_873
"""Prime to every number of stems: neighbours of an index get stems that do not look alike. Digits of the golden ratio."""


def stem(index: int, seed: int, syllables: int = 2) -> str:
    """A stem that no other index of this seed has: "bramor"; past 100,000 it has a syllable more."""
    size = len(SYLLABLES) ** syllables * len(LAST)
    if index >= size:
        return stem(index - size, seed, syllables + 1)
    place = (index * SCATTER + seed * 7919) % size
    place, last = divmod(place, len(LAST))
    spoken = ""
    for _ in range(syllables):
        place, next_ = divmod(place, len(SYLLABLES))
        spoken += SYLLABLES[next_]
    return spoken + LAST[last]


def genus_name(index: int, seed: int) -> str:
    """ "Bramorus"."""
    return stem(index, seed).capitalize() + GENUS_ENDINGS[(index * 5 + seed) % len(GENUS_ENDINGS)]


def family_name(genus: int, seed: int) -> str:
    """The family of a type genus: "Bramoridae"."""
    return stem(genus, seed).capitalize() + "idae"


def order_name(index: int, seed: int) -> str:
    """ "Bramoroptera"."""
    return stem(index, seed + 1).capitalize() + "optera"


def epithet(index: int, seed: int) -> str:
    """The second word of a species' name, which two genera may share: "lecinata"."""
    return stem(index, seed + 2, syllables=1) + EPITHET_ENDINGS[(index * 3 + seed) % len(EPITHET_ENDINGS)]
