"""Exact nearest rows among sparse counts."""
