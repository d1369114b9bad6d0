"""The kinds of jobs: which verb each runs, what it may be told, who may start it, and where its result is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from biocosmos.encoders.registry import DEFAULT
from biocosmos.files import is_image_name
from biocosmos.jobs.identify_settings import PROMISED, stops_of
from biocosmos.outputs import MODELS, REPORTS
from biocosmos.serve.work import states
from biocosmos.serve.work.command import (
    KMERS,
    UPLOAD,
    Offered,
    Place,
    check_encoder,
    check_name,
    check_offered,
    field_kind,
    line,
    options,
    settings_from,
)
from biocosmos.settings import NOT_GIVEN, SettingError, check, defaults_of, setting, settings_of

NAMERS = ("linear", "nearest", "class-mean", "simpleshot")
RECORDS = ("folder", "csv", "parquet", "darwin-core", "ecotaxa", "coco", "camtrap-dp")
EXPORTS = {"csv": ".csv", "parquet": ".parquet", "darwin-core": ".zip", "ecotaxa": ".zip", "coco": ".json"}
CHOSEN = "ids.json"
"""In the folder of an export: the ids that were chosen."""
COUNTED = ("kmeans", "ward")
SAMPLED = ("sample", "station", "depth", "year", "month", "day")
METHODS = ("hdbscan", *COUNTED, "louvain", "leiden")


@dataclass(frozen=True)
class _Checked:
    """Settings that check themselves as they are made."""

    def __post_init__(self) -> None:
        check(self)

    def words(self, place: Place) -> list[str]:
        """What stands after ``biocosmos`` on the command line."""
        raise NotImplementedError

    def options(self, *names: str) -> list[str]:
        """These settings, or all, as options of the same names."""
        return options(**{each.name: getattr(self, each.name) for each in fields(self) if not names or each.name in names})


@dataclass(frozen=True)
class Ingest(_Checked):
    """Read an upload into the collection."""

    format: str | None = setting(None, "What the files are.", choices=RECORDS, unset="found from the files")
    ranks: tuple[str, ...] = setting((), "Ranks that folders or columns stand for: family, genus, species.", unset="found")
    id_prefix: str = setting("", "Stands before every id, where names are used twice: lake2/.", unset="nothing")

    def words(self, place: Place) -> list[str]:
        uploads = place.uploads
        if not uploads:
            raise SettingError("there is nothing to read: choose a file or a zip")
        how = options(format=self.format, id_prefix=self.id_prefix, ranks=",".join(self.ranks))
        tables = [path for path in uploads if path.is_file() and not is_image_name(path.name)]
        places = tables or [place.folder / UPLOAD]  # beside a table lie its images
        return line("ingest", options=[*options(output=place.collection, pack=True), *how], places=places)


@dataclass(frozen=True)
class Embed(_Checked):
    """Turn images or DNA barcodes into vectors."""

    encoder: str = setting(DEFAULT, f"The model that looks at the images; for barcodes {KMERS[0]}.")
    default: bool = setting(False, "Use these vectors from now on wherever none are named.")

    def words(self, place: Place) -> list[str]:
        return line("embed", options=self.options(), places=[place.collection])


@dataclass(frozen=True)
class Thumbnails(_Checked):
    """Make the small pictures ahead, rather than as they are looked at."""

    def words(self, place: Place) -> list[str]:
        return line("thumbnails", options=(), places=[place.collection])


@dataclass(frozen=True)
class Project(_Checked):
    """Lay specimens out on a plane."""

    encoder: str | None = setting(None, "Which vectors.", embedding=True, unset="the collection's default")
    reducer: str | None = setting(
        None, "How it is laid out.", choices=("umap", "pacmap", "tsne", "pca"), unset="umap where it is installed, else pca"
    )
    seed: int = setting(0, "Another number, another chance.", low=0, high=2**31)

    def words(self, place: Place) -> list[str]:
        return line("discover", "map", options=self.options(), places=[place.collection])


@dataclass(frozen=True)
class Clusters(_Checked):
    """Group specimens that look alike."""

    encoder: str | None = setting(None, "Which vectors.", embedding=True, unset="the collection's default")
    split: str | None = setting(None, "Only this part.", part="given", unset="all specimens")
    method: str | None = setting(None, "How they are grouped.", choices=METHODS, unset="chosen without labels")
    clusters: int | None = setting(None, "How many groups.", low=2, high=100_000, only={"method": COUNTED})
    seed: int = setting(0, "Another number, another chance.", low=0, high=2**31)

    def words(self, place: Place) -> list[str]:
        return line("discover", "clusters", options=self.options(), places=[place.collection])


@dataclass(frozen=True)
class Audit(_Checked):
    """Look for labels that are probably wrong."""

    encoder: str | None = setting(None, "Which vectors.", embedding=True, unset="the collection's default")
    second_encoder: str | None = setting(None, "A second opinion, by other vectors.", embedding=True, unset="none")

    def words(self, place: Place) -> list[str]:
        return line("discover", "labels", options=self.options(), places=[place.collection])


@dataclass(frozen=True)
class Identify(_Checked):
    """Name what has no name, and keep the names as predictions."""

    part: str = setting("unlabelled", "Which specimens: those without a name, or a part of a split.", part="named")
    error_rate: float | None = setting(
        None, "Of the answers, at most this share may be wrong: 0.05.", above=0, below=1, unset="0.1, as is usual"
    )
    method: str | None = setting(None, "How they are named.", choices=NAMERS, unset="what was chosen, else linear")
    encoder: str | None = setting(None, "By which vectors.", embedding=True, unset="the collection's default")

    def words(self, place: Place) -> list[str]:
        return line("identify", options=[*self.options(), "--save"], places=[place.collection])


@dataclass(frozen=True)
class Refit(_Checked):
    """Learn from the new labels, and say what that changes."""

    name: str | None = setting(None, "What to call it: small letters, digits, hyphens.", unset="by the time")
    encoder: str | None = setting(None, "On which vectors.", embedding=True, unset="the collection's default")
    error_rate: float | None = setting(
        None, "Of its answers, at most this share may be wrong: 0.05.", above=0, below=1, unset="0.1, as is usual"
    )
    balanced: bool = setting(False, "Weigh rare taxa as much as common ones.")

    def __post_init__(self) -> None:
        check(self)
        if self.name is not None:
            check_name(self.name, "--name")

    def words(self, place: Place) -> list[str]:
        return line("refit", options=self.options(), places=[place.collection])


@dataclass(frozen=True)
class Name(_Checked):
    """Name images that came with the job; they do not become specimens."""

    promise: str | None = setting(
        None,
        "Of the answers, at most so many percent may be wrong.",
        choices=PROMISED,
        unset="10, if it can be",
    )
    model: str | None = setting(None, "A trained head of the collection.", unset="its vectors")
    encoder: str | None = setting(
        None, "By which vectors.", embedding=True, unset="the collection's default", only={"model": NOT_GIVEN}
    )

    def words(self, place: Place) -> list[str]:
        if not place.uploads:
            raise SettingError("there is nothing to name: choose images or a zip")
        stops = {} if self.promise is None else stops_of(self.promise)
        head = None if self.model is None else place.collection / MODELS / self.model
        told = options(output=place.made / "names.csv", head=head, encoder=self.encoder, **stops)
        return line("identify", options=told, places=[place.collection, Path("..") / UPLOAD])


@dataclass(frozen=True)
class Evaluate(_Checked):
    """Measure how well specimens are found and named; the page is kept with the collection."""

    encoder: tuple[str, ...] = setting((), "Which vectors; two or more are compared.", embedding=True, unset="the default")
    method: str | None = setting(None, "How they are named.", choices=NAMERS, unset="linear")
    queries: str = setting("test", "The part that is asked about.", part="given")
    gallery: str = setting("train", "The part that is known.", part="given")
    title: str = setting("evaluation", "What the page is called: small letters, digits, hyphens.")

    def __post_init__(self) -> None:
        check(self)
        check_name(self.title, "--title")

    def words(self, place: Place) -> list[str]:
        page = place.collection / REPORTS / f"{place.stamp}-{self.title}.html"
        told = [*self.options("encoder", "method", "queries", "gallery"), *options(report=page)]
        return line("evaluate", options=told, places=[place.collection])


@dataclass(frozen=True)
class Summarize(_Checked):
    """Count what was found in each sample, and how alike samples are; the page is kept with the collection."""

    by: tuple[str, ...] = setting(("sample",), "What tells samples apart.", choices=SAMPLED)
    sample: str | None = setting(
        None, "The column that says which sample a specimen is of.", unset="sample_id, eventID, station ..."
    )
    rank: str | None = setting(None, "Taxa of this rank: family.", unset="the names as they were given")
    names: str | None = setting(None, "A machine's names.", choices=("latest",), unset="those of the collection")
    volume: str | None = setting(
        None, "Water that a specimen stands for, with its unit (m3, L, mL): sample_tot_vol=m3.", unset="not known: counts alone"
    )
    title: str = setting("communities", "What the page is called: small letters, digits, hyphens.")

    def __post_init__(self) -> None:
        check(self)
        check_name(self.title, "--title")

    def words(self, place: Place) -> list[str]:
        page = place.collection / REPORTS / f"{place.stamp}-{self.title}.html"
        told = options(by=",".join(self.by), report=page, output=place.made / "samples.csv")
        told += self.options("sample", "rank", "names", "volume")
        return line("summarize", options=told, places=[place.collection])


@dataclass(frozen=True)
class Train(_Checked):
    """Train a head over the taxonomy on the stored vectors."""

    name: str = setting("head", "What it is called: small letters, digits, hyphens.")
    encoder: str | None = setting(None, "On which vectors.", embedding=True, unset="the collection's default")
    head: str = setting("marginalised", "How the tree is learnt.", choices=("flat", "marginalised", "conditional", "multitask"))
    imbalance: str = setting(
        "none", "The remedy for rare taxa.", choices=("none", "focal", "class-balanced", "ldam-drw", "logit-adjusted")
    )
    epochs: int | None = setting(None, "How often all specimens are looked at.", low=1, high=10_000, unset="as is usual")

    def __post_init__(self) -> None:
        check(self)
        check_name(self.name, "--name")

    def words(self, place: Place) -> list[str]:
        output = options(output=place.collection / MODELS / self.name, freeze=True)
        told = [*output, *self.options("encoder", "head", "imbalance", "epochs")]
        return line("train", "heads", options=told, places=[place.collection])


@dataclass(frozen=True)
class Export(_Checked):
    """Write specimens as a file for other programs."""

    format: str = setting("csv", "For which program.", choices=tuple(EXPORTS))
    split: str | None = setting(None, "Only this part.", part="given", unset="all specimens")
    within: str | None = setting(None, "Only this taxon, at any rank: Copepoda.", unset="all taxa")
    names: str = setting(
        "now",
        "Whose names: as of now (people's by hand, else a machine's last, told apart), the stored labels, or a machine's alone.",
        choices=("now", "people", "machine"),
    )
    without_images: bool = setting(False, "The pictures are not written.", only={"names": "now"})

    def words(self, place: Place) -> list[str]:
        output = place.made / f"{place.collection.stem}{EXPORTS[self.format]}"
        which = "latest" if self.names == "machine" else None
        chosen = place.folder / CHOSEN
        current = self.names == "now"
        told = options(
            output=output, identifications=which, current=current, ids=chosen if current and chosen.is_file() else None
        )
        told += self.options("format", "split", "within", "without_images")
        told += options(spreadsheet=current and self.format == "csv")
        return line("export", options=told, places=[place.collection])


Role = Literal["annotator", "admin"]


@dataclass(frozen=True)
class Kind:
    """One kind of job. title: what a button says; about: a sentence; role: who may start it; result: (words, where it is seen);
    more: further checks; uploads: files come with it."""

    name: str
    title: str
    about: str
    role: Role
    settings: type[_Checked]
    result: tuple[str, str] | None = None
    more: Callable[[Any, Offered], None] | None = None
    uploads: bool = False

    def checked(self, given: Mapping[str, Any], offered: Offered) -> Any:
        """Settings from what was sent. Raises SettingError, one line, for what cannot be or is not there."""
        settings = settings_from(self.settings, given)
        check_offered(settings, offered)
        if self.more is not None:
            self.more(settings, offered)
        return settings

    def again(self, given: Mapping[str, Any]) -> Any:
        """Settings as they are written in a job's folder, which may come from elsewhere: checked as if they were new."""
        return settings_from(self.settings, given)

    def form(self, offered: Offered) -> list[dict[str, Any]]:
        """Fields of a form, in order: name, help, kind ("choice", "bool", "int", "float", "list", "text"), default, choices."""
        return [_field(self.settings, name, offered) for name in settings_of(self.settings)]


