"""One training for each number of clusters, compared."""
