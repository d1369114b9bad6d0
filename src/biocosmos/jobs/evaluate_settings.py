"""What can be asked of ``evaluate``. Nothing heavy is imported here: the command line is made from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from biocosmos.jobs.identify_settings import DETECTOR, METHODS, NAMER, OWN_PRIOR, WAYS
from biocosmos.jobs.place_settings import KERNEL
from biocosmos.jobs.place_settings import METHODS as PRIORS
from biocosmos.settings import GIVEN, NOT_GIVEN, SettingError, UnusedSetting, check, other_than, setting
from biocosmos.specimens.settings import EVERYTHING

OF_ATTRIBUTES = "Attributes"
BY_GALLERY, NAMERS, STOPS, LEFT_OUT, MACHINE = "Embeddings", "Who names", "Where answers stop", "Taxa left out", "Machine"
IN_CLUSTERS, ACROSS = "Clusters", "Across modalities"
OF_BARCODES, SHARES = "Barcodes", "Shares of communities"
OF_PLACES = "Priors of places"
NEIGHBOURS = ("query-gallery", "all-vs-all", "both")
SHOTS = ("few-shot", "zero-shot")
NAMES = ("ranks", "promises")
LEAVE_OUT = ("leave-one-class-out", "leave-one-group-out")
CLUSTERING = "clustering"
BARCODE, OPEN_WORLD, CROSS_MODAL = "barcode", "open-world", "cross-modal"
PLACE, QUANTIFICATION = "place", "quantification"
UNSEEN = "test_unseen"
"""The part that asks with species that no training saw, where nobody names another."""
PROTOCOLS = (*NEIGHBOURS, *SHOTS, *NAMES, *LEAVE_OUT, CLUSTERING, BARCODE, OPEN_WORLD, CROSS_MODAL, PLACE, QUANTIFICATION)
TAXA, GALLERY, CHOSEN = "taxa", "gallery", "chosen"
"""How many clusters: as many as taxa among the specimens clustered, or in the part that answers; or chosen without labels."""
_EMBEDDED = {"head": NOT_GIVEN, "names": NOT_GIVEN}
_WITH_A_GALLERY = (None, "query-gallery", "both", *NAMES, BARCODE, QUANTIFICATION)
_BY_HEAD = {"head": GIVEN, "names": NOT_GIVEN, "protocol": (None, *NAMES)}
_NAMED = ({"head": NOT_GIVEN, "names": NOT_GIVEN, "protocol": _WITH_A_GALLERY, "interpolate": NOT_GIVEN}, _BY_HEAD)
_ANSWERED = (
    {
        "head": NOT_GIVEN,
        "names": NOT_GIVEN,
        "protocol": (None, "query-gallery", "both", "ranks", BARCODE),
        "interpolate": NOT_GIVEN,
    },
    {"head": GIVEN, "names": NOT_GIVEN, "protocol": (None, "ranks")},
)
_WITH_PRIOR = ({**_ANSWERED[0], "protocol": (None, "query-gallery", "both", "ranks")}, _ANSWERED[1])
_TOLD = {"names": GIVEN, "attributes": GIVEN}
_JUDGED = ({"head": GIVEN, "names": NOT_GIVEN, "protocol": None}, _TOLD)
_LEFT_OUT = {"head": GIVEN, "names": NOT_GIVEN, "protocol": LEAVE_OUT}
_CLUSTERED = {"head": NOT_GIVEN, "names": NOT_GIVEN, "protocol": CLUSTERING}
_ACROSS = {"head": NOT_GIVEN, "names": NOT_GIVEN, "protocol": CROSS_MODAL}
_PLACED = {"head": NOT_GIVEN, "names": NOT_GIVEN, "protocol": PLACE}
_QUANTIFIED = {"names": NOT_GIVEN, "protocol": QUANTIFICATION}
_BARCODED = {"head": NOT_GIVEN, "names": NOT_GIVEN, "protocol": BARCODE}


@dataclass(frozen=True)
class EvaluateSettings:
    """Settings of :func:`biocosmos.jobs.evaluate.evaluate_collection`.

    Embeddings are judged by their neighbours, namers (methods on an embedding, trained heads) by their names; of one embedding
    both, with the method ``linear``. Several encoders, or several namers, are compared with the first.
    """

    encoder: tuple[str, ...] = setting(
        (),
        "Once for each embedding; two or more are compared with the first. One that is not in the collection yet is embedded "
        "first. To be clustered, a+b joins two, each standardised.",
        names=("--encoder", "-e"),
        repeated=True,
        unset="the collection's default",
        only=(_EMBEDDED, {"method": GIVEN}),
        panel=BY_GALLERY,
    )
    head: tuple[Path, ...] = setting(
        (), "Once for each trained head ('biocosmos train heads').", repeated=True, file=True, panel=NAMERS
    )
    names: tuple[Path, ...] = setting(
        (),
        "Once for each table of names, of 'biocosmos identify' or any with ids and ranks: they are judged as they stand, side by "
        "side, seen and unseen species apart.",
        repeated=True,
        file=True,
        only={"head": NOT_GIVEN, "protocol": None},
        panel=NAMERS,
    )
    attributes: tuple[str, ...] = setting(
        (),
        "Which attributes are judged: columns, lists, groups of columns of 0 and 1 (docs/attributes.md). With --names the tables "
        "hold a probability for each class.",
        unset="with --head all that it answers",
        only=({"head": GIVEN, "protocol": None}, {"names": GIVEN}),
        panel=OF_ATTRIBUTES,
    )
    importance: str | None = setting(
        None,
        "A CSV file of class,weight: what a miss of each class costs; or sewer-ml, the weights of that data set.",
        metavar="FILE",
        unset="all classes weigh alike",
        only=_JUDGED,
        panel=OF_ATTRIBUTES,
    )
    beta: float = setting(
        2.0, "So many times as much weighs recall as precision in F.", above=0, only=_JUDGED, panel=OF_ATTRIBUTES
    )
    absent: str = setting(
        "skip",
        "A class that is true of no specimen: skip leaves it out of every mean, zero counts it as 0, published does as the code "
        "of Sewer-ML.",
        choices=("skip", "zero", "published"),
        only=_JUDGED,
        panel=OF_ATTRIBUTES,
    )
    gate: Path | None = setting(
        None,
        "Ask this head first, of one 0/1 attribute: what it is sure has nothing has no class of the others (docs/attributes.md).",
        file=True,
        only={"head": GIVEN, "names": NOT_GIVEN, "protocol": None},
        panel=OF_ATTRIBUTES,
    )
    method: str = setting(
        "",
        f"How to name: {METHODS}; several, comma-separated, are compared.",
        unset="linear; barcode with --protocol barcode",
        only=_NAMED,
        panel=NAMERS,
        plugged=NAMER,
    )
    protocol: str | None = setting(
        None,
        "query-gallery: the part that asks against the part that answers; all-vs-all: within the part that asks; both. few-shot: "
        "SimpleShot from 1 and 5 images a taxon; zero-shot: from the taxa's names (needs a text tower). ranks: names, rank by "
        "rank; promises: are error rates kept. leave-one-class-out, leave-one-group-out: a head trained again without some taxa. "
        "clustering: clusters of several settings against the taxa. barcode: nearest barcodes, the barcode gap, BINs and trees. "
        "open-world: the nearest of --queries and of --unseen, and their harmonic mean. cross-modal: the modalities of one "
        "space asked of each other, and of names. place: priors of places on held-out cells, and on rows. quantification: shares "
        "of taxa in made communities and real samples.",
        choices=PROTOCOLS,
        metavar="WHICH",
        unset="query-gallery with the names; both for several embeddings; ranks and promises with --head",
    )
    queries: str = setting(
        "test",
        f"The part that asks; '{EVERYTHING}' is the whole collection, all-vs-all.",
        part="given",
        only={"protocol": other_than(PLACE)},
    )
    gallery: str = setting(
        "train",
        "The part that answers.",
        part="given",
        only=(
            {"head": NOT_GIVEN, "protocol": (*_WITH_A_GALLERY, OPEN_WORLD, CROSS_MODAL)},
            {**_CLUSTERED, "clusters": GALLERY},
        ),
        panel=BY_GALLERY,
    )
    unseen: str = setting(
        UNSEEN,
        "The part that asks with species that no training saw; with --protocol barcode none where the split has no such part.",
        part="given",
        only={"head": NOT_GIVEN, "protocol": (BARCODE, OPEN_WORLD, CROSS_MODAL)},
        panel=BY_GALLERY,
    )
    unseen_keys: str = setting(
        "",
        "The part that answers beside --gallery with species that no training saw.",
        unset="key_unseen, where the split has it",
        part="given",
        only=_ACROSS,
        panel=ACROSS,
    )
    calibration_unseen: str = setting(
        "",
        "The part of unseen species that thresholds and promises are set on, beside --calibration.",
        unset="val_unseen, where the split has it",
        part="given",
        only=_ACROSS,
        panel=ACROSS,
    )
    damage: bool = setting(
        False,
        "Also cut the barcodes that ask and misread their bases, encode them again and see how many are still right.",
        only=_ACROSS,
        panel=ACROSS,
    )
    linear: bool = setting(
        False,
        "Also name --queries by a softmax on the frozen vectors of --gallery, as the papers' linear probe does.",
        only={"head": NOT_GIVEN, "protocol": (OPEN_WORLD, CROSS_MODAL)},
        panel=BY_GALLERY,
    )
    aligned: bool = setting(
        False,
        "Also put the nearest barcodes by k-mers in the order of their alignments.",
        only={"head": NOT_GIVEN, "protocol": OPEN_WORLD},
        panel=BY_GALLERY,
    )
    by: tuple[str, ...] = setting(
        (),
        "Columns or ranks to group results by; of clusters, columns to compare them with too; of shares, the column of samples.",
        only=(
            {"head": NOT_GIVEN, "names": NOT_GIVEN, "protocol": (None, *NEIGHBOURS, "promises", CLUSTERING)},
            {"head": GIVEN, "protocol": (None, "promises")},
            _QUANTIFIED,
        ),
    )
    identify: bool = setting(
        True,
        "Also judge names, confidence and novelty (one embedding).",
        only={
            "head": NOT_GIVEN,
            "names": NOT_GIVEN,
            "protocol": (None, "query-gallery", "both", BARCODE),
            "interpolate": NOT_GIVEN,
        },
        panel=NAMERS,
    )
    interpolate: str = setting(
        "",
        "START:STOP:STEP: evaluate the weights between two encoders, from the first (0) to the second (1); the best on the part "
        "val is reported on the queries.",
        unset="not at all",
        only={"head": NOT_GIVEN, "names": NOT_GIVEN, "protocol": None},
        panel=BY_GALLERY,
    )
    patch: str = setting(
        "",
        "Only weights with such names, comma-separated, with * and ?, or ! before them for all others: 'blocks.1*', "
        "'!projection.*'. The rest stays as in the second encoder.",
        metavar="NAMES",
        unset="all weights",
        only={"interpolate": GIVEN},
        panel=BY_GALLERY,
    )
    templates: Path | None = setting(
        None,
        "A file with one sentence a line, {name} in each.",
        unset="80 of our own",
        file=True,
        only={"protocol": "zero-shot"},
        panel=BY_GALLERY,
    )
    reducer: str = setting(
        "",
        "Before clustering, one or several, comma-separated, with dimensions if wanted (umap:20): none, pca, kernel-pca, umap, "
        "pacmap, tsne.",
        unset="pca and, where umap-learn is installed, umap",
        only=_CLUSTERED,
        panel=IN_CLUSTERS,
    )
    clusterer: str = setting(
        "",
        "One or several, comma-separated: kmeans, ward, average, spectral, affinity, hdbscan, optics, louvain, leiden.",
        unset="kmeans, ward and hdbscan; without --reducer too, those that are quick in its space",
        only=_CLUSTERED,
        panel=IN_CLUSTERS,
    )
    clusters: str = setting(
        TAXA,
        f"How many, for those that must be told: '{TAXA}', as many as the specimens have, by their labels; '{GALLERY}', as many "
        f"as --gallery has; '{CHOSEN}', without labels, and the setting too (docs/discover.md); or a number.",
        only=_CLUSTERED,
        panel=IN_CLUSTERS,
    )
    distance: str = setting(
        "p",
        "Of the barcode gap and of trees: p, the share of sites that differ over the overlap; k2p, Kimura's.",
        choices=("p", "k2p"),
        only=_BARCODED,
        panel=OF_BARCODES,
    )
    tree_genus: tuple[str, ...] = setting(
        (),
        "A genus, or another taxon, that is drawn as a neighbour-joining tree.",
        repeated=True,
        unset="the genus with the most confusions",
        only=_BARCODED,
        panel=OF_BARCODES,
    )
    probes: str = setting(
        "",
        "Also the probes of the BarcodeBERT papers, one or several, comma-separated: nearest, linear, clustering.",
        choices=("nearest", "linear", "clustering"),
        several=True,
        unset="none",
        only=_BARCODED,
        panel=OF_BARCODES,
    )
    bins: str | None = setting(
        None,
        "The column with BINs.",
        unset="dna_bin, bin_uri or bin, whichever is there",
        only=_BARCODED,
        panel=OF_BARCODES,
    )
    provisional: bool = setting(
        False, "Take names such as 'sp. 1', 'cf.' and 'nr.' for species.", only=_BARCODED, panel=OF_BARCODES
    )
    communities: int = setting(100, "So many communities are made.", low=2, high=10_000, only=_QUANTIFIED, panel=SHARES)
    specimens: int = setting(500, "Specimens of a made community.", low=20, high=100_000, only=_QUANTIFIED, panel=SHARES)
    place_method: str = setting(
        KERNEL,
        "One or several priors, comma-separated: kernel, sinr, geo-prior, mlp (docs/places.md).",
        choices=PRIORS,
        several=True,
        only=_PLACED,
        panel=OF_PLACES,
    )
    place_rank: str | None = setting(
        None, "Taxa of this rank are foretold.", unset="the deepest known", only=_PLACED, panel=OF_PLACES
    )
    place_least: int = setting(10, "Only taxa with so many specimens.", low=1, only=_PLACED, panel=OF_PLACES)
    place_seeds: int = setting(5, "How often a fifth of the cells is held out.", above=0, only=_PLACED, panel=OF_PLACES)
    views: int = setting(
        1, "Turned and mirrored views of each image to average: 1, 2, 4 or 8.", low=1, high=8, only=_BY_HEAD, panel=NAMERS
    )
    prior: str | None = setting(
        None,
        f"Also name with a prior of places, a folder of 'biocosmos train place', or {OWN_PRIOR}, fitted on those that name: with "
        "and without side by side, by cells that are held out of it, and what it changed.",
        metavar="FOLDER",
        only=_WITH_PRIOR,
        panel=OF_PLACES,
    )
    prior_way: str = setting(
        WAYS[0],
        "How place is counted in, as in identify.",
        choices=WAYS,
        only=tuple({**each, "prior": GIVEN} for each in _WITH_PRIOR),
        panel=OF_PLACES,
    )
    error_rate: float | None = setting(
        None, "The share of wrong answers that is promised.", above=0, below=1, unset="0.05", only=_ANSWERED, panel=STOPS
    )
    promise: str | None = setting(
        None,
        "answered: of the given names at most the error rate is wrong; mean: of all specimens, on average.",
        choices=("answered", "mean"),
        unset="answered",
        only=_ANSWERED,
        panel=STOPS,
    )
    delta: float | None = setting(None, "Of the promise 'answered'.", above=0, below=1, unset="0.1", only=_ANSWERED, panel=STOPS)
    threshold: float | None = setting(
        None,
        "Promise nothing: answer at the lowest rank with this confidence. Of attributes: say a class from this probability on.",
        above=0,
        high=1,
        only=(*_ANSWERED, _TOLD),
        panel=STOPS,
    )
    calibration: str | None = setting(
        None,
        "The part that confidence, promises and novelty are set on; of attributes, the threshold of each class.",
        unset="the gallery, cross-fitted; val of a split by groups, and across modalities; with --head its validation part",
        part="given",
        only=(*_NAMED, _ACROSS, _TOLD),
        panel=STOPS,
    )
    novelty: str | None = setting(
        None, "How novelty is scored (docs/novelty.md).", unset="combined", only=_ANSWERED, panel=STOPS, plugged=DETECTOR
    )
    folds: int | None = setting(
        None,
        "So many trainings, each without several taxa at once.",
        low=1,
        unset="one for each taxon",
        only=_LEFT_OUT,
        panel=LEFT_OUT,
    )
    most: int | None = setting(
        None, "Leave out so many taxa in all, drawn by the seed.", low=1, unset="all", only=_LEFT_OUT, panel=LEFT_OUT
    )
    far: tuple[Path, ...] = setting((), "A folder of foreign images.", repeated=True, file=True, only=_LEFT_OUT, panel=LEFT_OUT)
    where: str | None = setting(
        None,
        "Only specimens of the collection for which this SQL condition holds: 'latitude > 40'.",
        only=(
            {
                "protocol": (
                    None,
                    *NEIGHBOURS,
                    *SHOTS,
                    *NAMES,
                    CLUSTERING,
                    BARCODE,
                    OPEN_WORLD,
                    CROSS_MODAL,
                    PLACE,
                    QUANTIFICATION,
                )
            },
        ),
    )
    seed: int = setting(0, "Seed of every random choice.")
    device: str = setting("auto", "Where models run: auto, cpu, cuda, cuda:1 or mps.", only={"names": NOT_GIVEN}, panel=MACHINE)

    def __post_init__(self) -> None:
        check(self)
        if self.head and self.protocol not in (None, *NAMES, *LEAVE_OUT, QUANTIFICATION):
            raise SettingError(
                f"--protocol {self.protocol} is of embeddings: with --head choose "
                f"{', '.join((*NAMES, *LEAVE_OUT, QUANTIFICATION))}"
            )
        if self.protocol == PLACE and self.encoder:
            raise SettingError("--encoder does nothing here: --protocol place is about where and when, not about vectors")
        if not self.head and self.protocol in LEAVE_OUT:
            raise SettingError(f"--protocol {self.protocol} trains a head again: name it with --head")
        if self.protocol in (*LEAVE_OUT, "promises", QUANTIFICATION) and len(self.head) > 1:
            raise SettingError(f"--protocol {self.protocol} is of one head: name one with --head")
        if self.protocol == QUANTIFICATION and len(self.encoder) > 1:
            raise SettingError(f"--protocol {self.protocol} is of one embedding: name one with --encoder")
        named = self.head or self.method or self.protocol in NAMES
        alike = not self.identify or len(self.encoder) > 1 or self.queries == EVERYTHING
        if self.prior is not None and alike and not named:
            raise UnusedSetting("prior", "--prior", "where names are judged: with --method, --head or --protocol ranks")
        if self.threshold is not None and (self.error_rate, self.promise, self.delta) != (None, None, None):
            raise SettingError("--threshold promises nothing: leave --error-rate, --promise and --delta out, or the threshold")
        if self.names and self.attributes and self.gallery != "train":
            raise SettingError("--gallery answers with names: attributes are judged without one, so leave it out")
        if self.attributes:
            self.refuse_two_thresholds()
        if self.queries == EVERYTHING and self.protocol not in (None, "all-vs-all", *SHOTS, CLUSTERING):
            raise SettingError(f"--queries {EVERYTHING} asks every specimen about all the others: --protocol all-vs-all")
        if self.queries == EVERYTHING and self.head:
            raise SettingError(f"--queries {EVERYTHING} holds the specimens a head was trained on: name a part")

        if self.clusters not in (TAXA, GALLERY, CHOSEN) and not (self.clusters.isdecimal() and int(self.clusters)):
            raise SettingError(
                f"--clusters must be '{TAXA}', '{GALLERY}', '{CHOSEN}' or a number of at least 1, not {self.clusters!r}"
            )

    def refuse_two_thresholds(self) -> None:
        """Refuse a threshold of attributes beside a part that sets them, where attributes are judged."""
        if self.threshold is not None and self.calibration is not None:
            raise SettingError("--threshold is one for every class, --calibration sets one for each: give one of them")

    @property
    def part(self) -> str | None:
        """The part that asks, None for the whole collection."""
        return None if self.queries == EVERYTHING else self.queries
