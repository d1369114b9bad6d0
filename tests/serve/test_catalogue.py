"""The catalogue against an oracle that reads row by row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.serve.catalogue import SORTS, STATES, Catalogue, View
from brute import RANKS, Row, collection_of, ids_of, leaves, path_of, plain, state_of

NAMES = {
    "kingdom": ["Animalia", "Plantae", None],
    "class": ["Aves", "Copépoda", None, None],
    "genus": ["Prunella", "Calanus", "O'Brien", "ƀeta", None],
}
WORDS = ["", "prun", "COPEPODA", "a", "calanus 1", "no/such", "/", "café", "ALAN"]
GROUPS = ["x", "y", " y ", "", None, "<script>alert(1)</script>"]
DATES = [None, "2019", "2019-05", "2019-05-31", "2019-05-31T10:00:00", "2020-02-29T23:59:00Z", "rubbish"]


def rows_of_numbers(count: int, seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)

    def one(values: list[Any]) -> Any:
        return values[rng.integers(len(values))]

    rows = []
    for number in range(count):
        placed = rng.random() < 0.8
        row = {rank: one(names) for rank, names in NAMES.items()}
        row |= {"id": one(["café/", "b/", "B/", "a b/"]) + str(number), "group": one(GROUPS), "date": one(DATES)}
        row |= {"longitude": float(rng.integers(-36, 37) * 5) if placed else None}
        row |= {"latitude": float(rng.integers(-18, 19) * 5) if placed or rng.random() < 0.1 else None}
        rows.append(row)
    return rows


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Catalogue, list[Row]]]:
    rows = rows_of_numbers(160, 0)
    collection = collection_of(tmp_path_factory.mktemp("known") / "a.cosmos", rows)
    split = collection.make_split("random")
    part = dict(zip(split.ids.to_pylist(), split.parts.to_pylist()))
    for row in rows:
        row |= {"part": part[row["id"]], "state": state_of(row)}
        row["date"] = None if row["date"] == "rubbish" else row["date"]
    yield Catalogue(collection), rows


@st.composite
def views(draw: Any) -> View:
    rank = draw(st.sampled_from(RANKS))
    name = draw(st.sampled_from([name for name in NAMES[rank] if name]))
    unique = st.just(f"{rank}:{name}") if rank == "kingdom" else st.none()
    sides = st.integers(-36, 36).map(lambda step: step * 5.0)
    south, north = sorted(draw(st.tuples(*[st.integers(-18, 18)] * 2)))
    columns = st.sampled_from([("group", "x"), ("group", "y"), ("group", ""), ("group", "z"), ("genus", "Calanus")])
    return View(
        taxon=draw(st.none() | unique),
        part=draw(st.sampled_from([None, "train", "test"])),
        states=tuple(draw(st.lists(st.sampled_from(STATES), max_size=2))),
        words=draw(st.sampled_from(WORDS)),
        box=draw(st.none() | st.tuples(sides, st.just(south * 5.0), sides, st.just(north * 5.0))),
        dates=draw(st.tuples(*[st.sampled_from([None, "2019", "2019-05", "2019-05-31", "2020-02"])] * 2)),
        columns=tuple(draw(st.lists(columns, max_size=3))),
        sort=draw(st.sampled_from(["stored", "id", "date"])),
        reverse=draw(st.booleans()),
    )


@given(view=views(), count=st.integers(1, 70))
@settings(max_examples=150)
def test_pages_are_what_row_by_row_gives(known: tuple[Catalogue, list[Row]], view: View, count: int) -> None:
    catalogue, rows = known
    want = ids_of(view, rows)
    assert catalogue.ids_of(catalogue.rows(view)) == want
    found, after = [], None
    while True:
        page = catalogue.page(view, after, count)
        assert page.total == len(want) and len(page.rows) <= count
        found += catalogue.ids_of(page.rows)
        if page.next is None:
            break
        assert found[-1] == page.next
        after = page.next
    assert found == want


@given(view=views())
def test_the_tree_counts_what_the_view_leaves(known: tuple[Catalogue, list[Row]], view: View) -> None:
    catalogue, rows = known
    bare = View(**{**vars(view), "taxon": None})
    left = [path_of(row) for row in rows if leaves(bare, row)]

    def below(path: list[tuple[str, str]]) -> dict[tuple[str, str], tuple[int, bool]]:
        deeper = [each for each in left if each[: len(path)] == path and len(each) > len(path)]
        steps = {each[len(path)] for each in deeper}
        return {
            step: (
                sum(each[len(path)] == step for each in deeper),
                any(each[len(path)] == step and len(each) > len(path) + 1 for each in deeper),
            )
            for step in steps
        }

    def walk(node: int, path: list[tuple[str, str]]) -> None:
        found = catalogue.tree(node, view)
        assert {(each.rank, each.name): (each.count, each.has_children) for each in found} == below(path)
        for each in found:
            here = [*path, (each.rank, each.name)]
            assert each.own == sum(other == here for other in left)
            walk(each.node, here)

    walk(0, [])


@given(view=views())
def test_facets_leave_their_own_filter_out(known: tuple[Catalogue, list[Row]], view: View) -> None:
    catalogue, rows = known
    found = catalogue.facets(view, ["group"])

    def left(**without: Any) -> list[Row]:
        return [row for row in rows if leaves(View(**{**vars(view), **without}), row)]

    assert found.total == len(left())
    assert found.states == {state: sum(row["state"] == state for row in left(states=())) for state in STATES}
    parts = {part: sum(row["part"] == part for row in left(part=None)) for part in ("train", "val", "test")}
    assert found.parts["default"] == parts
    columns = {each.column: each for each in found.columns}
    others = tuple(each for each in view.columns if each[0] != "group")
    values: dict[str, int] = {}
    for row in left(columns=others):
        value = (row["group"] or "").strip()
        values[value] = values.get(value, 0) + 1
    assert columns["group"].counts == values and columns["group"].rest == 0
    assert set(columns) == {"group", *(name for name, _ in view.columns)}
    undated = [row for row in left(dates=(None, None)) if row["date"] is None]
    dates = found.dates
    assert dates.without == len(undated)
    assert sum(bar.count for bar in dates.bars) + dates.coarser + dates.without == len(left(dates=(None, None)))
    placed = [row for row in left(box=None) if row["latitude"] is not None and row["longitude"] is not None]
    assert found.places == len(placed)
    if placed:
        assert found.box is not None
        west, south, east, north = found.box
        assert (south, north) == (min(row["latitude"] for row in placed), max(row["latitude"] for row in placed))
        assert all(
            west <= row["longitude"] <= east if west <= east else row["longitude"] >= west or row["longitude"] <= east
            for row in placed
        )


@given(words=st.sampled_from(["pru", "COPÉ", "copepoda", "beta", "'", "a", "zzz", "brien", "  Aves "]))
def test_taxa_are_found_without_accents_and_case(known: tuple[Catalogue, list[Row]], words: str) -> None:
    catalogue, rows = known
    found = catalogue.find_taxa(words, 1000)
    want = {each for row in rows for i in range(len(RANKS)) for each in [tuple(path_of(row)[: i + 1])] if each}
    want = {each for each in want if plain(words) in plain(each[-1][1])}
    assert {(each.rank, each.name, each.path) for each in found} == {
        (*each[-1], tuple(name for _, name in each[:-1])) for each in want
    }
    for each in found:
        path = [*each.path, each.name]
        assert each.specimens == sum([name for _, name in path_of(row)][: len(path)] == path for row in rows)
        assert catalogue.count(catalogue.view({"taxon": each.taxon})) == each.specimens  # its address is it, homonym or not
    starts = [plain(each.name).startswith(plain(words)) for each in found]
    assert starts == sorted(starts, reverse=True)
    assert catalogue.find_taxa(words, 2) == found[:2]


def test_what_is_not_there_is_named(known: tuple[Catalogue, list[Row]]) -> None:
    catalogue, _ = known
    for query, said in [
        ("taxon=Nothing", "no taxon 'Nothing'"),
        ("taxon=Prunella", "ambiguous"),
        ("part=dev", "no part 'dev'"),
        ("part=other:train", "no split 'other'"),
        ("part=..%2F..%2Fx:train", "no split"),
        ("is.nothing=1", "no column 'nothing'"),
        ("is.image=1", "no column 'image'"),
        ("like=nobody", "no specimen has the id 'nobody'"),
        ("tag=a", "asks for a tag"),
        ("cluster=a", "asks for a cluster"),
        ("region=1,2,3,4,5,6", "asks for a region"),
    ]:
        with pytest.raises(BiocosmosError, match=said):
            catalogue.rows(catalogue.view(query))
    with pytest.raises(BiocosmosError, match="no specimen has the id"):
        catalogue.page(View(), "nobody")
    for count in (0, 1001):
        with pytest.raises(BiocosmosError, match="a page has"):
            catalogue.page(View(), None, count)


def test_rows_of_ids(known: tuple[Catalogue, list[Row]]) -> None:
    catalogue, rows = known
    ids = [row["id"] for row in rows]
    for asked in (ids[::-7], ids, [], ["", "nobody", ids[3], ids[3] + "x", ids[3][:-1] + "\U0010ffff"]):
        assert catalogue.rows_of_ids(asked).tolist() == [ids.index(id_) if id_ in ids else -1 for id_ in asked]
    assert catalogue.table([5, 2, 5], ["id", "group"])["id"].to_pylist() == [ids[5], ids[2], ids[5]]
    assert catalogue.table([], ["id"]).num_rows == 0


def test_other_rooms_answer_filters(known: tuple[Catalogue, list[Row]]) -> None:
    catalogue, rows = known
    catalogue = Catalogue(catalogue.collection)
    tags: dict[str, list[int]] = {"a": [1, 5, 7], "b": [5, 7, 9]}
    version = [0]
    catalogue.register("tag", lambda tag: tags[tag], lambda: version[0])
    catalogue.tell_tags(lambda: sorted(tags))
    catalogue.register("region", lambda corners: np.arange(len(rows)) % 2 == 0)
    catalogue.register("like", lambda id_: np.where(np.arange(len(rows)) < 10, np.arange(len(rows)), np.nan))
    assert catalogue.rows(View(tags=("a", "b"))).tolist() == [5, 7]
    assert catalogue.facets(View(tags=("a",))).tags == {"a": 3, "b": 3}
    tags["a"] = [5]
    assert catalogue.rows(View(tags=("a", "b"))).tolist() == [5, 7]  # the room says that nothing changed
    version[0] += 1
    assert catalogue.rows(View(tags=("a", "b"))).tolist() == [5]
    assert catalogue.rows(View(region=((0, 0), (1, 0), (0, 1)))).tolist() == list(range(0, len(rows), 2))
    alike = catalogue.rows(View(like=rows[0]["id"], sort="likeness")).tolist()
    assert alike == [*range(9, -1, -1), *range(10, len(rows))]  # what has no likeness comes last
    catalogue.register("like", lambda id_: np.zeros(3, np.float32))
    with pytest.raises(BiocosmosError, match="another version"):
        catalogue.rows(View(like=rows[1]["id"], sort="likeness"))


def test_a_page_goes_on_behind_a_specimen_that_left_the_view(known: tuple[Catalogue, list[Row]]) -> None:
    catalogue, rows = known
    view = View(states=("unlabelled",), sort="id")
    want = ids_of(view, rows)
    others = ids_of(View(states=("validated",), sort="id"), rows)
    for gone in others:
        page = catalogue.page(view, gone, 1000)
        assert catalogue.ids_of(page.rows) == [id_ for id_ in want if id_.encode() > gone.encode()]


def test_an_empty_collection(tmp_path: Path) -> None:
    catalogue = Catalogue(collection_of(tmp_path / "a.cosmos", []))
    assert len(catalogue) == 0 and catalogue.tree() == [] and catalogue.find_taxa("a") == []
    assert catalogue.page(View()).total == 0 and catalogue.page(View(sort="novelty", words="a")).next is None
    facets = catalogue.facets(View(), ["id"])
    assert facets.total == 0 and facets.box is None and facets.dates.bars == () and facets.columns[0].counts == {}
    for sort in SORTS:
        if sort != "likeness":
            assert len(catalogue.rows(View(sort=sort, reverse=True))) == 0


@pytest.mark.parametrize("ranks", [(), ("genus",)])
def test_nobody_named_anything(tmp_path: Path, ranks: tuple[str, ...]) -> None:
    rows = [{"id": f"x/{i}", "group": "a"} for i in range(5)]
    catalogue = Catalogue(collection_of(tmp_path / "a.cosmos", rows, ranks))
    assert catalogue.tree() == [] and catalogue.facets(View()).states["unlabelled"] == 5
    assert catalogue.count(View(words="x/3")) == 1 and catalogue.count(View(words="life")) == 0
    with pytest.raises(BiocosmosError, match="no taxon"):
        catalogue.view("taxon=Calanus")


def test_hostile_names(tmp_path: Path) -> None:
    names = [
        "<script>alert(1)</script>",
        "مجدافيات",
        "a\"b'c",
        "x" * 10_000,
        "a/b:c",
        "genus:Calanus",
        "../..",
        "%00&taxon=x",
        "\u202eevil",
    ]
    rows = [{"id": f"{name[:50]}/{i}?#&", "genus": name} for i, name in enumerate(names)]
    catalogue = Catalogue(collection_of(tmp_path / "a.cosmos", rows, ("genus",)))
    assert {each.name for each in catalogue.tree()} == set(names)
    for each in catalogue.tree():
        view = catalogue.view(View(taxon=each.taxon).query())
        assert catalogue.count(view) == 1, each.name[:50]
        assert catalogue.find_taxa(each.name[:60], 5)[0].name == each.name
    assert catalogue.rows_of_ids([row["id"] for row in rows]).tolist() == list(range(len(rows)))


def test_a_label_that_repeats_its_taxon_is_no_branch(tmp_path: Path) -> None:
    ranks = ("class", "label")
    rows = [
        {"id": "1", "class": "Aves", "label": "Aves"},
        {"id": "2", "class": "Aves", "label": "chick"},
        {"id": "3", "class": "Aves"},
    ]
    catalogue = Catalogue(collection_of(tmp_path / "a.cosmos", rows, ranks))
    (aves,) = catalogue.tree()
    assert (aves.name, aves.count, aves.own, aves.has_children) == ("Aves", 3, 2, True)
    assert [each.name for each in catalogue.tree(aves.taxon)] == ["chick"]
    assert [each.rank for each in catalogue.find_taxa("aves")] == ["class"]


def test_other_names_that_the_data_has(tmp_path: Path) -> None:
    rows = [
        {"id": "1", "genus": "Calanus", "vernacularName": "Hüpferling", "scientificName": "Calanus Leach, 1816"},
        {"id": "2", "genus": "Calanus", "vernacularName": "copepod", "scientificName": "Calanus"},
        {"id": "3", "genus": "Aves", "vernacularName": "bird"},
    ]
    catalogue = Catalogue(collection_of(tmp_path / "a.cosmos", rows, ("genus",)))
    assert [(each.name, each.synonym) for each in catalogue.find_taxa("hupf")] == [("Calanus", "Hüpferling")]
    assert [(each.name, each.synonym) for each in catalogue.find_taxa("calanus")] == [("Calanus", "")]
    assert catalogue.count(View(words="HÜPFERLING")) == 2 and catalogue.count(View(words="bird")) == 1


def test_several_threads_ask_while_names_are_given(known: tuple[Catalogue, list[Row]], tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    _, rows = known
    stored = [{key: row[key] for key in ("id", *RANKS, "group")} for row in rows]
    collection = collection_of(tmp_path / "a.cosmos", stored)
    catalogue = Catalogue(collection)

    def ask(turn: int) -> None:
        if turn % 5 == 0:
            bc.specimens.by_hand.record(collection, {"id": [rows[turn]["id"]], "taxon": ["Animalia"]}, by=f"p{turn % 3}")
            catalogue.refresh()
        moment = catalogue.now
        states = catalogue.facets(View(), moment=moment).states
        for state in STATES:
            view = View(states=(state,))
            assert catalogue.page(view, moment=moment).total == states[state]
        assert sum(each.count for each in catalogue.tree(0, moment=moment)) == int((moment.nodes > 0).sum())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(60)))
