"""Barcodes as names: accuracy by rank and rarity, the barcode gap, BINs, confused sisters, trees, what encoders cost; probes."""
