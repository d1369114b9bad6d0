"""train bind: places, environments, satellite images, sounds and names bound to pictures or barcodes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biocosmos.cli.generated import CONFIG, Given, takes
from biocosmos.cli.options import COLLECTION, OVERWRITE
from biocosmos.cli.printing import say
from biocosmos.cli.training_contrastive import begin, end
from biocosmos.cli.verbs import add
from biocosmos.train.bind.settings import BindSettings, bind_settings
from biocosmos.train.contrastive.settings import UNUSED

if TYPE_CHECKING:
    from biocosmos.train.contrastive.settings import ContrastiveSettings
    from biocosmos.train.contrastive.specimens import ModalRows


def register(train: typer.Typer) -> None:
    """Add the verb to ``biocosmos train``."""
    add(train, bind)


@takes(BindSettings, leave_out=UNUSED, switches=True)
def bind(
    collection: COLLECTION,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the space.")],
    given: Given,
    config: CONFIG = None,
    overwrite: OVERWRITE = False,
) -> None:
    """Bind places, environments, satellite images, sounds and names to the vectors of one encoder (TaxaBind).

    biocosmos train bind mine.cosmos --modalities image,place -o run/

    biocosmos train bind mine.cosmos --modalities image,place,environment --environment environment:rasters/ -o run/

    biocosmos train bind mine.cosmos --modalities dna,place --anchor dna --dna BarcodeBERT/ -o run/

    biocosmos train bind mine.cosmos --modalities image,place --place geoclip/ --loss geoclip --queue 4096 -o run/

    The anchor's vectors stay as they are, and what is bound to it learns to find them; --tune image=full trains the anchor too.
    After that it may be patched: biocosmos evaluate mine.cosmos -e efficientnet-lite0 -e run/image --interpolate 0:1:0.1 --patch
    '!projection.*' -o patched/ takes its weights back towards the encoder's, as far as validation images say. Specimens that lack
    a modality take part with what they have. Kill it and run it again: it goes on and ends with the same weights.
    """
    settings = bind_settings(config, **given)
    from biocosmos.train.bind.task import forms
    from biocosmos.train.bind.training import train_bind

    def tell(rows: ModalRows, resolved: ContrastiveSettings) -> None:
        assert isinstance(resolved, BindSettings)
        bound = forms(resolved)
        towers: list[tuple[str, object]] = [
            (each, f"{getattr(resolved, each)}, {resolved.tune_of(each)}, {bound.get(each, 'the anchor')}")
            for each in resolved.kinds
        ]
        begin("what will be bound", [*towers, ("numbers of a vector", resolved.width)], rows, resolved, output)

    result = train_bind(collection, settings, output, overwrite=overwrite, tell=tell)
    if result.main_process:
        end(collection, output, result)
        say("A place says where specimens were collected, which is not where taxa live.")
