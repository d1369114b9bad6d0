"""Packs: what a collection has learnt, built, checked, opened, joined and compared; their files: biocosmos.specimens.packs."""
