"""thumbnails: the small pictures of the web application, made ahead."""

from __future__ import annotations

import typer

from biocosmos.cli.options import COLLECTION, STRICT
from biocosmos.cli.printing import finish, say
from biocosmos.cli.verbs import add


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    add(app, thumbnails)


def thumbnails(collection: COLLECTION, strict: STRICT = False) -> None:
    """Make the small pictures that 'biocosmos serve' shows, all at once rather than as they are looked at.

    biocosmos thumbnails mine.cosmos

    They are kept with the collection, or in the user's cache where it may only be read. Run again, it makes what is missing and
    what changed.
    """
    from biocosmos.serve.thumbnails import make_all
    from biocosmos.specimens.collection import Collection

    found = make_all(Collection.open(collection))
    said = f"{found.made:,} made, {found.there:,} were there"
    without = f", {found.without:,} specimens have no image" if found.without else ""
    say(f"thumbnails: {said}{without}")
    finish(found.failures, found.made + found.there, "images", strict=strict)
