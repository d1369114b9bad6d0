"""train: better encoders, and heads that name, from your own images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biocosmos.cli import (
    training_barcode,
    training_bind,
    training_contrastive,
    training_heads,
    training_place,
    training_zero_shot,
)
from biocosmos.cli.generated import CONFIG, Given, refuse, takes
from biocosmos.cli.options import COLLECTION, OVERWRITE
from biocosmos.cli.printing import say, show_table, trained
from biocosmos.cli.verbs import add
from biocosmos.train.unicom.settings import SweepSettings, UnicomSettings, unicom_settings

if TYPE_CHECKING:
    from biocosmos.train.unicom.audit import Audit


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    what = "Train better encoders, and heads that name, from a collection."
    train = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=what)
    add(train, unicom)
    training_heads.register(train)
    training_zero_shot.register(train)
    training_barcode.register(train)
    training_contrastive.register(train)
    training_bind.register(train)
    training_place.register(train)
    add(train, slurm)
    app.add_typer(train, name="train")


@takes(SweepSettings, into="many")
@takes(UnicomSettings, switches=True)
def unicom(
    collection: COLLECTION,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the trained encoder, or of the sweep.")],
    given: Given,
    many: SweepSettings,
    config: CONFIG = None,
    overwrite: OVERWRITE = False,
) -> None:
    """Train an encoder to tell clusters of its own embedding apart (UNICOM): no labels are needed.

    biocosmos train unicom plankton.cosmos --encoder efficientnet-lite0 --clusters 500 --output run/

    biocosmos train unicom plankton.cosmos --sweep 100,500,1000,2000 --output sweep/

    torchrun --nproc-per-node 4 -m biocosmos train unicom plankton.cosmos --clusters 100000 --sample-rate 0.1 -o run/

    Kill it and run it again: it goes on and ends with the same weights. The folder is an encoder for every other command:
    biocosmos evaluate plankton.cosmos -e efficientnet-lite0 -e run/ --report compare.html
    """
    if many.sweep and "clusters" in given:
        refuse("clusters", "without --sweep, which says the numbers of clusters itself")
    settings = unicom_settings(config, sweep=bool(many.sweep), **given)
    if many.sweep:
        _sweep(collection, settings, many.sweep, output, overwrite)
        return
    from biocosmos.train.unicom.training import train_unicom

    def tell(audit: Audit) -> None:
        show_table(("labels", "value"), audit.rows(), title="what will be learnt")

    result = train_unicom(collection, settings, output, overwrite=overwrite, tell=tell)
    if not result.main_process:
        return
    rows = [
        (name, f"{value:.3f}", f"{(result.history.best or {}).get(name, float('nan')):.3f}")
        for name, value in result.base.items()
    ]
    if rows:
        show_table(("on the validation part", "at the start", "kept"), rows, title=f"{settings.encoder} and {output}")
    trained(output, collection, result)
    for note in result.notes():
        say(f"note: {note}")
    say(f"Next: biocosmos evaluate {collection} -e {settings.encoder} -e {output} --report compare.html")


def _sweep(collection: Path, settings: UnicomSettings, counts: tuple[int, ...], output: Path, overwrite: bool) -> None:
    from biocosmos.train.unicom.sweep import sweep

    report = sweep(collection, settings, counts, output, overwrite=overwrite)
    show_table(("what", "value"), [(row["what"], row["value"]) for row in report.headlines()], title=report.title)
    say(f"report: {output / 'report.html'}")


def slurm(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the script here.", show_default=False)] = None,
) -> None:
    """Print a SLURM batch script for training on a cluster, to be filled in.

    biocosmos train slurm > train.sh
    """
    from importlib.resources import files

    text = files("biocosmos.train").joinpath("templates/slurm_train.sh").read_text(encoding="utf-8")
    if output is None:
        print(text, end="")
        return
    output.write_text(text, encoding="utf-8")
    say(f"{output}: fill in the lines marked EDIT, then: sbatch {output}")
