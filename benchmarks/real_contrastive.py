"""One space of pictures and barcodes, in the layout of CLIBD's table: synthetic images, real barcodes.

    python benchmarks/real_contrastive.py --data ../shared/data/coi/nltin.parquet --work results/contrastive --seeds 0,1,2

The collection is made by 'biocosmos simulate pictures' from 12,159 COI records of land invertebrates of the Netherlands; the
pictures are drawn, with traits that follow the tree. Keys are train and key_unseen; asked are test (species of train) and
test_unseen (species that train has not). Spaces are trained with the defaults of 'biocosmos train contrastive' on train alone.
Unaligned ("none") are the encoders under the towers, which have no space in common. Nothing was chosen on the parts that ask. The
licence of the records is unverified, so that they are not shipped. What is trained is kept in --work and not trained again; with
--as-they-are nothing else is trained, and a line of the table says how many trainings it is the mean of.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biocosmos.encoders.projected_barcodes import load_projected_barcodes
from biocosmos.encoders.registry import load_towers
from biocosmos.evaluate.cross_modal.scores import retrieval_scores
from biocosmos.evaluate.cross_modal.sides import DNA, IMAGE, SEEN, UNSEEN, Side
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.open_world.scores import harmonic_mean
from biocosmos.identify.namer import FitOptions, Specimens
from biocosmos.identify.namers.fused import Fused
from biocosmos.identify.novelty.known_depth import winners_by_rank
from biocosmos.jobs.cross_modal_parts import rank_codes
from biocosmos.search.gallery import Gallery
from biocosmos.specimens.collection import Collection
from biocosmos.train.contrastive.settings import contrastive_settings
from biocosmos.train.contrastive.training import train_contrastive
from biocosmos.train.loop.run_folder import SUMMARY
from machine import write_results

BASES = {IMAGE: "efficientnet-lite0", DNA: "kmer:6"}
SIZE = 128
ALIGNED: dict[str, dict[str, str] | None] = {"none": None, "I+D": {"text": ""}, "I+T": {"dna": ""}, "I+D+T": {}}
PAIRS = ((DNA, DNA), (IMAGE, IMAGE), (IMAGE, DNA))
RANKS = ("order", "family", "genus", "species")
KEYS = "train+key_unseen"
ASKED = {SEEN: "test", UNSEEN: "test_unseen"}
AIMS = {"seen": 10.0, "unseen": 5.0}
"""Points of image to image at species, aligned above unaligned."""
CHANCE, ABOVE_SINGLE = 5.0, 2.0
"""Image to DNA at genus of unseen species, times chance; genus of unseen species by both over the better one, points."""
Array = np.ndarray[Any, np.dtype[Any]]
Row = dict[str, Any]


def collection_of(data: Path, work: Path) -> Collection:
    """The collection, made by the verbs that anybody would type, if it is not there."""
    path = work / "both.cosmos"
    verb = [sys.executable, "-m", "biocosmos"]
    if not (path / "collection.json").exists():
        subprocess.run(
            [*verb, "simulate", "pictures", str(data), "-o", str(path), "--size", str(SIZE), "--seed", "0"], check=True
        )
    collection = Collection.open(path)
    for encoder in BASES.values():
        if encoder not in collection.encoders:
            subprocess.run([*verb, "embed", str(path), "-e", encoder], check=True)
    return Collection.open(path)


def projected(gallery: Gallery, folder: Path | None, modality: str) -> Array:
    """(n, width) float32 unit vectors of a tower: the projection of what is stored; without a folder what is stored."""
    vectors = np.asarray(gallery.vectors)
    if folder is None:
        return vectors
    tower = str(folder / modality)
    projection = load_towers(tower).projection if modality == IMAGE else load_projected_barcodes(tower, device="cpu").projection
    assert projection is not None
    with torch.inference_mode():
        made = projection(torch.from_numpy(vectors)).numpy()
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def side_of(collection: Collection, folder: Path | None, modalities: Sequence[str], part: str) -> Side:
    """Specimens of a part, in one order for all modalities: that of their ids."""
    vectors, taxa = {}, {}
    for modality in modalities:
        gallery = collection.gallery(BASES[modality], split=part, columns=[])
        order = np.argsort(gallery.ids)
        assert gallery.taxonomy is not None and gallery.taxa is not None
        vectors[modality] = projected(gallery, folder, modality)[order]
        codes = rank_codes(gallery.taxonomy, np.asarray(gallery.taxa)[order])
        taxa = {rank: codes[rank] for rank in RANKS}
    return Side(vectors, taxa)


def scores(collection: Collection, folder: Path | None, modalities: Sequence[str]) -> list[Row]:
    """Top-1 of every pair of :data:`PAIRS` that there is, by the protocol's own code."""
    groups = [[modality] for modality in modalities] if folder is None else [list(modalities)]
    found: list[Row] = []
    for group in groups:
        keys = side_of(collection, folder, group, KEYS)
        asked = {which: side_of(collection, folder, group, part) for which, part in ASKED.items()}
        rows = retrieval_scores(keys, asked, ks=(1,), bootstrap=Bootstrap(0))
        found += [row for row in rows if (row["query"], row["key"]) in PAIRS]
    return found


