"""What token reductions keep, and whether encoders that keep the same are as good: the questions of "Which Tokens to Use?"
(Haurum et al., ICCV workshops 2023, https://arxiv.org/abs/2308.04657).

kept.py         kept sets: intersection over union
groups.py       merged groups: homogeneity, completeness, V-measure, image by image
features.py     features: linear CKA, CCA, PWCCA, Procrustes
depth.py        how deep each place of the image gets, on average: maps, and how far two are alike
proxy.py        does likeness of patterns go with likeness of accuracy?
settings.py     one measured setting, as the report takes it
report.py       the tables of all that
page.py         the page; kept_of_pictures.py, overlays.py and charts.py its pictures
"""
