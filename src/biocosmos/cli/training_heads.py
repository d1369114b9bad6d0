"""train heads: name specimens at every rank of a taxonomy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from biocosmos.cli.generated import CONFIG, Given, takes
from biocosmos.cli.options import COLLECTION, OVERWRITE
from biocosmos.cli.printing import say, show_table, trained
from biocosmos.cli.verbs import add
from biocosmos.train.heads.settings import SEVERAL, HeadSettings


def register(train: typer.Typer) -> None:
    """Add the verbs to ``biocosmos train``."""
    add(train, heads, recipes)


@takes(HeadSettings, several=SEVERAL, switches=True)
def heads(
    collection: COLLECTION,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the trained head, or of several.")],
    given: Given,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Begin with the settings of a shipped recipe ('biocosmos train recipes'); several are compared.",
            show_default=False,
            rich_help_panel="Run",
        ),
    ] = None,
    config: CONFIG = None,
    overwrite: OVERWRITE = False,
) -> None:
    """Train a head that names specimens at every rank, with its backbone or on stored vectors.

    biocosmos train heads plankton.cosmos --encoder efficientnet-lite0 --head bcnn --ranks status,group,label --output run/

    biocosmos train heads plankton.cosmos --head flat,marginalised,multitask --freeze --output heads/

    biocosmos train heads plankton.cosmos --recipe plankton-cpu --imbalance none,focal,ldam-drw,logit-adjusted -o rare/

    biocosmos train heads mine.cosmos --attributes life_stage,sex,view --head ctgnn --freeze --output run/

    biocosmos train heads plankton.cosmos --recipe convnext --outliers halves,quadrants --device cuda --output run/

    Kill it and run it again: it goes on and ends with the same weights. Then: biocosmos identify plankton.cosmos images/
    --head run/ --error-rate 0.05 -o ids.csv, and biocosmos evaluate plankton.cosmos --head run/ --report heads.html
    """
    from biocosmos.jobs.train_heads import head_runs

    runs = head_runs(given, recipe=recipe, config=config)
    folders = {name: output / name if len(runs) > 1 else output for name in runs}
    for name, settings in runs.items():
        _train(collection, settings, folders[name], overwrite)
    options = " ".join(f"--head {folder}" for folder in folders.values())
    say(f"Next: biocosmos evaluate {collection} {options} --report heads.html")


def _train(collection: Path, settings: HeadSettings, output: Path, overwrite: bool) -> None:
    from biocosmos.train.heads.training import train_heads

    def tell(targets: Any) -> None:
        facts = targets.facts
        of_attributes = facts if "tasks" in facts else facts.get("attributes")
        if of_attributes is not None:
            _tell_attributes(of_attributes)
        if "ranks" not in facts:
            return
        rows = [
            ("ranks", ", ".join(facts["ranks"])),
            ("classes", len(targets.classes)),
            ("specimens", int(targets.known.sum())),
            ("left out: without a name", facts["left_out"]["unlabelled"]),
            ("left out: by --leave-out", facts["left_out"]["specimens"]),
            ("known outliers", facts["known_outliers"]["specimens"]),
        ]
        show_table(("labels", "value"), rows, title="what will be learnt")

    result = train_heads(collection, settings, output, overwrite=overwrite, tell=tell)
    if not result.main_process:
        return
    h = result.history
    if h.best:
        rows = [(name, value) for name, value in h.best.items() if name != "epoch"]
        show_table(("on the validation part", "kept"), rows, title=str(output))
    trained(output, collection, result)


def _tell_attributes(facts: dict[str, Any]) -> None:
    rows = [
        (task["name"], f"{task['classes']:,}", "any number" if task["several"] else "one", f"{task['specimens']:,}")
        for task in facts["tasks"]
    ]
    show_table(("attribute", "classes", "true of a specimen", "specimens"), rows, title="attributes that will be learnt")
    if left := facts["left_out"]["unlabelled"]:
        say(f"{left:,} specimens of the part have no label of any of them: they are not learnt from")
    for name, why in facts["dropped"].items():
        say(f"note: the attribute '{name}' {why}: it is left out")


def recipes() -> None:
    """List the shipped recipes: settings to begin with, for each kind of backbone.

    biocosmos train recipes
    """
    from biocosmos.train.heads.recipes import recipes as shipped

    show_table(("recipe", "what"), shipped())
