"""What broke the application once: names with slashes, ids with blanks, a collection that changes in the middle of an act."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from biocosmos.errors import BiocosmosError
from biocosmos.serve.access import Access
from biocosmos.serve.annotating.meaning import LONGEST, understood
from biocosmos.serve.app import make_app
from biocosmos.serve.catalogue import View
from biocosmos.serve.catalogue.taxa import address, resolve
from biocosmos.serve.desk import Desk
from biocosmos.taxonomy import Taxonomy
from brute import collection_of

RANKS = ["phylum", "label"]
SLASHED = {
    "phylum": ["Chordata", "Arthropoda", "Arthropoda", "A/B", "A/B", "A"],
    "label": ["egg/part", "egg/part", "a:b", "a:b", "egg/part", None],
}


@pytest.fixture
def tree() -> Taxonomy:
    return Taxonomy.from_table(pa.table(SLASHED), ranks=RANKS)


def test_every_address_leads_back_to_its_taxon(tree: Taxonomy) -> None:
    for node in range(1, len(tree)):
        assert resolve(tree, address(tree, node)) == node
        meant = understood(tree, RANKS, address(tree, node), tree.ranks[tree.rank[node]])
        assert (meant.taxon, meant.fresh) == (str(tree.names[node]), False)
    with pytest.raises(BiocosmosError, match="no taxon"):
        resolve(tree, "phylum:A/B/label:egg")


@pytest.mark.parametrize(
    "name", ["label:egg", "phylum:A/B/label:egg", "phylum:egg", "/", ":", "...", "x" * (LONGEST + 1), "a\u0007b"]
)
def test_what_is_no_name_makes_no_new_taxon(tree: Taxonomy, name: str) -> None:
    with pytest.raises(BiocosmosError):
        understood(tree, RANKS, name, "label")
    assert understood(tree, RANKS, "egg/whole", "label").fresh


def test_a_taxon_with_a_long_name_or_address_can_be_given() -> None:
    long = {"phylum": ["P" * 150, "Q" * 150], "label": ["other", "other"]}
    tree = Taxonomy.from_table(pa.table(long), ranks=RANKS)
    for node in range(1, len(tree)):
        assert understood(tree, RANKS, address(tree, node)).taxon == str(tree.names[node])


def test_more_ranks_than_a_byte_counts() -> None:
    ranks = [f"rank{i}" for i in range(200)]
    table = pa.table({rank: [f"{rank} a", f"{rank} b"] for rank in ranks})
    tree = Taxonomy.from_table(table, ranks=ranks)
    assert [tree.path(int(node))[-1] for node in tree.index(table)] == ["rank199 a", "rank199 b"]
    assert tree.rank.max() == 199


def test_an_id_keeps_its_blanks_in_an_address() -> None:
    view = View.parse({"like": " trail "})
    assert view.like == " trail " and View.parse(view.query()) == view
    assert View.parse({"taxon": " Copepoda ", "tag": " t "}) == View(taxon="Copepoda", tags=("t",))


def test_a_selection_names_the_same_specimens_whatever_changes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = collection_of(
        tmp_path / "a.cosmos", [{"id": f"s{i}", "label": "copepod" if i > 4 else "egg"} for i in range(10)]
    )
    desk, asked = Desk(collection), Desk.rows_of

    def rows_of(self: Desk, *args, **kwargs) -> np.ndarray:
        found = asked(self, *args, **kwargs)
        collection.remove([f"s{i}" for i in range(5)])
        desk.catalogue.refresh(wait=True)
        assert len(desk.catalogue) == 5
        return found

    monkeypatch.setattr(Desk, "rows_of", rows_of)
    assert desk.ids_of(None, "words=s7") == ["s7"]
    desk.close()


class Full(io.StringIO):
    """A log on a disk that is full."""

    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_fault_is_told_though_it_cannot_be_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, token = Desk(collection_of(tmp_path / "a.cosmos", [{"id": "s0"}])), "t" * 24
    monkeypatch.setattr(Desk, "ids_of", lambda *_, **__: 1 // 0)
    client = TestClient(
        make_app(desk, Access.from_settings(users=None, token=token, host="127.0.0.1")),
        base_url="http://127.0.0.1:8765",
        headers={"Authorization": f"Bearer {token}"},
        raise_server_exceptions=False,
    )
    monkeypatch.setattr(sys, "stderr", Full())
    answer = client.post("/api/export", json={"view": ""})
    assert answer.status_code == 500 and answer.json()["error"].startswith("something went wrong (reference ")
    desk.close()


def test_of_several_taxa_of_one_name_no_other_is_kept_than_was_meant(tmp_path: Path) -> None:
    rows = [{"id": "bird", "class": "Aves", "genus": "Prunella"}, {"id": "herb", "kingdom": "Plantae", "genus": "Prunella"}]
    desk = Desk(collection_of(tmp_path / "a.cosmos", [*rows, {"id": "none"}, {"id": "near", "class": "Aves"}]))
    done = desk.annotations.name(["bird", "herb", "none", "near"], "class:Aves/genus:Prunella", by="ada")
    assert done.rows == 2 and {failure.id for failure in done.failures} == {"herb", "none"}
    moment = desk.catalogue.now
    names = {id_: address(moment.taxonomy, int(node)) for id_, node in zip(moment.stored.ids.to_pylist(), moment.nodes)}
    assert names["bird"] == names["near"] == "class:Aves/genus:Prunella"
    assert names["herb"] == "kingdom:Plantae/genus:Prunella" and names["none"] == ""
    desk.close()
