"""Two or more encoders on the same queries and gallery."""
