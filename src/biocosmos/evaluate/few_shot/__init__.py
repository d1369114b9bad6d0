"""Names from a few images of each taxon."""
