"""train barcode: encoders of DNA barcodes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biocosmos.cli.generated import CONFIG, Given, takes
from biocosmos.cli.options import COLLECTION, OVERWRITE
from biocosmos.cli.printing import say, show_table, trained
from biocosmos.cli.verbs import add
from biocosmos.train.barcode.settings import UNUSED, BarcodeSettings, barcode_settings

if TYPE_CHECKING:
    from biocosmos.encoders.barcode_models import BarcodeModel
    from biocosmos.train.barcode.specimens import BarcodeRows


def register(train: typer.Typer) -> None:
    """Add the verb to ``biocosmos train``."""
    add(train, barcode)


@takes(BarcodeSettings, leave_out=UNUSED, switches=True)
def barcode(
    collection: COLLECTION,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the trained encoder.")],
    given: Given,
    config: CONFIG = None,
    overwrite: OVERWRITE = False,
) -> None:
    """Train an encoder of DNA barcodes: BarcodeBERT's pre-training, BarcodeMAE's, contrastive, distilled, or to species.

    biocosmos train barcode coi.cosmos -o run/

    biocosmos train barcode coi.cosmos --objective masked --split train+pretrain --k 4 -o pretrained/

    biocosmos train barcode coi.cosmos --init pretrained/ --objective species -o named/

    biocosmos train barcode coi.cosmos --init BarcodeBERT/ --objective contrastive --device cuda -o run/

    Kill it and run it again: it goes on and ends with the same weights. The folder is an encoder for every other command:
    biocosmos embed coi.cosmos -e run/, and biocosmos evaluate coi.cosmos -e kmer:7 -e run/ --report compare.html
    """
    settings = barcode_settings(config, **given)
    from biocosmos.train.barcode.training import train_barcode

    def tell(rows: BarcodeRows, made: BarcodeModel) -> None:
        counted = sum(weights.numel() for weights in made.network.parameters())
        table = [
            ("specimens", rows.facts["specimens"]),
            ("barcodes, each once", rows.facts["barcodes"]),
            *((f"left out: {why}", count) for why, count in rows.facts["left_out"].items()),
            ("weights of the encoder", f"{counted:,}"),
        ]
        show_table(("what will be learnt from", "value"), table, title=str(output))

    result = train_barcode(collection, settings, output, overwrite=overwrite, tell=tell)
    if not result.main_process:
        return
    if result.history.best:
        rows = [(name, f"{value:.3f}") for name, value in result.history.best.items() if name != "epoch"]
        show_table(("on the validation part", "kept"), rows, title=str(output))
    trained(output, collection, result)
    say(f"Next: biocosmos embed {collection} -e {output}")
