"""Random numbers that depend on a seed and some words alone, so that nothing depends on the order of anything."""

from __future__ import annotations

import hashlib

import numpy as np


def chance(seed: int, *words: str | None) -> np.random.Generator:
    """A generator of its own for a seed and words; None is no word, and not the empty one.

    Words are hashed with their lengths: ("a", "bc") and ("ab", "c") have nothing to do with each other.
    """
    digest = hashlib.blake2b(f"{seed}:{len(words)}".encode(), digest_size=16)
    for word in words:
        said = b"-" if word is None else word.encode("utf-8", "surrogatepass")
        digest.update(f"/{-1 if word is None else len(said)}:".encode() + said)
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest.digest(), "little")))
