"""Other names of taxa, as the data has them beside the ranks: vernacular names, names as they were given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.serve.catalogue.words import fold_all

if TYPE_CHECKING:
    from biocosmos.serve.catalogue.state import Moment

COLUMNS = frozenset(
    (
        *("scientificname", "acceptednameusage", "originalnameusage", "vernacularname", "commonname", "synonym", "synonyms"),
        *("verbatimscientificname", "verbatimidentification", "objectannotationcategory", "label"),
    )
)
"""Names of columns, without signs and case."""
MOST = 200_000
"""Pairs of a name and a taxon; a column of more is no column of names."""


def synonym_columns(moment: Moment) -> list[str]:
    """Columns of the collection that hold names of taxa, beside its ranks."""
    ranks = moment.stored.taxonomy.ranks if moment.stored.taxonomy is not None else ()
    plain = [(name, "".join(filter(str.isalnum, name)).lower()) for name in moment.stored.columns if name not in ranks]
    return [name for name, said in plain if said in COLUMNS]


def synonyms_of(moment: Moment) -> tuple[pa.Array, npt.NDArray[np.int32], pa.Array]:
    """(folded names, node of each, names as they are written): every distinct pair of a synonym and what the collection calls its
    specimens, where that is another name."""
    return moment.stored.of_tree(moment.taxonomy, "synonyms", lambda: _pairs(moment))


def _pairs(moment: Moment) -> tuple[pa.Array, npt.NDArray[np.int32], pa.Array]:
    texts, nodes = [pa.array([], pa.string())], [np.empty(0, np.int32)]
    for name in synonym_columns(moment):
        column = moment.stored.column(name)
        if len(column.values) > MOST:
            continue
        key = column.codes.astype(np.int64) * len(moment.taxonomy) + moment.labels
        distinct = np.unique(key[moment.labels > 0])
        code, node = np.divmod(distinct, len(moment.taxonomy))
        said = column.values.take(pa.array(code))
        own = np.array([text == called for text, called in zip(said.to_pylist(), moment.taxonomy.names[node])], bool)
        blank = code == column.code("")
        texts.append(said.filter(pa.array(~own & ~blank)))
        nodes.append(node[~own & ~blank].astype(np.int32))
    written = pa.concat_arrays(texts)
    return fold_all(written), np.concatenate(nodes), written
