"""Groups that no known taxon fits: told from known ones at a stated rate, placed in the tree, and called the same in every
run."""

from __future__ import annotations

import csv
import io
import shutil
import xml.etree.ElementTree as ElementTree
import zipfile

import numpy as np
import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.discover import kept
from biocosmos.discover.unknowns import find_groups, numbered_names, place_groups
from biocosmos.discover.unknowns.placing import _inner
from biocosmos.discover.unknowns.space import whitened
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.discover.unknowns import discover_unknowns
from biocosmos.specimens import by_hand
from biocosmos.taxonomy import Taxonomy

GENERA, PER, DIM = 10, 3, 60
LEFT = ("g3s1", "g7s0", "g8s2")


def unit(x):
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def world(seed=0, each=40, asked=20, left=("g3s1", "g7s0"), noise=0.9):
    """Ten genera of three species about directions of their own: known specimens of all but ``left``, and others asked about.

    Returns (tree, known vectors, their nodes, asked vectors, their species, the species' nodes).
    """
    rng = np.random.default_rng(seed)
    names = [(f"G{g}", f"g{g}s{s}") for g in range(GENERA) for s in range(PER)]
    tree = Taxonomy.from_table({"genus": [name[0] for name in names], "species": [name[1] for name in names]})
    nodes = {species: tree.find(species) for _, species in names}
    genus = {f"G{g}": rng.normal(size=DIM) for g in range(GENERA)}
    middle = {species: unit(genus[of] + 0.8 * rng.normal(size=DIM)) for of, species in names}

    def some(species, count):
        return unit(middle[species] + noise * rng.normal(size=(count, DIM)) / DIM**0.5)

    known = [species for _, species in names if species not in left]
    x = np.concatenate([some(species, each) for species in known])
    taxa = np.repeat([nodes[species] for species in known], each)
    asked_names = np.repeat([species for _, species in names], asked)
    return tree, x, taxa, np.concatenate([some(species, asked) for _, species in names]), asked_names, nodes


def test_the_species_that_nobody_named_are_found_and_placed():
    tree, x, taxa, asked, names, nodes = world(each=200, asked=25, left=LEFT)
    found = find_groups(asked, x, taxa)
    chosen = np.flatnonzero(found.candidates(0.2))
    held = {names[found.labels == group][0] for group in chosen}
    assert held == set(LEFT)
    assert all(len(set(names[found.labels == group])) == 1 for group in chosen)
    labels = np.full(len(asked), -1)
    for place, group in enumerate(chosen):
        labels[found.labels == group] = place
    placing = place_groups(tree, x, taxa, asked, labels)
    for place, group in enumerate(chosen):
        genus = tree.names[tree.parent[nodes[names[found.labels == group][0]]]]
        assert tree.names[placing.nodes[place]] == genus  # as deep as can be: the species is none of the known
    assert placing.wrong <= 0.2


def test_where_everything_is_known_there_are_few_candidates():
    """Over twelve worlds without an unknown species, the runs that have any candidate are about the rate, which is all false
    ones."""
    with_any = 0
    for seed in range(12):
        _, x, taxa, asked, *_ = world(seed=seed, each=24, asked=10, left=())
        with_any += bool(find_groups(asked, x, taxa, seed=seed).candidates(0.2).any())
    assert with_any <= 6  # 12 x 0.2 expected; more than 6 has a probability below 0.01


def test_whitened_directions_vary_alike_within_taxa():
    _, x, taxa, *_ = world(each=200)
    (moved,) = whitened(x * np.linspace(1, 5, DIM, dtype=np.float32), taxa, x * np.linspace(1, 5, DIM, dtype=np.float32))
    rest = np.concatenate([moved[taxa == taxon] - moved[taxa == taxon].mean(axis=0) for taxon in np.unique(taxa)])
    spread = np.linalg.eigvalsh(np.cov(rest.T))
    assert spread.max() / spread.min() < 4  # shrunk: not quite alike


