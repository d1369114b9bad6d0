"""Search by DNA over HTTP gives what ``biocosmos search --dna`` gives; what cannot be asked is said in a line."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
from asked import ask, desk_over, error, png, site_of, zipped
from barcoded import KMER, barcodes_alone, with_barcodes
from fastapi.testclient import TestClient

import biocosmos as bc
from biocosmos.barcodes.alignment import align
from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.jobs.search import search_collection
from biocosmos.jobs.settings import SearchSettings
from biocosmos.serve.desk import Desk
from biocosmos.specimens.resident import resident_gallery
from biocosmos.specimens.resident_barcodes import ResidentBarcodes


@pytest.fixture(scope="module")
def coi(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    return barcodes_alone(tmp_path_factory.mktemp("coi"))


@pytest.fixture(scope="module")
def desk(coi: bc.Collection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    yield from desk_over(coi, tmp_path_factory.mktemp("dna"))


@pytest.fixture(scope="module")
def site(desk: Desk) -> TestClient:
    return site_of(desk)


@pytest.fixture(scope="module")
def both(embedded: bc.Collection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    made = with_barcodes(embedded, tmp_path_factory.mktemp("both"))
    for desk in desk_over(made, tmp_path_factory.mktemp("served")):
        yield site_of(desk)


def barcodes(collection: bc.Collection) -> list[tuple[str, str]]:
    table = collection.table(["id", "barcode"])
    return list(zip(table["id"].to_pylist(), table["barcode"].to_pylist()))


def test_a_resident_gallery_of_counts_answers_as_the_gallery_does(coi: bc.Collection) -> None:
    wanted, found = coi.gallery(KMER), resident_gallery(coi, KMER)
    assert isinstance(found, ResidentBarcodes) and wanted.counts is not None
    assert found.ids.to_pylist() == wanted.ids.tolist() and found.numbers == wanted.counts.nbytes
    rows = np.array([0, 100, 239])
    near, hits = (
        found.search(found.vectors(rows), 9, exclude=rows),
        wanted.search(wanted.counts.take(rows), 9, exclude=wanted.ids[rows]),
    )
    assert np.array_equal(near.rows, hits.rows) and np.array_equal(near.scores, hits.scores)
    mask = np.arange(240) % 7 == 0
    near, hits = found.search(found.vectors(rows), 50, mask=mask), wanted.search(wanted.counts.take(rows), 50, mask=mask)
    assert np.array_equal(near.rows, hits.rows) and (near.rows[:, 35:] == -1).all()
    likeness = found.likeness(found.vectors([100]), 5)
    assert np.allclose(likeness, wanted.vectors @ wanted.vectors[100], atol=1e-5)
    every = found.search(found.vectors([100]), 240)
    assert np.array_equal(likeness[every.rows[0]], every.scores[0])
    found.close()


def test_a_barcode_finds_what_the_command_line_finds(site: TestClient, coi: bc.Collection) -> None:
    letters = [barcode for _, barcode in barcodes(coi)[3:80:19]]
    answer = ask(site, "/api/search", json={"dna": letters, "k": 12}).json()
    assert answer["encoder"] == KMER and answer["among"] == 240 and not answer["refused"]
    table = search_collection(coi, SearchSettings(k=12, dna=tuple(letters)))[0]
    told = [(one["id"], one["score"]) for each in answer["answers"] for one in each["neighbours"]]
    assert [id_ for id_, _ in told] == table["id"].to_pylist()
    assert np.allclose([score for _, score in told], table["score"].to_numpy(), atol=1e-6)
    every = [one for each in answer["answers"] for one in each["neighbours"]]
    assert np.allclose([one["identity"] for one in every], table["identity"].to_numpy(), atol=1e-3)
    for name in ("alignment_length", "gaps"):
        assert [one[name] for one in every] == table[name].to_pylist()
    known = dict(barcodes(coi))
    for asked, one in zip(letters, answer["answers"], strict=True):
        for near in one["neighbours"][:3]:
            found = align(asked, known[near["id"]])
            assert near["identity"] == pytest.approx(100 * found.identity, abs=1e-3)
            assert (near["alignment_length"], near["gaps"]) == (found.length, found.gaps)
        assert one["kind"] == "dna" and one["votes"][-1]["rank"] == "species"


def test_letters_are_cleaned_and_fasta_is_read_pasted_or_as_a_file(site: TestClient, coi: bc.Collection) -> None:
    (first, letters), (second, others) = barcodes(coi)[0], barcodes(coi)[200]
    plain = ask(site, "/api/search", json={"dna": [letters], "k": 5}).json()["answers"][0]["neighbours"]
    dirty = "-" + letters.lower().replace("t", "u")[:300] + "\n " + letters[300:]
    assert ask(site, "/api/search", json={"dna": [dirty], "k": 5}).json()["answers"][0]["neighbours"] == plain
    fasta = f">{first} seen\r\n{letters[:80]}\r\n{letters[80:]}\r\n>{second};tax=k:x\n{others}\n>bad\nLMNOP!\n"
    wanted = ask(site, "/api/search", json={"dna": [letters, others], "k": 5}).json()["answers"]
    for given in (
        {"data": {"dna": fasta, "k": "5"}},
        {"data": {"k": "5"}, "files": {"images": ("some.fasta", fasta.encode())}},
        {"data": {"k": "5"}, "files": {"images": ("some.zip", zipped({"in/some.fa": fasta.encode()}))}},
        {"data": {"k": "5"}, "files": {"images": ("no suffix", fasta.encode())}},
    ):
        found = ask(site, "/api/search", **given).json()
        assert [one["neighbours"] for one in found["answers"]] == [one["neighbours"] for one in wanted]
        assert found["answers"][0]["name"] == first
        (bad,) = found["refused"]
        assert bad["name"] == "bad" and "letters that stand for no nucleotide" in bad["reason"]


def test_specimens_are_compared_by_their_barcodes_and_do_not_find_themselves(site: TestClient, coi: bc.Collection) -> None:
    id_ = barcodes(coi)[17][0]
    near = ask(site, "/api/search", json={"ids": [id_], "k": 6}).json()["answers"][0]["neighbours"]
    assert id_ not in [one["id"] for one in near] and all("identity" in one for one in near)
    assert near == ask(site, "/api/search", json={"ids": [id_], "k": 6, "encoder": KMER}).json()["answers"][0]["neighbours"]
    mine = site.get(f"/api/specimen/nearest?id={id_}&k=6").json()["nearest"]
    assert [one["id"] for one in mine] == [one["id"] for one in near] and mine[0]["note"].endswith("bases")
    assert [one["id"] for one in near] == search_collection(coi, SearchSettings(k=6, id=(id_,)))[0]["id"].to_pylist()
    within = near[0]["path"][5]  # its genus
    some = ask(site, f"/api/search?taxon={within}", json={"ids": [id_], "k": 200}).json()
    assert some["among"] < 240 and all(within in one["path"] for one in some["answers"][0]["neighbours"])
    table = search_collection(coi, SearchSettings(k=200, id=(id_,), within=within))[0]
    assert [one["id"] for one in some["answers"][0]["neighbours"]] == table["id"].to_pylist()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"json": {"dna": ["ACGT"]}}, "nothing to compare: no k-mer"),
        ({"json": {"dna": ["NNNNNNNNNNNN"]}}, "nothing but unknown bases"),
        ({"json": {"dna": ["MKVLAAGIE"]}}, "letters that stand for no nucleotide"),
        ({"files": {"images": ("empty.fasta", b"")}}, "no sequence"),
        ({"files": {"images": ("some.csv", b"id,colour\na,red\n")}}, "no column that is surely"),
        ({"files": {"images": ("long.fasta", b">contig\n" + b"ACGT" * 30_000)}}, "more than --max-length"),
        ({"files": {"images": ("packed.fasta.gz", b"\x1f\x8b\x08\0\0\0\0\0")}}, ""),
    ],
)
def test_what_is_no_barcode_is_refused_with_its_reason(site: TestClient, asked: dict[str, object], said: str) -> None:
    found = ask(site, "/api/search", **asked).json()
    assert not found["answers"] and len(found["refused"]) == 1 and said in found["refused"][0]["reason"]


def test_too_much_and_other_kinds_are_refused_in_a_line(site: TestClient) -> None:
    assert "51 barcodes are too many" in error(ask(site, "/api/search", json={"dna": ["ACGTACGTAC"] * 51}))
    many = b"".join(b">%d\n%s\n" % (number, b"ACGTAACCGGTT" * 20) for number in range(500))
    assert "too many" in error(ask(site, "/api/search", files={"images": ("many.fasta", many)}))
    assert "send longer ones as a file" in error(ask(site, "/api/search", json={"dna": ["A" * 100_001]}))
    assert "compares DNA barcodes, not images" in error(ask(site, "/api/search", files={"images": ("a.png", png())}))
    assert "knows no words" in error(ask(site, "/api/search", json={"text": "a fly"}))


def test_an_embedding_is_chosen_by_what_is_asked_where_none_is_named(both: TestClient) -> None:
    letters = str(simulate_barcodes(seed=4, species=6, specimens=30)["barcode"][7])
    found = ask(both, "/api/search", json={"dna": [letters], "k": 3}).json()
    assert found["encoder"] == KMER and found["among"] == 30 and found["answers"][0]["neighbours"][0]["score"] > 0.999
    pictured = ask(both, "/api/search", files={"images": ("a.png", png())}).json()
    assert pictured["encoder"] == "efficientnet-lite0" and pictured["among"] == 300
    assert "choose kmer:7" in error(ask(both, "/api/search", json={"dna": [letters], "encoder": "efficientnet-lite0"}))
    assert "not images" in error(ask(both, "/api/search", files={"images": ("a.png", png())}, data={"dna": letters}))
    page = both.get("/search").text
    assert 'data-test="dna"' in page and "whichever takes what is asked about" in page and "Images or FASTA files" in page
    id_ = found["answers"][0]["neighbours"][0]["id"]
    assert "Nearest barcodes" in both.get(f"/specimen?id={id_}").text
    assert 'data-test="overlap"' in ask_again(both, f"/specimen/barcodes?id={id_}")


def ask_again(site: TestClient, path: str) -> str:
    """A piece of a page, once the gallery is ready."""
    for _ in range(60):
        text = site.get(path).text
        if "data-test" in text and "waiting" not in text:
            return text
        time.sleep(0.5)
    return text
