"""Specimens: collections, readers, writers, splits and the shipped sample."""
