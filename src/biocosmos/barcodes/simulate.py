"""Real-shaped COI barcodes along a small tree of invented taxa, from a seed: what tests and examples need and may ship.

The tree: a class radiates into orders, an order into families, and so on to species, whose specimens are a star around their
ancestor. Species come in sister pairs. How long a branch is follows from :data:`DIFFERENCES`; what happens along it is
:mod:`biocosmos.barcodes.substitution`. Nothing here is an observation: names, bins and barcodes are made up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from biocosmos.barcodes.invented_names import epithet, family_name, genus_name, order_name
from biocosmos.barcodes.substitution import LENGTH, Sites, Substitution
from biocosmos.errors import BiocosmosError

RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")
SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "barcode", "dna_bin", *RANKS)])
DIFFERENCES = {"species": 0.003, "genus": 0.065, "family": 0.115, "order": 0.165, "class": 0.2}
"""Share of the bases at which two specimens differ that share this rank and none below it, on average: as in BOLD's insects."""
SPREAD = {"genus": 0.2, "family": 0.1, "order": 0.05, "class": 0.0}
"""How far a taxon's age may lie from the mean, as a part of it."""
SISTERS = (0.7, 1.0)
"""When the two species of a pair parted, as a part of their genus's age."""
SHORTEST = 300
"""Bases that a truncated barcode keeps at least."""
UNSURE_BASES = 4
"""N in a barcode that has some, on average."""
ROWS = 8192
"""Barcodes of a table of the stream, which bounds memory."""
LONG_TAIL = 0.8
"""Standard deviation of the logarithm of how often a species was collected."""
LETTERS = np.frombuffer(b"ACGTN", np.uint8)


@dataclass(frozen=True)
class _Tree:
    """parents: of each family its order, of each genus its family, of each species its genus; specimens: of each species."""

    orders: int
    family: NDArray[np.int64]
    genus: NDArray[np.int64]
    species: NDArray[np.int64]
    specimens: NDArray[np.int64]


def simulate_barcodes(
    *,
    seed: int = 0,
    species: int = 60,
    orders: int | None = None,
    families: int | None = None,
    genera: int | None = None,
    specimens: int | None = None,
    short: float = 0.1,
    unsure: float = 0.05,
    shared: float = 0.0,
    model: Substitution | None = None,
) -> pa.Table:
    """Barcodes of invented specimens, the same for the same arguments. All counts are totals.

    species, genera, families, orders: a genus has three species unless another number is asked for, a family three genera, an
    order three families. specimens: by default eight for each species; some species have many, most few, each at least one.
    short: part of the barcodes that lost an end, down to SHORTEST bases. unsure: part with some N. shared: part of the pairs of
    sister species that have one ancestor's barcode and one bin, so that no barcode tells them apart.
    Returns (specimens,) rows of SCHEMA, species by species; bins look like BOLD's, from a range that BOLD has not reached.
    Raises BiocosmosError for counts and parts that cannot be.
    """
    parts = stream_barcodes(
        seed=seed,
        species=species,
        orders=orders,
        families=families,
        genera=genera,
        specimens=specimens,
        short=short,
        unsure=unsure,
        shared=shared,
        model=model,
    )
    return pa.concat_tables(list(parts)).combine_chunks()


