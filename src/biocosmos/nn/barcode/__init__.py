"""Networks over tokens of barcodes: transformer, masked autoencoder, CNN; plain torch modules."""
