"""train contrastive: one space for pictures, barcodes and names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biocosmos.cli.generated import CONFIG, Given, takes
from biocosmos.cli.options import COLLECTION, OVERWRITE
from biocosmos.cli.printing import say, show_table, trained
from biocosmos.cli.verbs import add
from biocosmos.train.contrastive.settings import UNUSED, ContrastiveSettings, contrastive_settings

if TYPE_CHECKING:
    from biocosmos.train.contrastive.specimens import ModalRows
    from biocosmos.train.contrastive.training import ContrastiveResult


def register(train: typer.Typer) -> None:
    """Add the verb to ``biocosmos train``."""
    add(train, contrastive)


@takes(ContrastiveSettings, leave_out=UNUSED, switches=True)
def contrastive(
    collection: COLLECTION,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the space.")],
    given: Given,
    config: CONFIG = None,
    overwrite: OVERWRITE = False,
) -> None:
    """Train one space for pictures, barcodes and names (CLIBD): a photograph finds barcodes, and a name finds photographs.

    biocosmos train contrastive both.cosmos -o run/

    biocosmos train contrastive both.cosmos --image efficientnet-lite0 --dna kmer:6 --text tiny --targets species -o run/

    biocosmos train contrastive both.cosmos --dna BarcodeBERT/ --tune image=lora,dna=full --text '' --device cuda -o run/

    biocosmos train contrastive both.cosmos --bind-to dna --split train+pretrain --targets bin -o run/

    Projections of stored vectors by default, which takes minutes; --tune trains the encoders too. Specimens that lack a modality
    take part with what they have. Kill it and run it again: it goes on and ends with the same weights. Then: biocosmos embed
    both.cosmos -e run/, and biocosmos evaluate both.cosmos -e run/ --protocol cross-modal --report clibd.html
    """
    settings = contrastive_settings(config, **given)
    from biocosmos.train.contrastive.training import train_contrastive

    def tell(rows: ModalRows, resolved: ContrastiveSettings) -> None:
        encoders = [(f"{modality} encoder", getattr(resolved, modality)) for modality in resolved.kinds]
        begin("what will be learnt from", encoders, rows, resolved, output)

    result = train_contrastive(collection, settings, output, overwrite=overwrite, tell=tell)
    if result.main_process:
        end(collection, output, result)


def begin(what: str, first: list[tuple[str, object]], rows: ModalRows, resolved: ContrastiveSettings, output: Path) -> None:
    """What is said of the specimens of a space before it is trained, below the rows of a table that are of the recipe."""
    facts = rows.facts
    table = [
        *first,
        ("specimens", facts["specimens"]),
        *((f"with {modality}", count) for modality, count in facts["with"].items()),
        *((f"with {both}", count) for both, count in facts["with both"].items()),
        (f"groups by {resolved.targets}", facts["groups"]),
        ("left out: nothing to go with", facts["left_out"]),
    ]
    show_table((what, "value"), table, title=str(output))


def end(collection: Path, output: Path, result: ContrastiveResult) -> None:
    """What is said of a space that was trained."""
    for note in result.notes:
        say(f"note: {note}")
    kept = result.history.best or {}
    figures = [(name, f"{value:.3f}", f"{kept[name]:.3f}") for name, value in result.base.items() if name in kept]
    if figures:
        show_table(("nearest training specimens", "at the start", "kept"), figures, title=str(output))
    trained(output, collection, result)
    say(f"Next: biocosmos embed {collection} -e {output}")
    say(f"      biocosmos evaluate {collection} -e {output} --protocol cross-modal --report {output}.html")
