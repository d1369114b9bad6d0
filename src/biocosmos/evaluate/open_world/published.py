"""What others published for the tasks of the BIOSCAN papers, beside what is measured here."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

import pyarrow as pa

FILE = "published.toml"
DNA, IMAGE = "dna", "image"
ACROSS = ("image to dna", "image to text")
"""What :func:`published_table` is asked for to have the figures of retrieval from one modality to another."""
SPECIES_FINE_TUNED, SPECIES_LINEAR = "species, fine-tuned", "species, linear"
GENUS_OF_UNSEEN = "genus of unseen species, 1-NN"
SPECIES_OF_SEEN = "species of seen species, 1-NN"
"""Tasks: the first three as BIOSCAN-5M's table has them, the last its counterpart for what needs no training."""
ACCURACY = "accuracy"
SOURCE_HERE = "measured here"
PUBLISHED = pa.schema(
    [(name, pa.string()) for name in ("task", "data", "model", "measure")]
    + [("published", pa.float64()), ("measured_here", pa.float64()), ("source", pa.string())]
)
"""Shares; ``published`` is null for what nobody published, ``measured_here`` for what was not measured here."""
Row = dict[str, Any]


def retrieval_task(rank: str, modality: str, key: str | None = None) -> str:
    """CLIBD's task: nearest key of the same modality, "species, DNA to DNA", or of another, "species, image to DNA"."""
    asking, answering = ("DNA" if each == DNA else each for each in (modality, key or modality))
    return f"{rank}, {asking} to {answering}"


def measured(task: str, data: str, model: str, measure: str, value: float, source: str = SOURCE_HERE) -> Row:
    """A row of one's own for :func:`published_table`; data: which collection and part; value: a share."""
    facts = {"task": task, "data": data, "model": model, "measure": measure}
    return {**facts, "published": None, "measured_here": value, "source": source}


def published_table(found: Iterable[Row] = (), *, modalities: Iterable[str] = (DNA,)) -> pa.Table:
    """The published figures of these modalities as rows of :data:`PUBLISHED`, and under those of each task what was found here.

    modalities: "dna", "image", or those of :data:`ACROSS`.
    found: rows of :func:`measured`. One of the same task, data, model and measure as a published figure stands beside it; any
    other is a row of its own: figures on other data are no reproduction of the published ones. Tasks without a published figure
    come last.
    """
    asked = set(modalities)
    rows = [dict(row) for row in _figures() if row["modality"] in asked]
    keys = ("task", "data", "model", "measure")
    place = {tuple(row[key] for key in keys): row for row in rows}
    more: list[Row] = []
    for row in found:
        same = place.get(tuple(row[key] for key in keys))
        if same is None:
            more.append(dict(row))
        else:
            same["measured_here"] = row["measured_here"]
    tasks = list(dict.fromkeys(row["task"] for row in [*rows, *more]))
    ordered = [row for task in tasks for row in (*rows, *more) if row["task"] == task]
    return pa.Table.from_pylist([{name: row.get(name) for name in PUBLISHED.names} for row in ordered], PUBLISHED)


@cache
def _figures() -> tuple[Mapping[str, Any], ...]:
    told = tomllib.loads(resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8"))
    return tuple({**row, "source": told["sources"][row["source"]], "measured_here": None} for row in told["figures"])
