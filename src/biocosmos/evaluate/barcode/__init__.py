"""Barcodes as names: accuracy by rank and rarity, the barcode gap, BINs, confused sisters, a tree, and what each encoder costs."""
