"""Weights between two encoders, and the best of them."""