def stream_barcodes(
    *,
    seed: int = 0,
    species: int = 60,
    orders: int | None = None,
    families: int | None = None,
    genera: int | None = None,
    specimens: int | None = None,
    short: float = 0.1,
    unsure: float = 0.05,
    shared: float = 0.0,
    model: Substitution | None = None,
) -> Iterator[pa.Table]:
    """:func:`simulate_barcodes` in tables of at most ROWS rows: for millions. Errors are raised at once."""
    genera = genera if genera is not None else -(-species // 3)
    families = families if families is not None else -(-genera // 3)
    orders = orders if orders is not None else -(-families // 3)
    specimens = specimens if specimens is not None else 8 * species
    counts = {"orders": orders, "families": families, "genera": genera, "species": species, "specimens": specimens}
    for (name, count), (above, least) in zip(counts.items(), [("one", 1), *counts.items()], strict=False):
        if count < least:
            raise BiocosmosError(f"cannot simulate {count:,} {name}: there must be at least {least:,}, as many as {above}")
    for name, part in (("short", short), ("unsure", unsure), ("shared", shared)):
        if not 0 <= part <= 1:
            raise BiocosmosError(f"cannot simulate: {name} must be a part from 0 to 1, not {part}")
    if seed < 0:
        raise BiocosmosError(f"cannot simulate: a seed is 0 or more, not {seed}")
    random = np.random.default_rng(seed)
    tree = _Tree(
        orders,
        _allocate(families, orders, random),
        _allocate(genera, families, random),
        _allocate(species, genera, random),
        np.bincount(_allocate(specimens, species, random, LONG_TAIL), minlength=species),
    )
    return _tables(tree, Sites(model or Substitution(), random), seed, (short, unsure, shared), random)


def _allocate(children: int, parents: int, random: np.random.Generator, tail: float = 0.3) -> NDArray[np.int64]:
    """(children,) the parent of each, ascending: each has one, the rest fall where they fall."""
    weights = random.lognormal(0, tail, parents)
    sizes = 1 + random.multinomial(children - parents, weights / weights.sum())
    return np.repeat(np.arange(parents), sizes)


def _tables(
    tree: _Tree, sites: Sites, seed: int, parts: tuple[float, float, float], random: np.random.Generator
) -> Iterator[pa.Table]:
    """The barcodes of every genus after the other."""
    age = {rank: sites.time_for(share) / 2 for rank, share in DIFFERENCES.items()}

    def ages(rank: str, number: int) -> NDArray[np.float64]:
        return age[rank] * (1 + SPREAD[rank] * random.uniform(-1, 1, number))

    above, when = sites.root(random)[None, :], np.array([age["class"]])
    of_order = np.zeros(tree.orders, np.int64)
    for rank, parent in (("order", of_order), ("family", tree.family), ("genus", tree.genus)):
        its_age = ages(rank, len(parent))
        above = sites.evolve(above[parent], when[parent] - its_age, random)
        when = its_age
    names = _Names(tree, seed)
    ends = np.cumsum(tree.specimens)
    first, genera = 0, np.searchsorted(tree.species, np.arange(len(tree.genus) + 1))
    row = 0
    for genus in range(len(tree.genus)):
        last = genera[genus + 1]
        waiting = int(ends[last - 1]) - row
        if waiting < ROWS and genus + 1 < len(tree.genus):
            continue
        members = np.arange(first, last)
        ancestors, same = _species(members, tree, above, when, age["species"], parts[2], sites, random)
        of = np.repeat(np.arange(len(members)), tree.specimens[members])
        for start in range(0, len(of), ROWS):
            mine = of[start : start + ROWS]
            times = age["species"] * random.uniform(0, 2, len(mine))
            codes = sites.evolve(ancestors[mine], times, random)
            barcodes = _letters(_read(codes, parts[0], parts[1], random))
            yield names.table(barcodes, members[mine], members[same[mine]], row + start)
        first, row = last, int(ends[last - 1])


def _species(
    members: NDArray[np.int64],
    tree: _Tree,
    genera: NDArray[np.uint8],
    when: NDArray[np.float64],
    end: float,
    shared: float,
    sites: Sites,
    random: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Ancestors (n, LENGTH) of consecutive species, and (n,) the place of the one whose bin each has.

    genera, when: ancestor and age of every genus; end: a species' own age.
    """
    genus = tree.species[members]
    place = members - np.searchsorted(tree.species, genus)  # within its genus
    leads = place % 2 == 0
    pair = np.cumsum(leads) - 1  # consecutive species are sisters
    parted = when[genus[leads]] * random.uniform(*SISTERS, int(leads.sum()))
    one = random.random(len(parted)) < shared
    parted = np.where(one, end, parted)
    ancestors = sites.evolve(genera[genus[leads]], when[genus[leads]] - parted, random)
    found = sites.evolve(ancestors[pair], parted[pair] - end, random)
    first = np.flatnonzero(leads)
    return found, np.where(one[pair], first[pair], np.arange(len(members)))


def _read(codes: NDArray[np.uint8], short: float, unsure: float, random: np.random.Generator) -> NDArray[np.uint8]:
    """What a sequencer makes of them: 4 is N, 5 a base that was not read. codes: (n, LENGTH), changed in place."""
    rows = len(codes)
    lengths = np.where(random.random(rows) < short, random.integers(SHORTEST, LENGTH, rows), LENGTH)
    starts = random.integers(0, LENGTH - lengths + 1)
    places = np.arange(LENGTH)[None, :]
    hazy = np.where(random.random(rows) < unsure, random.geometric(1 / UNSURE_BASES, rows), 0)
    at = np.repeat(np.arange(rows), hazy)
    codes[at, starts[at] + (random.random(len(at)) * lengths[at]).astype(np.int64)] = 4
    codes[(places < starts[:, None]) | (places >= (starts + lengths)[:, None])] = 5
    return codes


def _letters(codes: NDArray[np.uint8]) -> pa.StringArray:
    """(n, LENGTH) codes as strings, without what was not read."""
    read = codes < 5
    offsets = np.zeros(len(codes) + 1, np.int32)
    np.cumsum(read.sum(1), out=offsets[1:])
    return pa.StringArray.from_buffers(len(codes), pa.py_buffer(offsets), pa.py_buffer(LETTERS[codes[read]]))


class _Names:
    """Names of the taxa of a tree, by their places."""

    def __init__(self, tree: _Tree, seed: int) -> None:
        self.tree, self.seed = tree, seed
        genera = [genus_name(i, seed) for i in range(len(tree.genus))]
        type_genera = np.searchsorted(tree.genus, np.arange(len(tree.family)))
        self.genus = np.array(genera, object)
        self.family = np.array([family_name(int(i), seed) for i in type_genera], object)
        self.order = np.array([order_name(i, seed) for i in range(tree.orders)], object)
        self.first = np.searchsorted(tree.species, np.arange(len(tree.genus)))

    def table(self, barcodes: pa.StringArray, species: NDArray[np.int64], bins: NDArray[np.int64], start: int) -> pa.Table:
        """Rows of SCHEMA. species: (n,) of each barcode; bins: (n,) the species whose bin it has; start: number of the first."""
        kinds, of = np.unique(species, return_inverse=True)
        genus = self.tree.species[kinds]
        family = self.tree.genus[genus]
        names = [f"{self.genus[g]} {epithet(int(k - self.first[g]) + int(g) * 7, self.seed)}" for k, g in zip(kinds, genus)]
        rows = len(species)
        columns = {
            "id": [f"SIM{self.seed}-{start + i + 1:06d}" for i in range(rows)],
            "barcode": barcodes,
            "dna_bin": [bin_name(int(i)) for i in bins],
            "kingdom": ["Animalia"] * rows,
            "phylum": ["Arthropoda"] * rows,
            "class": ["Insecta"] * rows,
            "order": self.order[self.tree.family[family]][of],
            "family": self.family[family][of],
            "genus": self.genus[genus][of],
            "species": np.array(names, object)[of],
        }
        return pa.table(columns, schema=SCHEMA)


def bin_name(index: int) -> str:
    """A bin as BOLD writes them, from "BOLD:ZAA0000" on, which no specimen of BOLD has."""
    letters, number = divmod(index, 10_000)
    first, second = divmod(letters, 26)
    return f"BOLD:{chr(ord('Z') - first // 26)}{chr(ord('A') + first % 26)}{chr(ord('A') + second)}{number:04d}"
