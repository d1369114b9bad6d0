"""What a benchmark of the BIOSCAN papers is told. Nothing heavy is imported here: the command line is made from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from biocosmos.settings import GIVEN, SettingError, check, setting

DATA, MODELS, MACHINE = "Data", "Models", "Machine"
KMERS, SHORT_KMERS = "kmer:7", "kmer:5"
PHOTOS = "efficientnet-lite0"


@dataclass(frozen=True)
class BenchmarkSettings:
    """What all benchmarks share."""

    partition: Path | None = setting(
        None,
        "CLIBD's partition of BIOSCAN-1M: a folder with a file of sample ids for each part.",
        file=True,
        unset="the column split, as BIOSCAN-5M has it",
        panel=DATA,
    )
    images: Path | None = setting(
        None, "Folder of the images, where it is not the table's own.", file=True, unset="beside and above the table", panel=DATA
    )
    size: str | None = setting(None, "Which images: cropped_256, original_256 ...", unset="the first that is there", panel=DATA)
    seed: int = setting(0, "Seed of every random choice.", low=0)
    device: str = setting("auto", "Where models run: auto, cpu, cuda, cuda:1 or mps.", panel=MACHINE)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class BarcodesSettings(BenchmarkSettings):
    """Settings of :func:`biocosmos.jobs.benchmark.barcodes.benchmark_barcodes`."""

    encoder: tuple[str, ...] = setting(
        (),
        "Once for each encoder of barcodes: kmer:7, a trained folder, a BarcodeBERT checkpoint.",
        names=("--encoder", "-e"),
        repeated=True,
        unset=f"{KMERS}, and those that are fine-tuned",
        panel=MODELS,
    )
    fine_tune: tuple[Path, ...] = setting(
        (),
        "Once for each trained folder or BarcodeBERT checkpoint that is fine-tuned to the species of the training part first.",
        repeated=True,
        file=True,
        panel=MODELS,
    )
    epochs: int = setting(35, "Passes of a fine-tuning.", above=0, only={"fine_tune": GIVEN}, panel=MODELS)
    linear: bool = setting(True, "Species by a softmax on the frozen vectors, 200 epochs.", panel=MODELS)
    aligned: bool = setting(
        True, "The nearest by k-mers also in the order of their alignments: what stands for BLAST.", panel=MODELS
    )


@dataclass(frozen=True)
class ClusteringSettings(BenchmarkSettings):
    """Settings of :func:`biocosmos.jobs.benchmark.clustering.benchmark_clustering`."""

    image: tuple[str, ...] = setting(
        (), "Once for each encoder of images.", repeated=True, unset=f"{PHOTOS} where there are images", panel=MODELS
    )
    dna: tuple[str, ...] = setting((), "Once for each encoder of barcodes.", repeated=True, unset=SHORT_KMERS, panel=MODELS)
    joined: bool = setting(True, "Also every pair of them side by side, each number standardised.", panel=MODELS)
    reducer: str = setting("umap:50", "Before clustering, one or several, comma-separated: umap:50, none, pca.", panel=MODELS)


@dataclass(frozen=True)
class RetrievalSettings(BenchmarkSettings):
    """Settings of :func:`biocosmos.jobs.benchmark.retrieval.benchmark_retrieval`."""

    space: Path | None = setting(
        None, "A space that 'biocosmos train contrastive' wrote.", file=True, unset="one is trained first", panel=MODELS
    )
    as_published: bool = setting(
        False,
        "Train all weights with CLIBD's batches, rates and epochs: for several GPUs.",
        only={"space": None},
        panel=MODELS,
    )
    image: str = setting(PHOTOS, "Encoder of images to train from.", only={"space": None}, panel=MODELS)
    dna: str = setting("kmer:6", "Encoder of barcodes to train from.", only={"space": None}, panel=MODELS)
    text: str = setting(
        "tiny", "Encoder of names to train from: tiny, a folder, or '' for none.", only={"space": None}, panel=MODELS
    )
    epochs: int | None = setting(
        None,
        "Passes over the training part.",
        above=0,
        unset="20; 50 as published, of BIOSCAN-1M",
        only={"space": None},
        panel=MODELS,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.image or not self.dna:
            raise SettingError("retrieval asks images about barcodes: name both --image and --dna")
