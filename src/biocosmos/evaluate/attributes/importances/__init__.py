"""Tables of weights that come with the package."""
