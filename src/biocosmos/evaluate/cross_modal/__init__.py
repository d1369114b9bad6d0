"""One space of several modalities, judged: retrieval across them, open-world decisions, rank back-off, damaged barcodes."""
