"""Are specimens of taxa that nobody trained on told from the known?"""
