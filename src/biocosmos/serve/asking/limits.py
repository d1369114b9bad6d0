"""What one person may bring at once, in one place."""

from __future__ import annotations

MB = 1 << 20

IMAGE_BYTES = 40 * MB
"""Of one image file."""
UPLOAD_BYTES = 500 * MB
"""Of all files of one upload together; what a zip holds counts unpacked."""
FILES = 2000
"""Files of one upload, and images of one zip."""
ZIP_MEMBERS = 20_000
"""Entries that a zip may have, images or not."""
ZIP_RATIO = 200
"""How many times smaller an image may be packed: PNG and JPEG do not shrink, and a bomb shrinks a thousandfold."""
PIXELS = 100_000_000
"""Of one image: 10,000 x 10,000."""
SEARCH_IMAGES = 50
"""Images of one search."""
AT_ONCE = 200
"""Images that are named while the browser waits; more become a job."""
BARCODES_AT_ONCE = 2000
"""Barcodes that are named while the browser waits."""
TEXTS, TEXT_LENGTH, SPECIMENS = 20, 500, 50
"""Descriptions of one search, letters of each, and specimens of one search."""
BARCODES, BARCODE_LENGTH = 50, 100_000
"""Barcodes of one search, and letters of each; and for FASTA files what :data:`UPLOAD_BYTES` says."""
NEIGHBOURS, NEIGHBOURS_FEWEST, NEIGHBOURS_MOST = 24, 1, 500
"""Nearest specimens of each: unasked, and the least and most that can be asked for."""
LIKENESS_EXACT = 1000
"""Nearest specimens whose likeness is exact in a view that is sorted by it."""
SEARCH_SECONDS = 60.0
"""After which the rest of a search's images are not looked at."""
WAIT_SECONDS = 4.0
"""For a gallery that is getting ready, before a request is told so."""
WAITING = 8
"""Uploads that wait to be named while one is."""
KEPT_ANSWERS, KEPT_SECONDS = 24, 3600.0
"""Answers whose pictures and table can still be had, and for how long."""
RESIDENT_NUMBERS = 1 << 30
"""Numbers of all resident galleries together (1,000,000 specimens x 384 are a third of it): the ones unused longest go."""
NAMER_BYTES = 256 * MB
"""Vectors that a namer may hold in the server; a larger collection names in a job."""
