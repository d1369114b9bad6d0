"""How unlike every known taxon a specimen is."""
