"""refit: learn from the new labels, see what changed, and put it to use."""

from __future__ import annotations

from typing import Any

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.options import COLLECTION
from biocosmos.cli.printing import say, show_table
from biocosmos.cli.verbs import add
from biocosmos.jobs.refit_settings import RefitSettings

SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    add(app, refit)


@takes(RefitSettings)
def refit(collection: COLLECTION, settings: RefitSettings) -> None:
    """Learn from the new labels: fit the naming head on all that has a name now, and say what that changes.

    biocosmos refit mine.cosmos

    biocosmos refit mine.cosmos --name week-48 --error-rate 0.05

    biocosmos refit mine.cosmos --labels five.csv

    biocosmos refit mine.cosmos --promote week-48 --by "Ada"

    Names that people gave in the browser count, those that are doubted or disputed do not. A part of the collection is held out
    for good and judges; what is promoted is what identify uses from then on where it is not told who names.
    """
    from biocosmos.specimens.collection import Collection

    opened = Collection.open(collection)
    if settings.promote is not None:
        from biocosmos.jobs.models import promote

        done = promote(opened, settings.promote, by=settings.by)
        say(f"{collection}: {done.name} names from now on, said {done.by}")
        return
    from biocosmos.jobs.refit import refit as fit

    found = fit(opened, settings)
    rows = [_told(row, "what") for row in found.model.ranks]
    title = found.model.name if found.model.against is None else f"{found.model.name} beside {found.model.against}"
    show_table(("right at", "held out", "before", "now", "change", "95 % interval"), rows, title=title)
    if found.model.taxa:
        taxa = [_told(row, "taxon") for row in found.model.taxa[:SHOWN]]
        show_table(("taxon", "held out", "before", "now", "change", "95 % interval"), taxa, title="taxa that changed most")
    say(found.model.says)
    for note in found.model.notes:
        say(f"note: {note}")
    if found.page is not None:
        say(f"page: {found.page}")
    say(f"kept as {found.folder}; to use it: biocosmos refit {collection} --promote {found.model.name}")


def _told(row: dict[str, Any], what: str) -> tuple[Any, ...]:
    def share(name: str) -> str:
        return "" if row[name] is None else f"{row[name]:.1%}"

    change = ("", "") if row["value"] is None else (f"{row['value']:+.1%}", f"{row['low']:+.1%} to {row['high']:+.1%}")
    return (row[what], row["specimens"], share("before"), share("after"), *change)
