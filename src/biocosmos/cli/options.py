"""Arguments and options that several verbs share, so that they read alike everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _output(output: Path | None) -> Path | None:
    """A table's place, refused before any work is done."""
    if output is None:
        return None
    from biocosmos.outputs import place_of

    return place_of(output)


COLLECTION = Annotated[Path, typer.Argument(help="The collection's folder.", show_default=False)]
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
STRICT = Annotated[bool, typer.Option("--strict", help="Exit with code 1 if anything failed.")]
OVERWRITE = Annotated[bool, typer.Option("--overwrite", help="Begin anew, whatever was made there.")]