def test_only_taxa_above_the_known_ones_are_places():
    tree = Taxonomy.from_table({"class": ["A", "A", "B"], "genus": ["a", "a", None], "species": ["x", "y", None]})
    inner = _inner(tree, np.array([tree.find("x"), tree.find("y"), tree.find("B")]))
    assert {tree.names[node] for node in np.flatnonzero(inner)} == {"A", "a"}


def test_a_number_stays_with_its_specimens_and_is_never_used_twice():
    first = numbered_names([{"a", "b", "c"}, {"d", "e"}], [])
    assert first == ["BC-001", "BC-002"]
    one = {"a": "BC-001", "b": "BC-001", "c": "BC-001", "d": "BC-002", "e": "BC-002"}
    assert numbered_names([{"d", "e", "f"}, {"a", "b", "c", "g"}, {"h"}], [one]) == ["BC-002", "BC-001", "BC-003"]
    two = {"h": "BC-003"}
    assert numbered_names([{"x", "y"}, {"a", "b"}], [one, two]) == ["BC-004", "BC-001"]  # an older run is not forgotten
    assert numbered_names([{"a"}, {"b", "c"}], [one]) == ["BC-003", "BC-001"]  # of two parts the larger has the number


def test_what_cannot_be_sought_is_said():
    _, x, taxa, asked, *_ = world()
    with pytest.raises(BiocosmosError, match="1 specimens are too few to make a candidate of: ask about at least 5"):
        find_groups(asked[:1], x, taxa)
    with pytest.raises(BiocosmosError, match="fewer than two taxa are known"):
        find_groups(asked, x[:40], taxa[:40])
    with pytest.raises(BiocosmosError, match="known specimens are too few to test groups against"):
        find_groups(asked, x[::40], taxa[::40])


@pytest.fixture
def mine(tmp_path):
    """A collection of 30 species, vectors of which are given; some specimens of all, and all of three, have no name."""
    tree, x, taxa, asked, names, _ = world(each=200, asked=25, left=LEFT)
    ids = [*(f"k{i:04}" for i in range(len(x))), *(f"q{i:03}" for i in range(len(asked)))]
    species = [*(str(tree.names[node]) for node in taxa), *[None] * len(asked)]
    genus = [None if name is None else f"G{name[1]}" for name in species]
    rng = np.random.default_rng(0)
    table = {"id": ids, "label": pa.array(species, pa.string()), "genus": pa.array(genus, pa.string())}
    table |= {"latitude": rng.uniform(40, 41, len(ids)), "longitude": rng.uniform(5, 6, len(ids))}
    table["text"] = ids
    table["date"] = [f"2026-06-{1 + i % 28:02}" for i in range(len(ids))]
    collection = bc.Collection.create(tmp_path / "mine.cosmos")
    collection.add(bc.read(pa.table(table), ranks=("genus", "label")))
    collection.add_embedding("given", ids, np.concatenate([x, asked]))
    collection.add_embedding("other", ids, np.concatenate([x, asked])[:, :30].copy())
    collection.set_default_encoder("given")
    return bc.Collection.open(collection.path), dict(zip(ids[len(x) :], names))


def test_candidates_have_a_dossier_and_the_same_name_in_the_next_run(mine, biocosmos, tmp_path):
    collection, truth = mine
    page, table = tmp_path / "u.html", tmp_path / "u.csv"
    biocosmos("discover", "unknowns", collection.path, "--report", page, "-o", table, "--second-encoder", "other")
    first = kept.read_kept(collection, "unknowns").table().to_pylist()
    groups = {row["candidate"]: {truth[each["id"]] for each in first if each["candidate"] == row["candidate"]} for row in first}
    del groups[None]
    assert set(LEFT) <= set().union(*groups.values())
    html = page.read_text()
    for row in first:
        if row["candidate"]:
            assert row["identificationQualifier"] == f"sp. {row['candidate']}"
            assert row["morphospecies"] == f"{row['taxon'] or 'Incertae sedis'} {row['identificationQualifier']}"  # a genus
            assert row["morphospecies"] in html and row["novel"]
    assert "2026-06-01" in html and "40." in html and "By the other embedding" in html
    again = discover_unknowns(collection, seed=0).table.to_pylist()
    assert {row["id"]: row["candidate"] for row in again} == {row["id"]: row["candidate"] for row in first}