def measured(collection: Collection, work: Path, seeds: Sequence[int], as_they_are: bool) -> list[Row]:
    """Rows of :func:`scores` with ``aligned`` and ``seed``, and how long each training took."""
    found: list[Row] = [{**row, "aligned": "none", "seed": 0} for row in scores(collection, None, tuple(BASES))]
    for seed in seeds:
        for aligned, given in ALIGNED.items():
            if given is None:
                continue
            folder = work / "spaces" / f"{aligned}-{seed}"
            if as_they_are and not (folder / SUMMARY).exists():
                continue
            began = time.time()
            result = train_contrastive(collection, contrastive_settings(seed=seed, device="cpu", **given), folder)
            if not result.already_done:
                print(f"{folder.name}: {time.time() - began:.0f} s", flush=True)
            there = [modality for modality in BASES if modality in result.settings.modalities]
            found += [{**row, "aligned": aligned, "seed": seed} for row in scores(collection, folder, there)]
    return found


def by_both(collection: Collection, folder: Path | None) -> list[Row]:
    """Names by the method 'fused', fitted on train, from both, from the image alone and from the barcode alone: top-1 by rank."""

    def gallery_of(part: str) -> Gallery:
        gallery = collection.gallery(BASES[IMAGE], split=part, columns=["barcode"], also="barcode")
        return replace(gallery, vectors=projected(gallery, folder, IMAGE))

    namer = Fused.fit(gallery_of("train"), FitOptions())
    found = []
    for which, part in ASKED.items():
        asked = gallery_of(part)
        assert asked.columns is not None and asked.taxa is not None
        truth = np.asarray(asked.taxa, np.int32)
        letters = np.array(asked.columns["barcode"].to_pylist(), object)
        told: dict[str, dict[str, Any]] = {"both": {"vectors": asked.vectors, "barcodes": letters}}
        told |= {"image": {"vectors": asked.vectors}, "barcode": {"barcodes": letters}}
        for evidence, given in told.items():
            predictions = namer.predict(Specimens(asked.ids, truth=truth, **given))
            winners = winners_by_rank(predictions)
            for rank in RANKS:
                true = predictions.taxonomy.ancestor(truth, rank)
                right = winners[:, predictions.taxonomy.rank_index(rank)] == true
                found.append({"asked": which, "by": evidence, "rank": rank, "right": float(right[true >= 0].mean())})
    return found


