"""benchmark: the benchmarks of the BIOSCAN papers, each from a download to a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.printing import say
from biocosmos.cli.reports import show_headlines
from biocosmos.cli.verbs import add
from biocosmos.jobs.benchmark.settings import BarcodesSettings, ClusteringSettings, RetrievalSettings

if TYPE_CHECKING:
    from biocosmos.jobs.benchmark.download import Benchmarked

SOURCE = Annotated[
    Path,
    typer.Argument(help="BIOSCAN's metadata table, the folder of the download, or a collection.", show_default=False),
]
FOLDER = Annotated[
    Path,
    typer.Option("--output", "-o", help="Folder for the report and all that it is made from.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    what = "The benchmarks of the BIOSCAN papers: from a download, or any part of one, to a report beside the papers' figures."
    benchmark = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=what)
    add(benchmark, barcodes, clustering, retrieval)
    app.add_typer(benchmark, name="benchmark")


@takes(BarcodesSettings)
def barcodes(source: SOURCE, output: FOLDER, settings: BarcodesSettings) -> None:
    """Species of known ones, genera of unseen ones, by models of barcodes: BIOSCAN-5M's first benchmark.

    biocosmos benchmark barcodes bioscan5m/ -o barcodes/

    biocosmos benchmark barcodes bioscan5m/ -e kmer:7 -e BarcodeBERT/ --fine-tune BarcodeBERT/ --device cuda -o barcodes/

    Any part of the data will do. What is missing is said before anything is read. Kill it and run it again: it goes on.
    """
    from biocosmos.jobs.benchmark.barcodes import benchmark_barcodes

    _write(benchmark_barcodes(source, _place(output), settings), output)


@takes(ClusteringSettings)
def clustering(source: SOURCE, output: FOLDER, settings: ClusteringSettings) -> None:
    """Clusters of images, barcodes and both against taxa and BINs, without training: BIOSCAN-5M's zero-shot clustering.

    biocosmos benchmark clustering bioscan5m/ -o clustering/

    biocosmos benchmark clustering bioscan5m/ --image efficientnet-lite0 --dna BarcodeBERT/ --dna kmer:5 -o clustering/

    Only the two test parts are read. Kill it and run it again: it goes on.
    """
    from biocosmos.jobs.benchmark.clustering import benchmark_clustering

    _write(benchmark_clustering(source, _place(output), settings), output)


@takes(RetrievalSettings)
def retrieval(source: SOURCE, output: FOLDER, settings: RetrievalSettings) -> None:
    """Images, barcodes and names of seen and unseen species asked of each other, in one trained space: CLIBD's protocol.

    biocosmos benchmark retrieval bioscan5m/ -o retrieval/

    biocosmos benchmark retrieval bioscan1m/ --partition clibd/ -o retrieval/

    biocosmos benchmark retrieval bioscan5m/ --as-published --image timm:vit_base_patch16_224 --dna BarcodeBERT/ --text
    bert-small/ --device cuda -o retrieval/

    A space is trained first, projections of stored vectors by default; --space takes one that is there. Kill it and run it again:
    it goes on.
    """
    from biocosmos.jobs.benchmark.retrieval import benchmark_retrieval

    _write(benchmark_retrieval(source, _place(output), settings), output)


def _place(output: Path) -> Path:
    from biocosmos.outputs import place_of

    return place_of(output)


def _write(done: Benchmarked, folder: Path) -> None:
    """The report in the folder, and the headlines for people."""
    page = done.write(folder)
    show_headlines(done.report)
    for row in done.report.rows("missing"):
        say(f"missing: {row['what']}: {row['why']}" + (f" ({row['remedy']})" if row["remedy"] else ""))
    say(f"report: {page}")
