"""Care of a collection: what is in it is corrected, renamed, removed, merged, and all of it can be undone.

entry.py     one change: who, when, what, and its pieces on disk
log.py       the history of a collection: the entries, and the change that is not finished yet
draft.py     a change while it is made: pieces are written first, the collection last
apply.py     a change carried out on the collection; again after a kill, to the same end
cells.py     what a table of new values changes, cell by cell
undo.py      a change written back

change.py    cells set by id, with history and vectors: what all that correct something stand on
corrections.py  update.py  lineages.py  new_images.py     corrected labels and fields, and the ranks that belong to them
rename_table.py  renames.py  relabel.py          taxa renamed, merged, split
remove.py                                        specimens taken out
parts.py  vectors_of_parts.py  splits_of_parts.py  plan.py  merge.py     collections put together
writing.py   the lock, and what a killed process left
"""

from __future__ import annotations
