"""Identifications that people made: append-only, who said what of which specimen, when and how.

    plankton.cosmos/identifications/by_hand/20261129T101500000000Z-4711-0.parquet

A file for each act, so that two people at once lose nothing. A name that is given again, or taken back, is a row more: nothing is
overwritten, and the labels of the collection stay as they are until somebody asks for them (:func:`labels_from`, an act of the
collection's history that can be undone). Many small files are merged now and then (:func:`compact`), which changes no row.
"""

from biocosmos.specimens.by_hand.acts import DUBIOUS, FOLDER, SCHEMA, STAGE, VALIDATED, WITHDRAWN, Status, append
from biocosmos.specimens.by_hand.files import Compacted, compact
from biocosmos.specimens.by_hand.labels import labels_from, names_now
from biocosmos.specimens.by_hand.ledger import Ledger, Said
from biocosmos.specimens.by_hand.saying import (
    Recorded,
    Undone,
    current,
    history,
    meant,
    record,
    standing,
    undo,
    withdraw,
)

__all__ = [
    "DUBIOUS",
    "FOLDER",
    "SCHEMA",
    "STAGE",
    "VALIDATED",
    "WITHDRAWN",
    "Compacted",
    "Ledger",
    "Recorded",
    "Said",
    "Status",
    "Undone",
    "append",
    "compact",
    "current",
    "history",
    "labels_from",
    "meant",
    "names_now",
    "record",
    "standing",
    "undo",
    "withdraw",
]
