"""Attributes: how well several questions a specimen are answered, with several true classes, weights and missing labels."""
