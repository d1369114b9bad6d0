"""Name images, DNA barcodes, or a part of the collection itself, by whatever names: one job, one set of options, one answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.barcodes.stripes import stripes
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.answers import check_rank_names
from biocosmos.identify.confidence.shift import ShiftTest, shift_test
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.namers.heads import TrainedHead
from biocosmos.identify.namers.names import OF_BOTH
from biocosmos.identify.runners_up import column_names
from biocosmos.identify.summary import Summary
from biocosmos.jobs.asked import Asked, AskedVectors, asked_files, asked_part
from biocosmos.jobs.asked_barcodes import BLOCK, asked_barcodes
from biocosmos.jobs.asked_both import asked_both, by_evidence
from biocosmos.jobs.identify_settings import IdentifySettings, check_asked, names_depend_on
from biocosmos.jobs.listing import AskedFile, listed, same_file
from biocosmos.jobs.names_table import NamesTable
from biocosmos.jobs.naming import InMemory, Naming
from biocosmos.jobs.naming_work import NamingWork, locked
from biocosmos.jobs.placed_names import placed_identifier_of, said_of_place
from biocosmos.jobs.queries import encoder_for
from biocosmos.jobs.readable import unreadable
from biocosmos.jobs.scores import check_scores, write_scores
from biocosmos.jobs.sequence_files import kinds_of, letters_of, sequence_files
from biocosmos.jobs.sequences import OfFiles
from biocosmos.jobs.shared_names import FIELDS, SharedNames, check_correctable
from biocosmos.jobs.unlabelled import notes, refuse_nothing
from biocosmos.jobs.who_names import chosen_on, device_of
from biocosmos.outputs import place_of
from biocosmos.provenance import now, software
from biocosmos.search.hits import Hits
from biocosmos.settings import SettingError, flag, told
from biocosmos.specimens.collection import Collection
from biocosmos.tables import PROVENANCE_KEY

if TYPE_CHECKING:
    from biocosmos.encoders.encoder import Encoder
    from biocosmos.evaluate.report import Report

Pictures = Callable[[str], bytes | None]
Say = Callable[[str], None]
PREDICTED = "predicted"
"""Status of a name that no person has looked at, as EcoTaxa and others call it."""


@dataclass
class Identified:
    """Names with what they rest on.

    failures: what could not be read; identifier: who named; summary: how many were named at which rank; shift: whether the
    specimens look like those calibrated on; by_file: whether they are files; notes: what must be known, the gravest first;
    shares: of the community that names were corrected by, if they were asked for; shown: of the specimens that a report chooses
    from, the rows of the table, their truth and nearest known ones (None where nothing is known of them, empty where no report
    was asked for); had: names that the output had before, where it was added to.
    """

    failures: Failures
    identifier: Identifier
    summary: Summary
    shift: ShiftTest | None = None
    by_file: bool = False
    notes: tuple[str, ...] = ()
    shown: tuple[pa.Table, npt.NDArray[np.int32] | None, Hits | None] = field(default=(pa.table({}), None, None), repr=False)
    had: int | None = None
    shares: SharedNames | None = field(default=None, repr=False)
    _tables: Callable[[], Iterator[pa.Table]] = field(default=lambda: iter(()), repr=False)
    _facts: dict[str, Any] = field(default_factory=dict, repr=False)
    _schema: pa.Schema = field(default_factory=lambda: pa.schema([]), repr=False)

    def describe(self) -> str:
        """Where answers stop and what that is worth, in one sentence."""
        corrected = None if self.shares is None else self.shares.describe()
        return self.identifier.describe() if corrected is None else corrected

    @property
    def table(self) -> pa.Table:
        """One row a specimen, whole in memory, see :func:`biocosmos.identify.answers.answer_table`; while blocks are kept."""
        found = pa.Table.from_batches([batch for table in self._tables() for batch in table.to_batches()], self._schema)
        return found.replace_schema_metadata({PROVENANCE_KEY: json.dumps(self._facts, default=str).encode()})

    def kept_with(self, collection: Collection) -> Path:
        """Keep the names with the collection too, beside those of before. Raises BiocosmosError where there are none."""
        if not self.identifier.namer.taxonomy.ranks:
            raise BiocosmosError("--save keeps names, and this head answers attributes alone: write a table with --output")
        schema = self._schema.with_metadata({PROVENANCE_KEY: json.dumps(self._facts, default=str).encode()})
        return collection.add_identifications(self._tables(), schema)


def identify_collection(
    collection: Collection,
    settings: IdentifySettings | None = None,
    *,
    images: Sequence[Path] = (),
    evidence: bool = False,
    **options: Any,
) -> Identified:
    """Name ``images``, or the specimens in ``part`` of a split; images and vectors of no more than some blocks are in memory.

    images: files and folders of images, or of DNA barcodes (FASTA, FASTQ, tables with a column of sequences), both with the
    method "fused"; sequences that are in no file: :func:`biocosmos.jobs.asked_barcodes.barcode_specimens`.

    settings, or as options: see :class:`IdentifySettings`; evidence: keep what :func:`explain` needs. Images that cannot be read
    and paths where there is nothing are in ``failures``.

    Raises BiocosmosError: nothing to identify; specimens that the namer was fitted or calibrated on; a promise that so few
    specimens cannot give; an option that the way of naming does not use.
    """
    settings = told(IdentifySettings, **options) if settings is None else settings
    with identifying(collection, settings, images=images, evidence=evidence) as done:
        return done


@contextmanager
def identifying(
    collection: Collection,
    settings: IdentifySettings,
    *,
    images: Sequence[Path] = (),
    output: Path | None = None,
    evidence: bool = False,
    say: Say = lambda line: None,
) -> Iterator[Identified]:
    """As :func:`identify_collection`, and written to ``output`` with its failures beside it, in memory that does not grow.

    Blocks that are named are kept in ``output``.part until the with-block ends well: killed before, the same call goes on where
    it was. say: is told what is gone on with, or begun anew and why.

    Raises BiocosmosError also where the output has names that would be lost (see :class:`NamesTable`), and where another process
    writes it.
    """
    check_asked(settings, bool(images), output)
    refuse_nothing(collection, settings)
    failures = Failures()
    if output is None:
        job = Job(collection, settings, None, evidence, say)
        yield job.name(job.listed(images, failures) if images else [], failures)
        return
    output = place_of(output)
    with locked(output, say) as work:
        job = Job(collection, settings, output, evidence, say)
        files = job.look_first(work, images, failures)
        yield job.name(files, failures, work)
        work.clear()


class Job:
    """Names for one output, or for the caller alone; the identifier is made once, however often :meth:`name` is called.

    through: what stands before the encoder of images, as where its model must be run by one thread at a time.
    """

    def __init__(
        self,
        collection: Collection,
        settings: IdentifySettings,
        output: Path | None,
        evidence: bool = False,
        say: Say = print,
        through: Callable[[Encoder], Encoder] | None = None,
    ) -> None:
        self.collection, self.settings, self.evidence, self.say, self.through = collection, settings, evidence, say, through
        self.table = None if output is None else NamesTable(output)
        self.asked = names_depend_on(settings)
        self.interrupted = False
        """Whether Ctrl-C ended a watch in the middle: what was named until then is in the table."""
        self.sequences = False
        """Whether what is asked about are files of DNA barcodes."""
        self.beside: list[AskedFile] = []
        """Files of DNA barcodes of the specimens whose images are asked about."""
        self._identifier: Identifier | None = None
        self._told = Failures()
        """What was told when the identifier was made; it belongs to every table that it names."""

    @property
    def adds(self) -> bool:
        """Whether names are added to those that the output has."""
        return self.settings.append or self.settings.watch

    def listed(
        self, paths: Sequence[Path], failures: Failures, known: frozenset[str] | set[str] = frozenset()
    ) -> list[AskedFile]:
        """The files at some paths that are to be named, without images that are ``known``.

        Raises BiocosmosError where there is nothing, images and sequences together, or sequences with an option of images.
        """
        kinds = kinds_of(paths)
        if len(kinds) > 1 and self.settings.method != OF_BOTH:
            raise BiocosmosError(
                "images and files of DNA barcodes are asked about together: name each by a command of its own, or the specimens "
                f"of both with --method {OF_BOTH}"
            )
        self.sequences = kinds == {"sequences"}
        if "sequences" not in kinds:
            return listed(paths, failures, known=known)
        for name in ("append", "watch"):
            if getattr(self.settings, name):
                raise SettingError(f"{flag(name)} is about images; a file of sequences is named whole, into a table of its own")
        if self.sequences:
            return [AskedFile.of(path) for path in sequence_files(paths, failures)]
        of_images = [path for path in paths if "images" in kinds_of([path])]
        self.beside = [
            AskedFile.of(each) for each in sequence_files([path for path in paths if "sequences" in kinds_of([path])], failures)
        ]
        return listed(of_images, failures, known=known)

    def look_first(self, work: NamingWork, images: Sequence[Path], failures: Failures) -> list[AskedFile]:
        """The files to name, where the output may be written; nothing is computed yet.

        Raises BiocosmosError where it has names that would be lost, unless this job was begun on already and broken off.
        """
        assert self.table is not None
        begun = work.begun_with().get("settings") == self._settings()
        known = self.known_images(work)
        try:
            files = self.listed(images, failures, known) if images else []
        except BiocosmosError:
            if not self.table.there:
                self.table.write_failures(failures)
            raise
        if not (self.settings.overwrite or self.adds or begun):
            paths = [file.path for file in files]
            if self.sequences:
                self.table.refuse_other_files(paths)
            differs = self.table.refuse_loss(self.asked, paths if images and not self.sequences else None)
            if differs is not None:
                self.say(f"{self.table.path} was made with {differs}: its names are replaced")
        return files

    def known_images(self, work: NamingWork) -> set[str]:
        """What the output has already, where it is added to. Raises SettingError where it was made with other options."""
        assert self.table is not None
        if not self.adds:
            return set()
        if self.settings.overwrite and work.begun_with().get("settings") != self._settings():
            self.table.remove()
        self.table.refuse_unlike(self.asked)
        return {same_file(path) for path in self.table.images()}

    def identifier(self, failures: Failures) -> Identifier:
        """Who names, made when first asked for."""
        if self._identifier is None:
            self._identifier = placed_identifier_of(self.collection, self._naming_settings(), self._told)
            check_rank_names(self._identifier.namer.taxonomy.ranks)
            if self.evidence and not self._identifier.namer.taxonomy.ranks:
                raise SettingError("--report explains names, and this head answers attributes alone: leave it out")
            column_names(self._identifier.namer.taxonomy.ranks, self.settings.top)
            if self.settings.shares is not None:
                check_correctable(self._identifier)
        failures.extend(self._told)
        return self._identifier

    def _naming_settings(self) -> IdentifySettings:
        """The settings with an embedding that what is asked about can be compared by."""
        settings = self.settings
        if settings.part is not None or settings.head is not None:
            return settings
        letters = self.sequences and settings.method != OF_BOTH
        chosen = encoder_for(self.collection, settings.encoder, "sequences" if letters else "images")
        return settings if chosen == self.collection.encoder_name(settings.encoder) else replace(settings, encoder=chosen)

    def name(self, files: Sequence[AskedFile], failures: Failures, work: NamingWork | None = None) -> Identified:
        """Name files, or the part; what could not be listed is in ``failures`` already. With ``work`` the table is written.

        Raises BiocosmosError where nothing could be read and there is no table of earlier names: before anything is fitted,
        where that is seen of the files by themselves.
        """
        settings = self.settings
        if self._identifier is None and not (self.adds or self.beside):
            self._naming_settings()  # says which embedding is missing
            broken = unreadable(files, sequences=self.sequences)
            if broken is not None:
                failures.extend(broken)
                raise self._nothing_read(files, failures, work)
        identifier = self.identifier(failures)
        if self.table is not None and self.adds:
            self.table.refuse_unlike(self.asked, str(identifier.namer.about().get("digest")))
        how = {"evidence": self.evidence, "scores": self._scores(identifier), "device": device_of(settings)}
        how["said"] = settings.shares is not None
        naming = Naming(identifier, seed=settings.seed, top=settings.top, **how)  # type: ignore[arg-type]
        asked: Asked
        if settings.part is not None:
            asked = asked_part(self.collection, identifier, settings, Failures())
        elif files and self.sequences:
            asked = asked_barcodes(self.collection, identifier, self._naming_settings(), OfFiles(files, BLOCK))
        elif files and self.beside:
            asked = asked_both(self.collection, identifier, settings, files, self.beside, self.through)
        elif files:
            asked = asked_files(self.collection, identifier, settings, files, self.through)
        else:
            asked = AskedVectors([], Failures(), 0, "nothing")
        kept = InMemory() if work is None else work
        if work is not None:
            work.begin(self._begun_with(identifier, asked.computed))
        try:
            naming.run(asked, kept, before=lambda rows: self.say(f"going on after {rows:,} that an interrupted run has named"))
        except KeyboardInterrupt:
            if not settings.watch:
                raise
            self.interrupted, files = True, files[: naming.asked]
        for row in naming.failures:
            failures.append(row)
        return self._finished(naming, kept, files, failures)

    def _nothing_read(self, files: Sequence[AskedFile], failures: Failures, kept: InMemory | NamingWork | None) -> BiocosmosError:
        if self.table is not None:
            self.table.write_failures(failures)
        if isinstance(kept, NamingWork):
            kept.clear()
        of = "1 file" if len(files) == 1 else f"{len(files):,} files"
        what = f"no sequence of {of}" if self.sequences else f"none of {len(files):,} images"
        return BiocosmosError(f"{what} could be read: {failures.gravest() if len(failures) else 'they are empty'}")

    def _finished(
        self, naming: Naming, kept: InMemory | NamingWork, files: Sequence[AskedFile], failures: Failures
    ) -> Identified:
        identifier, settings, table = naming.identifier, self.settings, self.table
        queries: dict[str, Any] = {"part": settings.part, "images": len(files), "where": settings.where}
        if self.sequences:
            queries |= {"images": 0, "files": [file.path for file in files]}
        if self.beside:
            queries["files"] = [file.path for file in self.beside]
        if settings.part is not None:
            queries["collection"] = str(self.collection.path)
        facts = identifier.provenance(queries)
        facts |= {"asked": self.asked, "status": PREDICTED}
        before = table if table is not None and self.adds and table.there else None
        if not naming.named and files and before is None and not settings.watch:
            raise self._nothing_read(files, failures, kept)
        had = None if before is None else sum(1 for _ in before.images())
        tables, schema, columns, shown, shares = kept.tables, naming.schema, naming.columns, naming.shown(), None
        if settings.shares is not None and naming.named:
            shares = SharedNames.of(identifier, kept.blocks, settings.shares, top=settings.top, seed=settings.seed)
            tables, shown = shares.tables, (shares.shown(shown[0]), *shown[1:])
            schema = pa.schema([*schema, *FIELDS], metadata=schema.metadata)
            facts |= {"shares": shares.to_dict()}
            if shares.found.corrected:
                facts |= {"promise": None}
                columns = columns | {each.name for each in FIELDS}
        if table is not None:
            told = failures
            if before is not None:
                facts = before.added_to(facts, len(files), now())
                told = before.failures_with(failures, [file.path for file in files])
            if naming.named or before is None:
                table.write(tables(), schema, columns, facts, told, after=before)
            else:
                table.write_failures(told)
        if settings.scores is not None:
            write_scores(settings.scores, kept.tables(), identifier.namer.asked_tasks)
        calibrated, features = identifier.features, naming.features
        shift = shift_test(calibrated, features, seed=settings.seed) if len(calibrated) and len(features) else None
        warning = shift.warning() if shift is not None and shift.shifted and identifier.promise is not None else None
        by = by_evidence(kept.tables())
        return Identified(
            failures,
            identifier,
            identifier.summary(tables(), failures.errors),
            shift,
            settings.part is None,
            (
                *([] if shares is None else shares.notes()),
                *(
                    each
                    for each in (warning, by, *said_of_place(identifier, kept.tables()), *self._notes(identifier))
                    if each and (shares is None or shares.tells(each))
                ),
            ),
            shown,
            had,
            shares,
            lambda: (table.select(schema.names) for table in tables()),
            facts,
            schema,
        )

    def _scores(self, identifier: Identifier) -> bool:
        """Whether scores are written too. Raises SettingError where there is nothing to score."""
        if self.settings.scores is None:
            return False
        check_scores(self.settings.scores, None if self.table is None else self.table.path, self.settings.overwrite)
        if not any(task.several for task in identifier.namer.asked_tasks):
            raise SettingError(
                f"--scores is of attributes any number of whose classes is true, and {self.settings.head} has none"
            )
        return True

    def _notes(self, identifier: Identifier) -> list[str]:
        known = None if identifier.known is None else identifier.known.provenance.get("selection", {}).get("split")
        return [*chosen_on(identifier), *notes(self.collection, self.settings, known), *identifier.notes]

    def _begun_with(self, identifier: Identifier, computed: dict[str, Any]) -> dict[str, Any]:
        """All that decides the names of an image: another of it begins anew."""
        made = identifier.provenance()
        made.pop("software")
        versions = software()
        return {
            "settings": self._settings(),
            "namer": made,
            "encoder": computed,
            "versions": [versions["biocosmos"], versions["packages"]],
        }

    def _settings(self) -> dict[str, Any]:
        """What was asked, as JSON gives it back."""
        stated = {**self.asked, "report": self.evidence, "adds": self.adds, "scores": self.settings.scores is not None}
        return dict(json.loads(json.dumps(stated, default=str)))


def explain(done: Identified, collection: Collection, *, seed: int = 0) -> tuple[Report, Pictures]:
    """A report on what was named and why, for every way of naming, and the pictures its page asks for.

    Neighbours and votes for all, heat maps where a model of images stands behind the namer. Specimens of the collection are
    shown from it, images from their files, barcodes as stripes.
    """
    from biocosmos.evaluate.evidence.page import IDENTITY
    from biocosmos.evaluate.evidence.report import evidence_report
    from biocosmos.identify.evidence.gather import gather, image_reader
    from biocosmos.identify.evidence.heat_maps import HeatMapper

    namer, mapper, read = done.identifier.namer, None, None
    note = f"the namer '{namer.title}' compares vectors and has no model of images behind it"
    if isinstance(namer, TrainedHead):
        try:
            mapper, note = HeatMapper(namer), ""
        except BiocosmosError as error:
            note = str(error)
        read = image_reader(namer.preprocessing, None if done.by_file else collection)
    table, truth, hits = done.shown
    found = gather(table, namer.taxonomy, truth, hits, mapper=mapper, read=read, seed=seed, note=note)
    made = done.identifier.provenance()
    split = made["gallery"].get("split") or namer.about().get("split") or {}
    about: dict[str, Any] = {
        "head": {"head": namer.title},
        "summary": done.summary.lines(),
        "promise": done.describe(),
        "encoders": {str(made["encoder"].get("name", "")): {}},
        "split": split,
        "split_hash": split.get("hash"),
        **({"likeness": IDENTITY} if namer.takes in ("barcodes", "both") else {}),
    }
    report = evidence_report(found, title=f"{collection.path.stem}: names by {namer.title}", provenance=about)
    report.caveats[:0] = done.notes
    if len(table) < done.summary.specimens:
        report.caveats.append(
            f"Shown and counted are {len(table):,} of the {done.summary.specimens:,} specimens, drawn by the seed."
        )
    asked = letters_of(done._facts.get("queries", {}).get("files", ()), found.shown["id"].to_pylist())
    own = {id_: stripes(barcode) for id_, barcode in asked.items()}
    return report, found.thumbnails(lambda id_: own.get(id_) or collection.picture_bytes(id_))


__all__ = ["Identified", "Job", "explain", "identify_collection", "identifying"]
