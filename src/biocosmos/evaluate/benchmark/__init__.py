"""A benchmark that others published: what was measured here beside their figures, and what is missing."""
