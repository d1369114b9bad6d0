"""What is measured of barcodes and of encoders of them."""
