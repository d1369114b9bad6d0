"""What two packs differ in: taxa and specimens gained and lost, and how both name the same vectors."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.jobs.packs.inside import classes_of, gallery_of, identifier_in, proofs_of
from biocosmos.jobs.packs.merge import ROUNDED
from biocosmos.jobs.packs.proofs import TOP, Proof, likeliest
from biocosmos.search.gallery import Gallery
from biocosmos.specimens.packs.reading import Pack, open_pack

TAXON, SPECIMEN = "taxon", "specimen"
GAINED, LOST, CHANGED, MORE, FEWER = "gained", "lost", "changed", "more", "fewer"


@dataclass(frozen=True)
class Difference:
    """From one pack to another. rows: (what, name, how, before, after), taxa first; measured: (measure, of the first, of the
    second) for the shared tests; notes: what cannot be compared, and why."""

    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    measured: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def table(self) -> pa.Table:
        """:attr:`rows` as columns what, name, how, before, after."""
        names = ("what", "name", "how", "before", "after")
        return pa.table({name: pa.array([row[i] for row in self.rows], pa.string()) for i, name in enumerate(names)})

    def count(self, what: str, how: str) -> int:
        """How many taxa or specimens are gained, lost ..."""
        return sum(row[0] == what and row[2] == how for row in self.rows)


def diff_packs(first: Path, second: Path) -> Difference:
    """Compare two packs. Raises BiocosmosError as :func:`open_pack` for one that is not whole."""
    packs = (open_pack(first), open_pack(second))
    found = Difference()
    _compare_taxa(packs, found)
    galleries = tuple(gallery_of(pack) for pack in packs)
    same_encoder = packs[0].facts["encoder"]["digest"] == packs[1].facts["encoder"]["digest"]
    _compare_specimens(packs, galleries, same_encoder, found)
    if same_encoder:
        _measure(packs, galleries, found)
    else:
        names = [f"'{pack.facts['encoder']['name']}' ({pack.facts['encoder']['digest']})" for pack in packs]
        found.notes.append(f"the packs are of two encoders, {names[0]} and {names[1]}: vectors and tests cannot be compared")
    for key in ("licence", "method", "least"):
        if packs[0].facts[key] != packs[1].facts[key]:
            found.notes.append(f"{key}: {packs[0].facts[key]} -> {packs[1].facts[key]}")
    return found


def _compare_taxa(packs: tuple[Pack, Pack], found: Difference) -> None:
    counts = []
    for pack in packs:
        tree, classes = classes_of(pack)
        counts.append({tree.path_text(int(node)): int(n) for node, n in zip(classes.nodes, classes.counts)})
    for name in sorted(counts[0].keys() | counts[1].keys()):
        before, after = counts[0].get(name, 0), counts[1].get(name, 0)
        if before != after:
            how = GAINED if not before else LOST if not after else MORE if after > before else FEWER
            found.rows.append((TAXON, name, how, str(before), str(after)))


def _compare_specimens(
    packs: tuple[Pack, Pack], galleries: tuple[Gallery | None, ...], same_encoder: bool, found: Difference
) -> None:
    one, two = galleries
    if one is None or two is None:
        without = packs[0] if one is None else packs[1]
        found.notes.append(f"{without.path} holds no specimens (--vectors none): only taxa are compared")
        return
    rows = [{str(id_): row for row, id_ in enumerate(gallery.ids)} for gallery in (one, two)]
    names = [_taxa(gallery) for gallery in (one, two)]
    for id_ in sorted(rows[0].keys() | rows[1].keys()):
        a, b = rows[0].get(id_), rows[1].get(id_)
        before, after = "" if a is None else names[0][a], "" if b is None else names[1][b]
        if a is None or b is None:
            found.rows.append((SPECIMEN, id_, GAINED if a is None else LOST, before, after))
        elif before != after:
            found.rows.append((SPECIMEN, id_, CHANGED, before, after))
        elif same_encoder and float(one.vectors[a] @ two.vectors[b]) < ROUNDED:
            found.rows.append((SPECIMEN, id_, CHANGED, before, f"{after} (another vector)"))


def _taxa(gallery: Gallery) -> list[str]:
    assert gallery.taxa is not None and gallery.taxonomy is not None
    text = {int(node): gallery.taxonomy.path_text(int(node)) for node in np.unique(gallery.taxa)}
    return [text[int(node)] if node > 0 else "" for node in gallery.taxa]


def _measure(packs: tuple[Pack, Pack], galleries: tuple[Gallery | None, ...], found: Difference) -> None:
    """Both identifiers on the tests of both packs: how often the taxon is the likeliest, among the likeliest, and how sure."""
    asked: dict[str, tuple[Proof, Any]] = {}
    for pack in packs:
        proofs = proofs_of(pack)
        for test, vector in zip(proofs.tests, proofs.vectors):
            asked.setdefault(test.id, (test, vector))
    tests, vectors = [test for test, _ in asked.values()], np.stack([vector for _, vector in asked.values()])
    said = [likeliest(identifier_in(pack, gallery), vectors) for pack, gallery in zip(packs, galleries)]
    of = [[_leaf(test, answers) for test, answers in zip(tests, each)] for each in said]

    def share(rule: Any) -> list[str]:
        return [f"{np.mean([rule(*row) for row in each]):.4f}" for each in of]

    found.measured.append((f"taxon is the likeliest, of {len(tests)} tests", *share(lambda place, p: place == 0)))  # type: ignore[arg-type]
    found.measured.append((f"taxon is among the {TOP} likeliest", *share(lambda place, p: place >= 0)))  # type: ignore[arg-type]
    found.measured.append(("mean probability of the taxon", *share(lambda place, p: p)))  # type: ignore[arg-type]
    agree = float(np.mean([a[0][0] == b[0][0] for a, b in zip(*said)]))
    found.notes.append(f"both name {agree:.1%} of the {len(tests)} tests alike")
    learnt = sum(not test.held_out for test in tests)
    if learnt:
        found.notes.append(f"{learnt} of the tests are of specimens that one of the packs learnt from: their shares flatter it")


def _leaf(test: Proof, answers: tuple[tuple[str, float], ...]) -> tuple[int, float]:
    """Place of the test's taxon among the answers, -1 for none, and its probability there."""
    for place, (name, p) in enumerate(answers):
        if name == test.taxon:
            return place, p
    return -1, 0.0
