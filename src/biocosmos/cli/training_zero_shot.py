"""train zero-shot: taxa without training images can be answered too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from biocosmos.cli.options import COLLECTION, DEVICE
from biocosmos.cli.printing import say, show_table
from biocosmos.cli.verbs import add

if TYPE_CHECKING:
    from biocosmos.train.prototypes.held_out_taxa import TaxaRoles

_TAXA, _LOSS, _MODEL, _STEPS, _RUN = "Which taxa", "What is learnt", "Model", "Steps", "Run"

_NO_SETTINGS = ("collection", "output", "ablate", "draws", "foreign", "chimeras", "config", "overwrite")


def register(train: typer.Typer) -> None:
    """Add the verb to ``biocosmos train``."""
    add(train, zero_shot)


def _option(text: str, panel: str, *flags: str) -> Any:
    return typer.Option(*flags, help=text, show_default=False, rich_help_panel=panel)


def zero_shot(
    collection: COLLECTION,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the trained encoder, or of the ablation.")],
    encoder: Annotated[str | None, _option("What is trained [efficientnet-lite0].", _MODEL, "--encoder", "-e")] = None,
    hold_out: Annotated[str | None, _option("Unseen taxa: how many to draw, or their names [12].", _TAXA)] = None,
    choose_on: Annotated[int | None, _option("Further taxa left out of training, to choose by [8].", _TAXA)] = None,
    draw: Annotated[int | None, _option("Seed of the draw of both [0].", _TAXA)] = None,
    ranks: Annotated[str | None, _option("Ranks, coarsest first: status,group,label [the collection's].", _TAXA)] = None,
    geometry: Annotated[
        str | None,
        _option("What is known of unseen taxa: tree, names, text, attributes, joined by + [tree+names].", _TAXA),
    ] = None,
    attributes: Annotated[str | None, _option("CSV file: a column taxon, the others numbers.", _TAXA)] = None,
    text_encoder: Annotated[str | None, _option("Encoder of names as texts.", _TAXA)] = None,
    place: Annotated[str | None, _option("Unseen prototypes by their relatives, or as learnt [relatives].", _TAXA)] = None,
    ablate: Annotated[bool, _option("Train again without each part, and report on all.", _TAXA, "--ablate")] = False,
    draws: Annotated[int, _option("Draws of the unseen taxa in an ablation [1].", _TAXA)] = 1,
    foreign: Annotated[Path | None, _option("Folder of foreign images, as anomalies.", _TAXA)] = None,
    chimeras: Annotated[int, _option("Anomalies of each kind made of two specimens [300].", _TAXA)] = 300,
    contrastive: Annotated[float | None, _option("Weight of the supervised contrastive loss [0.5].", _LOSS)] = None,
    temperature: Annotated[float | None, _option("Of the contrastive loss [0.1].", _LOSS)] = None,
    gromov: Annotated[float | None, _option("Weight of the Gromov-Wasserstein term [10].", _LOSS)] = None,
    coupling: Annotated[str | None, _option("Which prototype is which taxon: labels, fused or free [fused].", _LOSS)] = None,
    plan_steps: Annotated[int | None, _option("Steps between solutions of the coupling [50].", _LOSS)] = None,
    sampler: Annotated[
        float | None, _option("Draw specimens by (size of the taxon)^-q: 0 as they are, 1 all taxa alike [0.5].", _LOSS)
    ] = None,
    scale: Annotated[float | None, _option("Scores are scale * cosine [16].", _LOSS)] = None,
    split: Annotated[str | None, _option("The training part [train].", _TAXA)] = None,
    validation: Annotated[str | None, _option("The part that is watched, never a test part [val].", _TAXA)] = None,
    freeze: Annotated[
        bool | None,
        _option("Train only a projection of the stored vectors: minutes, not hours.", _MODEL, "--freeze/--no-freeze"),
    ] = None,
    dim: Annotated[int | None, _option("Length of the new vectors [128].", _MODEL)] = None,
    hidden: Annotated[int | None, _option("Units of the projection's hidden layer [512].", _MODEL)] = None,
    dropout: Annotated[float | None, _option("Of the projection's input [0.2].", _MODEL)] = None,
    noise: Annotated[float | None, _option("Noise on stored vectors [0].", _MODEL)] = None,
    freeze_stages: Annotated[int | None, _option("First stages of a timm model left as they are [0].", _MODEL)] = None,
    batch_norm: Annotated[str | None, _option("Batch statistics: train, or still as they are [still].", _MODEL)] = None,
    size: Annotated[int | None, _option("Side of the input, pixels [the encoder's own].", _MODEL)] = None,
    augment: Annotated[str | None, _option("none, plankton (any turn) or photo (has an up) [plankton].", _MODEL)] = None,
    epochs: Annotated[int | None, _option("Passes over the training part [8].", _STEPS)] = None,
    batch_size: Annotated[int | None, _option("Images per process and pass [64; 512 frozen].", _STEPS)] = None,
    accumulate: Annotated[int | None, _option("Batches that make one step [1].", _STEPS)] = None,
    lr: Annotated[float | None, _option("Highest learning rate [3e-4; 1e-3 frozen].", _STEPS)] = None,
    head_lr_factor: Annotated[
        float | None, _option("Projection and prototypes learn so much faster than a backbone [5].", _STEPS)
    ] = None,
    weight_decay: Annotated[float | None, _option("Of AdamW [0.05].", _STEPS)] = None,
    clip: Annotated[float | None, _option("Largest gradient norm, 0 for any [5; 0 frozen].", _STEPS)] = None,
    patience: Annotated[int | None, _option("Stop after so many epochs without a better validation.", _STEPS)] = None,
    keep: Annotated[str | None, _option("best or last weights [best].", _STEPS)] = None,
    precision: Annotated[str | None, _option("auto, float32 or bfloat16 [auto].", _RUN)] = None,
    workers: Annotated[int | None, _option("Threads that decode [one per core].", _RUN)] = None,
    cache_gb: Annotated[float | None, _option("Keep prepared images in memory if they take less, GiB [2].", _RUN)] = None,
    seed: Annotated[int | None, _option("Seed of every random choice but the draw [0].", _RUN)] = None,
    config: Annotated[Path | None, _option("A TOML file of settings; flags override it.", _RUN)] = None,
    device: DEVICE = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew, whatever was trained there.")] = False,
) -> None:
    """Train so that taxa without training images can be named too, by their place in the tree and their names.

    biocosmos train zero-shot plankton.cosmos --encoder efficientnet-lite0 --ranks status,group,label --hold-out 12 -o run/

    biocosmos train zero-shot plankton.cosmos --ranks status,group,label --freeze --ablate --draws 3 -o ablation/

    Prototypes, a supervised contrastive loss and a Gromov-Wasserstein term. The folder is an encoder for every other command.
    """
    given = {key: value for key, value in locals().items() if key not in _NO_SETTINGS}
    from biocosmos.train.prototypes.settings import zero_shot_settings

    settings = zero_shot_settings(config, **given | {"device": None if device == "auto" else device})
    if ablate:
        _ablate(collection, settings, output, draws=draws, foreign=foreign, chimeras=chimeras, overwrite=overwrite)
        return
    from biocosmos.train.prototypes.training import train_zero_shot

    def tell(taxa: TaxaRoles, counts: Any) -> None:
        from biocosmos.train.prototypes.held_out_taxa import role_rows

        show_table(("role", "taxa", "what"), role_rows(taxa, counts), title="taxa")

    result = train_zero_shot(collection, settings, output, overwrite=overwrite, tell=tell)
    if not result.main_process:
        return
    if result.already_done:
        say(f"{output} was trained already; --overwrite begins anew")
    best = result.history.best or {}
    rows = [(name, f"{value:.3f}") for name, value in best.items() if isinstance(value, float)]
    if rows:
        show_table(("on the validation part", "kept"), rows, title=f"epoch {best.get('epoch')}")
    if len(result.failures):
        say(f"{len(result.failures)} images could not be read: biocosmos failures {collection}")
    say("Next: the same command with --ablate and another --output compares it with what each part of it adds")


def _ablate(collection: Path, settings: Any, output: Path, **more: Any) -> None:
    from biocosmos.evaluate.generalised_zero_shot.report import KS
    from biocosmos.jobs.zero_shot_ablation import table_rows, zero_shot_ablation

    report = zero_shot_ablation(collection, settings, output, **more)
    report.write(output)
    head = ("model", "asked about", *(f"top-{k}" for k in KS))
    show_table(head, table_rows(report, KS), title="mean over taxa, %")
    anomalies = [(row["variant"], row["anomalies"], row["score"], f"{100 * row['mean']:.1f}") for row in report.rows("anomalies")]
    if anomalies:
        show_table(("model", "anomalies", "score", "AUROC, %"), anomalies, title="anomalies")
    say(f"report: {output / 'report.html'}")
