"""The dial: what a faster way to compute an encoder loses on one's own images, and which one may be taken."""
