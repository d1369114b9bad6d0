"""Which Darwin Core term a column is written as, and the XML files of an archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from biocosmos.specimens.readers.darwin_core_meta import RANKS_TERM, join_ranks

DWC = "http://rs.tdwg.org/dwc/terms/"
DC = "http://purl.org/dc/terms/"
MULTIMEDIA = "http://rs.gbif.org/terms/1.0/Multimedia"
OWN = "urn:biocosmos:column:"
OURS = {
    "id": "occurrenceID",
    "label": "verbatimIdentification",
    "latitude": "decimalLatitude",
    "longitude": "decimalLongitude",
    "date": "eventDate",
}
TERMS = frozenset(
    [
        "basisOfRecord",
        "occurrenceStatus",
        "catalogNumber",
        "recordNumber",
        "recordedBy",
        "individualCount",
        "organismQuantity",
        "organismQuantityType",
        "sex",
        "lifeStage",
        "reproductiveCondition",
        "behavior",
        "establishmentMeans",
        "preparations",
        "disposition",
        "associatedMedia",
        "associatedReferences",
        "associatedSequences",
        "associatedTaxa",
        "otherCatalogNumbers",
        "occurrenceRemarks",
        "organismID",
        "materialSampleID",
        "eventID",
        "parentEventID",
        "fieldNumber",
        "eventTime",
        "startDayOfYear",
        "endDayOfYear",
        "year",
        "month",
        "day",
        "verbatimEventDate",
        "habitat",
        "samplingProtocol",
        "sampleSizeValue",
        "sampleSizeUnit",
        "samplingEffort",
        "fieldNotes",
        "eventRemarks",
        "locationID",
        "higherGeography",
        "continent",
        "waterBody",
        "islandGroup",
        "island",
        "country",
        "countryCode",
        "stateProvince",
        "county",
        "municipality",
        "locality",
        "verbatimLocality",
        "minimumElevationInMeters",
        "maximumElevationInMeters",
        "verbatimElevation",
        "minimumDepthInMeters",
        "maximumDepthInMeters",
        "verbatimDepth",
        "locationRemarks",
        "geodeticDatum",
        "coordinateUncertaintyInMeters",
        "coordinatePrecision",
        "verbatimLatitude",
        "verbatimLongitude",
        "georeferencedBy",
        "identificationID",
        "identificationQualifier",
        "typeStatus",
        "identifiedBy",
        "dateIdentified",
        "identificationReferences",
        "identificationVerificationStatus",
        "identificationRemarks",
        "taxonID",
        "scientificNameID",
        "scientificName",
        "acceptedNameUsage",
        "kingdom",
        "phylum",
        "class",
        "superfamily",
        "order",
        "family",
        "subfamily",
        "tribe",
        "subtribe",
        "genus",
        "subgenus",
        "specificEpithet",
        "infraspecificEpithet",
        "cultivarEpithet",
        "taxonRank",
        "verbatimTaxonRank",
        "scientificNameAuthorship",
        "vernacularName",
        "nomenclaturalCode",
        "taxonomicStatus",
        "taxonRemarks",
        "institutionID",
        "collectionID",
        "datasetID",
        "institutionCode",
        "collectionCode",
        "datasetName",
        "ownerInstitutionCode",
        "informationWithheld",
        "dataGeneralizations",
        "dynamicProperties",
    ]
)


def term_of(column: str) -> str:
    """The address of a column's term; a column that Darwin Core has no term for gets one of our own."""
    name = OURS.get(column, column)
    return DWC + name if column in OURS or name in TERMS else OWN + quote(name, safe="")


def meta_xml(
    core: Sequence[str], extensions: Mapping[str, tuple[str, Sequence[str]]], id_index: int = 0, ranks: Sequence[str] = ()
) -> str:
    """meta.xml for occurrence.txt (terms of its columns) and extensions: file -> (row type, terms after the id).

    id_index: place of the id among the core's columns. ranks: columns of the core that are ranks, coarse to fine; they stand
    there as a constant of our own, which other readers pass over.
    """
    how = 'encoding="UTF-8" fieldsTerminatedBy="\\t" linesTerminatedBy="\\r\\n" fieldsEnclosedBy="&quot;" ignoreHeaderLines="1"'
    constant = "\n    " + f"<field term={quoteattr(RANKS_TERM)} default={quoteattr(join_ranks(ranks))}/>" if ranks else ""

    def table(tag: str, key: str, place: int, file: str, row_type: str, terms: Sequence[str], start: int, more: str = "") -> str:
        fields = "".join(f"\n    <field index={quoteattr(str(i))} term={quoteattr(t)}/>" for i, t in enumerate(terms, start))
        return (
            f"\n  <{tag} {how} rowType={quoteattr(row_type)}>\n    <files><location>{escape(file)}</location></files>"
            f'\n    <{key} index="{place}"/>{fields}{more}\n  </{tag}>'
        )

    parts = [table("core", "id", id_index, "occurrence.txt", DWC + "Occurrence", core, 0, constant)]
    parts += [table("extension", "coreid", 0, file, kind, terms, 1) for file, (kind, terms) in extensions.items()]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<archive xmlns="http://rs.tdwg.org/dwc/text/" metadata="eml.xml">'
        + "".join(parts)
        + "\n</archive>\n"
    )


def eml_xml(title: str, rows: int, software: str, day: str) -> str:
    """A minimal eml.xml (Ecological Metadata Language 2.2) that the publisher is meant to complete."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<eml:eml xmlns:eml="https://eml.ecoinformatics.org/eml-2.2.0" packageId="biocosmos-export" system="biocosmos" '
        'xml:lang="en">\n  <dataset>\n'
        f"    <title>{escape(title)}</title>\n"
        "    <creator><organizationName>to be completed by the publisher</organizationName></creator>\n"
        f"    <pubDate>{escape(day)}</pubDate>\n"
        f"    <abstract><para>{rows} specimens exported by {escape(software)}.</para></abstract>\n"
        "    <contact><organizationName>to be completed by the publisher</organizationName></contact>\n"
        "  </dataset>\n</eml:eml>\n"
    )
