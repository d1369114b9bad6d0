"""Exact and approximate nearest neighbours, and k-means on the same kernel."""
