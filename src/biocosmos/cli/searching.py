"""search: nearest specimens to images, text or specimens of the collection."""

from __future__ import annotations

import typer

from biocosmos.cli.generated import takes, tell_not_known
from biocosmos.cli.options import ANY_COLLECTION, IMAGES, OUTPUT, STRICT
from biocosmos.cli.printing import failures_beside, finish, say, show_arrow
from biocosmos.cli.verbs import add
from biocosmos.jobs.settings import SearchSettings


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, search)


@takes(SearchSettings)
def search(
    collection: ANY_COLLECTION,
    settings: SearchSettings,
    images: IMAGES = None,
    output: OUTPUT = None,
    strict: STRICT = False,
) -> None:
    """Find the specimens most like an image, a text, a DNA barcode or another specimen.

    biocosmos search mine.cosmos unknown.jpg

    biocosmos search mine.cosmos photos/ -k 5 --within Copepoda -o neighbours.csv

    biocosmos search mine.cosmos --text "a copepod with eggs" --encoder open_clip:hf-hub:imageomics/bioclip-2

    biocosmos search coi.cosmos --fasta unknown.fasta -e kmer:7 --fold -o neighbours.csv

    biocosmos search coi.cosmos --dna AACATTATATTTTATTTTTGGAATTTGATCTGGAATAGTAGGAACATCA --no-align

    biocosmos search both.cosmos photo.jpg -e run/ --among dna

    biocosmos search both.cosmos --text "order Diptera" --among image

    biocosmos search mine.cosmos photo.jpg --at 52.05,5.05 --on 2026-06-04 --country NL

    biocosmos search both.cosmos --place 52.05,5.05@2026-06-04 -e run/ --among image
    """
    from biocosmos.jobs.search import search_collection
    from biocosmos.places.filters import country_words
    from biocosmos.specimens.collection import Collection
    from biocosmos.tables import write_table

    if settings.country is not None:
        tell_not_known(collection, country_words(settings.country))
    table, failures, provenance = search_collection(Collection.open(collection), settings)
    if output is None:
        show_arrow(table)
    else:
        write_table(table, output, provenance)
        say(f"{output}: {table.num_rows:,} neighbours")
    kinds = {
        "barcodes": settings.dna or settings.fasta,
        "places": settings.place or (settings.at, settings.on, settings.depth) != (None, None, None),
        "sounds": settings.sound,
        "texts": settings.text,
    }
    finish(
        failures,
        table.num_rows,
        next((unit for unit, given in kinds.items() if given and not settings.images), "images"),
        table=failures_beside(output),
        strict=strict,
    )
