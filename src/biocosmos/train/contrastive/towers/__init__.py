"""What is trained of each modality, one file a kind: projections of vectors, encoders of pictures, of barcodes, of texts."""
