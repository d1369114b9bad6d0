"""discover map: specimens on a plane."""

from __future__ import annotations

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.options import COLLECTION, OUTPUT, REPORT
from biocosmos.cli.printing import say, show_arrow
from biocosmos.cli.verbs import add
from biocosmos.jobs.discover.map_settings import MapSettings

SHOWN = 12


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    add(app, likeness, name="map")


@takes(MapSettings)
def likeness(
    collection: COLLECTION,
    settings: MapSettings,
    output: OUTPUT = None,
    report: REPORT = None,
) -> None:
    """Lay specimens out on a plane, so that what is alike lies together.

    biocosmos discover map mine.cosmos --report map.html

    biocosmos discover map mine.cosmos --by class,part -o atlas.parquet

    The table has the specimens' columns, projection_x, projection_y and neighbors, as embedding-atlas and LightlyStudio open
    them.
    """
    from biocosmos.jobs.discover.map import atlas, discover_map
    from biocosmos.outputs import place_of
    from biocosmos.specimens.collection import Collection
    from biocosmos.tables import write_table

    report = None if report is None else place_of(report)
    opened = Collection.open(collection)
    found = discover_map(opened, settings)
    show_arrow(found.report.table("colours").slice(0, SHOWN), title=found.report.title)
    about = found.report.provenance
    say(f"{about['specimens']:,} specimens laid out by {about['reducer']}")
    if output is not None:
        say(f"table: {write_table(atlas(found, opened, images=output.suffix == '.parquet'), output, about)}")
    if report is not None:
        say(f"page: {found.report.html(report, thumbnails=opened.picture_bytes)}")
    say(f"kept with the collection as projection {found.kept.name}")
