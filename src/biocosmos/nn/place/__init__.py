"""Networks over place, season and depth, and the losses that learn from presences alone: SINR and geo_prior."""
