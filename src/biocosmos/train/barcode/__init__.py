"""Train encoders of DNA barcodes: BarcodeBERT's pre-training, BarcodeMAE's, contrastive, distilled, fine-tuned to species."""
