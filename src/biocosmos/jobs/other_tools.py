"""Names that another tool gives or has given, in the same table as our own: vsearch's SINTAX run here, or a file that is read.

The known specimens are chosen as for every method (``known``, ``where``); a hit of any other specimen names nothing. Blocks are
kept as they are done, so that a killed run goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.adapters.formats import SINTAX, STAGE, Parsed, Support, ToolFile
from biocosmos.identify.adapters.letters import Headers
from biocosmos.identify.adapters.names import CUTOFFS, MOST_HITS, RULES, ToolNames
from biocosmos.identify.adapters.vsearch import Sintax, vsearch_version
from biocosmos.identify.answers import check_rank_names
from biocosmos.identify.summary import CORE, Summary
from biocosmos.jobs.identify_settings import IdentifySettings, asks_unlabelled, check_asked, names_depend_on
from biocosmos.jobs.names_table import NamesTable
from biocosmos.jobs.naming import InMemory, NamedBlock
from biocosmos.jobs.naming_work import NamingWork, locked
from biocosmos.jobs.sequence_files import BARCODE
from biocosmos.jobs.sequences import Asking, asked_sequences
from biocosmos.jobs.who_names import TRAIN
from biocosmos.outputs import place_of
from biocosmos.progress import progress
from biocosmos.provenance import software
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection
from biocosmos.tables import PROVENANCE_KEY

BLOCK = 4096
"""Queries of a block: vsearch reads its reference anew for each."""
Say = Callable[[str], None]


@dataclass
class NamedByTool:
    """Names of another tool. failures: rows of what could not be read; summary: how many at which rank; notes: what must be
    known; described: where answers stop, in a sentence."""

    failures: Failures
    summary: Summary
    notes: tuple[str, ...]
    described: str
    _tables: Callable[[], Iterator[pa.Table]] = field(repr=False)
    _schema: pa.Schema = field(repr=False)

    @property
    def table(self) -> pa.Table:
        """One row a query, as :func:`biocosmos.identify.answers.answer_table`; while blocks are kept."""
        batches = [batch for table in self._tables() for batch in table.to_batches()]
        return pa.Table.from_batches(batches, self._schema.remove_metadata()).replace_schema_metadata(self._schema.metadata)

    def kept_with(self, collection: Collection) -> Path:
        """Keep the names with the collection too, beside those of before."""
        return collection.add_identifications(self._tables(), self._schema)


@contextmanager
def named_by_tool(
    collection: Collection,
    settings: IdentifySettings,
    *,
    files: Sequence[Path] = (),
    output: Path | None = None,
    say: Say = lambda line: None,
) -> Iterator[NamedByTool]:
    """Run the tool that ``settings.method`` names on sequences or a part of the collection, or read ``settings.read``.

    Raises BiocosmosError: a collection without barcodes or names, vsearch missing or failing, a file of another format, an output
    with other names in it.
    """
    check_asked(settings, bool(files), output)
    failures = Failures()
    if output is None:
        yield _Job(collection, settings, None).run(files, InMemory(), failures, say)
        return
    output = place_of(output)
    with locked(output, say) as work:
        job = _Job(collection, settings, NamesTable(output))
        job.look_first(files, work, say)
        yield job.run(files, work, failures, say)
        work.clear()


class _Job:
    """One table of names."""

    def __init__(self, collection: Collection, settings: IdentifySettings, table: NamesTable | None) -> None:
        self.collection, self.settings, self.table = collection, settings, table
        self.asked = names_depend_on(settings)
        if not collection.ranks:
            raise BiocosmosError(f"{collection.path} has no names to give: ingest taxon names with the specimens")
        check_rank_names(collection.ranks)
        self.taxonomy = collection.taxonomy
        self.file = None if settings.read is None else ToolFile.of(settings.read)
        self.tool = SINTAX if self.file is None else self.file.format
        self.threshold = CUTOFFS[self.tool] if settings.threshold is None else settings.threshold
        self.part = known_part(collection, settings)

    def look_first(self, files: Sequence[Path], work: NamingWork, say: Say) -> None:
        """Raises SettingError where the output has other names, unless this job was begun on already."""
        assert self.table is not None
        if self.settings.overwrite or work.begun_with().get("asked") == json.loads(json.dumps(self.asked, default=str)):
            return
        differs = self.table.refuse_loss(self.asked, None)
        if differs is not None:
            say(f"{self.table.path} was made with {differs}: its names are replaced")

    def run(self, files: Sequence[Path], work: InMemory | NamingWork, failures: Failures, say: Say) -> NamedByTool:
        """Name block after block, and write the table."""
        with ExitStack() as stack:
            if self.file is None:
                asking = asked_sequences(self.collection, self.settings, files, failures, block=BLOCK)
                naming: _Reading | _Running = _Running(self, asking, stack)
            else:
                naming = _Reading(self, self.file)
            if isinstance(work, NamingWork):
                if self.file is not None:
                    work.clear()
                work.begin({"asked": self.asked, "version": self._version(), "tool": naming.tool})
            done = work.whole(naming)  # type: ignore[arg-type]
            if done:
                before = sum(work.load(number).asked for number in sorted(done))
                say(f"going on after {before:,} that an interrupted run has named")
            with progress("identify", total=None, unit="barcodes") as bar:
                for number, block in naming.blocks(done.__contains__):
                    if block is None:
                        block = work.load(number)
                    else:
                        work.save(number, block)
                    bar.advance(block.asked)
                    for row in block.failures:
                        failures.append(row)
        return self._finished(naming, work, failures)

    def names(self, known: dict[str, int], method: str) -> ToolNames:
        """What turns lines into rows."""
        return ToolNames(self.taxonomy, known, method, self.threshold)

    def known(self) -> pa.Table:
        """id, node and whatever of barcodes there is, of the specimens that may name."""
        columns = ["id", *self.collection.ranks]
        return self.collection.table(columns, split=self.part, where=self.settings.where)

    def _version(self) -> list[Any]:
        return [str(self.collection.path.resolve()), self.collection.dataset.version, self.part]

    def _finished(self, naming: _Reading | _Running, work: InMemory | NamingWork, failures: Failures) -> NamedByTool:
        empty = self.names({}, naming.method).table([], Failures(), None)
        schema = empty.schema.remove_metadata()
        facts = self._provenance(naming)
        if self.table is not None:
            dull = {"image_path", "novelty_p"}
            self.table.write(work.tables(), schema, {*schema.names} - dull | {*CORE}, facts, failures)
        described = f"answers at the lowest rank with {naming.sure} of at least {self.threshold:g}; nothing is promised"
        summary = Summary.streamed(work.tables(), self.taxonomy.ranks, failures.errors)
        kept = schema.with_metadata({PROVENANCE_KEY: json.dumps(facts, default=str).encode()})
        return NamedByTool(failures, summary, tuple(naming.notes()), described, work.tables, kept)

    def _provenance(self, naming: _Reading | _Running) -> dict[str, Any]:
        split: dict[str, Any] = {}
        if self.part is not None:
            split = self.collection.split_of(self.part).identity()
        selection = {"split": self.part, "where": self.settings.where}
        about = {"collection": str(self.collection.path), "selection": selection, "specimens": naming.known, "split": split}
        return {
            "method": naming.method,
            "rule": RULES[self.tool],
            "threshold": self.threshold,
            "promise": None,
            "tool": naming.tool,
            "gallery": about,
            "queries": {"part": self.settings.part, "where": self.settings.where},
            "namer": {"digest": None},
            "taxonomy": self.taxonomy.digest,
            "asked": self.asked,
            "status": "predicted",
            "notes": naming.notes(),
            "software": software(),
        }


class _Running:
    """vsearch --sintax over blocks of sequences."""

    sure = "a bootstrap support"

    def __init__(self, job: _Job, asking: Asking, stack: ExitStack) -> None:
        self._job, self._asking = job, asking
        headers, seed = Headers(job.taxonomy), job.settings.seed + 1
        self._ids = set[str]()
        self._vsearch = stack.enter_context(Sintax(headers, self._references(), seed))
        self.known = self._vsearch.references
        self.method = "vsearch sintax"
        self.tool = {"program": "vsearch", "version": vsearch_version(self._vsearch.program), "randseed": seed, "threads": 1}
        self._names = job.names({}, self.method)

    def _references(self) -> Iterator[tuple[str, int, str]]:
        """(id, node, barcode) of the known specimens with a name and a barcode."""
        job = self._job
        if BARCODE not in job.collection.stored_columns:
            raise BiocosmosError(f"{job.collection.path} has no barcodes: --method {SINTAX} compares barcodes")
        columns = ["id", BARCODE, *job.collection.ranks]
        for batch in job.collection.scan(columns, split=job.part, where=job.settings.where):
            table = pa.Table.from_batches([batch])
            nodes = job.taxonomy.index(table)
            barcodes = table[BARCODE].to_pylist()
            for id_, node, barcode in zip(table["id"].to_pylist(), nodes.tolist(), barcodes, strict=True):
                if node > 0 and barcode:
                    self._ids.add(id_)
                    yield id_, node, barcode

    def digests(self) -> Iterator[str]:
        """Of what each block asks about."""
        return self._asking.digests()

    def blocks(self, done: Callable[[int], bool]) -> Iterator[tuple[int, NamedBlock | None]]:
        """(number, block); None for one that is done."""
        for block in self._asking.blocks(done):
            if done(block.number):
                yield block.number, None
                continue
            failures = Failures()
            remedy = "ask about others, or leave these out of what is known"
            guard.refuse_shared(
                np.array(block.ids, object),
                np.array(sorted(self._ids.intersection(block.ids)), object),
                "queries are among the specimens they would be named by",
                remedy,
            )
            said = self._vsearch.classify(block.barcodes)
            rows: list[tuple[str, Sequence[Parsed]]] = [(id_, [one]) for id_, one in zip(block.ids, said, strict=True)]
            table = self._names.table(rows, failures, None).combine_chunks()
            yield block.number, NamedBlock(block.asked, table, [*block.failures, *failures])

    def notes(self) -> list[str]:
        """What must be known."""
        return [f"named by {self.method} ({self.tool['version']}) from {self.known:,} known specimens"]


class _Reading:
    """A file that another tool wrote, block by block."""

    def __init__(self, job: _Job, file: ToolFile) -> None:
        self._job, self._file = job, file
        self.method = "vsearch sintax" if file.format == SINTAX else f"best hit, {file.format}"
        self.sure = "a bootstrap support" if file.format == SINTAX else "an identity of the best hit"
        stat = file.path.stat()
        self.tool = {"file": str(file.path), "format": file.format, "bytes": stat.st_size, "changed": stat.st_mtime_ns}
        chosen = job.known()
        nodes = job.taxonomy.index(chosen).tolist()
        self._names = job.names(dict(zip(chosen["id"].to_pylist(), nodes, strict=True)), self.method)
        if job.part is not None or job.settings.where is not None:
            self._names.everyone = dict.fromkeys(job.collection.table(["id"])["id"].to_pylist())
        self.known = int(np.count_nonzero(np.asarray(nodes) > 0))

    def digests(self) -> Iterator[str]:
        """The file as it is, and the number."""
        of = hashlib.sha256(json.dumps(self.tool, sort_keys=True).encode()).hexdigest()[:16]
        number = 0
        while True:
            yield f"{of} {number}"
            number += 1

    def blocks(self, done: Callable[[int], bool]) -> Iterator[tuple[int, NamedBlock | None]]:
        """(number, block); none is ever done, as reading is quick and tells each strange id once."""
        number, failures = 0, Failures()
        rows: list[tuple[str, Sequence[Parsed]]] = []
        queries = self._queries(failures)
        while True:
            row = next(queries, None)
            if row is not None:
                rows.append(row)
            if len(rows) == BLOCK or row is None:
                table = self._names.table(rows, failures, self._file.path).combine_chunks()
                if rows or len(failures):
                    yield number, NamedBlock(len(rows), table, failures.drain())
                number, rows = number + 1, []
            if row is None:
                return

    def _queries(self, failures: Failures) -> Iterator[tuple[str, list[Parsed]]]:
        """(query, what is said of it): lines that follow each other; lines of a query that had ended before are failures."""
        seen, query, found = set[int](), "", list[Parsed]()
        for number, line in self._file.parsed(failures):
            if line.query == query and found:
                if isinstance(line, Support):
                    failures.add("said twice: read once", stage=STAGE, source=self._file.path, row=number, id=query)
                elif len(found) < MOST_HITS:
                    found.append(line)
                continue
            key = _key(line.query)
            if key in seen:
                again = "lines of this query that stand apart from its first ones: sort the file by query"
                failures.add(again, stage=STAGE, source=self._file.path, row=number, id=line.query)
                continue
            seen.add(key)
            if found:
                yield query, found
            query, found = line.query, [line]
        if found:
            yield query, found

    def notes(self) -> list[str]:
        """What must be known."""
        said = [f"read from {self._file.path} ({self._file.format}): {RULES[self._file.format]}"]
        said += [f"{count:,} hits were left out: {what}" for what, count in self._names.aside.items() if count]
        return said


def known_part(collection: Collection, settings: IdentifySettings) -> str | None:
    """The part of the specimens that name, as for every method: "train" for a part of the split, if it has it; else all."""
    if settings.known is not None or settings.part is None or asks_unlabelled(settings):
        return settings.known
    return TRAIN if "default" in collection.split_names and TRAIN in collection.split("default").counts() else None


def _key(text: str) -> int:
    """Eight bytes that tell one id from another."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest())
