"""serve: the web application."""

from __future__ import annotations

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.options import ANY_COLLECTION
from biocosmos.cli.verbs import add
from biocosmos.serve.settings import ServeSettings


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, serve)


@takes(ServeSettings)
def serve(collection: ANY_COLLECTION, settings: ServeSettings) -> None:
    """Explore, search, label and check a collection in the browser.

    biocosmos serve plankton.cosmos

    biocosmos serve plankton.cosmos --port 9000 --no-open

    biocosmos serve plankton.cosmos --host 0.0.0.0 --users users.toml

    It listens on this machine alone unless --host says otherwise; the address that is printed holds the token that opens it.
    What people name is kept with the collection, act by act, and nothing is overwritten; Ctrl-C stops the server.
    """
    from biocosmos.serve.running import serve as run
    from biocosmos.specimens.collection import Collection

    run(Collection.open(collection), settings, lambda line: print(line, flush=True))
