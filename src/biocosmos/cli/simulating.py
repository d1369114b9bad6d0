"""simulate: barcodes of invented taxa, pictures that go with barcodes, and scenes of a light trap, to try things on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from biocosmos.cli.generated import takes
from biocosmos.cli.options import OVERWRITE
from biocosmos.cli.printing import counted, finish, say
from biocosmos.cli.verbs import add
from biocosmos.jobs.simulate import SimulateSettings
from biocosmos.jobs.simulate_pictures import SimulatePicturesSettings
from biocosmos.jobs.simulate_scenes import SimulateScenesSettings

HELP = ("-h", "--help")


class BarcodesUnlessSaid(TyperGroup):
    """ "simulate barcodes.fasta" is "simulate barcodes barcodes.fasta", as it was when barcodes were all there was."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the word in where it was left out."""
        if args and args[0] not in self.commands and args[0] not in HELP:
            args = ["barcodes", *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    what = "Make things up, to try things on: DNA barcodes of invented insects, pictures that go with them, scenes of moths."
    group = typer.Typer(cls=BarcodesUnlessSaid, no_args_is_help=True, rich_markup_mode="rich", help=what)
    add(group, barcodes, pictures, scenes)
    app.add_typer(group, name="simulate")


@takes(SimulateSettings)
def barcodes(
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

    biocosmos simulate barcodes barcodes.fasta --unknown unknown.fasta --seed 1 --species 40

    biocosmos simulate barcodes barcodes.fasta --metadata names.tsv --specimens 2000

    biocosmos simulate barcodes barcodes.parquet --species 30000 --specimens 200000 --shared 0.05

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


@takes(SimulatePicturesSettings)
def pictures(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="A new collection, or a table (.csv, .tsv, .parquet ...) with a folder of files."),
    ],
    settings: SimulatePicturesSettings,
    source: Annotated[
        Path | None,
        typer.Argument(
            help="A table or FASTA file with barcodes and names at ranks, or a collection; without it barcodes are simulated.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Write the image files here; else they are packed, or lie beside the table.", show_default=False),
    ] = None,
    facts: Annotated[
        Path | None,
        typer.Option(
            help="Write a table of species: which no eye can tell, which look alike without kinship.", show_default=False
        ),
    ] = None,
    overwrite: OVERWRITE = False,
) -> None:
    """Draw small arthropods for specimens with barcodes: synthetic pictures whose traits are inherited along the names.

    biocosmos simulate pictures -o both.cosmos

    biocosmos simulate pictures bold.tsv -o both.cosmos --seed 0 --facts species.csv

    biocosmos simulate pictures coi.cosmos -o pictures.csv --size 128 --specimens 2000

    Relatives look alike, as their barcodes are alike; some things no barcode tells (colours that unrelated species share), and
    some no picture (species of cryptic genera). A collection gets a split with seen and unseen species, keys and queries. A
    picture depends on the seed, the names and the id alone. Say of every table made with them: synthetic images.
    """
    from biocosmos.jobs.simulate_pictures import simulate_pictures

    done = simulate_pictures(source, output, settings, images=images, facts=facts, overwrite=overwrite)
    finish(done.failures, done.specimens, "specimens")
    for note in done.notes:
        say(note)
    made = ((done.specimens, "specimen"), (done.pictures, "synthetic picture"), (done.barcodes, "barcode"))
    say(f"{output}: {', '.join(counted(number, noun) for number, noun in made)}")
    if done.parts:
        say("parts: " + ", ".join(f"{part} {count:,}" for part, count in done.parts.items()))


@takes(SimulateScenesSettings)
def scenes(
    output: Annotated[Path, typer.Option("--output", "-o", help="A new folder, laid out as MOTChallenge has it.")],
    settings: SimulateScenesSettings,
    overwrite: OVERWRITE = False,
) -> None:
    """Make up nights on the lit screen of a light trap: moths arrive, rest, walk, lie over each other, leave and come back.

    biocosmos simulate scenes -o scenes/ --sequences 30 --interval 3 --seed 0

    biocosmos simulate scenes -o scenes/ --interval 3,15,60 --minutes 60 --no-pictures

    biocosmos simulate scenes -o crowded/ --density 30 --body 0.1 --speed 0.3,2

    Every sequence has frames (img1), its true boxes with tracks and visibility (gt), those of a detector that misses some and
    sees others where nothing is (det), the time of each frame and the species of each moth. Frames are empty at both ends of a
    night and in gaps. Say of every figure made with them: synthetic scenes.
    """
    from biocosmos.jobs.scene_files import simulate_scenes

    done = simulate_scenes(output, settings, overwrite=overwrite)
    made = ((done.sequences, "sequence"), (done.frames, "frame"), (done.moths, "moth"), (done.boxes, "true box"))
    words = ", ".join(counted(number, noun) for number, noun in made)
    say(f"{output}: synthetic: {words}, {counted(done.detections, 'detection')}; {counted(done.empty, 'frame')} without any moth")
