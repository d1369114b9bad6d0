"""The scan behind the exact search: compact copies of a gallery, bounds, and the choice among them."""
