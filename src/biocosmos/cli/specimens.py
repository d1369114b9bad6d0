"""ingest, info, split, export, failures: specimens in and out of a collection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from biocosmos.cli.options import COLLECTION, OUTPUT, SEED, SPLIT, STRICT, WHERE, WITHIN, names, pairs
from biocosmos.cli.printing import failures_beside, finish, say, show_arrow, show_table
from biocosmos.cli.verbs import add


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, ingest, info, split, export, failures)


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Folders, tables or archives to read.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The collection: made if it is not there, else added to.", show_default=False)
    ],
    format: Annotated[
        str | None,
        typer.Option(
            help="folder, csv, parquet, darwin-core, ecotaxa, bioscan, vlm4bio, coco or webdataset; guessed from the path.",
            show_default=False,
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", help="ours=theirs: --column label=Taxon.", show_default=False),
    ] = None,
    ranks: Annotated[
        str | None,
        typer.Option(help="Rank columns or folder levels: family,genus,species.", show_default=False),
    ] = None,
    metadata: Annotated[
        Path | None,
        typer.Option(help="A CSV with more columns, joined by file name.", show_default=False),
    ] = None,
    taxonomy: Annotated[Path | None, typer.Option(help="A CSV that gives the ranks of each label.", show_default=False)] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder that relative image names in a table start from.", show_default=False)
    ] = None,
    size: Annotated[str | None, typer.Option(help="Which image size (BIOSCAN): cropped_256.", show_default=False)] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Of text files: utf-8, latin-1 ...; found from the file.", show_default=False)
    ] = None,
    separator: Annotated[str | None, typer.Option(help="Of text tables; found from the file.", show_default=False)] = None,
    pack: Annotated[bool, typer.Option("--pack", help="Copy the images into the collection.")] = False,
    strict: STRICT = False,
) -> None:
    """Read specimens into a collection.

    biocosmos ingest photos/ -o mine.cosmos

    biocosmos ingest occurrences.csv -o mine.cosmos --column label=Taxon --column image_path=File

    biocosmos ingest ecotaxa_export.zip -o mine.cosmos

    Sub-folders are labels. Images that cannot be used are listed, the rest goes in; run it again after an interruption and
    it goes on.
    """
    from biocosmos.errors import Failures
    from biocosmos.specimens.collection import Collection
    from biocosmos.specimens.readers import read

    meaning = {theirs: ours for ours, theirs in pairs(column, "--column").items()}
    # the paths are checked before the collection is made: a typing error leaves nothing behind
    sources = [
        read(
            path,
            format=format,
            columns=meaning,
            ranks=names(ranks),
            metadata=metadata,
            taxonomy=taxonomy,
            encoding=encoding,
            separator=separator,
            images=images,
            size=size,
        )
        for path in paths
    ]
    collection = Collection.open(output) if (output / "collection.json").exists() else Collection.create(output)
    total = Failures()
    done = 0
    for source in sources:
        summary = collection.add(source, pack=pack)
        total.extend(summary.failures)
        done += summary.added + summary.known
        known = f", {summary.known:,} were there already" if summary.known else ""
        same = f", {summary.identical:,} byte-identical images" if summary.identical else ""
        say(f"{source.name} ({source.format}): {summary.added:,} specimens added{known}{same}")
    finish(total, done, "rows", strict=strict)
    if total:
        say(f"see them with: biocosmos failures {output}")
    say(f"{output}: {len(collection):,} specimens. Next: biocosmos embed {output}")


def info(collection: COLLECTION) -> None:
    """Say what a collection holds: specimens, names per rank, embeddings, splits, failures.

    biocosmos info mine.cosmos
    """
    from biocosmos.specimens.collection import Collection

    facts = Collection.open(collection).describe()
    failed = facts["failures"]
    show_table(
        ("what", "value"),
        [
            ("specimens", facts["specimens"]),
            ("images packed", facts["packed_images"]),
            ("images as files", facts["image_files"]),
            ("barcodes", facts["barcodes"]),
            *[(rank, f"{n['taxa']:,} taxa, {n['specimens']:,} specimens") for rank, n in facts["ranks"].items()],
            *[(f"embedding {name}", f"{e['dim']} numbers, {e['created']}") for name, e in facts["encoders"].items()],
            *[
                (f"split {name}", f"{s['method']}, {', '.join(f'{p} {n:,}' for p, n in s['parts'].items())}, hash {s['hash']}")
                for name, s in facts["splits"].items()
            ],
            ("failures", f"{failed['errors']:,} errors, {failed['warnings']:,} warnings"),
            ("size on disk", f"{facts['bytes'] / 1e6:,.1f} MB"),
        ],
        title=facts["path"],
    )


def split(
    collection: COLLECTION,
    method: Annotated[str, typer.Option(help="stratified, random, open-world, grouped or column.")] = "stratified",
    name: Annotated[str, typer.Option(help="What to call it; 'default' is the one every verb uses.")] = "default",
    seed: SEED = 0,
    fractions: Annotated[str, typer.Option(help="Shares of the parts, adding up to 1.")] = "train=0.7,val=0.15,test=0.15",
    rank: Annotated[str | None, typer.Option(help="Stratify or hold out taxa of this rank.", show_default=False)] = None,
    column: Annotated[str | None, typer.Option(help="For grouped and column.", show_default=False)] = None,
    held_out: Annotated[str, typer.Option(help="For open-world: a share of the taxa, or their names, comma-separated.")] = "0.1",
    where: WHERE = None,
) -> None:
    """Assign specimens to train, val and test, once, for every model alike.

    biocosmos split mine.cosmos

    biocosmos split mine.cosmos --method grouped --column sample_id

    biocosmos split mine.cosmos --method open-world --name openworld --held-out 0.1
    """
    from biocosmos.specimens.collection import Collection

    shares = {part: _share(value) for part, value in pairs(fractions.split(","), "--fractions").items()}
    try:
        held: float | tuple[str, ...] = float(held_out)
    except ValueError:
        held = names(held_out) or ()
    made = Collection.open(collection).make_split(
        method, name=name, seed=seed, fractions=shares, rank=rank, column=column, held_out=held, where=where
    )
    show_table(
        ("part", "specimens"), made.counts().items(), title=f"split '{made.name}', {made.method}, seed {seed}, hash {made.hash}"
    )
    for note in made.notes:
        say(note)


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number", param_hint="--fractions") from None


def export(
    collection: COLLECTION,
    output: Annotated[Path, typer.Option("--output", "-o", help=".csv, .parquet, or .zip with --format.", show_default=False)],
    format: Annotated[
        str | None, typer.Option(help="csv, parquet, darwin-core or ecotaxa; from the name if left out.", show_default=False)
    ] = None,
    vectors: Annotated[
        str | None,
        typer.Option(
            help="Only ids and the vectors of this encoder, as .npz or .parquet.", metavar="ENCODER", show_default=False
        ),
    ] = None,
    split: SPLIT = None,
    within: WITHIN = None,
    where: WHERE = None,
    strict: STRICT = False,
) -> None:
    """Write specimens as CSV, Parquet, Darwin Core Archive or EcoTaxa zip.

    biocosmos export mine.cosmos -o mine.csv

    biocosmos export mine.cosmos -o upload.zip --format ecotaxa --within Copepoda

    biocosmos export mine.cosmos -o vectors.npz --vectors efficientnet-lite0
    """
    from biocosmos.specimens.collection import Collection
    from biocosmos.specimens.writers import write

    opened = Collection.open(collection)
    if vectors is not None:
        if format is not None:
            raise typer.BadParameter("vectors are written as their file's name says: leave it out", param_hint="--format")
        from biocosmos.specimens.given_vectors import write_vectors

        rows_and_ids = opened.vectors(vectors, split=split, within=within, where=where)
        write_vectors(rows_and_ids, output)
        say(f"{output}: {len(rows_and_ids.ids):,} vectors of '{vectors}', {rows_and_ids.matrix.shape[1]:,} numbers each")
        return
    # few rows at a time: packed images are in them
    rows = opened.scan(opened.stored_columns, split=split, within=within, where=where, batch_size=64)
    written = write(rows, output, format=format, ranks=opened.ranks)
    say(f"{output}: {written.rows:,} specimens")
    finish(written.failures, written.rows, "specimens", table=failures_beside(output), strict=strict)


def failures(collection: COLLECTION, output: OUTPUT = None) -> None:
    """List everything that was refused or converted, with the reason.

    biocosmos failures mine.cosmos

    biocosmos failures mine.cosmos -o failures.csv
    """
    from biocosmos.specimens.collection import Collection
    from biocosmos.tables import write_table

    table = Collection.open(collection).failures
    if output is None:
        show_arrow(table)
    else:
        write_table(table, output)
        say(f"{output}: {table.num_rows:,} rows")
