"""Discovery in unlabelled images: clusters, what to label next, duplicates, wrong labels, species that nobody has named."""
