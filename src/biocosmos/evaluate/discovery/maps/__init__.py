"""Specimens on a plane, coloured by what they are."""
