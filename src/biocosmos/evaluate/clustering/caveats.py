"""What cannot be concluded from a report on clusterings, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from biocosmos.evaluate.clustering.grid import FROM_LABELS, Setting
from biocosmos.evaluate.numbers.targets import Target

FEW_CLUSTERINGS = 30
"""Under so many clusterings a rank correlation says little: the study had hundreds."""


def clustering_caveats(
    tables: Mapping[str, pa.Table],
    specimens: int,
    sizes: Mapping[str, int],
    main: Target,
    settings: Sequence[Setting],
    asked: int,
) -> list[str]:
    """Sentences. sizes: specimens of each gallery before those that not all encoders have were left out."""
    found = []
    if any(each.counted == FROM_LABELS for each in settings):
        names = ", ".join(dict.fromkeys(each.settings.method for each in settings if each.counted == FROM_LABELS))
        found.append(
            f"{names} were told how many clusters to make: as many as there are taxa at {main.name} among these specimens. Who "
            "has no labels does not know that number; the figures of these methods are higher for it than they would be."
        )
    found += _of_rows(specimens, sizes, main)
    if asked < specimens:
        found.append(f"Silhouettes are means over {asked:,} specimens drawn by the seed, each against all {specimens:,}.")
    spaces = set(tables["parted"]["space"].to_pylist())
    if "umap" not in spaces:
        found.append("Nothing was reduced by UMAP, so that there is no silhouette in its space: name it with --reducer umap.")
    found.append(
        "Intervals are of the specimens alone: other seeds, other taxa and other trainings of an encoder vary more. The highest "
        "of many clusterings is high partly by luck; so is the lowest loss."
    )
    runs = tables["summary"].num_rows
    if 1 < runs < FEW_CLUSTERINGS:
        found.append(
            f"Whether scores without labels order clusterings as AMI does was asked of {runs} clusterings only, all of the same "
            f"specimens: with under {FEW_CLUSTERINGS} a rank correlation says little."
        )
    failed = tables["failures"].num_rows
    if failed:
        found.append(f"{failed} clusterings could not be made; the table failures has the reasons.")
    return found


def _of_rows(specimens: int, sizes: Mapping[str, int], main: Target) -> list[str]:
    found = []
    lacking = {name: size - specimens for name, size in sizes.items() if size > specimens}
    if lacking:
        found.append(
            f"Compared are the {specimens:,} specimens that every encoder has embedded; left out of "
            f"{', '.join(f'{name}: {count:,}' for name, count in lacking.items())}."
        )
    unnamed = int((main.query < 0).sum())
    if unnamed:
        found.append(
            f"{unnamed:,} of {specimens:,} specimens have no name at {main.name}: they are clustered with the others, and left "
            "out of the scores there. Each rank is scored on its own specimens, so ranks differ in more than their taxa."
        )
    alone = int((main.query_counts() == 1).sum())
    if alone:
        found.append(f"{alone:,} taxa at {main.name} have one specimen only: nothing can be put together with it.")
    return found
