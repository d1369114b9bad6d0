"""The page of tracked sequences: when each individual was there, and its crops in order of time."""
