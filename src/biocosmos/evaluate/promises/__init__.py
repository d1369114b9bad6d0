"""Promised against observed error rates."""
