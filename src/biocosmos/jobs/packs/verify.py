"""Is a pack what its maker wrote, does it hold together, and does it name here as it did there?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biocosmos.errors import BiocosmosError
from biocosmos.jobs.packs.inside import AGAIN, classes_of, gallery_of, tried
from biocosmos.jobs.packs.proofs import differs
from biocosmos.specimens.packs.reading import Pack, open_pack


@dataclass(frozen=True)
class Verified:
    """A pack that is whole. rows: (what, how it is) for a table; differing: tests that are answered otherwise here, in words."""

    pack: Pack
    rows: list[tuple[str, str]]
    differing: tuple[str, ...]


def verify_pack(path: str | Path) -> Verified:
    """Open a pack and read all of it. Raises BiocosmosError, one line, for the first thing that is wrong with its files."""
    pack = open_pack(path)
    facts = pack.facts
    tree, classes = classes_of(pack)
    gallery = gallery_of(pack)
    identifier, proofs, now = tried(pack, gallery)
    if identifier.namer.taxonomy.digest != tree.digest:
        raise BiocosmosError(f"{pack.path}: its identifier has another tree than the pack: {AGAIN}")
    if identifier.known is not None and identifier.known.taxa is not None and gallery is not None:
        taxa, counts = np.unique(identifier.known.taxa, return_counts=True)
        if not np.array_equal(taxa, classes.nodes) or not np.array_equal(counts, classes.counts):
            raise BiocosmosError(f"{pack.path}: its classes do not count the specimens that its identifier learnt from: {AGAIN}")
    differing = []
    for expected, found in zip(proofs.tests, now.tests):
        for what in ("taxa", "nearest"):
            if (why := differs(getattr(expected, what), getattr(found, what))) is not None:
                differing.append(f"test {expected.id}, {what}: {why}")
    right = sum(bool(test.taxa) and test.taxa[0][0] == test.taxon for test in now.tests)
    failed = len({line.partition(",")[0] for line in differing})
    recall = facts["vectors"]["recall"]
    kind = facts["vectors"]["kind"]
    rows = [
        ("files", f"{len(pack.files):,}, {sum(pack.files.values()) / 1e6:,.1f} MB, none changed"),
        ("digest", pack.digest),
        ("licence", str(facts["licence"])),
        ("encoder", f"{facts['encoder']['name']}, weights {facts['encoder']['digest']}"),
        ("names by", f"{facts['method']}, {len(classes.nodes):,} classes at {', '.join(tree.ranks)}"),
        ("learnt from", f"{int(classes.counts.sum()):,} specimens"),
        ("specimens", "none" if gallery is None else f"{len(gallery):,} with vectors as {kind}"),
        *([("loss of recall@1", f"{recall['loss']:.4f} of {recall['recall@1']:.4f}")] if recall else []),
        ("tests", f"{len(now.tests) - failed} of {len(now.tests)} answered as expected, {right} right"),
        *([("not read", ", ".join(pack.stray[:5]))] if pack.stray else []),
    ]
    return Verified(pack, rows, tuple(differing))
