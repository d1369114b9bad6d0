"""What the namer of image and barcode together stands on: the pool of two opinions, and what it is learnt from."""
