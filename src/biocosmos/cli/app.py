"""The verbs, in the order of the work."""

from __future__ import annotations

import typer

from biocosmos.cli import (
    benchmarking,
    care,
    demo,
    discovery,
    embeddings,
    evaluation,
    health,
    identification,
    packs,
    refitting,
    searching,
    sequences,
    serving,
    simulating,
    specimens,
    summarizing,
    taxonomy,
    thumbnails,
    tokens,
    tracking,
    training,
    users,
)

app = typer.Typer(
    name="biocosmos",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Find, name and discover species from specimen images, DNA barcodes, text and place.\n\n"
        "Begin with [bold]biocosmos demo[/bold], then your own images:\n\n"
        "biocosmos ingest photos/ -o mine.cosmos\n\n"
        "biocosmos embed mine.cosmos\n\n"
        "biocosmos identify mine.cosmos new/*.jpg -o names.csv"
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        from biocosmos.provenance import package_version

        print(f"biocosmos {package_version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version and stop."),
) -> None:
    pass


demo.register(app)
simulating.register(app)
specimens.register(app)
summarizing.register(app)
care.register(app)
embeddings.register(app)
searching.register(app)
identification.register(app)
packs.register(app)
refitting.register(app)
discovery.register(app)
thumbnails.register(app)
evaluation.register(app)
benchmarking.register(app)
sequences.register(app)
tokens.register(app)
tracking.register(app)
training.register(app)
taxonomy.register(app)
serving.register(app)
users.register(app)
health.register(app)
