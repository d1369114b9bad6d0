"""What the namer of barcodes stands on: references, how like a barcode is to each, and what taxa that speaks for."""
