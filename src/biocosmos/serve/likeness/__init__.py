"""The map of likeness: where each specimen lies in the latest projection, as binaries for the browser, and lassos."""
