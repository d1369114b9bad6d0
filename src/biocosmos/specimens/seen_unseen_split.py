"""A split for work across modalities: keys and queries of seen species and of unseen ones, with the part names of BIOSCAN-5M.

The unit is the barcode without gaps and without N at its ends: all specimens of one barcode are in one part, so that keys and
queries never share one. A specimen without a barcode is a unit of its own. Every draw is by a hash of the seed and the names, so
that it does not depend on the order of rows.

1. No species: ``pretrain``, and nothing else is. A barcode that several species share: no part at all.
2. ``test`` and the unseen species are those that the table's own parts say (``test``, ``test_unseen``), where it has such. Else a
   tenth of the species that have another species in their genus are unseen, never all of a genus; and of a seen species with two
   barcodes and three specimens or more one barcode is in ``test``, until there is a tenth of the seen specimens.
3. ``val``: what the table calls so, and in the same way one barcode of a species, until there are 11.5 % of the seen specimens
   outside ``test``. The rest of the seen species is ``train``.
4. The unseen species are halved at random: those of the first half are for validation. Of a species with two barcodes or more
   half of them, rounded down, are keys (``key_unseen``); the others, and all of a species with one barcode, are queries
   (``val_unseen``, ``test_unseen``). A query without a key of its species has no right answer there, but may have one at genus.

BIOSCAN-5M's own rules, which need placeholder names, are :mod:`biocosmos.specimens.bioscan_split`.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

PARTS = ("pretrain", "train", "val", "test", "key_unseen", "val_unseen", "test_unseen")
UNSEEN_SHARE, TEST_SHARE, VAL_SHARE = 0.1, 0.1, 0.115
LEAST = 3
"""Specimens of a species, in a part, from which a barcode is taken for another."""
SEEN = ("train", "val", "test")

Parts = npt.NDArray[np.object_]


def seen_unseen_parts(
    barcodes: Sequence[str | None],
    species: Sequence[str | None],
    genera: Sequence[str | None],
    given: Sequence[str | None] | None = None,
    *,
    seed: int = 0,
) -> tuple[Parts, list[str]]:
    """The part of every specimen.

    Args:
        barcodes, species, genera: of the n specimens; a species by its full name, its path where names repeat.
        given: the table's own parts, of which pretrain, train, val, test and test_unseen are used; other names are no part.

    Returns:
        (n,) names of :data:`PARTS`, None for what is in none; and notes: what a reader of results must know.
    """
    units = _units(barcodes)
    part, notes = (
        _from_given(species, given) if given is not None and "test_unseen" in given else _drawn(units, species, genera, seed)
    )
    owners = defaultdict[str, set[str]](set)
    for unit, name in zip(units, species):
        if name is not None:
            owners[unit].add(name)
    shared = {unit for unit, names in owners.items() if len(names) > 1}
    for i, unit in enumerate(units):
        if unit in shared and part[i] != "pretrain":
            part[i] = None
    _take(part, units, species, "val", VAL_SHARE, ("train", "val"), seed)
    _halve(part, units, species, seed)
    _separate(part, units, species)
    left = sum(each is None for each in part)
    if left:
        reasons = "several species or parts have their barcode, train lost their species, or they were in none"
        notes.append(f"{left:,} specimens are in no part: {reasons}")
    lonely = _lonely(part, species)
    if lonely:
        notes.append(f"{lonely:,} queries of unseen species have no key of their species: no answer at species can be right")
    return part, notes


def _drawn(
    units: Sequence[str], species: Sequence[str | None], genera: Sequence[str | None], seed: int
) -> tuple[Parts, list[str]]:
    part = np.array(["pretrain" if name is None else "train" for name in species], object)
    of_genus = defaultdict[str, set[str]](set)
    for name, genus in zip(species, genera):
        if name is not None and genus is not None:
            of_genus[genus].add(name)
    mated = {name: genus for genus, names in of_genus.items() if len(names) > 1 for name in names}
    left = {genus: len(names) for genus, names in of_genus.items()}
    unseen = set[str]()
    for name in sorted(mated, key=lambda name: _draw(seed, "unseen", name)):
        if len(unseen) >= UNSEEN_SHARE * len(mated):
            break
        if left[mated[name]] > 1:
            unseen.add(name)
            left[mated[name]] -= 1
    for i, each in enumerate(species):
        if each in unseen:
            part[i] = "test_unseen"
    _take(part, units, species, "test", TEST_SHARE, ("train", "test"), seed)
    notes = [] if unseen else ["no genus has two species: none can be unseen"]
    return part, notes


def _from_given(species: Sequence[str | None], given: Sequence[str | None]) -> tuple[Parts, list[str]]:
    known = ("pretrain", *SEEN, "test_unseen")
    part = np.array([each if each in known else None for each in given], object)
    seen = {name for name, each in zip(species, part) if each in SEEN}
    for i, name in enumerate(species):
        if part[i] is not None and name is None:
            part[i] = "pretrain"
        elif part[i] == "pretrain" or (part[i] == "test_unseen" and name in seen):
            part[i] = None
    return part, ["test and the unseen species are those of the table's own split"]


def _take(
    part: Parts, units: Sequence[str], species: Sequence[str | None], name: str, share: float, of: Sequence[str], seed: int
) -> None:
    """Move a barcode of one species after the other from train to the part ``name``, until it has its share; changes ``part``."""
    total = sum(each in of for each in part)
    have = int((part == name).sum())
    members = defaultdict[str, dict[str, list[int]]](dict)
    for i in np.flatnonzero(part == "train").tolist():
        members[str(species[i])].setdefault(units[i], []).append(i)
    for each in sorted(members, key=lambda each: _draw(seed, name, each)):
        if have >= share * total:
            break
        mine = members[each]
        count = sum(map(len, mine.values()))
        fits = [unit for unit, rows in mine.items() if 2 * len(rows) <= count]
        if count < LEAST or not fits:
            continue
        rows = mine[min(fits, key=lambda unit: _draw(seed, name, each, unit))]
        part[rows] = name
        have += len(rows)


def _halve(part: Parts, units: Sequence[str], species: Sequence[str | None], seed: int) -> None:
    """Keys and queries of the unseen species, which are all in test_unseen; changes ``part``."""
    members = defaultdict[str, dict[str, list[int]]](dict)
    for i in np.flatnonzero(part == "test_unseen").tolist():
        members[str(species[i])].setdefault(units[i], []).append(i)
    for place, name in enumerate(sorted(members, key=lambda name: _draw(seed, "half", name))):
        query = "val_unseen" if 2 * place < len(members) else "test_unseen"
        mine = sorted(members[name], key=lambda unit: _draw(seed, "key", name, unit))
        for nth, unit in enumerate(mine):
            part[members[name][unit]] = "key_unseen" if nth < len(mine) // 2 else query


def _separate(part: Parts, units: Sequence[str], species: Sequence[str | None]) -> None:
    """What breaks a promise is in no part; changes ``part``.

    A specimen of pretrain gives way to a named one of its barcode; of a barcode that still stands in two parts all give way, and
    so do queries of a seen species of which nothing is left in train.
    """
    parts = defaultdict[str, set[str]](set)
    for unit, each in zip(units, part):
        if each is not None:
            parts[unit].add(each)
    for i, unit in enumerate(units):
        if len(parts[unit]) > (1 if part[i] == "pretrain" else 1 + ("pretrain" in parts[unit])):
            part[i] = None
    known = {name for name, each in zip(species, part) if each == "train"}
    for i, name in enumerate(species):
        if part[i] in ("val", "test") and name not in known:
            part[i] = None


def _lonely(part: Parts, species: Sequence[str | None]) -> int:
    keys = {name for name, each in zip(species, part) if each == "key_unseen"}
    asked = Counter(name for name, each in zip(species, part) if each in ("val_unseen", "test_unseen"))
    return sum(count for name, count in asked.items() if name not in keys)


def _units(barcodes: Sequence[str | None]) -> list[str]:
    plain = ["" if each is None else each.upper().replace("-", "").strip("N ") for each in barcodes]
    return [each or f"?{i}" for i, each in enumerate(plain)]


def _draw(seed: int, *words: str) -> bytes:
    return hashlib.blake2b("\x1f".join((str(seed), *words)).encode("utf-8", "surrogatepass"), digest_size=16).digest()
