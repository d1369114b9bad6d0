"""Genus and species out of the columns that a source spreads a name over."""

from __future__ import annotations

from biocosmos.taxonomy.scientific_names import is_open, parse, says_nothing

PROVISIONAL = ("open", "code")
"""Kinds of names that are no certain species, though columns of species have them: Culex sp. 1, BOLD:AAA0001."""


def joined(genus: str | None, species: str | None, epithet: str | None) -> tuple[str | None, str | None, str | None]:
    """(genus, binomial or None, the name they spell where it says no species) from a source's columns.

    >>> joined("Oithona", None, "similis"), joined("Oithona", "sp.", None)
    (('Oithona', 'Oithona similis', None), ('Oithona', None, 'Oithona sp.'))
    """
    if species is None and genus and epithet:
        species = epithet
    if species is None:
        return genus, None, None
    if (genus and " " not in species and not species[0].isupper()) or (genus and species == epithet):
        whole = f"{genus} {species}"
        return (genus, None, whole) if is_open(species) else (genus, parse(whole).species or whole, None)
    first, _, rest = species.partition(" ")
    if genus and rest and first.endswith(".") and genus.startswith(first[:-1]) and not is_open(rest):
        return genus, f"{genus} {rest}", species  # "C. finmarchicus" beside the genus Calanus
    bare = parse(species)
    if bare.kind == "species" and bare.authorship:
        return genus or bare.genus, bare.species, species
    if (bare.kind == "open" and bare.reason is None) or (" " not in species and species[0].islower() and says_nothing(species)):
        return genus or bare.genus, None, species
    return genus, species, None


def is_provisional(genus: str | None, species: str) -> bool:
    """Whether what stands in a column of species is no certain one.

    >>> is_provisional("Culex", "Culex sp. 1"), is_provisional("Ctenophora", "Ctenophora ornata")
    (True, False)
    """
    found = parse(species)
    if found.kind not in PROVISIONAL:
        return False
    if found.genus is None and genus and species.startswith(f"{genus} "):  # a genus called as a phylum is: Ctenophora
        return is_open(species[len(genus) + 1 :])
    return True


__all__ = ["is_provisional", "joined"]
