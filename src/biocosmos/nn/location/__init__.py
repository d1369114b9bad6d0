"""Networks over places and over the environment there, in the layouts of GeoCLIP, SINR, TaxaBind and SatCLIP."""
