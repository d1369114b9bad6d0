"""How far down the tree a name can be trusted: calibration, roll-back, promises, sets."""
