"""How well clusterings of embeddings agree with the taxonomy, and what can be told without it."""
