"""embed, encoders, fetch: images to vectors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biocosmos.cli.generated import Given, refuse, takes
from biocosmos.cli.options import COLLECTION, STRICT
from biocosmos.cli.printing import finish, say, show_table
from biocosmos.cli.verbs import add
from biocosmos.errors import Failures
from biocosmos.jobs.settings import EmbedSettings
from biocosmos.settings import SettingError, told

if TYPE_CHECKING:
    from biocosmos.embed import EmbedSummary


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, embed, encoders, fetch)


@takes(EmbedSettings)
def embed(collection: COLLECTION, given: Given, strict: STRICT = False) -> None:
    """Turn every image of a collection into a vector, or every DNA barcode, place or sound.

    biocosmos embed mine.cosmos

    biocosmos embed coi.cosmos --encoder kmer:7

    biocosmos embed mine.cosmos --encoder open_clip:ViT-B-32/laion2b_s34b_b79k --device cuda

    biocosmos embed mine.cosmos --encoder place:15km-15d

    biocosmos embed mine.cosmos --encoder run/ --default

    biocosmos embed mine.cosmos --from vectors.npy --ids ids.csv --encoder my-model

    biocosmos embed other.cosmos --from exported.npz

    Kill it and run it again: it goes on where it was. Specimens added later are embedded alone.
    """
    settings = told(EmbedSettings, **given)
    if settings.vectors is not None:
        _keep(collection, settings if "encoder" in given else _named_by_its_file(settings), strict)
        return
    from biocosmos.jobs.embed import embed_collection
    from biocosmos.specimens.collection import Collection

    summary = embed_collection(Collection.open(collection), settings)
    failures = Failures()
    for one in (summary, *summary.beside):
        _tell(collection, one)
        failures.extend(one.failures)
    done = sum(one.images for one in (summary, *summary.beside))
    finish(failures, done, "vectors" if summary.beside else summary.unit, strict=strict)


def _tell(collection: Path, summary: EmbedSummary) -> None:
    rate = f"{summary.images_per_second:,.1f} {summary.unit}/s"
    say(f"{collection}: {summary.images:,} {summary.unit} embedded with {summary.encoder} in {summary.seconds:.1f} s, {rate}")
    say(f"  computed in {summary.computed_with}" + (f"; {summary.hint}" if summary.hint else ""))
    counts = {
        "embedded before": summary.kept,
        f"from the vectors of '{summary.base}', no image opened": summary.projected,
        "from an interrupted run": summary.resumed,
        f"without {summary.lacking}": summary.without_image,
    }
    for what, count in counts.items():
        if count:
            say(f"  {count:,} specimens {what}")


def _named_by_its_file(settings: EmbedSettings) -> EmbedSettings:
    """The settings with the encoder that a file of vectors says it is of. Raises SettingError where it says nothing."""
    from biocosmos.specimens.given_vectors import read_facts

    facts = None if settings.vectors is None else read_facts(settings.vectors)
    if facts is None:
        raise SettingError("--from: say with --encoder what these vectors are to be called")
    return replace(settings, encoder=facts["name"])


def _keep(collection: Path, settings: EmbedSettings, strict: bool) -> None:
    from biocosmos.jobs.embed import keep_vectors
    from biocosmos.specimens.collection import Collection

    summary = keep_vectors(Collection.open(collection), settings)
    say(f"{collection}: {summary.stored:,} vectors of '{settings.encoder}' stored, {summary.without:,} specimens have none")
    finish(summary.failures, summary.stored, "vectors", strict=strict)


def encoders(
    collection: Annotated[
        Path | None, typer.Argument(help="A collection, to list its embeddings instead.", show_default=False)
    ] = None,
    default: Annotated[
        str | None,
        typer.Option(help="Let every verb use this embedding where no --encoder is given.", metavar="NAME", show_default=False),
    ] = None,
) -> None:
    """List the encoders and whether they are on this machine, or the embeddings of a collection.

    biocosmos encoders

    biocosmos encoders mine.cosmos --default open_clip:hf-hub:imageomics/bioclip-2
    """
    if collection is None:
        if default is not None:
            refuse("default", "with a collection, whose default it becomes")
        from biocosmos.encoders.registry import encoder_table

        show_table(("name", "modalities", "on this machine", "about"), encoder_table(), title="encoders")
        return
    from biocosmos.specimens.collection import Collection

    opened = Collection.open(collection)
    if default is not None:
        opened.set_default_encoder(default)
    space_of = {column: name for name, towers in opened.spaces().items() for column in towers.values()}
    rows = [
        (name, facts["dim"], facts["created"], name == opened.default_encoder, space_of.get(name))
        for name, facts in opened.encoders.items()
    ]
    show_table(("embedding", "numbers", "made", "default", "space"), rows, title=str(collection))


def fetch(encoder: Annotated[str, typer.Argument(help="The encoder to download, as 'biocosmos encoders' names it.")]) -> None:
    """Download an encoder's weights, once, so that everything else works offline.

    biocosmos fetch open_clip:hf-hub:imageomics/bioclip-2
    """
    from biocosmos.encoders.registry import fetch as download

    say(f"{encoder}: on this machine, in {download(encoder)}")
