"""Bind modalities to one anchor: places, environments, satellite images, sounds and names to pictures or barcodes (TaxaBind)."""
