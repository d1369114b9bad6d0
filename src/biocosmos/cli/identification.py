"""identify: names for images, as far down the tree as they can be trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from biocosmos.cli.options import (
    BACKEND,
    COLLECTION,
    DEVICE,
    ENCODER,
    IMAGES,
    OUTPUT,
    PRECISION,
    SEED,
    SPLIT,
    STRICT,
    WHERE,
    WITHIN,
)
from biocosmos.cli.printing import failures_beside, finish, say, show_arrow
from biocosmos.cli.verbs import add

HEAD = "With a trained head"
DETECTORS = "see docs/heads.md"
METHODS = "linear, nearest, class-mean, nearest-euclidean, class-mean-euclidean, centroid, simpleshot or zero-shot"


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, identify)


def identify(
    collection: COLLECTION,
    images: IMAGES = None,
    part: Annotated[
        str | None, typer.Option("--part", help="Name this part of the collection instead: test.", show_default=False)
    ] = None,
    output: OUTPUT = None,
    method: Annotated[str, typer.Option(help=f"{METHODS}.")] = "linear",
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Answer at the lowest rank with this confidence.")] = 0.9,
    head: Annotated[
        Path | None,
        typer.Option(help="Name with this trained head ('biocosmos train heads').", show_default=False, rich_help_panel=HEAD),
    ] = None,
    error_rate: Annotated[
        float, typer.Option(help="The share of wrong answers that is promised, above 0 and below 1.", rich_help_panel=HEAD)
    ] = 0.05,
    promise: Annotated[
        str,
        typer.Option(
            help="mean: expected share of wrong answers among all queries; answered: share among the answered, with "
            "probability 1 - delta.",
            rich_help_panel=HEAD,
        ),
    ] = "mean",
    delta: Annotated[float, typer.Option(help="Of the promise 'answered'.", rich_help_panel=HEAD)] = 0.1,
    sets: Annotated[
        str | None,
        typer.Option(
            help="Also a set of taxa of this rank that holds the true one with probability 1 - error rate.",
            show_default=False,
            rich_help_panel=HEAD,
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            help="The part the promise is set on [the head's validation part].", show_default=False, rich_help_panel=HEAD
        ),
    ] = None,
    novelty: Annotated[
        str | None, typer.Option(help=f"How novelty is scored: {DETECTORS}.", show_default=False, rich_help_panel=HEAD)
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="A page that shows, for some answers, the nearest specimens, where their vote splits, and a heat map.",
            show_default=False,
            rich_help_panel=HEAD,
        ),
    ] = None,
    views: Annotated[int, typer.Option(help="Turned and mirrored views to average: 1, 2, 4 or 8.", rich_help_panel=HEAD)] = 1,
    encoder: ENCODER = None,
    split: SPLIT = None,
    within: WITHIN = None,
    where: WHERE = None,
    taxa: Annotated[
        Path | None, typer.Option("--taxa", help="Only the taxa in this CSV (see 'biocosmos taxa').", show_default=False)
    ] = None,
    save: Annotated[bool, typer.Option("--save", help="Keep the names with the collection too; nothing is overwritten.")] = False,
    seed: SEED = 0,
    device: DEVICE = "auto",
    precision: PRECISION = "auto",
    backend: BACKEND = "auto",
    strict: STRICT = False,
) -> None:
    """Name images with the labelled specimens of a collection.

    biocosmos identify mine.cosmos new/*.jpg -o names.csv

    biocosmos identify mine.cosmos night1/ --within Insecta --threshold 0.95 -o names.parquet

    biocosmos identify plankton.cosmos images/ --head run/ --error-rate 0.05 -o ids.csv

    Every row has the path it was asked with, the answer at the lowest rank that can be trusted, a name and a confidence at
    every rank, how novel it looks, and the specimens that support it.
    """
    from biocosmos.jobs.identify import identify_collection
    from biocosmos.specimens.collection import Collection
    from biocosmos.tables import table_suffix, write_table

    if output is not None:
        table_suffix(output)
    opened = Collection.open(collection)
    if head is not None:
        for name, given in (("--encoder", encoder), ("--split", split), ("--within", within), ("--taxa", taxa)):
            if given is not None:
                raise typer.BadParameter(f"a trained head has its own: leave {name} out with --head", param_hint=name)
        _with_head(
            opened,
            head,
            output,
            report,
            save=save,
            strict=strict,
            device=device,
            images=images or (),
            part=part,
            where=where,
            error_rate=error_rate,
            promise=promise,
            delta=delta,
            sets=sets,
            calibration=calibration,
            **({} if novelty is None else {"novelty": novelty}),
            views=views,
            seed=seed,
        )
        return
    done = identify_collection(
        opened,
        images=images or (),
        part=part,
        encoder=encoder,
        split=split,
        where=where,
        method=method,
        threshold=threshold,
        within=within,
        taxa=taxa,
        seed=seed,
        device=device,
        precision=precision,
        backend=backend,
    )
    if output is None:
        show_arrow(done.table, ["id", "taxon", "rank", "confidence", "novelty", "novel"])
    else:
        write_table(done.table, output, done.identifier.provenance())
        say(f"{output}: {done.table.num_rows:,} specimens named")
    specimens = done.identifier.calibration.specimens
    if specimens and (specimens + 1) / (specimens + 2) < threshold:
        say(f"only {specimens} labelled specimens to calibrate on: no confidence can reach {threshold}; label more, or lower it")
    if save:
        say(f"kept in {opened.add_identifications(done.table)}")
    finish(done.failures, done.table.num_rows, "images or listed taxa", table=failures_beside(output), strict=strict)


def _with_head(
    collection: Any,
    folder: Path,
    output: Path | None,
    report: Path | None,
    *,
    save: bool,
    strict: bool,
    device: str,
    **asked: Any,
) -> None:
    from biocosmos.identify.namers.heads import TrainedHead
    from biocosmos.jobs.identify_heads import explain, identify_with_head
    from biocosmos.tables import PROVENANCE_KEY, write_table

    head = TrainedHead.load(folder, device=device)
    done = identify_with_head(collection, head, **asked)
    table = done.table
    if output is None:
        shown = ["id", "taxon", "rank", "confidence", "novelty", "novel"] + (["set"] if "set" in table.column_names else [])
        show_arrow(table, shown)
    else:
        write_table(table, output, json.loads(table.schema.metadata[PROVENANCE_KEY]))
        say(f"{output}: {table.num_rows:,} specimens named")
    say(f"promised: {done.promise.describe()}")
    for note in done.notes():
        say(f"note: {note}")
    if report is not None:
        page, pictures = explain(done, head, collection, seed=asked["seed"])
        say(f"report: {page.html(report, thumbnails=pictures)}")
    if save:
        say(f"kept in {collection.add_identifications(table)}")
    finish(done.failures, table.num_rows, "images", table=failures_beside(output), strict=strict)
