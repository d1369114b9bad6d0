"""Which pictures are one, how that was told, and which of them a split tears apart."""
