"""embed, encoders, fetch: images to vectors."""

from __future__ import annotations

from typing import Annotated

import typer

from biocosmos.cli.options import BACKEND, COLLECTION, DEVICE, PRECISION, STRICT
from biocosmos.cli.printing import finish, say, show_table
from biocosmos.cli.verbs import add

DEFAULT_ENCODER = "efficientnet-lite0"


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, embed, encoders, fetch)


def embed(
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
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Embed again even if the encoder's weights changed.")] = False,
    strict: STRICT = False,
) -> None:
    """Turn every image of a collection into a vector.

    biocosmos embed mine.cosmos

    biocosmos embed mine.cosmos --encoder open_clip:ViT-B-32/laion2b_s34b_b79k --device cuda

    Kill it and run it again: it goes on where it was. Specimens added later are embedded alone.
    """
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
