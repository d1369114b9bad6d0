"""embed, encoders, fetch: images to vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from biocosmos.cli.options import BACKEND, COLLECTION, DEVICE, PRECISION, STRICT
from biocosmos.cli.printing import finish, say, show_table
from biocosmos.cli.verbs import add

DEFAULT_ENCODER = "efficientnet-lite0"
NOT_OF_GIVEN = ("device", "precision", "backend", "batch_size", "workers", "resize")
"""Options that say how a model computes, which has nothing to do where the vectors are given."""


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, embed, encoders, fetch)


def embed(
    context: typer.Context,
    collection: COLLECTION,
    encoder: Annotated[str, typer.Option("--encoder", "-e", help="Which encoder; see 'biocosmos encoders'.")] = DEFAULT_ENCODER,
    device: DEVICE = "auto",
    precision: PRECISION = "auto",
    backend: BACKEND = "auto",
    batch_size: Annotated[int | None, typer.Option(help="Images per model call.", show_default=False)] = None,
    workers: Annotated[int | None, typer.Option(help="Decode threads; one per core.", show_default=False)] = None,
    resize: Annotated[
        str | None,
        typer.Option(help="pad, crop or squash to a square; default what the encoder does best with.", show_default=False),
    ] = None,
    given: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Vectors made elsewhere: .npz, .parquet or .csv with ids, .npy with --ids. They get the name of --encoder.",
            show_default=False,
        ),
    ] = None,
    ids: Annotated[
        Path | None,
        typer.Option(help="Ids of the rows of a .npy: one a line, or a .csv with a column 'id'.", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Embed again even if the encoder's weights changed.")] = False,
    strict: STRICT = False,
) -> None:
    """Turn every image of a collection into a vector.

    biocosmos embed mine.cosmos

    biocosmos embed mine.cosmos --encoder open_clip:ViT-B-32/laion2b_s34b_b79k --device cuda

    biocosmos embed mine.cosmos --from vectors.npy --ids ids.csv --encoder my-model

    Kill it and run it again: it goes on where it was. Specimens added later are embedded alone.
    """
    if given is not None:
        _store_given(context, collection, encoder, given, ids, overwrite=overwrite, strict=strict)
        return
    if ids is not None:
        raise typer.BadParameter("there are no vectors to match: name their file with --from", param_hint="--ids")
    import biocosmos as bc
    from biocosmos.specimens.collection import Collection

    summary = bc.embed(
        Collection.open(collection),
        encoder,
        device=device,
        precision=precision,
        backend=backend,
        batch_size=batch_size,
        workers=workers,
        resize=resize,
        overwrite=overwrite,
    )
    say(f"{collection}: {summary.images:,} images embedded in {summary.seconds:.1f} s, {summary.images_per_second:,.1f} images/s")
    told = {
        "embedded before": summary.kept,
        f"from the vectors of '{summary.base}', no image opened": summary.projected,
        "from an interrupted run": summary.resumed,
        "without an image": summary.without_image,
    }
    for what, count in told.items():
        if count:
            say(f"  {count:,} specimens {what}")
    finish(summary.failures, summary.images, "images", strict=strict)


def _store_given(
    context: typer.Context, collection: Path, name: str, vectors: Path, ids: Path | None, *, overwrite: bool, strict: bool
) -> None:
    def said(option: str) -> bool:
        source = context.get_parameter_source(option)
        return source is not None and source.name == "COMMANDLINE"

    if not said("encoder"):
        raise typer.BadParameter("say with --encoder what these vectors are to be called", param_hint="--from")
    for option in NOT_OF_GIVEN:
        if said(option):
            flag = "--" + option.replace("_", "-")
            raise typer.BadParameter("no model computes where vectors are given with --from: leave it out", param_hint=flag)
    from biocosmos.specimens.collection import Collection
    from biocosmos.specimens.given_vectors import read_vectors

    opened = Collection.open(collection)
    rows = read_vectors(vectors, ids)
    summary = opened.add_embedding(name, rows.ids, rows.matrix, overwrite=overwrite)
    say(f"{collection}: {summary.stored:,} vectors of '{name}' stored, {summary.without:,} specimens have none")
    finish(summary.failures, summary.stored, "vectors", strict=strict)


def encoders() -> None:
    """List the encoders and whether they are on this machine.

    biocosmos encoders
    """
    from biocosmos.encoders.registry import encoder_table

    show_table(("name", "modalities", "on this machine", "about"), encoder_table(), title="encoders")


def fetch(encoder: Annotated[str, typer.Argument(help="The encoder to download, as 'biocosmos encoders' names it.")]) -> None:
    """Download an encoder's weights, once, so that everything else works offline.

    biocosmos fetch open_clip:hf-hub:imageomics/bioclip-2
    """
    from biocosmos.encoders.registry import fetch as download

    say(f"{encoder}: on this machine, in {download(encoder)}")
