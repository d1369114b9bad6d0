"""Which clustering to take, and how many clusters, told without labels."""
