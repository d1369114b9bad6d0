"""summarize: what was found in each sample."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from biocosmos.cli.generated import refuse, takes
from biocosmos.cli.options import COLLECTION, OUTPUT, REPORT, STRICT, _output
from biocosmos.cli.printing import counted, failures_beside, finish, say, show_table
from biocosmos.cli.verbs import add
from biocosmos.jobs.summarize_settings import SummarizeSettings
from biocosmos.settings import refuse_changed

if TYPE_CHECKING:
    from biocosmos.jobs.quantify_samples import SharesOfSamples
    from biocosmos.jobs.summarize import Summary

SHOWN, COMMONEST = 20, 3


def _table(help: str) -> Any:
    return typer.Option(help=f"{help[:-1]}: .csv, .tsv, .parquet, .json or .jsonl.", show_default=False, callback=_output)


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, summarize)


@takes(SummarizeSettings)
def summarize(
    collection: COLLECTION,
    settings: SummarizeSettings,
    output: OUTPUT = None,
    diversity: Annotated[Path | None, _table("Write the diversity of each sample here.")] = None,
    distances: Annotated[Path | None, _table("Write the Bray-Curtis distances of each two samples here.")] = None,
    report: REPORT = None,
    shares: Annotated[Path | None, _table("Write the shares of --quantify here.")] = None,
    strict: STRICT = False,
) -> None:
    """Count what was found in each sample: specimens, concentrations and biovolumes of every taxon.

    biocosmos summarize cruise.cosmos -o samples.csv

    biocosmos summarize cruise.cosmos --by sample,station,depth --volume sample_tot_vol=m3 --parts acq_sub_part
    --biovolume ellipsoid --pixel 10.6um -o samples.csv --report community.html

    biocosmos summarize cruise.cosmos --names latest --rank family --by station,month -o months.csv

    Samples in which nothing was found stay. Units are told, never guessed; a volume or share that cannot be is told, and makes no
    concentration.
    """
    if shares is not None and settings.quantify is None:
        refuse("shares", "with --quantify")
    if report is None:
        refuse_changed(settings, ["ordination"], "with --report")
        if diversity is None:
            refuse_changed(settings, ["rarefy", "chao1"], "with --diversity or --report")
            if output is None:
                refuse_changed(settings, ["confusion"], "with --output, --diversity or --report")
    from biocosmos.errors import BiocosmosError
    from biocosmos.jobs.names_table import NamesTable
    from biocosmos.jobs.summarize import summarize as count
    from biocosmos.outputs import place_of

    page = None if report is None else place_of(report)
    _refuse_one_file_twice({"--output": output, "--diversity": diversity, "--distances": distances, "--shares": shares})
    for place in (output, diversity, distances, shares):
        if place is not None and NamesTable(place).is_of_identify:
            raise BiocosmosError(f"{place} holds names that 'biocosmos identify' wrote: write to another place")
    summary = count(collection, settings, intervals=not (output is diversity is report is None))
    if summary.shares is not None:
        _show_shares(summary.shares)
    _show(summary)
    if output is not None:
        from biocosmos.tables import write_table

        table = summary.table()
        write_table(table, output, summary.provenance)
        say(f"{output}: {len(table):,} rows, one for each sample and taxon")
    told = [(diversity, summary.diversity), (distances, summary.distances)]
    if summary.shares is not None:
        told.append((shares, summary.shares.table))
    for place, made in told:
        if place is not None:
            from biocosmos.tables import write_table

            write_table(made(), place, summary.provenance)
            say(f"{place}: written")
    if page is not None:
        summary.report().html(page)
        say(f"{page}: the page")
    counted = len(summary.counted.cell)
    finish(summary.failures, counted, "specimens", table=None if output is None else failures_beside(output), strict=strict)


def _refuse_one_file_twice(places: dict[str, Path | None]) -> None:
    """Raises BiocosmosError where two tables would be written to one file."""
    from biocosmos.errors import BiocosmosError

    taken: dict[Path, str] = {}
    for option, place in places.items():
        if place is not None:
            other = taken.setdefault(place.expanduser().resolve(), option)
            if other != option:
                raise BiocosmosError(f"{other} and {option} both name {place}: give each a file of its own")


def _show_shares(shares: SharesOfSamples) -> None:
    """The gate's verdict on each sample, and its commonest taxa."""
    rows = []
    for one in list(shares.found)[:SHOWN]:
        order = (-one.values).argsort(kind="stable")[:COMMONEST]
        taxa = [
            f"{shares.taxa[i]} {one.values[i]:.0%} ({one.low[i]:.0%} to {one.high[i]:.0%})" for i in order if one.values[i] > 0
        ]
        if any(one.unknown):
            taxa.append(f"unknown {one.unknown[0]:.0%} ({one.unknown[1]:.0%} to {one.unknown[2]:.0%})")
        gate = "not asked" if one.verdict is None else ("open" if one.verdict.open else "shut")
        rows.append((one.sample, gate, one.method, f"{one.specimens:,}", ", ".join(taxa)))
    show_table(("sample", "gate", "shares by", "specimens", "shares"), rows, title="shares")
    for line in shares.found.sentences():
        say(line)


def _show(summary: Summary) -> None:
    columns, rows = summary.overview()
    community = summary.community
    samples, specimens = counted(len(community), "sample"), counted(len(summary.counted.cell), "specimen")
    title = f"{samples}, {len(community.taxa):,} taxa, {specimens}"
    show_table(columns, rows[:SHOWN], title=title)
    if len(rows) > SHOWN:
        say(f"and {counted(len(rows) - SHOWN, 'more sample')}: -o samples.csv writes them all")
