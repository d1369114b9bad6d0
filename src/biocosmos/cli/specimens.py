"""ingest, info, split, export, identifications, failures: specimens in and out of a collection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biocosmos.cli.generated import refuse, takes
from biocosmos.cli.options import COLLECTION, OUTPUT, STRICT
from biocosmos.cli.printing import counted, failures_beside, finish, say, show_arrow, show_table, size, tell_merger
from biocosmos.cli.verbs import add
from biocosmos.files import is_file
from biocosmos.settings import defaults_of
from biocosmos.specimens.settings import ExportSettings, IngestSettings, SplitSettings

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection
    from biocosmos.specimens.ingest import AddSummary

SHOWN = 5
OF_COLLECTIONS = ("id_prefix",)
"""Settings of ``ingest`` that a collection uses too; the others say how files are read."""


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, ingest, info, split, export, identifications, failures)


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

    biocosmos ingest barcodes.fasta --metadata bold.tsv -o coi.cosmos

    biocosmos ingest other.cosmos -o mine.cosmos

    Sub-folders are labels. Images that cannot be used are listed, the rest goes in; run it again after an interruption and
    it goes on.
    """
    from biocosmos.errors import BiocosmosError, Failures
    from biocosmos.specimens.collection import Collection
    from biocosmos.specimens.description import KMERS, barcodes_alone
    from biocosmos.specimens.readers import read
    from biocosmos.specimens.readers.fasta import NAMELESS

    # the paths are checked before the collection is made: a typing error leaves nothing behind
    others = [_other(path, settings) for path in paths]
    sources = [read(path, **settings.reading()) if other is None else other for path, other in zip(paths, others)]
    collection = Collection.open_or_create(output)
    total = Failures()
    done = 0
    for source in sources:
        if isinstance(source, Collection):
            taken = collection.merge(source, id_prefix=settings.id_prefix)
            total.extend(taken.failures)
            done += taken.added + taken.known
            tell_merger(source.path, taken)
            continue
        summary = collection.add(source, pack=settings.pack, id_prefix=settings.id_prefix)
        total.extend(summary.failures)
        done += summary.added + summary.known + summary.moved
        say(f"{source.name} ({source.format}): {_told(summary)}")
        if source.format == NAMELESS and settings.metadata is None:
            say("  no names are read from such first lines: --metadata TABLE joins them by id, --pattern reads them")
    finish(total, done, "rows", strict=strict)
    if total:
        say(f"see them with: biocosmos failures {output}")
    if not done:  # a run that adds nothing is no success, whatever the reason
        raise BiocosmosError(f"no specimen was found in {', '.join(map(str, paths))}: {output} is as it was")
    encoder = f" -e {KMERS}" if barcodes_alone(collection) else ""
    say(f"{output}: {len(collection):,} specimens. Next: biocosmos embed {output}{encoder}")


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


def _other(path: Path, settings: IngestSettings) -> Collection | None:
    """The collection in a folder, None where it is none. Raises UnusedSetting for an option that says how files are read."""
    from biocosmos.specimens.collection import Collection

    if not is_file(path / "collection.json"):
        return None
    defaults = defaults_of(IngestSettings)
    for name, value in vars(settings).items():
        if value != defaults[name] and name not in OF_COLLECTIONS:
            refuse(name, f"on files, and {path} is a collection")
    return Collection.open(path)


