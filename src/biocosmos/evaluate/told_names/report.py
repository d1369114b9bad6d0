"""Tables of names, ours and those of other tools, on the same specimens: each rank, and seen and unseen species apart.

A species is seen where a known specimen is of it. Whoever names the species of an unseen one names a wrong one: that share is
what a promise has to hold, and it stands in no accuracy over seen species.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.barcode.names import NAMED, named_rows
from biocosmos.evaluate.combined import combine
from biocosmos.evaluate.numbers.bootstrap import DRAWS
from biocosmos.evaluate.ranks.names import from_answers
from biocosmos.evaluate.ranks.report import naming
from biocosmos.evaluate.report import Report
from biocosmos.evaluate.side_by_side.report import side_by_side
from biocosmos.evaluate.told_names.page import page
from biocosmos.search.gallery import Gallery
from biocosmos.specimens import guard
from biocosmos.taxonomy import Taxonomy


def told_names(
    tables: Mapping[str, pa.Table],
    truth: pa.Table,
    known: pa.Table,
    taxonomy: Taxonomy,
    *,
    provenance: Mapping[str, Any] | None = None,
    seed: int = 0,
    bootstrap: int = DRAWS,
) -> Report:
    """Judge one or more tables of names, in the columns of :func:`biocosmos.identify.answers.answer_table`; the first is what the
    others are measured against.

    tables: name -> rows of the same ids; truth: those ids with their rank columns; known: ids and ranks of the specimens that
    named; provenance: split and parts. Tables: those of one namer or of several side by side, and "seen_named": per namer, group
    of queries (all, seen species, unseen species, without a species) and rank how many were answered, right and wrong.

    Raises BiocosmosError for no table, ids that are missing from one, ids that are known, and where nothing is known of any.
    """
    if not tables:
        raise BiocosmosError("no names to judge: pass a table")
    gallery, queries = _gallery(known, taxonomy), _gallery(truth, taxonomy)
    guard.refuse_shared(queries.ids, gallery.ids, "identified ids are in the gallery", "judge on specimens it has not seen")
    species = taxonomy.ranks[-1] if "species" not in taxonomy.ranks else "species"
    rows: list[dict[str, Any]] = []
    for name, table in tables.items():
        found, _ = named_rows(table, queries, gallery, species, None)
        rows += [{**row, "namer": name} for row in found]
    facts = dict(provenance or {})
    seen = Report(
        "told_names",
        "Seen and unseen species",
        {"named": pa.Table.from_pylist(rows, NAMED)},
        provenance={"protocol": "names as they were told", "species": species, **facts},
        page=page,
    )
    how: dict[str, Any] = {"seed": seed, "bootstrap": bootstrap}
    if len(tables) == 1:
        name, table = next(iter(tables.items()))
        ranked = naming(answers=table, truth=truth, taxonomy=taxonomy, gallery=gallery, name=name, **how)
    else:
        ranked = side_by_side(
            {name: from_answers(table, truth, taxonomy, gallery, name) for name, table in tables.items()}, **how
        )
    ranked.provenance |= {key: value for key, value in facts.items() if value is not None}
    return combine(seen, ranked, title=f"Names by {', '.join(tables)}", names=["seen", "ranks"])


def _gallery(table: pa.Table, taxonomy: Taxonomy) -> Gallery:
    """Ids and taxa alone: who is compared by what does not matter any more."""
    nodes = np.maximum(taxonomy.index(table), 0)
    ids = np.array(table["id"].to_pylist(), object)
    return Gallery.build(ids, np.ones((len(ids), 1), np.float32), taxa=nodes, taxonomy=taxonomy)
