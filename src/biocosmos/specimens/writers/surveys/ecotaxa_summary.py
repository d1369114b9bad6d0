"""EcoTaxa's summary tables: counts, concentrations and biovolumes of every taxon in every sample, zeros too.

Columns as EcoTaxa's own exports have them (ecotaxa/ecotaxa_back, QA/py/data/ref_exports, read on 2026-11-30): sampleid, status (P
predicted, V validated), taxonid (the name), annotation_category (its path), and the value, nan where it cannot be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from biocosmos.errors import Failures
from biocosmos.specimens.survey_settings import Survey
from biocosmos.specimens.writers.naming import PREDICTED
from biocosmos.specimens.writers.surveys.found import Found
from biocosmos.specimens.writers.surveys.gathering import gather
from biocosmos.specimens.writers.surveys.tables import files_of, text, write_rows

COLUMNS = ("sampleid", "status", "taxonid", "annotation_category")


def write(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path, failures: Failures, ranks: Sequence[str], survey: Survey
) -> int:
    """Write abundances.tsv and, where a volume was told, concentrations.tsv (/m³) and biovolumes.tsv (mm³/m³); returns the
    specimens that were counted."""
    survey_of = gather(batches, schema, path, failures, ranks, survey)
    states = sorted({_letter(found) for found in survey_of.found if not found.absent})
    taxa = sorted({found.name: found for found in survey_of.found}.items())
    counted = {(found.sample, _letter(found), found.name): found for found in survey_of.found if not found.absent}
    kinds = [("abundances.tsv", "count", "n")]
    kinds += [("concentrations.tsv", "concentration", "per_volume")] if survey_of.has_volume else []
    kinds += [("biovolumes.tsv", "biovolume", "biovolume")] if survey_of.has_biovolume else []
    with files_of(path) as folder:
        for file, value, attribute in kinds:
            rows = []
            for sample in survey_of.samples.values():
                for state in states:
                    for name, taxon in taxa:
                        found = counted.get((sample.id, state, name))
                        none = 0.0 if attribute == "n" else sample.none
                        number = none if found is None else float(getattr(found, attribute))
                        category = ">".join(part for _, part in taxon.path) or taxon.label
                        cells = dict(zip(COLUMNS, (sample.id, state, taxon.label, category)))
                        rows.append(cells | {value: text(number) or "nan"})
            write_rows(folder / file, (*COLUMNS, value), rows)
    return survey_of.specimens


def _letter(found: Found) -> str:
    return "P" if found.state == PREDICTED else "V"
