"""One namer, rank by rank."""
