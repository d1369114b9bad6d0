"""Names for tracks: what was said of all crops of an animal, fused along the tree, with a promise that counts animals.

fusion.py    the choices at every step of the tree, fused over the crops of a track
naming.py    a fusion and a promise, fitted on tracks that the namer never saw
"""
