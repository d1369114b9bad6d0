"""Which Darwin Core term a column is written as, and the XML files of an archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from biocosmos.specimens.readers.columns import plain
from biocosmos.specimens.readers.darwin_core_meta import RANKS_TERM, join_ranks
from biocosmos.specimens.readers.placing import SOURCES
from biocosmos.taxonomy.ranks import KNOWN_RANKS

DWC = "http://rs.tdwg.org/dwc/terms/"
DC = "http://purl.org/dc/terms/"
MULTIMEDIA = "http://rs.gbif.org/terms/1.0/Multimedia"
OWN = "urn:biocosmos:column:"
GBIF_ID = "http://rs.gbif.org/terms/1.0/gbifID"
MISSING = "to be completed by the publisher"
"""In place of what only the publisher knows."""
OURS = {
    "id": "occurrenceID",
    "label": "verbatimIdentification",
    "latitude": "decimalLatitude",
    "longitude": "decimalLongitude",
    "date": "eventDate",
}
PLACED = {
    "uncertainty": "coordinateUncertaintyInMeters",
    "depth_min": "minimumDepthInMeters",
    "depth_max": "maximumDepthInMeters",
}
"""Columns that are written under a term where the source has no column of its own for it, of whatever unit."""
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
        "recordedByID",
        "identifiedByID",
        "georeferenceVerificationStatus",
        "georeferencedDate",
        "georeferenceProtocol",
        "georeferenceSources",
        "georeferenceRemarks",
        "degreeOfEstablishment",
        "pathway",
        "vitality",
        "caste",
        "associatedOccurrences",
        "associatedOrganisms",
        "previousIdentifications",
        "organismName",
        "organismScope",
        "organismRemarks",
        "materialEntityID",
        "materialEntityRemarks",
        "verbatimLabel",
        "eventType",
        "verbatimCoordinates",
        "verbatimCoordinateSystem",
        "verbatimSRS",
        "footprintWKT",
        "footprintSRS",
        "footprintSpatialFit",
        "pointRadiusSpatialFit",
        "verticalDatum",
        "minimumDistanceAboveSurfaceInMeters",
        "maximumDistanceAboveSurfaceInMeters",
        "locationAccordingTo",
        "geologicalContextID",
        "earliestEonOrLowestEonothem",
        "latestEonOrHighestEonothem",
        "earliestEraOrLowestErathem",
        "latestEraOrHighestErathem",
        "earliestPeriodOrLowestSystem",
        "latestPeriodOrHighestSystem",
        "earliestEpochOrLowestSeries",
        "latestEpochOrHighestSeries",
        "earliestAgeOrLowestStage",
        "latestAgeOrHighestStage",
        "lowestBiostratigraphicZone",
        "highestBiostratigraphicZone",
        "lithostratigraphicTerms",
        "acceptedNameUsageID",
        "parentNameUsageID",
        "originalNameUsageID",
        "nameAccordingToID",
        "namePublishedInID",
        "taxonConceptID",
        "parentNameUsage",
        "originalNameUsage",
        "nameAccordingTo",
        "namePublishedIn",
        "namePublishedInYear",
        "higherClassification",
        "higherGeographyID",
        "genericName",
        "infragenericEpithet",
        "nomenclaturalStatus",
    ]
)
DC_TERMS = frozenset(
    ("type", "modified", "language", "license", "rightsHolder", "accessRights", "bibliographicCitation", "references")
)
"""Terms of an occurrence that Darwin Core takes from Dublin Core."""


def terms_of(columns: Sequence[str], *, id_is_gbifs: bool = False) -> list[str]:
    """The addresses of the columns' terms; a column that Darwin Core has no term for gets one of our own.

    A column ``occurrenceID`` is that; the specimens' ids are then GBIF's (id_is_gbifs) or only ours. A column under the name of
    a term that one of ours is written as (``eventDate`` beside ``date``) is only the collection's own.
    """
    ours = {name: term for name, term in OURS.items() if name in columns}
    said = {plain(name) for name in columns}
    ours |= {name: term for name, term in PLACED.items() if name in columns and not said & set(SOURCES[name])}
    if "occurrenceID" in columns:
        ours.pop("id", None)
    return [_term(name, ours, id_is_gbifs) for name in columns]


def _term(name: str, ours: Mapping[str, str], id_is_gbifs: bool) -> str:
    if name in ours:
        return DWC + ours[name]
    if name == "id" and id_is_gbifs:
        return GBIF_ID
    if name == "gbifID":
        return GBIF_ID if not id_is_gbifs else OWN + name
    if name in DC_TERMS:
        return DC + name
    is_term = name in TERMS or (name in OURS.values() and name not in ours.values())
    return DWC + name if is_term else OWN + quote(name, safe="")


def rank_term(rank: str | None) -> str | None:
    """A rank for taxonRank; None for what is no rank of a taxonomy, such as "label" or EcoTaxa's "level_3"."""
    return rank if rank in KNOWN_RANKS and rank not in ("label", "status") else None


def meta_xml(
    core: Sequence[str],
    extensions: Mapping[str, tuple[str, Sequence[str]]],
    id_index: int = 0,
    ranks: Sequence[str] = (),
    *,
    core_file: str = "occurrence.txt",
    core_type: str = DWC + "Occurrence",
) -> str:
    """meta.xml for the core (terms of its columns) and extensions: file -> (row type, terms after the id).

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

    parts = [table("core", "id", id_index, core_file, core_type, core, 0, constant)]
    parts += [table("extension", "coreid", 0, file, kind, terms, 1) for file, (kind, terms) in extensions.items()]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<archive xmlns="http://rs.tdwg.org/dwc/text/" metadata="eml.xml">'
        + "".join(parts)
        + "\n</archive>\n"
    )


def eml_xml(title: str, abstract: str, day: str, *, before: Sequence[str] = (), after: Sequence[str] = ()) -> str:
    """A minimal eml.xml (Ecological Metadata Language 2.2) that the publisher is meant to complete.

    before, after: elements that stand before and after the abstract, whose order the standard sets.
    """
    who = f"<organizationName>{MISSING}</organizationName>"
    elements = (
        f"<title>{escape(title)}</title>",
        f"<creator>{who}</creator>",
        f"<pubDate>{escape(day)}</pubDate>",
        *before,
        f"<abstract><para>{escape(abstract)}</para></abstract>",
        *after,
        f"<contact>{who}</contact>",
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<eml:eml xmlns:eml="https://eml.ecoinformatics.org/eml-2.2.0" packageId="biocosmos-export" system="biocosmos" '
        'xml:lang="en">\n  <dataset>\n' + "".join(f"    {element}\n" for element in elements) + "  </dataset>\n</eml:eml>\n"
    )
