"""evaluate: honest numbers and a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biocosmos.cli.options import COLLECTION, SEED, WHERE, names
from biocosmos.cli.printing import say, show_table
from biocosmos.cli.verbs import add

if TYPE_CHECKING:
    from biocosmos.evaluate import Report
    from biocosmos.specimens.collection import Collection

HEADS = "Trained heads"
METHODS = "linear, nearest, class-mean, nearest-euclidean, class-mean-euclidean, centroid or simpleshot"
PROTOCOLS = (
    "query-gallery: the queries are asked of the gallery; all-vs-all: the queries of each other; both (default for two or more "
    "encoders); few-shot: SimpleShot from 1 and 5 images a taxon; zero-shot: from the taxa's names (needs a text tower). "
    "With --head: levels, promises (both by default), leave-one-class-out or leave-one-group-out."
)
FOLDER = Path("report")


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, evaluate)


def evaluate(
    collection: COLLECTION,
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            "--encoder",
            "-e",
            help="Once for each embedding; two or more are compared with the first. One that is not in the collection yet is "
            "embedded first.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for report.html, results.parquet and provenance.json; default 'report', or none with --report.",
            show_default=False,
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the page here, as one HTML file.", show_default=False)] = None,
    protocol: Annotated[str | None, typer.Option(help=PROTOCOLS, show_default=False)] = None,
    queries: Annotated[str, typer.Option(help="The part that asks.")] = "test",
    gallery: Annotated[str, typer.Option(help="The part that answers.")] = "train",
    by: Annotated[
        str | None, typer.Option(help="Columns or ranks to group results by, comma-separated.", show_default=False)
    ] = None,
    interpolate: Annotated[
        str | None,
        typer.Option(
            help="START:STOP:STEP: evaluate the weights between two encoders, from the first (0) to the second (1); the best "
            "on the part val is reported on the queries.",
            show_default=False,
        ),
    ] = None,
    identify: Annotated[
        bool, typer.Option(help="Also evaluate names, confidence and novelty (one encoder, query-gallery).")
    ] = True,
    method: Annotated[str, typer.Option(help=f"How to name: {METHODS}.")] = "linear",
    head: Annotated[
        list[Path] | None,
        typer.Option(help="A trained head; several are compared.", show_default=False, rich_help_panel=HEADS),
    ] = None,
    views: Annotated[int, typer.Option(help="Turned and mirrored views to average: 1, 2, 4 or 8.", rich_help_panel=HEADS)] = 1,
    templates: Annotated[
        Path | None, typer.Option(help="Zero-shot: a file with one sentence a line, {name} in each.", show_default=False)
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            help="Leave-out: so many trainings, each without several taxa at once; left out, one for each taxon.",
            show_default=False,
            rich_help_panel=HEADS,
        ),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(help="Leave out so many taxa in all, drawn by the seed.", show_default=False, rich_help_panel=HEADS),
    ] = None,
    far: Annotated[
        list[Path] | None,
        typer.Option(help="Leave-out: a folder of foreign images.", show_default=False, rich_help_panel=HEADS),
    ] = None,
    tables: Annotated[
        str | None, typer.Option(help="Write every table as a file of its own too: csv, parquet or json.", show_default=False)
    ] = None,
    where: WHERE = None,
    seed: SEED = 0,
) -> None:
    """Measure an embedding, or compare several, on one split.

    biocosmos evaluate mine.cosmos -o report/

    biocosmos evaluate mine.cosmos -e efficientnet-lite0 -e run/ --by group --report compare.html

    biocosmos evaluate mine.cosmos -e efficientnet-lite0 -e run/ --interpolate 0:1:0.1

    biocosmos evaluate plankton.cosmos --head run/ --protocol leave-one-class-out --report novelty.html

    Writes one HTML page that opens without a network, all tables in one Parquet file, and where the numbers come from.
    """
    from biocosmos.jobs.evaluate import embedded, evaluate_collection
    from biocosmos.jobs.identify import identify_collection
    from biocosmos.specimens.collection import Collection

    opened = Collection.open(collection)
    if head:
        from biocosmos.jobs.evaluate_heads import evaluate_heads

        apart = protocol is not None and protocol.startswith("leave")
        folder = FOLDER if output is None and (report is None or apart) else output
        found = evaluate_heads(
            opened,
            head,
            protocol=protocol,
            part=queries,
            where=where,
            groups=names(by) or (),
            views=views,
            seed=seed,
            output=folder,
            folds=folds,
            most=most,
            far=far or (),
        )
        _write(found, opened, folder, report, tables)
        return
    encoders, made = embedded(opened, encoder or [opened.encoder_name()])
    for name in made:
        say(f"{collection}: embedded with {name}, which it was not yet")
    folder = FOLDER if output is None and report is None else output
    if interpolate is not None:
        from biocosmos.jobs.interpolate import interpolate_collection

        found = interpolate_collection(
            opened,
            encoders=encoders,
            weights=interpolate,
            queries=queries,
            gallery=gallery,
            groups=names(by) or (),
            where=where,
            seed=seed,
            output=folder,
        )
        _write(found, opened, folder, report, tables)
        return
    identified = None
    if identify and len(encoders) == 1 and protocol in (None, "query-gallery"):
        identified = identify_collection(opened, part=queries, encoder=encoders[0], method=method, where=where, seed=seed)
    found = evaluate_collection(
        opened,
        encoders=encoders,
        protocol=protocol,
        queries=queries,
        gallery=gallery,
        groups=names(by) or (),
        identified=identified,
        where=where,
        seed=seed,
        templates=templates,
    )
    _write(found, opened, folder, report, tables)


def _write(report: Report, collection: Collection, folder: Path | None, page: Path | None, tables: str | None) -> None:
    """The tables and the page in ``folder``, the page at ``page``, and the headlines for people."""
    written = None
    if folder is not None:
        written = report.write(folder, thumbnails=collection.image_bytes, tables=tables)
    if page is not None:
        written = report.html(page, thumbnails=collection.image_bytes)
    show_table(("what", "value"), [(row["what"], row["value"]) for row in report.headlines()], title=report.title)
    say(f"report: {written}")
