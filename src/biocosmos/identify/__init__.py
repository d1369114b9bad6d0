"""Naming: neighbours, prototypes, heads and text, with confidence, roll-back and novelty."""
