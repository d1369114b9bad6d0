"""discover clusters: groups of specimens that look alike."""

from __future__ import annotations

import typer

from biocosmos.cli.generated import Given, takes
from biocosmos.cli.options import COLLECTION, OUTPUT, REPORT
from biocosmos.cli.printing import say, show_table
from biocosmos.cli.verbs import add
from biocosmos.discover.clusters.settings import ClusterSettings
from biocosmos.jobs.discover.settings import DiscoverSettings

SHOWN = 20
"""Clusters that are listed; all are in the table and on the page."""


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    add(app, clusters)


@takes(ClusterSettings, into="how", leave_out=("seed",))
@takes(DiscoverSettings)
def clusters(
    collection: COLLECTION, settings: DiscoverSettings, how: Given, output: OUTPUT = None, report: REPORT = None
) -> None:
    """Group specimens that look alike; without a setting, the method and the number of clusters are chosen without labels.

    biocosmos discover clusters mine.cosmos --report clusters.html

    biocosmos discover clusters mine.cosmos --where "label IS NULL" --reducer umap --method ward --clusters 120 -o clusters.csv

    The table (id, cluster, typicality, medoid) is kept with the collection for the map, the queue and the web page. Names are not
    looked at; where there are some, the page shows beside each cluster what its specimens are called.
    """
    from biocosmos.jobs.discover.clusters import discover_clusters
    from biocosmos.outputs import place_of
    from biocosmos.specimens.collection import Collection
    from biocosmos.tables import write_table

    report = None if report is None else place_of(report)
    opened = Collection.open(collection)
    found = discover_clusters(opened, settings, how)
    rows = [
        (row["cluster"], row["specimens"], row["mean_typicality"], row["medoid"], row["taxon"], row["purity"])
        for row in found.report.rows("clusters")[:SHOWN]
    ]
    show_table(("cluster", "specimens", "mean typicality", "medoid", "most are called", "purity"), rows, found.report.title)
    about = found.report.provenance
    say(f"{about['clusters']:,} clusters ({about['setting']}); {about['noise']:,} of {about['specimens']:,} specimens in none")
    if output is not None:
        say(f"table: {write_table(found.table, output, about)}")
    if report is not None:
        say(f"page: {found.report.html(report, thumbnails=opened.picture_bytes)}")
    say(f"kept with the collection as clusters {found.kept.name}")
