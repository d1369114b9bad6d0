"""What speaks for an answer: neighbours and heat maps."""
