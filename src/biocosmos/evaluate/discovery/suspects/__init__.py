"""Labels that are probably wrong, with what speaks against them."""
