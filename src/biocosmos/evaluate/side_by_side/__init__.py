"""Several namers on the same specimens."""
