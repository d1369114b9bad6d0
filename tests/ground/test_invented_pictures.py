"""Pictures of invented specimens: the same from the same seed, in any order; kin look alike; any names will do."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from biocosmos.barcodes.simulate import RANKS, simulate_barcodes
from biocosmos.images import read_image
from biocosmos.images.invented import Inheritance, draw_specimen, picture_of, with_pictures
from biocosmos.images.invented.chance import chance
from biocosmos.images.invented.plans import PLAN_OF

FOUR = ("order", "family", "genus", "species")


def species_of(orders: int = 4, each: int = 3) -> list[tuple[str, ...]]:
    """Paths of a tree with ``each`` children everywhere below its orders."""
    return [
        (f"O{o}", f"O{o}F{f}", f"O{o}F{f}G{g}", f"O{o}F{f}G{g} s{s}")
        for o in range(orders)
        for f in range(each)
        for g in range(each)
        for s in range(each)
    ]


def test_the_same_seed_draws_the_same_file_whatever_else_is_drawn() -> None:
    table = simulate_barcodes(seed=3, species=8, specimens=20)
    all_of_them = with_pictures(table, RANKS, seed=5, size=48)
    some = with_pictures(table.take([17, 2, 9]), RANKS, seed=5, size=48)
    assert some["image"].to_pylist() == all_of_them["image"].take([17, 2, 9]).to_pylist()
    assert len(set(all_of_them["image"].to_pylist())) == 20
    assert with_pictures(table.slice(0, 1), RANKS, seed=6, size=48)["image"][0] != all_of_them["image"][0]


@pytest.mark.parametrize("size", [32, 64, 161])
def test_a_picture_is_a_jpeg_of_its_size(size: int) -> None:
    file = picture_of(Inheritance(0, FOUR), ("Diptera", "Culicidae", "Aedes", "Aedes vexans"), "a", size)
    assert read_image(file).pixels.shape == (size, size, 3)
    assert file[:2] == b"\xff\xd8"


def test_traits_of_kin_are_nearer_the_nearer_the_kin() -> None:
    inheritance = Inheritance(0, FOUR)
    species = [path for path in species_of() if inheritance.facts(path).look is None]
    logits = {path: inheritance.of(path).logits for path in species}
    distances: dict[int, list[float]] = {depth: [] for depth in range(4)}
    for one, other in combinations(species, 2):
        shared = sum(a == b for a, b in zip(one, other))
        distances[shared].append(float(np.linalg.norm(logits[one] - logits[other])))
    means = [np.mean(distances[depth]) for depth in range(4)]
    assert means[3] < 0.8 * means[2] < 0.7 * means[1] < 0.7 * means[0]


def test_specimens_of_a_species_look_alike_in_plain_pixels() -> None:
    """Nearest other picture by pixels, of 24 species of 4 orders with 6 specimens: the species is right far above chance."""
    inheritance = Inheritance(1, FOUR)
    species = species_of(orders=4, each=3)[::4][:24]
    labels = np.repeat(np.arange(len(species)), 6)
    pictures = np.stack(
        [draw_specimen(inheritance, species[label], f"{place}", 48).astype(np.float32) for place, label in enumerate(labels)]
    )
    coarse = pictures.reshape(len(pictures), 8, 6, 8, 6, 3).mean(axis=(2, 4)).reshape(len(pictures), -1)
    coarse -= coarse.mean(axis=1, keepdims=True)
    coarse /= np.linalg.norm(coarse, axis=1, keepdims=True)
    cosines = coarse @ coarse.T
    np.fill_diagonal(cosines, -2)
    right = labels[cosines.argmax(axis=1)] == labels
    order = np.array([path[0] for path in species])[labels]
    assert right.mean() > 4 / len(species)
    assert (order[cosines.argmax(axis=1)] == order).mean() > 0.5


def test_species_of_a_cryptic_genus_do_not_differ() -> None:
    inheritance = Inheritance(0, FOUR)
    genera: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for path in species_of(orders=8):
        genera.setdefault(path[:3], []).append(path)
    cryptic = {genus for genus, paths in genera.items() if all(inheritance.facts(path).cryptic for path in paths)}
    assert 0.02 < len(cryptic) / len(genera) < 0.2
    assert all(not inheritance.facts(path).cryptic for genus, paths in genera.items() if genus not in cryptic for path in paths)
    for genus, paths in genera.items():
        vectors = [inheritance.of(path).logits for path in paths]
        same = all(np.array_equal(vector, vectors[0]) for vector in vectors)
        assert same == (genus in cryptic)


def test_convergent_species_of_two_orders_have_the_colours_of_one_another() -> None:
    inheritance = Inheritance(0, FOUR)
    by_look: dict[int, list[tuple[str, ...]]] = {}
    for path in species_of(orders=12):
        look = inheritance.facts(path).look
        if look is not None:
            by_look.setdefault(look, []).append(path)
    pairs = [(a, b) for paths in by_look.values() for a, b in combinations(paths, 2) if a[0] != b[0]]
    apart = [(a, b) for a, b in combinations([paths[0] for paths in by_look.values()], 2) if a[0] != b[0]]
    assert len(pairs) > 10

    def distance(one: tuple[str, ...], other: tuple[str, ...]) -> float:
        return float(np.linalg.norm(np.subtract(inheritance.of(one).colour("mark"), inheritance.of(other).colour("mark"))))

    assert np.mean([distance(*pair) for pair in pairs]) < 0.5 * np.mean([distance(*pair) for pair in apart])


def test_beetles_have_wing_cases_and_spiders_eight_legs() -> None:
    inheritance = Inheritance(0, ("class", *FOUR))
    assert inheritance.of(("Insecta", "Coleoptera", "Carabidae", "Carabus", "Carabus auratus")).plan.elytra
    assert inheritance.of(("Arachnida", "Araneae")).plan.leg_pairs == 4
    assert inheritance.of(("Insecta", "Diptera", "Culicidae")).plan == PLAN_OF["Diptera"]


def test_ranks_between_are_passed_over_and_a_bin_stands_for_a_species() -> None:
    inheritance = Inheritance(0, ("order", "family", "subfamily", "genus", "species"))
    assert inheritance.path(["O", "F", "S", "G", "G s"], "bin") == ("O", "F", "G", "G s")
    assert inheritance.path(["O", "F", None, "G", None], "bin") == ("O", "F", "G", "?bin")
    one, other = (picture_of(inheritance, inheritance.path(["O", "F", s, "G", "G s"], "x"), "a", 32) for s in (None, "S"))
    assert one == other


HOSTILE = ["", " ", "a\nb", "../../etc/passwd", "名前", "\ud800", "NULL", "x" * 5000, "\x00", "=1+1"]


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_can_be_drawn(name: str) -> None:
    inheritance = Inheritance(0, FOUR)
    assert len(picture_of(inheritance, (name, name, name, name), name, 32)) > 200
    assert len(picture_of(inheritance, (None, None, None, f"?{name}"), name, 32)) > 200


@pytest.mark.parametrize("ranks", [("species",), ("group", "kind"), ("subfamily", "tribe"), ("a", "b", "c", "d", "e", "f")])
def test_any_ranks_can_be_drawn(ranks: tuple[str, ...]) -> None:
    inheritance = Inheritance(0, ranks)
    for names in (["x"] * len(ranks), [None] * len(ranks)):
        assert len(picture_of(inheritance, inheritance.path(names, "i"), "i", 32)) > 200


def test_every_plan_is_drawn_within_its_frame() -> None:
    inheritance = Inheritance(0, FOUR)
    for order in PLAN_OF:
        pixels = draw_specimen(inheritance, (order, "F", "G", "G s"), "a", 64).astype(float)
        assert pixels.std() > 8, order  # something is there


def test_words_of_a_draw_are_kept_apart() -> None:
    assert chance(0, "a", "bc").random() != chance(0, "ab", "c").random()
    assert chance(0, None).random() != chance(0, "").random()
    assert chance(0, "a").random() == chance(0, "a").random()
