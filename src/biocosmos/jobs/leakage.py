"""Refuse to measure an encoder on specimens that it was trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biocosmos.encoders.registry import TRAINED
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.collection import Collection
from biocosmos.train.loop.run_folder import LABELS


def refuse_trained_on(collection: Collection, encoder: str, part: str) -> None:
    """Raise BiocosmosError if ``encoder``, or an encoder it was trained from, learnt specimens of ``part`` of a split.

    What was learnt is read from the folders of the training runs, as far as they are on this machine.
    """
    name, _, wanted = part.rpartition(":")
    asked: pa.Array | None = None
    for folder in _runs(encoder):
        if not (folder / LABELS).exists():
            continue
        if asked is None:
            asked = collection.split(name or "default").part(wanted)
        learnt = pq.read_table(folder / LABELS, columns=["id"])["id"].combine_chunks()
        seen = asked.filter(pc.is_in(asked, value_set=learnt))
        if len(seen):
            raise BiocosmosError(
                f"{folder} was trained on {len(seen):,} of the {len(asked):,} specimens of part '{part}' ({seen[0]} ...): "
                "measure it on the split it was trained with, or train again on this one"
            )


def _runs(encoder: str) -> Iterator[Path]:
    """The folder of a trained encoder, and those of the encoders it was trained from, nearest first."""
    seen: set[Path] = set()
    waiting = [Path(encoder).expanduser()]
    while waiting:
        folder = waiting.pop()
        facts = folder / TRAINED
        if not facts.is_file() or folder.resolve() in seen:
            continue
        seen.add(folder.resolve())
        yield folder
        base = json.loads(facts.read_text(encoding="utf-8")).get("base", {})
        places = [Path(place) if Path(place).is_absolute() else folder / place for place in base.get("places", [])]
        waiting += [place for place in (*places, Path(str(base.get("name", "")))) if place.is_dir()]
