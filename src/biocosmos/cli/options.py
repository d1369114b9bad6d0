"""Arguments and options that several verbs share, so that they read alike everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

COLLECTION = Annotated[Path, typer.Argument(help="The collection's folder.", show_default=False)]
IMAGES = Annotated[list[Path] | None, typer.Argument(help="Image files, or folders of them.", show_default=False)]
ENCODER = Annotated[
    str | None,
    typer.Option("--encoder", "-e", help="Which embedding; needed when there are several.", show_default=False),
]
DEVICE = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
PRECISION = Annotated[
    str, typer.Option(help="auto (float32), fast (the fastest that agrees with it), float32, bfloat16 or int8 (OpenVINO only).")
]
BACKEND = Annotated[str, typer.Option(help="auto, torch or openvino (pip install 'biocosmos\\[openvino]').")]
SPLIT = Annotated[str | None, typer.Option(help="A part of a split: train, or openworld:novel.", show_default=False)]
WITHIN = Annotated[
    str | None, typer.Option(help="Only this taxon, at any rank: Copepoda, or class:Copepoda.", show_default=False)
]
WHERE = Annotated[str | None, typer.Option(help="Only where this SQL condition holds: 'latitude > 40'.", show_default=False)]
OUTPUT = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write here: .csv, .tsv, .parquet, .json or .jsonl.", show_default=False)
]
STRICT = Annotated[bool, typer.Option("--strict", help="Exit with code 1 if anything failed.")]
OVERWRITE = Annotated[bool, typer.Option("--overwrite", help="Begin anew, whatever was made there.")]
SEED = Annotated[int, typer.Option(help="Seed of every random choice.")]


def pairs(values: list[str] | None, option: str) -> dict[str, str]:
    """``["ours=theirs", ...]`` as a dictionary. Raises BadParameter for anything else."""
    found = {}
    for value in values or []:
        left, equals, right = value.partition("=")
        if not equals or not left.strip() or not right.strip():
            raise typer.BadParameter(f"{value!r} must look like name=value", param_hint=option)
        found[left.strip()] = right.strip()
    return found


def names(value: str | None) -> tuple[str, ...] | None:
    """ "a, b,c" as a tuple."""
    return None if value is None else tuple(part.strip() for part in value.split(",") if part.strip())
