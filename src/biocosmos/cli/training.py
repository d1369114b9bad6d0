"""train: better encoders, and heads that name, from your own images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from biocosmos.cli import training_heads, training_zero_shot
from biocosmos.cli.options import COLLECTION, DEVICE
from biocosmos.cli.printing import say, show_table
from biocosmos.cli.verbs import add

if TYPE_CHECKING:
    from biocosmos.train.unicom.audit import Audit

_LOSS, _DATA, _MODEL, _STEPS, _RUN = "What is learnt", "Data", "Model", "Steps", "Run"


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    what = "Train better encoders, and heads that name, from a collection."
    train = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=what)
    add(train, unicom)
    training_heads.register(train)
    training_zero_shot.register(train)
    add(train, slurm)
    app.add_typer(train, name="train")


def _option(text: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, help=text, show_default=False, rich_help_panel=panel)


def unicom(
    collection: COLLECTION,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the trained encoder, or of the sweep.")],
    encoder: Annotated[str | None, _option("What is trained [efficientnet-lite0].", _MODEL, "--encoder", "-e")] = None,
    clusters: Annotated[int | None, _option("Number of clusters [500].", _LOSS)] = None,
    sweep: Annotated[str | None, _option("Numbers of clusters to compare, comma-separated.", _LOSS)] = None,
    source: Annotated[str | None, _option("Cluster image, text or joint vectors [image].", _LOSS)] = None,
    text_encoder: Annotated[str | None, _option("Encoder of the texts, if not the encoder itself.", _LOSS)] = None,
    views: Annotated[int | None, _option("Turned and mirrored views averaged for clustering, 1 to 8 [1].", _LOSS)] = None,
    whiten: Annotated[bool, _option("Cluster whitened vectors.", _LOSS, "--whiten")] = False,
    taxa: Annotated[
        str | None, _option("Learn the true taxa of this rank in place of clusters: the supervised reference.", _LOSS)
    ] = None,
    labels: Annotated[str | None, _option("Learn the classes in a labels.parquet of another run.", _LOSS)] = None,
    loss: Annotated[str | None, _option("margin, or mlcd: several nearest clusters are right [margin].", _LOSS)] = None,
    positives: Annotated[int | None, _option("How many are right with mlcd [8].", _LOSS)] = None,
    scale: Annotated[float | None, _option("s of s (cos(m1 theta + m2) - m3) [32].", _LOSS)] = None,
    m1: Annotated[float | None, _option("Multiplies the angle [1].", _LOSS, "--m1")] = None,
    m2: Annotated[float | None, _option("Added to the angle, radians [0.3].", _LOSS, "--m2")] = None,
    m3: Annotated[float | None, _option("Taken from the cosine [0].", _LOSS, "--m3")] = None,
    gradient: Annotated[str | None, _option("exact, or straight-through as published [exact].", _LOSS)] = None,
    interclass_filter: Annotated[
        float | None, _option("Cosine above which other clusters are filtered [0: none].", _LOSS)
    ] = None,
    filter_mode: Annotated[str | None, _option("zero (as published) or mask [zero].", _LOSS)] = None,
    sample_rate: Annotated[float | None, _option("Share of the centres in each step [1].", _LOSS)] = None,
    features: Annotated[int | None, _option("Randomly chosen features in each step [all].", _LOSS)] = None,
    sub_centres: Annotated[int | None, _option("Centres of each class [1].", _LOSS)] = None,
    centres: Annotated[str | None, _option("Begin at the means of the clusters, or random [means].", _LOSS)] = None,
    split: Annotated[str | None, _option("The training part [train].", _DATA)] = None,
    validation: Annotated[str | None, _option("The part that is watched, never a test part [val].", _DATA)] = None,
    monitor: Annotated[str | None, _option("Watch recall of clusters (needs no label) or taxa [auto].", _DATA)] = None,
    augment: Annotated[str | None, _option("none, plankton (any turn) or photo (has an up) [plankton].", _DATA)] = None,
    size: Annotated[int | None, _option("Side of the input, pixels [the encoder's own].", _DATA)] = None,
    test_size: Annotated[int | None, _option("Side of the input of the finished encoder [as trained].", _DATA)] = None,
    freeze: Annotated[
        bool | None,
        _option(
            "Train only a projection of the stored vectors: minutes, not hours [a sweep does].", _MODEL, "--freeze/--no-freeze"
        ),
    ] = None,
    dim: Annotated[int | None, _option("Length of the new vectors; 0 keeps the encoder's own [512].", _MODEL)] = None,
    start: Annotated[str | None, _option("The projection begins plain or whitening the embedding [whiten].", _MODEL)] = None,
    freeze_stages: Annotated[int | None, _option("First stages of a timm model left as they are [0].", _MODEL)] = None,
    batch_norm: Annotated[str | None, _option("Batch statistics: train, or still as they are [still].", _MODEL)] = None,
    noise: Annotated[float | None, _option("Noise on stored vectors [0; 0.5 frozen].", _MODEL)] = None,
    epochs: Annotated[int | None, _option("Passes over the training part [8; 10 frozen].", _STEPS)] = None,
    batch_size: Annotated[int | None, _option("Images per process and pass [64; 512 frozen].", _STEPS)] = None,
    accumulate: Annotated[int | None, _option("Batches that make one step [1].", _STEPS)] = None,
    lr: Annotated[float | None, _option("Highest learning rate [3e-4; 1e-3 frozen].", _STEPS)] = None,
    centre_lr_factor: Annotated[float | None, _option("The centres learn so much faster [10].", _STEPS)] = None,
    weight_decay: Annotated[float | None, _option("Of AdamW [0.05].", _STEPS)] = None,
    warmup: Annotated[float | None, _option("Share of the steps in which the rate rises [0.1].", _STEPS)] = None,
    clip: Annotated[float | None, _option("Largest gradient norm, 0 for any [5].", _STEPS)] = None,
    ema: Annotated[float | None, _option("Decay of averaged weights, such as 0.999 [0: none].", _STEPS)] = None,
    patience: Annotated[int | None, _option("Stop after so many epochs without a better validation.", _STEPS)] = None,
    keep: Annotated[str | None, _option("best or last weights [best].", _STEPS)] = None,
    precision: Annotated[str | None, _option("auto, float32 or bfloat16 [auto].", _RUN)] = None,
    checkpoint_steps: Annotated[int | None, _option("Steps between checkpoints [500].", _RUN)] = None,
    workers: Annotated[int | None, _option("Threads that decode [one per core].", _RUN)] = None,
    cache_gb: Annotated[float | None, _option("Keep prepared images in memory if they take less, GiB [2].", _RUN)] = None,
    seed: Annotated[int | None, _option("Seed of every random choice [0].", _RUN)] = None,
    config: Annotated[Path | None, _option("A TOML file of settings; flags override it.", _RUN)] = None,
    device: DEVICE = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew, whatever was trained there.")] = False,
) -> None:
    """Train an encoder to tell clusters of its own embedding apart (UNICOM): no labels are needed.

    biocosmos train unicom plankton.cosmos --encoder efficientnet-lite0 --clusters 500 --output run/

    biocosmos train unicom plankton.cosmos --sweep 100,500,1000,2000 --output sweep/

    torchrun --nproc-per-node 4 -m biocosmos train unicom plankton.cosmos --clusters 100000 --sample-rate 0.1 -o run/

    Kill it and run it again: it goes on and ends with the same weights. The folder is an encoder for every other command:
    biocosmos evaluate plankton.cosmos -e efficientnet-lite0 -e run/ --report compare.html
    """
    given = {key: value for key, value in locals().items() if key not in ("collection", "output", "sweep", "config", "overwrite")}
    from biocosmos.train.unicom.settings import unicom_settings

    given |= {"whiten": whiten or None, "device": None if device == "auto" else device}
    settings = unicom_settings(config, sweep=sweep is not None, **given)
    if sweep is not None:
        _sweep(collection, settings, sweep, output, overwrite)
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
    if result.already_done:
        say(f"{output} was trained already; --overwrite begins anew")
    else:
        h = result.history
        early = ", stopped early" if h.stopped_early else ""
        say(f"{output}: {len(h.epochs)} epochs, {h.steps:,} steps in {h.seconds:,.0f} s, {h.images_per_second:,.0f}/s{early}")
    if len(result.failures):
        say(f"{len(result.failures)} images could not be read: biocosmos failures {collection}")
    say(f"Next: biocosmos evaluate {collection} -e {settings.encoder} -e {output} --report compare.html")


def _sweep(collection: Path, settings: Any, counts: str, output: Path, overwrite: bool) -> None:
    from biocosmos.train.unicom.sweep import sweep

    try:
        wanted = [int(count) for count in counts.replace(" ", "").split(",") if count]
    except ValueError:
        raise typer.BadParameter(f"{counts!r} must be numbers of clusters: 100,500,1000", param_hint="--sweep") from None
    report = sweep(collection, settings, wanted, output, overwrite=overwrite)
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
