"""DNA barcodes as letters: cleaned, counted, compared and simulated. Files and collections are read elsewhere."""