def test_an_archive_says_that_a_machine_found_what_nobody_has_named(mine, biocosmos, tmp_path):
    collection, _ = mine
    table, archive = tmp_path / "u.csv", tmp_path / "new.zip"
    biocosmos("discover", "unknowns", collection.path, "-o", table)
    biocosmos("export", collection.path, "-o", archive, "--format", "darwin-core", "--identifications", table)
    rows = {row["id"]: row for row in kept.read_kept(collection, "unknowns").table().to_pylist() if row["candidate"]}
    with zipfile.ZipFile(archive) as files:  # read as the standard says, with none of our code
        meta = ElementTree.fromstring(files.read("meta.xml"))
        space = {"d": "http://rs.tdwg.org/dwc/text/"}
        (extension,) = [
            each for each in meta.findall("d:extension", space) if each.get("rowType", "").endswith("/Identification")
        ]
        terms = {int(field.get("index")): field.get("term").rpartition("/")[2] for field in extension.findall("d:field", space)}
        own = int(extension.find("d:coreid", space).get("index"))
        name = extension.find("d:files/d:location", space).text
        lines = list(csv.reader(io.StringIO(files.read(name).decode()), delimiter="\t"))[
            int(extension.get("ignoreHeaderLines")) :
        ]
    found = {line[own]: {term: line[place] for place, term in terms.items()} for line in lines}
    assert set(found) == set(rows)
    for id_, said in found.items():
        assert said["scientificName"] == (rows[id_]["taxon"] or "incertae sedis")
        assert said["identificationQualifier"] == rows[id_]["identificationQualifier"]
        assert said["identificationVerificationStatus"] == "PredictedByMachine" and said["identifiedBy"] == "biocosmos"
        assert "method discover unknowns" in said["identificationRemarks"]


def test_a_person_names_a_candidate(mine, biocosmos):
    collection, _ = mine
    found = discover_unknowns(collection).table.to_pylist()
    number = next(row["candidate"] for row in found if row["candidate"])
    members = {row["id"] for row in found if row["candidate"] == number}
    biocosmos("discover", "unknowns", collection.path, "--name", f"{number}=Oithona davisae", "--by", "ada")
    rows = by_hand.current(collection).to_pylist()
    assert {row["id"] for row in rows} == members
    assert {(row["taxon"], row["rank"], row["by"], row["how"]) for row in rows} == {
        ("Oithona davisae", "label", "ada", f"{number} named")
    }
    assert "has no candidate BC-999" in biocosmos("discover", "unknowns", collection.path, "--name", "BC-999=x", fails=1)


def test_nothing_known_nothing_asked_nothing_new(mine, embedded, tmp_path, biocosmos):
    collection, _ = mine
    named = collection.path, "--where", "label IS NOT NULL"
    assert "every specimen has a name" in biocosmos("discover", "unknowns", *named, fails=1)
    assert "nothing is known" in biocosmos("discover", "unknowns", collection.path, "--where", "label IS NULL", fails=1)
    page = tmp_path / "none.html"
    biocosmos("discover", "unknowns", collection.path, "--false-discoveries", "0.0001", "--report", page)
    assert "Nothing new was found" in page.read_text()
    shutil.copytree(embedded.path, tmp_path / "e.cosmos")
    few = discover_unknowns(  # its names are not looked at
        bc.Collection.open(tmp_path / "e.cosmos"), queries="test", false_discoveries=0.1
    )
    assert len(few.table) == 47 and any("no group can be surer" in caveat for caveat in few.report.caveats)
