"""Train one space of pictures, barcodes and names: CLIBD's loss, on whole encoders or on projections of stored vectors."""
