"""Search over HTTP gives what ``biocosmos search`` gives, restricted as a brute-force filter restricts it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asked import ask, desk_over, error, png, site_of
from fastapi.testclient import TestClient

import biocosmos as bc
from biocosmos.jobs.search import search_collection
from biocosmos.jobs.settings import SearchSettings
from biocosmos.serve.desk import Desk
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS
from tiny_clip import save_tiny_clip


@pytest.fixture(scope="module")
def desk(embedded: bc.Collection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    yield from desk_over(embedded, tmp_path_factory.mktemp("asking"))


@pytest.fixture(scope="module")
def site(desk: Desk) -> TestClient:
    return site_of(desk)


def ids_of(desk: Desk, count: int, start: int = 0) -> list[str]:
    return [str(id_) for id_ in desk.catalogue.ids.to_pylist()[start : start + count]]


def told(answer: dict[str, Any]) -> tuple[list[str], Any]:
    near = answer["neighbours"]
    return [one["id"] for one in near], np.array([one["score"] for one in near])


def expected(desk: Desk, k: int, **asked: Any) -> list[tuple[list[str], Any]]:
    table, _, _ = search_collection(desk.collection, SearchSettings(k=k, **asked))
    rows: dict[str, list[tuple[str, float]]] = {}
    for query, id_, score in zip(*(table[name].to_pylist() for name in ("query", "id", "score")), strict=True):
        rows.setdefault(query, []).append((id_, score))
    return [([id_ for id_, _ in found], np.array([score for _, score in found])) for found in rows.values()]


def same(found: tuple[list[str], Any], wanted: tuple[list[str], Any]) -> bool:
    return found[0] == wanted[0] and bool(np.allclose(found[1], wanted[1], atol=2e-6, rtol=0))


def test_specimens_find_what_the_command_line_finds_and_never_themselves(site: TestClient, desk: Desk) -> None:
    ids = ids_of(desk, 3, 40)
    answer = ask(site, "/api/search", json={"ids": ids, "k": 7}).json()
    assert [one["name"] for one in answer["answers"]] == ids and answer["among"] == 300 and not answer["refused"]
    for found, wanted, id_ in zip(answer["answers"], expected(desk, 7, id=tuple(ids)), ids, strict=True):
        assert same(told(found), wanted) and id_ not in told(found)[0]
    again = site.get("/api/search", params={"id": ids[0], "k": 7}).json()
    assert again["answers"][0] == answer["answers"][0]
    near = desk.asking.nearest(ids[0], 7)
    assert [one.id for one in near] == told(answer["answers"][0])[0]


def test_images_find_what_the_command_line_finds_and_a_broken_one_is_a_row(site: TestClient, desk: Desk, tmp_path: Path) -> None:
    files, paths = [], []
    for number, id_ in enumerate(ids_of(desk, 4, 100)):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(desk.collection.image_bytes(id_) or b"")
        paths.append(path)
        files.append(("images", (path.name, path.read_bytes())))
    files.insert(2, ("images", ("broken.jpg", b"not an image")))
    files.append(("images", ("cut.jpg", paths[0].read_bytes()[:900])))
    answer = ask(site, "/api/search", files=files, data={"k": "5"}).json()
    assert [one["name"] for one in answer["answers"]] == [path.name for path in paths]
    assert {one["name"] for one in answer["refused"]} == {"broken.jpg", "cut.jpg"}
    assert all(one["reason"] for one in answer["refused"])
    for found, wanted in zip(answer["answers"], expected(desk, 5, images=tuple(paths)), strict=True):
        assert same(told(found), wanted)


def test_what_may_be_found_is_what_a_filter_leaves(site: TestClient, desk: Desk) -> None:
    id_ = ids_of(desk, 1, 7)[0]
    everything = told(ask(site, "/api/search", json={"ids": [id_], "k": 299}).json()["answers"][0])
    moment = desk.catalogue.now
    tree = moment.taxonomy
    part = set(desk.collection.split("default").part("train").to_pylist())
    node = next(node for node, _ in Counter(tree.ancestor(moment.nodes, "phylum").tolist()).most_common() if node > 0)
    taxon = f"phylum:{tree.name(node)}"
    row_of = dict(zip(moment.stored.ids.to_pylist(), range(300), strict=True))

    def kept(ids: list[str], *, in_part: bool, in_taxon: bool) -> list[str]:
        inside = [i for i in ids if not in_taxon or node <= moment.nodes[row_of[i]] < tree.end[node]]
        return [i for i in inside if not in_part or i in part]

    for asked in ({"taxon": taxon}, {"part": "train"}, {"taxon": taxon, "part": "train"}):
        wanted = kept(everything[0], in_part="part" in asked, in_taxon="taxon" in asked)
        answer = ask(site, "/api/search", params=asked, json={"ids": [id_], "k": 20})
        found = answer.json()["answers"][0]
        assert told(found)[0] == wanted[:20] and wanted
    for nowhere in ({"from": "1700", "to": "1701"}, {"box": "0,0,0.001,0.001"}):
        answer = site.get("/api/search", params={"id": id_, **nowhere}).json()
        assert answer["among"] == 0 and answer["answers"][0]["neighbours"] == []


def test_neighbours_vote_at_every_rank(site: TestClient, desk: Desk) -> None:
    answer = ask(site, "/api/search", json={"ids": ids_of(desk, 1, 3), "k": 12}).json()["answers"][0]
    for rank in desk.catalogue.taxonomy.ranks:
        column = desk.collection.take([one["id"] for one in answer["neighbours"]], columns=[rank])[rank].to_pylist()
        counts = Counter(name for name in column if name)
        said = [vote for vote in answer["votes"] if vote["rank"] == rank]
        assert {vote["taxon"]: vote["count"] for vote in said} == dict(counts)
        assert not said or sum(vote["weight"] for vote in said) == pytest.approx(1, abs=1e-4)
        assert [vote["count"] for vote in said] == sorted((vote["count"] for vote in said), reverse=True)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "nothing to search for"),
        ({"text": ["a copepod"]}, "has no text tower"),
        ({"dna": ["ACGT"]}, "no encoder of barcodes"),
        ({"ids": ["x"], "k": 0}, "ask for 1 to 500"),
        ({"ids": ["x"], "k": "many"}, "must be a whole number"),
        ({"ids": ["x"], "encoder": "nobody"}, "there is no embedding"),
        ({"ids": ["x"], "colour": "red"}, "an address cannot say 'colour'"),
        ({"ids": [f"id {i}" for i in range(51)]}, "too many for one search"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(site: TestClient, given: dict[str, Any], says: str) -> None:
    assert says in error(ask(site, "/api/search", json=given))


def test_an_unknown_specimen_is_a_row_and_the_others_go_on(site: TestClient, desk: Desk) -> None:
    known = ids_of(desk, 1)[0]
    answer = ask(site, "/api/search", json={"ids": ["<script>", known], "k": 3}).json()
    assert [one["name"] for one in answer["answers"]] == [known]
    assert answer["refused"] == [{"name": "<script>", "reason": "there is no specimen '<script>'"}]


def test_the_page_shows_answers_and_escapes_what_strangers_send(site: TestClient, desk: Desk) -> None:
    known = ids_of(desk, 1)[0]
    page = site.get("/search", params={"like": known, "k": 5, "part": "train"})
    assert (
        page.status_code == 200
        and known in page.text
        and 'data-test="no-texts"' in page.text
        and "no encoder of barcodes" in page.text
    )
    files = [("images", ("<script>alert(1)</script>.png", png())), ("images", ("../../etc/passwd", b"root:x"))]
    shown = ask(site, "/search/results?k=4", files=files)
    assert shown.status_code == 200 and "<script>" not in shown.text and "&lt;script&gt;" in shown.text
    assert shown.text.count('data-test="tile"') == 4 and "data:image/jpeg;base64," in shown.text
    assert "../../etc/passwd" in shown.text and 'data-test="refused"' in shown.text and "style=" not in shown.text
    assert site.get("/search", params={"like": known, "colour": "red"}).status_code == 400


def test_added_vectors_are_found_and_removed_specimens_are_not(embedded: bc.Collection, tmp_path: Path) -> None:
    shutil.copytree(embedded.path, tmp_path / "mine.cosmos")
    desk = Desk(bc.Collection.open(tmp_path / "mine.cosmos"))
    try:
        ids = ids_of(desk, 300)
        first, second = (one.id for one in desk.asking.nearest(ids[0], 2, wait=60))
        bc.Collection.open(desk.collection.path).remove([first])
        desk.catalogue.refresh(wait=True)
        desk.asking.refresh()
        for _ in range(200):
            near = desk.asking.nearest(ids[0], 2, wait=60)
            if len(desk.asking.galleries.get(desk.asking.encoder(), wait=60)) == 299:
                break
        assert near[0].id == second and first not in [one.id for one in near]
    finally:
        desk.close()


def test_a_view_is_sorted_by_likeness(desk: Desk) -> None:
    id_ = ids_of(desk, 1, 11)[0]
    near = desk.asking.nearest(id_, 20, wait=60)
    rows = desk.catalogue.rows(desk.catalogue.view({"like": id_, "sort": "likeness"}))
    assert [one.row for one in near] == [int(row) for row in rows if int(row) != desk.catalogue.row_of(id_)][:20]


def test_words_are_searched_for_where_the_encoder_has_a_text_tower(sample_table: Any, tmp_path: Path) -> None:
    mine = bc.Collection.create(tmp_path / "words.cosmos")
    mine.add(Source("words", "sample", sample_table.slice(0, 40).to_batches(), SAMPLE_RANKS), pack=True)
    bc.embed(mine, str(save_tiny_clip(tmp_path / "clip", seed=3)))
    desk = Desk(mine)
    try:
        site = site_of(desk)
        answer = ask(site, "/api/search", json={"text": ["a copepod", "a fish"], "ids": ids_of(desk, 1), "k": 5}).json()
        assert [one["kind"] for one in answer["answers"]] == ["text", "text", "specimen"]
        for found, words in zip(answer["answers"], ("a copepod", "a fish"), strict=False):
            assert found["name"] == words and same(told(found), expected(desk, 5, text=(words,))[0])
        assert 'data-test="text"' in site.get("/search", params={"text": "a copepod"}).text
        assert "shorten it" in error(ask(site, "/api/search", json={"text": ["x" * 501]}))
    finally:
        desk.close()
