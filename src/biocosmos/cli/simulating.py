"""simulate: barcodes of invented taxa, to try things on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.printing import counted, say
from biocosmos.cli.verbs import add
from biocosmos.jobs.simulate import SimulateSettings


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, simulate)


@takes(SimulateSettings)
def simulate(
    output: Annotated[
        Path, typer.Argument(help="Write here: .fasta, or .csv, .tsv, .parquet, .json, .jsonl.", show_default=False)
    ],
    settings: SimulateSettings,
    metadata: Annotated[
        Path | None,
        typer.Option(help="Write ids, bins and names to this table; the FASTA's headers are ids then.", show_default=False),
    ] = None,
    unknown: Annotated[
        Path | None,
        typer.Option(
            help="Put a tenth of the specimens, and a tenth of the species, into this FASTA file instead: to be named.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write DNA barcodes of invented insects that evolved along a small tree: to try things on, and to test with.

    biocosmos simulate barcodes.fasta --unknown unknown.fasta --seed 1 --species 40

    biocosmos simulate barcodes.fasta --metadata names.tsv --specimens 2000

    biocosmos simulate barcodes.parquet --species 30000 --specimens 200000 --shared 0.05

    The gene is COI between Folmer's primers, 658 bases; it evolves by HKY85 with a rate, base frequencies and gamma-distributed
    rates among sites for each codon position, without stop codons. Two specimens differ at 0.3 % of the bases in a species, at
    6.5 % in a genus, 11.5 % in a family, 16.5 % in an order, 20 % beyond. Names and bins are made up. The same seed writes the
    same file.
    """
    from biocosmos.jobs.simulate import simulate as write

    done = write(output, settings, metadata=metadata, unknown=unknown)
    taxa = ", ".join(
        counted(done.taxa[one], one) if done.taxa[one] == 1 else f"{done.taxa[one]:,} {many}"
        for one, many in (("species", "species"), ("genus", "genera"), ("family", "families"), ("order", "orders"))
    )
    say(f"{output}: {counted(done.specimens, 'barcode')} of {taxa}; the same seed gives the same")
    if unknown is not None:
        say(f"{unknown}: {counted(done.unknown, 'barcode')} to be named")
