"""Names by the text of the taxa alone."""
