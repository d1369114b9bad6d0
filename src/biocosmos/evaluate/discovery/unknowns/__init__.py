"""Dossiers of candidate taxa."""
