"""Training recipes over a collection, and the one loop they share."""
