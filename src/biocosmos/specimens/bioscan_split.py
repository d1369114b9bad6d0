"""The partition rules of BIOSCAN-5M (Gharaee et al. 2024, https://arxiv.org/abs/2406.12723) for any barcodes with species.

The unit is the barcode without N at its ends: all specimens of one barcode are in one part.

1. A species whose name is a placeholder (:func:`is_placeholder`) is *unseen* where its genus is that of a properly named species
   and it has 8 specimens or more; else it is in ``other_heldout``. No species: ``pretrain``. Any other species is *seen*.
2. ``test`` of the seen, ``test_unseen`` of the unseen: for a species of n specimens and b barcodes :func:`test_target` specimens,
   at most :func:`test_upper`, none where fewer than 3 can be had, in at most :func:`test_barcodes` barcodes: nearly as many of a
   rare species as of a common one.
3. ``val``: 5 % of what is left of a seen species of 20 specimens or more, at most 10 %; of 7 to 19 specimens one barcode of a
   single specimen. ``val_unseen``: 20 % of what is left of an unseen one. The rest is ``train`` and ``key_unseen``.

Barcodes are picked one at a time, at random among the larger half of those that keep the sum within 1.1 times the target, until
the target is reached. Seeds are the published ones (shuffle, draw): test 0, 1; val 2, 3; test_unseen 4, 5; val_unseen 6, 7.

The published parts themselves are the column ``split`` of the data set (``--method column --column split``). These rules were
written from a description, which leaves open, and chosen here was:

- species draw in the order of their names, from numpy's PCG64: the rules are the published ones, single draws are not;
- a barcode that several species share goes whole to ``pretrain``, where no name is used;
- specimens without a species follow a barcode that has one; a specimen without a barcode is a barcode of its own;
- where nothing fits 1.1 times the target and fewer than the least are picked, the upper bound alone holds;
- shares are rounded to the nearest; "7 to 19" gives one barcode; n and b are those of the whole species, before any draw, "left"
  what no part has taken; every species keeps a barcode in train or key_unseen;
- val_unseen may have at most 40 %, twice its share as in val;
- "malaise" is a mark where no small letter follows, since *malaisei* is a proper epithet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import floor
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]

PRETRAIN, TRAIN, KEY_UNSEEN, OTHER = "pretrain", "train", "key_unseen", "other_heldout"
PARTS = (PRETRAIN, TRAIN, "val", "test", KEY_UNSEEN, "val_unseen", "test_unseen", OTHER)
SEEDS = {"test": (0, 1), "val": (2, 3), "test_unseen": (4, 5), "val_unseen": (6, 7)}
"""Part -> seed of the shuffle of barcodes, seed of the draw."""

FEWEST = 8
"""Specimens of a species from which some are tested, and of an unseen species at all."""
LEAST_TESTED, MOST_TESTED = 3, 25
SOFT = 1.1
VAL_FROM, VAL_SINGLE_FROM = 20, 7
VAL_SHARE, VAL_UPPER = 0.05, 0.10
UNSEEN_SHARE, UNSEEN_UPPER = 0.2, 0.4

_PLACEHOLDER = re.compile(
    r"[Mm]alaise(?![a-z])|MALAISE"  # Malaise, MalaiseMetz, malaise5; malaisei is a name
    r"|^[a-z]|\d|[A-Z]{2}|(?<=.)[A-Z]|[_?.]"
    r"|\b(?:aff|n\.? ?sp|sp\.? ?ex|gen|affinis)\b"
)


def is_placeholder(name: str) -> bool:
    """Whether a genus or a binomial stands for an unnamed taxon: "Aedes sp. 1", "gelBioLep01", "Megaselia BOLD:AAA".

    By the published marks: Malaise, a small first letter, a digit, two capitals, "aff", "n.sp", "sp.ex", "gen", "affinis", one of
    "_?.", a capital after the first letter.
    """
    return _PLACEHOLDER.search(name.strip()) is not None


def test_target(n: int) -> int:
    """How many of n specimens are to be tested: 0 under 8, else 4 and one more for every 4 above 8, at most 25."""
    return 0 if n < FEWEST else min(floor(4 + (n - FEWEST) / 4), MOST_TESTED)


def test_upper(n: int) -> int:
    """How many of n specimens may be tested at most."""
    return floor(4 + (n - FEWEST) / 3)


def test_barcodes(b: int) -> int:
    """How many of b barcodes may be tested at most."""
    return floor(1 + (b - 2) / 3) if b >= 3 else 0


@dataclass(frozen=True)
class Wanted:
    """How much of one species a part takes: specimens (target; lower and upper bounds) and barcodes (most)."""

    target: int
    lower: int
    upper: int
    most: int


def pick(sizes: Ints, wanted: Wanted, rng: np.random.Generator) -> list[int]:
    """Which barcodes of a species a part takes; see the module. sizes: (b,) specimens of each. Returns places, none twice.

    The sum of their sizes is 0, or from ``wanted.lower`` to ``wanted.upper``; one pick may pass the target, none follows it.
    """
    by_size = np.argsort(-sizes, kind="stable")
    free = np.ones(len(sizes), bool)
    chosen: list[int] = []
    total = 0
    while total < wanted.target and len(chosen) < wanted.most:
        soft = min(SOFT * wanted.target, wanted.upper)
        for limit in (soft, wanted.upper) if total < wanted.lower else (soft,):
            fits = by_size[free[by_size] & (total + sizes[by_size] <= limit)]
            if len(fits):
                break
        if not len(fits):
            break
        took = int(fits[rng.integers((len(fits) + 1) // 2)])
        free[took] = False
        chosen.append(took)
        total += int(sizes[took])
    return chosen if total >= wanted.lower else []


def _test(n: int, left: int, b: int) -> Wanted:
    return Wanted(test_target(n), LEAST_TESTED, test_upper(n), test_barcodes(b))


def _val(n: int, left: int, b: int) -> Wanted:
    if n < VAL_SINGLE_FROM:
        return Wanted(0, 0, 0, 0)
    if n < VAL_FROM:
        return Wanted(1, 1, 1, min(1, b - 1))
    return Wanted(max(1, floor(VAL_SHARE * left + 0.5)), 1, max(1, floor(VAL_UPPER * left)), b - 1)


def _val_unseen(n: int, left: int, b: int) -> Wanted:
    return Wanted(max(1, floor(UNSEEN_SHARE * left + 0.5)), 1, max(1, floor(UNSEEN_UPPER * left)), b - 1)


_RULES = {"test": _test, "val": _val, "test_unseen": _test, "val_unseen": _val_unseen}
"""Part -> what is wanted of a species of n specimens, ``left`` of which, in b barcodes, are in no part yet."""


def bioscan_parts(
    barcodes: pa.Array, species: pa.Array, genera: pa.Array | None = None, *, seed: int = 0
) -> tuple[npt.NDArray[np.object_], dict[str, Any], list[str]]:
    """The part of every specimen.

    Args:
        barcodes: (n,) strings, null where there is none.
        species: (n,) binomials, or epithets where ``genera`` has the genus; null where unknown.
        genera: (n,) strings, the first word of the binomial where null.
        seed: added to each of :data:`SEEDS`.

    Returns:
        (n,) names of :data:`PARTS`, the parameters of the split, and notes: what a reader of results must know.
    """
    names, genus_of_row = _names(species, genera)
    unit, alone = _units(barcodes)
    species_of_row, species_names = _codes(names)
    owner, shared = _owners(unit, species_of_row)
    side = _sides(species_names, species_of_row, _codes(genus_of_row), owner, unit)
    sizes = np.bincount(unit, minlength=len(owner)).astype(np.int64)
    # by species: the part of its barcodes
    part_of_species = np.array([PARTS.index(each) for each in (TRAIN, KEY_UNSEEN, OTHER)], np.int64)[side]
    part = np.where(owner < 0, PARTS.index(PRETRAIN), part_of_species[owner] if len(side) else 0)
    whole = np.bincount(owner[owner >= 0], weights=sizes[owner >= 0], minlength=len(species_names)).astype(np.int64)
    for name, (shuffle, draw) in SEEDS.items():
        home = PARTS.index(KEY_UNSEEN if name.endswith("unseen") else TRAIN)
        _take(name, np.flatnonzero(part == home), owner, sizes, whole, part, (shuffle + seed, draw + seed))
    told = int(((species_of_row < 0) & (owner[unit] >= 0)).sum())
    notes = [
        f"{count:,} {what}"
        for count, what in (
            (shared, f"barcodes that several species share are whole in '{PRETRAIN}'"),
            (told, "specimens without a species are in the part of their barcode, which has one"),
            (alone, "specimens without a barcode are each treated as a barcode of its own"),
        )
        if count
    ]
    if len(side) and not side.any():
        notes.append("no species has a placeholder for a name, so that none is unseen: 'ingest --provisional' keeps such names")
    parameters = {"seeds": {name: [shuffle + seed, draw + seed] for name, (shuffle, draw) in SEEDS.items()}, "unit": "barcode"}
    return np.array(PARTS, object)[part[unit]], parameters, notes


def _take(name: str, units: Ints, owner: Ints, sizes: Ints, whole: Ints, part: Ints, seeds: tuple[int, int]) -> None:
    """Move barcodes of every species among ``units`` to the part ``name``; changes ``part``."""
    shuffled = np.random.default_rng(seeds[0]).permutation(units)
    rng = np.random.default_rng(seeds[1])
    shuffled = shuffled[np.argsort(owner[shuffled], kind="stable")]
    for mine in np.split(shuffled, np.flatnonzero(np.diff(owner[shuffled])) + 1):
        if len(mine):
            here = sizes[mine]
            wanted = _RULES[name](int(whole[owner[mine[0]]]), int(here.sum()), len(mine))
            part[mine[pick(here, wanted, rng)]] = PARTS.index(name)


def _names(species: pa.Array, genera: pa.Array | None) -> tuple[pa.Array, pa.Array]:
    """Binomials and genera of every row as they are compared; "vulgaris" of the genus "Apis" is "Apis vulgaris"."""
    names = _clean(species)
    given = _clean(genera) if genera is not None else pa.nulls(len(names), pa.string())
    first = pc.list_element(pc.split_pattern(pc.fill_null(names, " "), " ", max_splits=1), 0)
    binomial = pc.match_substring(names, " ")
    joined = pc.binary_join_element_wise(given, names, " ")
    names = pc.if_else(pc.or_(binomial, pc.is_null(given)), names, joined)
    genus = pc.coalesce(given, pc.if_else(pc.is_valid(names), first, pa.scalar(None, pa.string())))
    return names, genus


def _clean(values: pa.Array) -> pa.Array:
    """Strings without blanks at their ends, null for blank."""
    flat = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    flat = pc.utf8_trim_whitespace(flat.cast(pa.string()))
    return pc.if_else(pc.equal(flat, ""), pa.scalar(None, pa.string()), flat)


def _codes(values: pa.Array) -> tuple[Ints, list[str]]:
    """(n,) place of each value among the distinct ones in order, -1 for null, and these."""
    encoded = values.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    place = np.full(len(names) + 1, -1, np.int64)
    place[order] = np.arange(len(names))
    return place[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)], [names[i] for i in order]


def _units(barcodes: pa.Array) -> tuple[Ints, int]:
    """(n,) the barcode of every row, 0 on; rows without one are barcodes of their own. And how many those are."""
    plain = pc.utf8_trim(pc.replace_substring(pc.utf8_upper(_clean(barcodes)), "-", ""), "N")
    codes, names = _codes(_clean(plain))
    bare = codes < 0
    codes[bare] = len(names) + np.arange(int(bare.sum()))
    return codes, int(bare.sum())


def _owners(unit: Ints, species: Ints) -> tuple[Ints, int]:
    """(units,) the one species that a barcode's rows name, -1 where they name none or several; and how many have several."""
    count = int(unit.max()) + 1 if len(unit) else 0
    named = species >= 0
    pairs = np.unique(np.stack([unit[named], species[named]], 1), axis=0) if named.any() else np.zeros((0, 2), np.int64)
    several = np.bincount(pairs[:, 0], minlength=count)
    owner = np.full(count, -1, np.int64)
    owner[pairs[:, 0]] = pairs[:, 1]
    owner[several > 1] = -1
    return owner, int((several > 1).sum())


def _sides(names: list[str], species: Ints, genera: tuple[Ints, list[str]], owner: Ints, unit: Ints) -> Ints:
    """(species,) 0 seen, 1 unseen, 2 neither."""
    genus, genus_names = genera
    placeholder = np.array([is_placeholder(name) for name in names], bool)
    odd_genus = np.array([is_placeholder(name) for name in genus_names], bool)
    there = (species >= 0) & (owner[unit] == species)
    with_genus = there & (genus >= 0)
    of = np.unique(np.stack([species[with_genus], genus[with_genus]], 1), axis=0) if with_genus.any() else np.zeros((0, 2), int)
    placeholder[of[odd_genus[of[:, 1]], 0]] = True
    known = np.zeros(len(genus_names), bool)
    known[of[~placeholder[of[:, 0]], 1]] = True
    mated = np.zeros(len(names), bool)
    mated[of[known[of[:, 1]], 0]] = True
    specimens = np.bincount(owner[unit][owner[unit] >= 0], minlength=len(names))
    return np.where(~placeholder, 0, np.where(mated & (specimens >= FEWEST), 1, 2)).astype(np.int64)
