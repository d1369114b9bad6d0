"""Fewer tokens for vision transformers: which patches a network goes on with, and which are merged."""
