"""Networks over places that say which taxa are there: SINR, geo_prior, and one of the shares of taxa."""
