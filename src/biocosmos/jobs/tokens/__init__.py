"""Jobs on encoders that compute with fewer tokens: what reductions keep and cost, and which to take."""
