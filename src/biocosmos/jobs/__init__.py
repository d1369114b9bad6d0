"""The jobs the command line offers, each one call from Python: they put the rooms below together and decide nothing new."""