def _field(kind: type, name: str, offered: Offered) -> dict[str, Any]:
    shape, default = settings_of(kind)[name], defaults_of(kind)[name]
    if kind is Embed and name == "encoder" and offered.barcodes:
        default = KMERS[0]
    several = field_kind(kind, name) == "list"
    choices = list(shape.choices)
    if shape.embedding:
        choices = list(offered.embeddings)
    elif shape.part:
        choices = [*(["unlabelled"] if shape.part == "named" else []), *offered.parts]
    return {
        "name": name,
        "help": shape.help,
        "kind": ("choices" if several else "choice") if choices or shape.embedding or shape.part else field_kind(kind, name),
        "default": default,
        "choices": choices,
        "unset": shape.unset,
        "low": shape.low,
        "high": shape.high,
        "suggested": list(offered.encoders) if kind is Embed and name == "encoder" else [],
        "only": [
            {other: wanted for other, wanted in each.items() if isinstance(wanted, (str, tuple))} for each in shape.conditions
        ],
    }


def _names(settings: Name, offered: Offered) -> None:
    if settings.model is not None and settings.model not in offered.models:
        raise SettingError(f"--model {settings.model!r:.60} is not there: there is {', '.join(offered.models) or 'none'}")


def _embeds(settings: Embed, offered: Offered) -> None:
    check_encoder(settings.encoder, offered)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("ingest", "Add specimens", Ingest.__doc__ or "", "admin", Ingest, ("Explore", "/explore"), uploads=True),
        Kind("embed", "Compute vectors", Embed.__doc__ or "", "admin", Embed, ("Explore", "/explore"), _embeds),
        Kind("thumbnails", "Make small pictures", Thumbnails.__doc__ or "", "annotator", Thumbnails, ("Explore", "/explore")),
        Kind("project", "Lay out the map of likeness", Project.__doc__ or "", "annotator", Project, ("Likeness", "/likeness")),
        Kind("clusters", "Find clusters", Clusters.__doc__ or "", "annotator", Clusters, ("Clusters", "/clusters")),
        Kind("audit", "Look for wrong labels", Audit.__doc__ or "", "annotator", Audit, ("Review", "/review")),
        Kind("identify", "Name the unnamed", Identify.__doc__ or "", "annotator", Identify, ("Review", "/review")),
        Kind("refit", "Learn from the new labels", Refit.__doc__ or "", "annotator", Refit, ("Jobs", "/jobs")),
        Kind("name", "Name images", Name.__doc__ or "", "annotator", Name, ("Identify", "/identify"), _names, uploads=True),
        Kind("evaluate", "Evaluate", Evaluate.__doc__ or "", "admin", Evaluate, ("Reports", "/reports")),
        Kind("summarize", "Sum up communities", Summarize.__doc__ or "", "annotator", Summarize, ("Reports", "/reports")),
        Kind("train", "Train a head", Train.__doc__ or "", "admin", Train),
        Kind("export", "Export", Export.__doc__ or "", "annotator", Export),
    )
}
"""In the order of the work."""


def kind_of(name: str) -> Kind:
    """A kind by name. Raises SettingError."""
    if name not in KINDS:
        raise SettingError(f"there is no job {str(name)[:40]!r}: there are {', '.join(KINDS)}")
    return KINDS[name]


def words_of(folder: Path) -> tuple[str, ...]:
    """The command line of the job in ``folder``, from its settings. Raises BiocosmosError for settings that cannot be."""
    said = states.asked(folder)
    collection = folder.parents[len(states.FOLDER.parts)]
    return tuple(kind_of(said["kind"]).again(said["settings"]).words(Place(collection, folder, said["id"])))
