"""train place: a prior of which taxa were collected where and when."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.options import COLLECTION, OVERWRITE
from biocosmos.cli.printing import say, show_table
from biocosmos.cli.verbs import add
from biocosmos.jobs.place_settings import PlaceSettings


def register(train: typer.Typer) -> None:
    """Add the verb to ``biocosmos train``."""
    add(train, place)


@takes(PlaceSettings)
def place(
    collection: COLLECTION,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the prior.")],
    settings: PlaceSettings,
    overwrite: OVERWRITE = False,
) -> None:
    """Learn which taxa were collected where, at what time of the year and at what depth: a prior of places.

    biocosmos train place mine.cosmos --split train -o prior/

    biocosmos train place mine.cosmos --rank family --kilometres 15 --days 15 -o prior/

    biocosmos train place mine.cosmos --method sinr -o sinr/

    A kernel: the specimens near by count, the nearer the more. How near is chosen on cells of 0.1 degrees that are held out, and
    told beside the overall shares alone: -log p in nats, less is better. SINR and geo_prior are networks whose scores say whether
    a taxon is there at all; mlp gives shares. The training of a network that is killed goes on when it is run again. It tells
    where people collected, not where taxa live.
    """
    from biocosmos.jobs.train_place import CAVEAT, train_place

    result = train_place(collection, output, settings, overwrite=overwrite)
    if not result.main_process:
        return
    show_table(("prior of places", "value"), result.rows(), title=str(output))
    if result.network is not None:
        if result.network.already_done:
            say("Nothing was trained: this run is finished; --overwrite begins it anew")
    elif result.chosen is None:
        say("Nothing could be held out to judge it: all specimens lie in one cell, or no taxon in two")
    elif len(result.chosen.tried) > 1:
        say("The bandwidths were chosen on these held-out cells, which flatters the last figure a little.")
    say(CAVEAT)