def fused_table(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """A line for each image encoder, seed, part and evidence; and the aim."""
    lines, made = [], []
    for encoder in dict.fromkeys(row["image encoder"] for row in rows):
        mine = [row for row in rows if row["image encoder"] == encoder]
        right = {(row["asked"], row["by"], row["rank"]): 100 * row["right"] for row in mine}
        for which in ASKED:
            for evidence in ("image", "barcode", "both"):
                line: Row = {"image encoder": encoder, "asked": which, "by": evidence}
                lines.append(line | {rank: round(right[which, evidence, rank], 1) for rank in RANKS})
        best = max(right[UNSEEN, evidence, "genus"] for evidence in ("image", "barcode"))
        gain = right[UNSEEN, "both", "genus"] - best
        what = f"genus of unseen species by both, points above the better one ({best:.1f})"
        made.append(aim(what, encoder, [gain], ABOVE_SINGLE))
    return lines, made


def of(rows: list[Row], column: str, **facts: Any) -> list[float]:
    """Values of the rows that have these facts, one for each seed, in percent."""
    return [100 * row[column] for row in rows if all(row[name] == value for name, value in facts.items())]


def table(rows: list[Row]) -> list[Row]:
    """The layout of CLIBD's table: seen / unseen / harmonic mean, the mean over seeds."""
    made = []
    for rank in RANKS:
        for aligned in ALIGNED:
            for average in ("micro", "macro"):
                line: Row = {"rank": rank, "aligned": aligned, "average": average, "trainings": None}
                for query, key in PAIRS:
                    facts = {"rank": rank, "aligned": aligned, "average": average, "query": query, "key": key}
                    seen, unseen = of(rows, SEEN, **facts), of(rows, UNSEEN, **facts)
                    both = [harmonic_mean(one, other) for one, other in zip(seen, unseen)]
                    cells = [f"{np.mean(values):.1f}" for values in (seen, unseen, both) if values]
                    line[f"{query} to {key}: seen / unseen / H.M."] = " / ".join(cells) or None
                    line["trainings"] = len(seen) if seen and ALIGNED[aligned] is not None else line["trainings"]
                made.append(line)
    return made


def aims(rows: list[Row]) -> list[Row]:
    """What was wanted, what came out: means over seeds, and the least and the most of a seed."""
    made = []
    species: dict[str, Any] = {"rank": "species", "average": "micro", "query": IMAGE, "key": IMAGE}
    trained = [aligned for aligned in ("I+D", "I+D+T") if any(row["aligned"] == aligned for row in rows)]
    for aligned in trained:
        for which, wanted in AIMS.items():
            (before,) = of(rows, which, aligned="none", **species)
            after = of(rows, which, aligned=aligned, **species)
            what = f"image to image, species of {which}, points above unaligned ({before:.1f})"
            made.append(aim(what, aligned, [value - before for value in after], wanted))
    for aligned in trained:
        genus: dict[str, Any] = {"rank": "genus", "average": "micro", "query": IMAGE, "key": DNA, "aligned": aligned}
        hits, chance = of(rows, UNSEEN, **genus), of(rows, f"{UNSEEN}_chance", **genus)
        what = f"image to DNA, genus of unseen species, times chance ({np.mean(chance):.2f} %)"
        made.append(aim(what, aligned, [hit / by_chance for hit, by_chance in zip(hits, chance)], CHANCE))
    return made


def aim(what: str, aligned: str, values: list[float], wanted: float) -> Row:
    """A row."""
    line = {"what": what, "aligned": aligned, "mean": round(float(np.mean(values)), 1), "least": round(min(values), 1)}
    said = "met" if np.mean(values) >= wanted else "missed"
    return {**line, "most": round(max(values), 1), "seeds": len(values), "wanted": wanted, "so": said}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/coi/nltin.parquet"))
    parser.add_argument("--work", type=Path, default=Path("results/contrastive"))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--as-they-are", action="store_true", help="Train nothing: only what is in --work.")
    parser.add_argument("--only", choices=("retrieval", "fused"), help="One of the two questions.")
    told = parser.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    collection = collection_of(told.data, told.work)
    seeds = [int(seed) for seed in told.seeds.split(",")]
    split = collection.split()
    parts = ", ".join(f"{part} {count:,}" for part, count in split.counts().items())
    said = f"Synthetic images, real barcodes. Split {split.hash}: {parts}."
    if told.only != "fused":
        rows = measured(collection, told.work, seeds, told.as_they_are)
        (told.work / "rows.json").write_text(json.dumps(rows, indent=1, default=float), encoding="utf-8")
        facts = next(row for row in rows if row["rank"] == "species" and row["query"] == IMAGE)
        notes = (
            f"{said} Top-1 in percent, the mean over trainings of different seeds. {facts[f'{UNSEEN}_unanswerable']} of "
            f"{facts[f'{UNSEEN}_specimens']} queries of unseen species have no key of their species and count as wrong there. "
            "Unaligned encoders of image and DNA have no space in common."
        )
        write_results("contrastive", table(rows), notes)
        write_results("contrastive_aims", aims(rows), said)
    if told.only != "retrieval":
        space = told.work / "spaces" / f"I+D-{seeds[0]}"
        encoders = {BASES[IMAGE]: None, f"image tower of I+D, seed {seeds[0]}": space}
        both: list[Row] = []
        for name, folder in encoders.items():
            both += [{"image encoder": name, **row} for row in by_both(collection, folder)]
            lines, gains = fused_table(both)
            gained = "; ".join(f"{line['aligned']}: {line['what']}: {line['mean']}, {line['so']}" for line in gains)
            notes = f"{said} Known is train alone: no species of test_unseen can be right. Wanted 2 points. {gained}."
            write_results("contrastive_fused", lines, notes)


if __name__ == "__main__":
    main()
