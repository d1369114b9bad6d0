"""train zero-shot: taxa without training images can be answered too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from biocosmos.cli.generated import CONFIG, Given, takes
from biocosmos.cli.options import COLLECTION, OVERWRITE
from biocosmos.cli.printing import say, show_table, trained
from biocosmos.cli.verbs import add
from biocosmos.train.prototypes.settings import AblationSettings, ZeroShotSettings, zero_shot_settings

if TYPE_CHECKING:
    from biocosmos.train.prototypes.held_out_taxa import TaxaRoles


def register(train: typer.Typer) -> None:
    """Add the verb to ``biocosmos train``."""
    add(train, zero_shot)


@takes(AblationSettings, into="ablation")
@takes(ZeroShotSettings, switches=True)
def zero_shot(
    collection: COLLECTION,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the trained encoder, or of the ablation.")],
    ablation: AblationSettings,
    given: Given,
    config: CONFIG = None,
    overwrite: OVERWRITE = False,
) -> None:
    """Train so that taxa without training images can be named too, by their place in the tree and their names.

    biocosmos train zero-shot plankton.cosmos --encoder efficientnet-lite0 --ranks status,group,label --hold-out 12 -o run/

    biocosmos train zero-shot plankton.cosmos --ranks status,group,label --freeze --ablate --draws 3 -o ablation/

    Prototypes, a supervised contrastive loss and a Gromov-Wasserstein term. The folder is an encoder for every other command.
    """
    settings = zero_shot_settings(config, **given)
    if ablation.ablate:
        _ablate(collection, settings, output, ablation, overwrite)
        return
    from biocosmos.train.prototypes.training import train_zero_shot

    def tell(taxa: TaxaRoles, counts: Any) -> None:
        from biocosmos.train.prototypes.held_out_taxa import role_rows

        show_table(("role", "taxa", "what"), role_rows(taxa, counts), title="taxa")

    result = train_zero_shot(collection, settings, output, overwrite=overwrite, tell=tell)
    if not result.main_process:
        return
    trained(output, collection, result)
    best = result.history.best or {}
    rows = [(name, f"{value:.3f}") for name, value in best.items() if isinstance(value, float)]
    if rows:
        show_table(("on the validation part", "kept"), rows, title=f"epoch {best.get('epoch')}")
    say("Next: the same command with --ablate and another --output compares it with what each part of it adds")


def _ablate(collection: Path, settings: ZeroShotSettings, output: Path, ablation: AblationSettings, overwrite: bool) -> None:
    from biocosmos.evaluate.generalised_zero_shot.report import KS
    from biocosmos.jobs.zero_shot_ablation import table_rows, zero_shot_ablation

    report = zero_shot_ablation(
        collection,
        settings,
        output,
        draws=ablation.draws,
        foreign=ablation.foreign,
        chimeras=ablation.chimeras,
        overwrite=overwrite,
    )
    report.write(output)
    head = ("model", "asked about", *(f"top-{k}" for k in KS))
    show_table(head, table_rows(report, KS), title="mean over taxa, %")
    anomalies = [(row["variant"], row["anomalies"], row["score"], f"{100 * row['mean']:.1f}") for row in report.rows("anomalies")]
    if anomalies:
        show_table(("model", "anomalies", "score", "AUROC, %"), anomalies, title="anomalies")
    say(f"report: {output / 'report.html'}")
