"""What speaks for single answers."""
