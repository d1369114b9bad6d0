"""Seen and unseen taxa asked about together."""