def info(collection: COLLECTION) -> None:
    """Say what a collection holds: specimens, names per rank, embeddings, splits, a machine's names, failures.

    biocosmos info mine.cosmos
    """
    from biocosmos.specimens.collection import Collection
    from biocosmos.specimens.identifications import kept

    opened = Collection.open(collection)
    facts, names = opened.describe(), kept(opened)
    failed = facts["failures"]
    show_table(
        ("what", "value"),
        [
            ("specimens", facts["specimens"]),
            ("images packed", facts["packed_images"]),
            ("images as files", facts["image_files"]),
            ("barcodes", facts["barcodes"]),
            *[(f"with a {what}", number) for what, number in facts["places"].items()],
            *[(rank, f"{n['taxa']:,} taxa, {n['specimens']:,} specimens") for rank, n in facts["ranks"].items()],
            *[(f"attribute {name}", _of_columns(columns)) for name, columns in facts["attributes"].items()],
            *[(f"embedding {name}", f"{e['dim']} numbers, {e['created']}") for name, e in facts["encoders"].items()],
            *[(f"space {name}", ", ".join(towers.values())) for name, towers in facts["spaces"].items()],
            ("default embedding", facts["default_encoder"]),
            *[
                (f"split {name}", f"{s['method']}, {', '.join(f'{p} {n:,}' for p, n in s['parts'].items())}, hash {s['hash']}")
                for name, s in facts["splits"].items()
            ],
            *[("identifications", f"{one.name}: {one.named:,} of {one.specimens:,} named, {one.method}") for one in names[-1:]],
            ("failures", f"{counted(failed['errors'], 'error')}, {counted(failed['warnings'], 'warning')}"),
            ("size on disk", size(facts["bytes"])),
        ],
        title=facts["path"],
    )


def _of_columns(names: list[str]) -> str:
    """The columns of a group, the first of many."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


@takes(SplitSettings)
def split(collection: COLLECTION, settings: SplitSettings) -> None:
    """Assign specimens to train, val and test, once, for every model alike.

    biocosmos split mine.cosmos

    biocosmos split mine.cosmos --method grouped --column sample_id

    biocosmos split mine.cosmos --method open-world --name openworld --held-out 0.1
    """
    from biocosmos.discover.kept import read_kept
    from biocosmos.specimens.collection import Collection

    opened = Collection.open(collection)
    groups = read_kept(opened, "duplicates").table() if settings.duplicates else None
    made = opened.make_split(**settings.splitting(), groups=groups)
    show_table(
        ("part", "specimens"),
        made.counts().items(),
        title=f"split '{made.name}', {made.method}, seed {made.seed}, hash {made.hash}",
    )
    for note in made.notes:
        say(note)


@takes(ExportSettings)
def export(
    source: Annotated[Path, typer.Argument(help="A collection, or a table of names that identify wrote.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help=".csv, .parquet, .json (COCO), .zip or a folder with --format.",
            show_default=False,
        ),
    ],
    settings: ExportSettings,
    strict: STRICT = False,
) -> None:
    """Write specimens as CSV, Parquet, Darwin Core Archive, EcoTaxa zip or COCO, or what was found in each sample; send a
    machine's names back as predicted.

    biocosmos export mine.cosmos -o mine.csv

    biocosmos export mine.cosmos -o spring.csv --near 52.05,5.05:10km --season 03-01/05-31

    biocosmos export mine.cosmos -o upload.zip --format ecotaxa --within Copepoda

    biocosmos export names.csv -o back.zip --format ecotaxa

    biocosmos export mine.cosmos -o back.zip --format ecotaxa --identifications latest

    biocosmos export mine.cosmos -o now.zip --format darwin-core --current

    biocosmos export cruise.cosmos -o obis --format obis --volume sample_tot_vol=m3 --parts acq_sub_part

    biocosmos export mine.cosmos -o vectors.npz --vectors efficientnet-lite0
    """
    from biocosmos.jobs.export import export as write_out
    from biocosmos.jobs.export import export_vectors

    if settings.vectors is not None:
        name, found = export_vectors(source, output, settings)
        say(f"{output}: {len(found.ids):,} vectors of '{name}', {found.matrix.shape[1]:,} numbers each")
        return
    written = write_out(source, output, settings)
    say(f"{output}: {written.rows:,} specimens")
    finish(written.failures, written.rows, "specimens", table=failures_beside(output), strict=strict)


def identifications(collection: COLLECTION) -> None:
    """List the names that 'identify --save' kept with a collection, oldest first.

    biocosmos identifications mine.cosmos

    biocosmos export mine.cosmos --identifications latest -o names.csv
    """
    from biocosmos.specimens.collection import Collection
    from biocosmos.specimens.identifications import kept

    columns = ("name", "kept (UTC)", "specimens", "named", "method", "encoder")
    rows = [(one.name, one.kept, one.specimens, one.named, one.method, one.encoder) for one in kept(Collection.open(collection))]
    show_table(columns, rows, title="identifications")
    if not rows:
        say(f"none is kept: biocosmos identify {collection} IMAGES --save")


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
