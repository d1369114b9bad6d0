"""train heads: name specimens at every rank of a taxonomy."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

from biocosmos.cli.options import COLLECTION, DEVICE
from biocosmos.cli.printing import say, show_table
from biocosmos.cli.verbs import add

_LEARNT, _DATA, _MODEL, _RARE, _NOVEL, _STEPS, _RUN = (
    "What is learnt",
    "Data",
    "Model",
    "Rare taxa",
    "Outliers",
    "Steps",
    "Run",
)

_NO_SETTINGS = ("collection", "output", "config", "recipe", "overwrite", "head", "encoder", "imbalance")


def register(train: typer.Typer) -> None:
    """Add the verbs to ``biocosmos train``."""
    add(train, heads, recipes)


def _option(text: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, help=text, show_default=False, rich_help_panel=panel)


def heads(
    collection: COLLECTION,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the trained head, or of several.")],
    encoder: Annotated[
        str | None, _option("The backbone, or several to compare [efficientnet-lite0].", _MODEL, "--encoder", "-e")
    ] = None,
    head: Annotated[
        str | None,
        _option(
            "flat, marginalised, conditional, multitask, bcnn, hbcnn, bacnn or sbacnn; several, comma-separated, are trained one "
            "after another, to be compared [marginalised].",
            _LEARNT,
        ),
    ] = None,
    ranks: Annotated[
        str | None, _option("Columns, coarsest first: status,group,label [the collection's ranks].", _LEARNT)
    ] = None,
    level_weights: Annotated[
        str | None,
        _option("Weights of the ranks in the loss: 0.5,1,2; or equal, published or kept [equal; kept for branches].", _LEARNT),
    ] = None,
    dependency: Annotated[float | None, _option("Share of the class-dependency loss [0].", _LEARNT)] = None,
    hxe_alpha: Annotated[float | None, _option("Conditional: coarse edges weigh exp(-alpha depth) [0].", _LEARNT)] = None,
    smoothing: Annotated[float | None, _option("Share of the target spread over all classes [0].", _LEARNT)] = None,
    recipe: Annotated[
        str | None,
        _option("Begin with the settings of a shipped recipe ('biocosmos train recipes'); several are compared.", _RUN),
    ] = None,
    config: Annotated[Path | None, _option("A TOML file of settings; flags override it.", _RUN)] = None,
    split: Annotated[str | None, _option("The training part [train].", _DATA)] = None,
    validation: Annotated[str | None, _option("The part that is watched, never a test part [val].", _DATA)] = None,
    leave_out: Annotated[str | None, _option("Taxa to leave out of the training, comma-separated.", _DATA)] = None,
    augment: Annotated[str | None, _option("none, plankton (any turn) or photo (has an up) [plankton].", _DATA)] = None,
    mix: Annotated[str | None, _option("none, mixup or cutmix [none].", _DATA)] = None,
    mix_alpha: Annotated[float | None, _option("Of the Beta distribution of shares [0.2].", _DATA)] = None,
    mix_partner: Annotated[
        str | None, _option("balanced: the partner is drawn as if classes were of one size; or alike [balanced].", _DATA)
    ] = None,
    size: Annotated[int | None, _option("Side of the input, pixels [the encoder's own].", _DATA)] = None,
    size_feature: Annotated[bool, _option("Tell the head how large the image was.", _DATA, "--size-feature")] = False,
    freeze: Annotated[
        bool | None, _option("Train on stored vectors: seconds, not hours.", _MODEL, "--freeze/--no-freeze")
    ] = None,
    hidden: Annotated[int | None, _option("Width of a dense layer before the scores [0; 1024 frozen].", _MODEL)] = None,
    dropout: Annotated[float | None, _option("Share of features dropped [0.2; 0.5 frozen].", _MODEL)] = None,
    freeze_stages: Annotated[int | None, _option("First stages of a timm model left as they are [0].", _MODEL)] = None,
    cache_views: Annotated[
        int | None, _option("Compute the frozen stages once for so many views of each image [0: in every step].", _MODEL)
    ] = None,
    cache_folder: Annotated[str | None, _option("Where these are kept [the collection's work folder].", _MODEL)] = None,
    batch_norm: Annotated[str | None, _option("Batch statistics: train, or still as they are [still].", _MODEL)] = None,
    imbalance: Annotated[
        str | None,
        _option(
            "none, focal, class-balanced, ldam, ldam-drw, logit-adjusted, balanced-softmax or post-hoc; several are compared "
            "[none].",
            _RARE,
        ),
    ] = None,
    sampler: Annotated[float | None, _option("Draw by (class size)^-q, 0 to 1 [0].", _RARE)] = None,
    decouple: Annotated[int | None, _option("Last epochs that train the head alone, classes drawn alike [0].", _RARE)] = None,
    outliers: Annotated[
        str | None, _option("Generate: halves, quadrants, spectra, shuffle, adversarial; comma-separated.", _NOVEL)
    ] = None,
    outlier_images: Annotated[str | None, _option("A folder of foreign images.", _NOVEL)] = None,
    outlier_taxa: Annotated[str | None, _option("Taxa trained as known outliers.", _NOVEL)] = None,
    outlier_share: Annotated[float | None, _option("Outliers per specimen [0.5].", _NOVEL)] = None,
    outlier_weight: Annotated[float | None, _option("Of their loss [0.5].", _NOVEL)] = None,
    epochs: Annotated[int | None, _option("Passes over the training part [10; 15 frozen].", _STEPS)] = None,
    batch_size: Annotated[
        int | None, _option("Images per process and pass [64; frozen 512, fewer for few images].", _STEPS)
    ] = None,
    accumulate: Annotated[int | None, _option("Batches that make one step [1].", _STEPS)] = None,
    lr: Annotated[float | None, _option("Highest learning rate of the backbone [3e-4; 1e-3 frozen].", _STEPS)] = None,
    head_lr_factor: Annotated[float | None, _option("The head learns so much faster [10; 1 frozen].", _STEPS)] = None,
    weight_decay: Annotated[float | None, _option("Of AdamW [0.05].", _STEPS)] = None,
    warmup: Annotated[float | None, _option("Share of the steps in which the rate rises [0.1].", _STEPS)] = None,
    clip: Annotated[float | None, _option("Largest gradient norm, 0 for any [5].", _STEPS)] = None,
    ema: Annotated[float | None, _option("Decay of averaged weights, such as 0.999 [0: none].", _STEPS)] = None,
    patience: Annotated[int | None, _option("Stop after so many epochs without a better validation.", _STEPS)] = None,
    keep: Annotated[str | None, _option("best or last weights [last: the validation part still calibrates].", _STEPS)] = None,
    precision: Annotated[str | None, _option("auto, float32 or bfloat16 [auto].", _RUN)] = None,
    checkpoint_steps: Annotated[int | None, _option("Steps between checkpoints [500].", _RUN)] = None,
    workers: Annotated[int | None, _option("Threads that decode [one per core].", _RUN)] = None,
    cache_gb: Annotated[float | None, _option("Keep prepared images in memory if they take less, GiB [2].", _RUN)] = None,
    seed: Annotated[int | None, _option("Seed of every random choice [0].", _RUN)] = None,
    device: DEVICE = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew, whatever was trained there.")] = False,
) -> None:
    """Train a head that names specimens at every rank, with its backbone or on stored vectors.

    biocosmos train heads plankton.cosmos --encoder efficientnet-lite0 --head bcnn --ranks status,group,label --output run/

    biocosmos train heads plankton.cosmos --head flat,marginalised,multitask --freeze --output heads/

    biocosmos train heads plankton.cosmos --recipe plankton-cpu --imbalance none,focal,ldam-drw,balanced-softmax -o rare/

    biocosmos train heads plankton.cosmos --recipe convnext --outliers halves,quadrants --device cuda --output run/

    Kill it and run it again: it goes on and ends with the same weights. Then: biocosmos identify plankton.cosmos images/
    --head run/ --error-rate 0.05 -o ids.csv, and biocosmos evaluate plankton.cosmos --head run/ --report heads.html
    """
    given = {key: value for key, value in locals().items() if key not in _NO_SETTINGS}
    from biocosmos.train.heads.recipes import recipe_file
    from biocosmos.train.heads.settings import head_settings

    if recipe is not None and config is not None:
        raise typer.BadParameter("--recipe and --config both give settings: leave one of them out")
    given |= {"size_feature": size_feature or None, "device": None if device == "auto" else device}
    runs = {}
    for chosen in product(*(_several(value) for value in (recipe, encoder, head, imbalance))):
        told = dict(zip(("encoder", "head", "imbalance"), chosen[1:]))
        file = config if chosen[0] is None else recipe_file(chosen[0])
        runs["-".join(part.replace("/", "-") for part in chosen if part is not None)] = head_settings(file, **{**given, **told})
    folders = {name: output / name if len(runs) > 1 else output for name in runs}
    for name, settings in runs.items():
        _train(collection, settings, folders[name], overwrite)
    options = " ".join(f"--head {folder}" for folder in folders.values())
    say(f"Next: biocosmos evaluate {collection} {options} --report heads.html")


def _several(value: str | None) -> list[str | None]:
    """The parts of a comma-separated option; [None] where it was not given."""
    return [None] if value is None else [part.strip() for part in value.split(",") if part.strip()]


def _train(collection: Path, settings: Any, output: Path, overwrite: bool) -> None:
    from biocosmos.train.heads.training import train_heads

    def tell(targets: Any) -> None:
        facts = targets.facts
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
    if result.already_done:
        say(f"{output} was trained already; --overwrite begins anew")
    else:
        early = ", stopped early" if h.stopped_early else ""
        say(f"{output}: {len(h.epochs)} epochs, {h.steps:,} steps in {h.seconds:,.0f} s, {h.images_per_second:,.0f}/s{early}")
    if len(result.failures):
        say(f"{len(result.failures)} images could not be read: biocosmos failures {collection}")


def recipes() -> None:
    """List the shipped recipes: settings to begin with, for each kind of backbone.

    biocosmos train recipes
    """
    from biocosmos.train.heads.recipes import recipes as shipped

    show_table(("recipe", "what"), shipped())
