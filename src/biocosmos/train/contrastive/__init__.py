"""Train one space of pictures, barcodes and names: CLIBD's loss over pairs of modalities, on whole encoders or on stored vectors."""
