"""ingest, info, split, export, failures: specimens in and out of a collection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.options import COLLECTION, OUTPUT, STRICT
from biocosmos.cli.printing import failures_beside, finish, say, show_arrow, show_table
from biocosmos.cli.verbs import add
from biocosmos.specimens.settings import ExportSettings, IngestSettings, SplitSettings

if TYPE_CHECKING:
    from biocosmos.specimens.ingest import AddSummary


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, ingest, info, split, export, failures)


@takes(IngestSettings)
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Folders, tables or archives to read.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The collection: made if it is not there, else added to.", show_default=False)
    ],
    settings: IngestSettings,
    strict: STRICT = False,
) -> None:
    """Read specimens into a collection.

    biocosmos ingest photos/ -o mine.cosmos

    biocosmos ingest occurrences.csv -o mine.cosmos --column label=Taxon --column image_path=File

    biocosmos ingest ecotaxa_export.zip -o mine.cosmos

    Sub-folders are labels. Images that cannot be used are listed, the rest goes in; run it again after an interruption and
    it goes on.
    """
    from biocosmos.errors import BiocosmosError, Failures
    from biocosmos.specimens.collection import Collection
    from biocosmos.specimens.readers import read

    # the paths are checked before the collection is made: a typing error leaves nothing behind
    sources = [read(path, **settings.reading()) for path in paths]
    collection = Collection.open_or_create(output)
    total = Failures()
    done = 0
    for source in sources:
        summary = collection.add(source, pack=settings.pack, id_prefix=settings.id_prefix)
        total.extend(summary.failures)
        done += summary.added + summary.known + summary.moved
        say(f"{source.name} ({source.format}): {_told(summary)}")
    finish(total, done, "rows", strict=strict)
    if total:
        say(f"see them with: biocosmos failures {output}")
    if not done:
        raise BiocosmosError(f"no specimen was found in {', '.join(map(str, paths))}: {output} is as it was")
    say(f"{output}: {len(collection):,} specimens. Next: biocosmos embed {output}")


def _told(summary: AddSummary) -> str:
    """What an add did, in words."""
    counts = {
        "were there already": summary.known,
        "rows say again what is there": summary.repeated,
        "rows differ from what is there and were not stored": summary.different,
        "image files were found where they were moved to": summary.moved,
        "byte-identical images": summary.identical,
    }
    return ", ".join([f"{summary.added:,} specimens added", *(f"{count:,} {what}" for what, count in counts.items() if count)])


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
            ("default embedding", facts["default_encoder"]),
            *[
                (f"split {name}", f"{s['method']}, {', '.join(f'{p} {n:,}' for p, n in s['parts'].items())}, hash {s['hash']}")
                for name, s in facts["splits"].items()
            ],
            ("failures", f"{failed['errors']:,} errors, {failed['warnings']:,} warnings"),
            ("size on disk", f"{facts['bytes'] / 1e6:,.1f} MB"),
        ],
        title=facts["path"],
    )


@takes(SplitSettings)
def split(collection: COLLECTION, settings: SplitSettings) -> None:
    """Assign specimens to train, val and test, once, for every model alike.

    biocosmos split mine.cosmos

    biocosmos split mine.cosmos --method grouped --column sample_id

    biocosmos split mine.cosmos --method open-world --name openworld --held-out 0.1
    """
    from biocosmos.specimens.collection import Collection

    made = Collection.open(collection).make_split(**settings.splitting())
    show_table(
        ("part", "specimens"),
        made.counts().items(),
        title=f"split '{made.name}', {made.method}, seed {made.seed}, hash {made.hash}",
    )
    for note in made.notes:
        say(note)


@takes(ExportSettings)
def export(
    collection: COLLECTION,
    output: Annotated[Path, typer.Option("--output", "-o", help=".csv, .parquet, or .zip with --format.", show_default=False)],
    settings: ExportSettings,
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
    if settings.vectors is not None:
        from biocosmos.specimens.given_vectors import write_vectors

        found = opened.vectors(settings.vectors, **settings.selected())
        write_vectors(found, output)
        say(f"{output}: {len(found.ids):,} vectors of '{settings.vectors}', {found.matrix.shape[1]:,} numbers each")
        return
    # few rows at a time: packed images are in them
    rows = opened.scan(opened.filled_columns(), batch_size=64, **settings.selected())
    written = write(rows, output, format=settings.format, ranks=opened.ranks)
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
