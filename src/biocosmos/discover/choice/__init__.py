"""Which clustering to take, and how many clusters, told without labels.

choosing.py      choose(): what a user calls
candidates.py    the settings that are tried
partitions.py    many clusterings of the same vectors, sharing spaces and trees
among.py         one of several candidates: clusterings of an embedding, or the trainings of a sweep
background.py    whether anything stands out at all
information.py stability.py internal.py embeddings.py      the scores

>>> from biocosmos.discover.choice.choosing import choose
>>> choice = choose(gallery.vectors)
>>> choice.settings, choice.clusters, choice.said
"""
