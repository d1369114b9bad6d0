"""Find a taxon by what a person types, and help when it is not there."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.taxonomy.columns import clean
from biocosmos.taxonomy.numbering import ROOT, UNKNOWN

if TYPE_CHECKING:
    from biocosmos.taxonomy.tree import Taxonomy

PATH_SEPARATOR = "/"
RANK_SEPARATOR = ":"
SHOWN = 5  # names or candidates in one error line
COMPARED = 200  # names that difflib, slow but good, gets to see
HELPED = 50  # names of a list for which close matches are looked up (a tenth of a second each in a large tree)
CLOSE = 0.6  # difflib's own default for a close match

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]


def find_name(tax: Taxonomy, text: str, *, close: bool = True) -> int:
    """The one node that ``text`` names. Raises BiocosmosError, one line, when none or several fit."""
    if not isinstance(text, str):
        raise BiocosmosError(f"a taxon is found by its name, not by {text!r}")
    wanted = clean(pa.array([text]))[0].as_py()
    if wanted is None:
        raise BiocosmosError("cannot find a taxon: the name is blank")
    for fold in (False, True):
        found = _without_repeats(tax, _matches(tax, wanted, fold))
        if len(found) == 1:
            return int(found[0])
        if len(found) > 1:
            raise BiocosmosError(_ambiguous(tax, wanted, found))
    raise BiocosmosError(_unknown(tax, wanted) if close else f"no taxon {wanted!r} in the taxonomy")


def find_names(tax: Taxonomy, texts: list[str], failures: Failures | None, stage: str) -> Int32:
    """The node of each text: names that one taxon alone bears in one vectorised step, the few others one by one."""
    nodes = np.full(len(texts), UNKNOWN, np.int32)
    plain = pa.array([text if isinstance(text, str) else None for text in texts], pa.string())
    names = tax.name_array.dictionary_encode()
    which = pc.index_in(clean(plain), value_set=names.dictionary).fill_null(-1).to_numpy(zero_copy_only=False)
    code = names.indices.to_numpy(zero_copy_only=False)
    bearers, last = np.bincount(code), np.empty(len(names.dictionary), np.int32)
    last[code] = np.arange(len(tax), dtype=np.int32)
    single = (which >= 0) & (bearers[which] == 1)
    nodes[single] = last[which[single]]
    refused = 0
    for row in np.flatnonzero(~single):
        try:
            nodes[row] = find_name(tax, texts[row], close=refused < HELPED)
        except BiocosmosError as error:
            if failures is None:
                raise
            refused += 1
            failures.add(str(error), stage=stage, row=int(row) + 1, id=str(texts[row]))
    return nodes


def _matches(tax: Taxonomy, text: str, fold: bool) -> Int64:
    """Nodes called ``text`` whole, else rank:name, else the ends of a path. (A name may itself hold a colon or a slash.)"""
    found = _part(tax, text, fold)
    parts = _parts(text)
    if len(found) or len(parts) < 2:
        return found
    found = _part(tax, parts[0], fold)
    for part in parts[1:]:
        nodes = _part(tax, part, fold)
        above = np.where(tax.lineage(nodes) == nodes[:, None], -1, tax.lineage(nodes))
        found = nodes[np.isin(above, found).any(axis=1) | (ROOT in found) & (nodes > ROOT)]
    if len(found) > 1:  # a path without gaps wins over one that skips taxa
        whole = found[tax.depth[found] == len(parts) - (parts[0] == tax.names[ROOT])]
        found = whole if len(whole) else found
    return found


def _without_repeats(tax: Taxonomy, found: Int64) -> Int64:
    """``found`` without labels that repeat the name of their parent, which is there too: they are one taxon."""
    repeat = tax.repeats[found] & np.isin(tax.parent[found], found)
    return found[~repeat]


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(PATH_SEPARATOR) if part.strip()]


def _part(tax: Taxonomy, text: str, fold: bool) -> Int64:
    found = _called(tax, text, fold)
    rank, colon, name = text.partition(RANK_SEPARATOR)
    if len(found) or not colon or rank.strip() not in tax.ranks:
        return found
    found = _called(tax, name.strip(), fold)
    return np.asarray(found[tax.rank[found] == tax.rank_index(rank.strip())], np.int64)


def _called(tax: Taxonomy, name: str, fold: bool) -> Int64:
    same = pc.equal(tax.folded_names, name.lower()) if fold else pc.equal(tax.name_array, name)
    return np.flatnonzero(np.asarray(same.to_numpy(zero_copy_only=False)))


def _ambiguous(tax: Taxonomy, text: str, found: Int64) -> str:
    return f"taxon {text!r} is ambiguous, {len(found)} fit: write one of {_addresses(tax, found)}"


def _unknown(tax: Taxonomy, text: str) -> str:
    parts = _parts(text)
    missing = next((part for part in parts if not len(_part(tax, part, fold=True))), None)
    if len(parts) > 1 and missing is None:
        return f"no taxon {text!r} in the taxonomy: {parts[-1]!r} is there as {_addresses(tax, _part(tax, parts[-1], fold=True))}"
    if len(parts) > 1:
        text = f"{missing}' of the path '{text}"
    rank, colon, name = (missing or text).partition(RANK_SEPARATOR)
    if colon and rank.strip() in tax.ranks:
        elsewhere = _called(tax, name.strip(), fold=True)
        if len(elsewhere):
            return f"no taxon '{text}' in the taxonomy: {name.strip()!r} is there as {_addresses(tax, elsewhere)}"
        close = [f"{rank.strip()}{RANK_SEPARATOR}{other}" for other in _close(tax, name.strip(), tax.rank_index(rank.strip()))]
    else:
        close = _close(tax, missing or text, None)
    if close:
        return f"no taxon '{text}' in the taxonomy: did you mean {', '.join(close)}?"
    return f"no taxon '{text}' among the {len(tax) - 1:,} of the taxonomy, nor one like it: see biocosmos taxa list COLLECTION"


def _addresses(tax: Taxonomy, found: Int64) -> str:
    """What to type for each of ``found``: rank:name where that tells them apart, else the path, with ranks if need be."""
    ranks = [tax.ranks[rank] if rank >= 0 else "" for rank in tax.rank[found]]
    plain = [_address(tax, node, with_ranks=False) for node in found]
    texts = []
    for node, rank, path in zip(found, ranks, plain, strict=True):
        short = f"{rank}{RANK_SEPARATOR}{tax.names[node]}"
        if rank and len(_part(tax, short, fold=False)) == 1:
            texts.append(short)
        else:
            texts.append(path if plain.count(path) == 1 else _address(tax, node, with_ranks=True))
        if len(texts) == SHOWN:
            break
    more = len(found) - len(texts)
    return ", ".join(texts) + (f" and {more} more" if more else "")


def _address(tax: Taxonomy, node: int, *, with_ranks: bool) -> str:
    names = zip(tax.ranks, tax.path(int(node)), strict=True)
    parts = [f"{rank}{RANK_SEPARATOR}{name}" if with_ranks else name for rank, name in names if name is not None]
    return PATH_SEPARATOR.join([str(tax.names[ROOT]), *parts] if len(parts) < 2 else parts)


def _close(tax: Taxonomy, text: str, rank: int | None) -> list[str]:
    """Names like ``text``, best first: those sharing most pairs of letters with it, then difflib on these few."""
    wanted = text.lower()
    names = pc.unique(tax.name_array if rank is None else tax.name_array.take(pa.array(tax.at_rank(rank))))
    lower = pc.utf8_lower(names)
    pairs = {wanted[i : i + 2] for i in range(len(wanted) - 1)} or {wanted}
    shared = np.zeros(len(names), np.int32)
    for pair in pairs:
        shared += pc.match_substring(lower, pair).to_numpy(zero_copy_only=False)
    length = pc.utf8_length(names).to_numpy(zero_copy_only=False)
    order = np.lexsort((np.abs(length - len(wanted)), -shared))[:COMPARED]
    seen: dict[str, str] = {}
    for name in names.take(pa.array(order)).to_pylist():
        seen.setdefault(name.lower(), name)
    return [seen[name] for name in difflib.get_close_matches(wanted, list(seen), n=SHOWN, cutoff=CLOSE)]
