"""Arguments and options that several verbs share, so that they read alike everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def _output(output: Path | None) -> Path | None:
    """A table's place, refused before any work is done."""
    if output is None:
        return None
    from biocosmos.outputs import place_of

    return place_of(output)


COLLECTION = Annotated[Path, typer.Argument(help="The collection's folder.", show_default=False)]
ANY_COLLECTION = Annotated[Path, typer.Argument(help="The collection's folder, or a pack.", show_default=False)]
"""Of a verb that reads: a pack stands for a collection, see :mod:`biocosmos.jobs.packs.opening`."""
IMAGES = Annotated[list[Path] | None, typer.Argument(help="Image files, or folders of them.", show_default=False)]
ASKED = Annotated[
    list[Path] | None,
    typer.Argument(help="Image files, or files of DNA barcodes (FASTA ...), or folders of them.", show_default=False),
]
WITHIN = Annotated[
    str | None, typer.Option(help="Only this taxon, at any rank: Copepoda, or class:Copepoda.", show_default=False)
]
OUTPUT = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Write here: .csv, .tsv, .parquet, .json or .jsonl.", show_default=False, callback=_output
    ),
]
REPORT_FOLDER = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Folder for report.html, results.parquet and provenance.json; default 'report', or none with --report.",
        show_default=False,
    ),
]
REPORT = Annotated[Path | None, typer.Option(help="Write the page here, as one HTML file.", show_default=False)]
TABLES = Annotated[
    Literal["csv", "parquet", "json"] | None,
    typer.Option(help="In the folder, write every table as a file of its own too.", show_default=False),
]
STRICT = Annotated[bool, typer.Option("--strict", help="Exit with code 1 if anything failed.")]
OVERWRITE = Annotated[bool, typer.Option("--overwrite", help="Begin anew, whatever was made there.")]
