"""Identifications against the truth."""
