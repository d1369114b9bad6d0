"""One name from image and barcode against either alone: right at each rank, how deep a 5 % promise answers, damage and mix-ups.

    python benchmarks/fused_names.py both.cosmos --encoder efficientnet-lite0 --work DIR test test_unseen

The gallery is the part train; the identifier is kept in DIR. Damaged barcodes: a random piece of 200 or 100 bases, 5 % of the
bases drawn anew, half of the barcodes missing. Mix-ups: 5 % of the specimens have the barcode of one of another family, four
times.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import biocosmos as bc
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.namer import Specimens
from biocosmos.identify.predictions import Predictions
from biocosmos.search.gallery import Gallery
from biocosmos.taxonomy import Taxonomy

RANKS = ("species", "genus", "family")
Letters = npt.NDArray[np.object_]


def main() -> None:
    """Print one line for each kind of evidence."""
    parser = argparse.ArgumentParser()
    parser.add_argument("collection", type=Path)
    parser.add_argument("parts", nargs="+")
    parser.add_argument("--encoder", default="efficientnet-lite0")
    parser.add_argument("--work", type=Path, required=True)
    asked = parser.parse_args()
    collection = bc.Collection.open(asked.collection)

    def gallery(part: str) -> Gallery:
        return collection.gallery(asked.encoder, split=part, columns=("barcode",), also="barcode")

    folder = asked.work / "fused"
    if not folder.exists():
        Identifier.fit(gallery("train"), method="fused", error_rate=0.05).save(folder)
    identifier = Identifier.load(folder)
    print(identifier.describe())
    random = np.random.default_rng(0)
    for part in asked.parts:
        known = gallery(part)
        assert known.columns is not None
        letters = np.array(known.columns["barcode"].to_pylist(), object)
        told(f"{part}: image and barcode", identifier, known, letters)
        told(f"{part}: image", identifier, known, None)
        told(f"{part}: barcode", identifier, known, letters, image=False)
        mixed_up(identifier, known, letters, random)
        for what, damaged in damage(letters, random).items():
            told(f"{part}, {what}: image and barcode", identifier, known, damaged)
            if what != "half missing":
                told(f"{part}, {what}: barcode", identifier, known, damaged, image=False)


def specimens(gallery: Gallery, letters: Letters | None, image: bool = True) -> Specimens:
    """The specimens of a gallery with other barcodes."""
    return Specimens(gallery.ids, vectors=gallery.vectors if image else None, barcodes=letters, truth=gallery.taxa)


def told(name: str, identifier: Identifier, gallery: Gallery, letters: Letters | None, image: bool = True) -> None:
    """Print what is right at each rank, and what is answered and wrong."""
    said = list(identifier.stream([specimens(gallery, letters, image)]))
    predictions = Predictions.concatenate(each.predictions for each in said)
    table = pa.concat_tables([each.table for each in said])
    taxonomy = predictions.taxonomy
    right = {}
    for rank in RANKS:
        nodes, true = taxonomy.at_rank(rank), taxonomy.ancestor(predictions.truth, rank)
        best = nodes[predictions.log_p[:, nodes].argmax(axis=1)]
        right[rank] = round(100 * float((best == true)[true > 0].mean()), 1)
    ranks = table["rank"].to_pylist()
    wrong = sum(is_wrong(taxonomy, row, truth) for row, truth in zip(table.to_pylist(), predictions.truth, strict=True))
    depth = {
        rank: sum(each is not None and taxonomy.rank_index(each) >= taxonomy.rank_index(rank) for each in ranks) for rank in RANKS
    }
    errors = {rank: round(100 * calibration_error(table, taxonomy, predictions.truth, rank), 1) for rank in ("genus", "family")}
    answered = sum(each is not None for each in ranks)
    print(f"{name}: right {right}; answered {answered}, wrong {wrong}, at or below {depth}; calibration error {errors}")


def is_wrong(taxonomy: Taxonomy, row: dict[str, Any], truth: int) -> bool:
    """Whether an answer is another taxon than the true one at its rank."""
    if row["rank"] is None:
        return False
    node = int(taxonomy.ancestor(truth, row["rank"]))
    return not (node > 0 and taxonomy.name(node) == row["taxon"])


def calibration_error(table: pa.Table, taxonomy: Taxonomy, truth: npt.NDArray[np.int32], rank: str, bins: int = 10) -> float:
    """Expected calibration error of the best path at a rank, ten bins of equal width."""
    confidence = np.array(table[f"{rank}_confidence"].to_pylist(), float)
    nodes = taxonomy.ancestor(truth, rank)
    judged = np.isfinite(confidence) & (nodes > 0)
    names = np.array(table[rank].to_pylist(), object)
    right = np.array([taxonomy.name(int(node)) == name for node, name in zip(nodes, names, strict=True)])[judged]
    confidence = confidence[judged]
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return float(sum(abs(confidence[place == i].sum() - right[place == i].sum()) for i in range(bins)) / max(1, len(right)))


def damage(letters: Letters, random: np.random.Generator) -> dict[str, Letters]:
    """The same barcodes damaged in several ways."""
    out: dict[str, Letters] = {}
    for length in (200, 100):
        starts = [int(random.integers(0, max(1, len(each) - length + 1))) for each in letters]
        out[f"{length} bases"] = np.array([each[a : a + length] for each, a in zip(letters, starts, strict=True)], object)
    wrong = []
    for each in letters:
        bases = np.array(list(each))
        changed = random.random(len(bases)) < 0.05
        bases[changed] = random.choice(list("ACGT"), int(changed.sum()))
        wrong.append("".join(bases))
    out["5 % of the bases drawn anew"] = np.array(wrong, object)
    out["half missing"] = np.where(random.random(len(letters)) < 0.5, None, letters)
    return out


def mixed_up(identifier: Identifier, gallery: Gallery, letters: Letters, random: np.random.Generator) -> None:
    """Print how many barcodes of another family are told, and how many own ones are taken for one."""
    assert gallery.taxonomy is not None and gallery.taxa is not None
    family, count = gallery.taxonomy.ancestor(gallery.taxa, "family"), len(letters) // 20
    found = wrongly = asked = 0
    for _ in range(4):
        rows, mixed = random.permutation(len(letters))[:count], letters.copy()
        for row in rows:
            mixed[row] = letters[random.choice(np.flatnonzero(family != family[row]))]
        columns = Predictions.concatenate(identifier.namer.stream([specimens(gallery, mixed)])).columns
        assert columns is not None
        told_apart = np.array([bool(each) for each in columns["disagree"].to_pylist()])
        found, wrongly, asked = found + told_apart[rows].sum(), wrongly + told_apart.sum() - told_apart[rows].sum(), asked + count
    print(f"mixed up: {found} of {asked} told, {wrongly} of the others; precision {found / max(1, found + wrongly):.2f}")


if __name__ == "__main__":
    main()
