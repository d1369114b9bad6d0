"""Seen and unseen species asked of one gallery: nearest neighbours by rank, and their harmonic mean, as in CLIBD's paper."""
