"""Zero-shot training: taxa without an image placed by what is known of them, on small written-out cases and the sample."""

from __future__ import annotations

import math
import shutil
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import ot
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import biocosmos as bc
from biocosmos.cli import main
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import read_tables
from biocosmos.evaluate.generalised_zero_shot.report import generalised_zero_shot
from biocosmos.evaluate.generalised_zero_shot.tables import Asked
from biocosmos.identify.namers.placed_prototypes import CHOSEN_ON, SEEN, UNSEEN, PlacedPrototypes
from biocosmos.jobs.zero_shot_ablation import UNTRAINED
from biocosmos.nn.contrastive import SupervisedContrastive
from biocosmos.nn.gromov import cosine_distances, gromov_wasserstein, stretch
from biocosmos.nn.prototypes import Prototypes, from_relatives, relative_weights
from biocosmos.nn.standardised import StandardisedProjection
from biocosmos.taxonomy import Taxonomy
from biocosmos.train.prototypes.geometry import coupling, geometry, read_attributes, shared_ranks, shared_words
from biocosmos.train.prototypes.handicap import best_handicap, harmonic_mean
from biocosmos.train.prototypes.held_out_taxa import taxa_roles
from biocosmos.train.prototypes.settings import ZeroShotSettings, zero_shot_settings
from biocosmos.train.prototypes.training import VARIANTS, train_zero_shot

SMALL = {
    "freeze": True,
    "epochs": 3,
    "batch_size": 32,
    "dim": 16,
    "hidden": 32,
    "device": "cpu",
    "choose_on": 1,
    "hold_out": "2",
    "precision": "float32",
}
TREE = pa.table(
    {
        "group": ["copepod", "copepod", "copepod", "diatom", "diatom", None],
        "label": ["calanoid_eggs", "calanoid", "oithona_eggs", "chain_tube", "chainString", "blob"],
    }
)


def unit(n: int, d: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=1)


# ---------------------------------------------------------------------------------------------------- the terms of the loss


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(2, 9), classes=st.integers(1, 5), t=st.floats(0.05, 2))
def test_the_contrastive_loss_is_khosla_s_equation_written_out(seed: int, n: int, classes: int, t: float) -> None:
    z = unit(n, 4, seed)
    labels = torch.randint(classes, (n,), generator=torch.Generator().manual_seed(seed))
    terms = []
    for i in range(n):
        alike = [p for p in range(n) if p != i and labels[p] == labels[i]]
        below = sum(math.exp(float(z[i] @ z[a]) / t) for a in range(n) if a != i)
        if alike:
            terms.append(-sum(math.log(math.exp(float(z[i] @ z[p]) / t) / below) for p in alike) / len(alike))
    expected = sum(terms) / len(terms) if terms else 0.0
    z.requires_grad_(True)
    found = SupervisedContrastive(t)(z, labels)
    assert float(found.detach()) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    found.backward()
    assert z.grad is not None and bool(torch.isfinite(z.grad).all())


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(2, 5), m=st.integers(2, 5))
def test_gromov_wasserstein_is_the_sum_over_all_quadruples_and_pots_value_at_pots_plan(seed: int, n: int, m: int) -> None:
    first, second = cosine_distances(unit(n, 3, seed)), cosine_distances(unit(m, 3, seed + 1))
    margins = np.full(n, 1 / n), np.full(m, 1 / m)
    plan, log = ot.gromov.gromov_wasserstein(first.numpy(), second.numpy(), *margins, "square_loss", log=True)
    value = gromov_wasserstein(first, second, torch.from_numpy(plan))
    assert float(value) == pytest.approx(float(log["gw_dist"]), abs=1e-9)
    written_out = sum(
        (float(first[i, j]) - float(second[k, q])) ** 2 * plan[i, k] * plan[j, q]
        for i in range(n)
        for j in range(n)
        for k in range(m)
        for q in range(m)
    )
    assert float(value) == pytest.approx(written_out, abs=1e-9)


def test_the_gradient_of_gromov_wasserstein_is_that_of_its_value_and_the_stretch_makes_it_least() -> None:
    points, second = unit(4, 3, 0).requires_grad_(True), cosine_distances(unit(4, 3, 1))
    plan = torch.from_numpy(coupling("labels", np.zeros((4, 4)), np.zeros((4, 4)), np.ones(4, bool)))
    assert torch.autograd.gradcheck(lambda p: gromov_wasserstein(cosine_distances(F.normalize(p, dim=1)), second, plan), points)
    first = cosine_distances(points.detach())
    best = float(stretch(first, second, plan))
    values = {a: float(gromov_wasserstein(first, a * second, plan)) for a in (best, best * 0.99, best * 1.01)}
    assert min(values, key=lambda a: values[a]) == best


def test_a_free_coupling_is_blind_to_labels_and_a_fused_one_is_not() -> None:
    distances = cosine_distances(unit(6, 3, 4)).numpy()
    turned = np.roll(np.arange(6), 1)
    mixed = distances[np.ix_(turned, turned)]  # the same geometry, every prototype being another taxon
    free = coupling("free", mixed, distances, np.ones(6, bool))
    assert float(gromov_wasserstein(*map(torch.from_numpy, (mixed, distances, free)))) == pytest.approx(0, abs=1e-6)
    assert np.diag(coupling("fused", mixed, distances, np.ones(6, bool))).sum() == pytest.approx(1)
    held = np.array([True] * 4 + [False] * 2)
    assert np.diag(coupling("fused", distances, distances, held))[:4].sum() == pytest.approx(4 / 6)


# ---------------------------------------------------------------------------------------------------- what is known of taxa


def test_the_geometry_counts_shared_ranks_and_words() -> None:
    tree = Taxonomy.from_table(TREE, ["group", "label"])
    nodes = tree.index(TREE)
    ranks = shared_ranks(tree, nodes)
    np.testing.assert_array_equal(ranks[0], [1, 1, 1, 0, 0, 0])
    assert ranks[5].sum() == 0  # null group: it hangs under the root
    words = shared_words(["calanoid_eggs", "oithona_eggs", "chainString", "chain_string"])
    assert words[0, 1] == pytest.approx(0.5) and words[2, 3] == pytest.approx(1) and words[0, 2] == 0
    known = geometry(tree, nodes)
    apart = known.distances()
    assert apart.max() == 1 and np.all(np.diag(apart) == 0) and apart[0, 2] < apart[0, 3]
    assert np.linalg.eigvalsh(known.kernel).min() > -1e-9


def test_attributes_are_read_and_refused_when_incomplete(tmp_path: Path) -> None:
    table = tmp_path / "traits.csv"
    table.write_text("taxon,length,spines\na,1,0\nb,2,0\nc,3,4\n")
    np.testing.assert_allclose(read_attributes(table, ["a", "b", "c"]).mean(0), 0, atol=1e-12)
    with pytest.raises(BiocosmosError, match="no row for taxon 'd'"):
        read_attributes(table, ["a", "d"])
    table.write_text("taxon,length\na,long\n")
    with pytest.raises(BiocosmosError, match="not a number"):
        read_attributes(table, ["a"])
    tree = Taxonomy.from_table(TREE, ["group", "label"])
    with pytest.raises(BiocosmosError, match=r"--geometry 'tree.genes' is not known"):
        geometry(tree, tree.index(TREE), "tree+genes")


def test_a_taxon_without_images_stands_where_kriging_says() -> None:
    kernel = torch.tensor([[1.0, 1, 0, 1], [1, 1, 0, 1], [0, 0, 1, 0], [1, 1, 0, 1]], dtype=torch.float64)
    hidden = torch.tensor([False, False, False, True])
    weights = relative_weights(kernel, hidden, own=1.0)[0].numpy()
    # least squares by hand: minimise w'(K+I)w - 2 k'w with sum w = 1, by brute force over a grid of two free weights
    covariance, with_it = kernel[:3, :3].numpy() + np.eye(3), kernel[:3, 3].numpy()
    grid = np.linspace(-0.5, 1.5, 401)
    a, b = np.meshgrid(grid, grid, indexing="ij")
    w = np.stack([a, b, 1 - a - b], -1)
    error = np.einsum("...i,ij,...j", w, covariance, w) - 2 * w @ with_it
    best = w[np.unravel_index(error.argmin(), error.shape)]
    np.testing.assert_allclose(weights, best, atol=0.005)
    assert weights.sum() == pytest.approx(1) and weights[0] == pytest.approx(weights[1])
    points = unit(4, 5, 0)
    placed = from_relatives(points, kernel, hidden, own=1.0)
    np.testing.assert_allclose(placed[0], F.normalize(torch.from_numpy(weights) @ points[:3], dim=0), atol=1e-12)
    with pytest.raises(BiocosmosError, match="hold out fewer"):
        relative_weights(kernel, torch.ones(4, dtype=torch.bool), own=1.0)


def test_the_standardised_projection_folds_into_a_plain_one() -> None:
    x = F.normalize(torch.randn(50, 12) + 3, dim=1)
    made = StandardisedProjection(x.mean(0), x.std(0), 4, hidden=6, dropout=0.5)
    assert made.projection.branch is not None
    torch.nn.init.normal_(made.projection.branch[2].weight)
    np.testing.assert_allclose(made.eval()(x).detach(), made.folded()(7 * x).detach(), atol=1e-4)


def test_the_handicap_is_the_one_of_the_best_harmonic_mean_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    vectors, points = unit(60, 4, 1).numpy(), unit(5, 4, 2).numpy()
    truth = rng.integers(0, 5, 60)
    seen = np.array([True, True, True, False, False])
    found = best_handicap(vectors, truth, points, seen, ~seen)
    best = (0.0, -1.0)
    for handicap in np.round(np.arange(0, 0.605, 0.01), 2):
        answer = (vectors @ points.T - handicap * seen).argmax(1)
        shares = [np.mean([(answer[truth == c] == c).mean() for c in np.flatnonzero(own)]) for own in (seen, ~seen)]
        if harmonic_mean(*shares) > best[1] + 1e-12:
            best = (float(handicap), harmonic_mean(*shares))
    assert (found.handicap, found.harmonic) == pytest.approx(best)


# ---------------------------------------------------------------------------------------------------- training


@pytest.fixture
def collection(embedded: bc.Collection, tmp_path: Path) -> bc.Collection:
    """A copy that a test may change, with its embedding and split."""
    shutil.copytree(embedded.path, tmp_path / "mine.cosmos")
    return bc.Collection.open(tmp_path / "mine.cosmos")


def test_taxa_are_held_out_whole_and_keep_a_seen_relative(embedded: bc.Collection) -> None:
    taxa = taxa_roles(embedded, ranks="group,label", hold_out="2", choose_on=1)
    assert [int(taxa.of(role).sum()) for role in (UNSEEN, CHOSEN_ON)] == [2, 1]
    parents = taxa.taxonomy.parent[taxa.nodes]
    for parent in parents[~taxa.of(SEEN)]:
        assert parent > 0 and (taxa.of(SEEN) & (parents == parent)).any()
    again = taxa_roles(embedded, ranks="group,label", hold_out="2", choose_on=1, draw=1)
    assert taxa.named(UNSEEN) != again.named(UNSEEN)
    named = taxa_roles(embedded, ranks="group,label", hold_out=taxa.named(UNSEEN)[0], choose_on=0)
    assert named.named(UNSEEN) == taxa.named(UNSEEN)[:1]
    with pytest.raises(BiocosmosError, match=r"--hold-out 900: only \d+ taxa can be held out"):
        taxa_roles(embedded, ranks="group,label", hold_out="900")
    with pytest.raises(BiocosmosError, match="--place learnt needs the Gromov-Wasserstein term"):
        ZeroShotSettings(place="learnt", gromov=0.0)


def test_a_training_leaves_an_encoder_and_prototypes_and_goes_on_after_a_kill(collection: bc.Collection, tmp_path: Path) -> None:
    own = zero_shot_settings(**SMALL, ranks="group,label", plan_steps=3)
    result = train_zero_shot(collection, own, tmp_path / "run")
    taxa, placed = result.taxa, PlacedPrototypes.load(tmp_path / "run")
    assert list(placed.roles) == list(taxa.roles) and np.allclose(np.linalg.norm(placed.points, axis=1), 1, atol=1e-5)
    encoder = bc.load_encoder(str(tmp_path / "run"))
    stored = collection.gallery("efficientnet-lite0", split="test", columns=["group", "label"])
    vectors = encoder.project(stored.vectors)
    truth = taxa.taxonomy.index(stored.columns)
    said = placed.predictions(stored.ids.tolist(), vectors, truth)
    assert said.logits.shape == (len(stored), len(taxa.nodes)) and np.allclose(np.exp(said.log_p[:, 0]), 1)
    assert train_zero_shot(collection, own, tmp_path / "run").already_done
    with pytest.raises(BiocosmosError, match=r"begun with --gromov 10\.0, not 0\.0"):
        train_zero_shot(collection, replace(own, gromov=0.0), tmp_path / "run")
    # killed after the second epoch: the folder as it was then, with its last checkpoint
    (tmp_path / "half").mkdir()
    half = _stopped(collection, own, tmp_path / "half", epochs=2)
    assert half.history.resumed_at > 0
    np.testing.assert_allclose(half.prototypes.points, placed.points, atol=1e-6)


def _stopped(collection: bc.Collection, own: ZeroShotSettings, folder: Path, epochs: int) -> object:
    """Train until the validation after ``epochs`` epochs fails as a kill would, and again to the end."""
    from biocosmos.train.prototypes.tasks import ZeroShotTask

    seen = 0
    validate = ZeroShotTask.validate

    def killed(self: ZeroShotTask, model: torch.nn.Module) -> dict[str, float]:
        nonlocal seen
        seen += 1
        if seen > epochs:
            raise KeyboardInterrupt
        return validate(self, model)

    patch = pytest.MonkeyPatch()
    patch.setattr(ZeroShotTask, "validate", killed)
    with pytest.raises(KeyboardInterrupt):
        train_zero_shot(collection, own, folder)
    patch.undo()
    return train_zero_shot(collection, own, folder)


def test_images_are_trained_too(collection: bc.Collection, tmp_path: Path) -> None:
    small = {**SMALL, "freeze": None, "epochs": 1, "batch_size": 16, "freeze_stages": 4, "workers": 1}
    own = zero_shot_settings(**small, size=32, ranks="group,label", validation="", coupling="free")
    train_zero_shot(collection, own, tmp_path / "run")
    encoder = bc.load_encoder(str(tmp_path / "run"))
    assert encoder.dim == 16 and encoder.preprocessing.size == 32 and encoder.base is None


def test_an_ablation_asks_all_models_the_same_and_writes_a_page(
    collection: bc.Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (
        "--ranks group,label --hold-out 2 --choose-on 1 --freeze --epochs 2 --batch-size 32 --dim 16 --hidden 32 --device cpu"
    )
    words = [
        "train",
        "zero-shot",
        str(collection.path),
        *options.split(),
        "--ablate",
        "--chimeras",
        "6",
        "-o",
        str(tmp_path / "out"),
    ]
    monkeypatch.setattr(sys, "argv", ["biocosmos", *words])
    with suppress(SystemExit):
        main()
    rows = read_tables(tmp_path / "out")["ablation"].to_pylist()
    assert {row["variant"] for row in rows} == {*VARIANTS, UNTRAINED}
    assert {row["role"] for row in rows} >= {SEEN, UNSEEN, "harmonic mean", "among unseen", "right parent"}
    answers = read_tables(tmp_path / "out")["answers"].to_pylist()
    assert len({row["queries"] for row in answers if row["role"] == SEEN}) == 1
    kinds = read_tables(tmp_path / "out")["anomalies"]["anomalies"].to_pylist()
    assert set(kinds) == {"halves", "quadrants", UNSEEN}
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Generalised zero-shot" in page and collection.split().hash in page


# ---------------------------------------------------------------------------------------------------- evaluation


def test_the_numbers_of_the_report_are_those_counted_by_hand() -> None:
    tree = Taxonomy.from_table(TREE, ["group", "label"])
    nodes = np.unique(tree.index(TREE)).astype(np.int32)
    roles = np.array([SEEN, UNSEEN, SEEN, SEEN, UNSEEN, SEEN], object)
    points = np.eye(6, 8, dtype=np.float32)
    model = PlacedPrototypes(tree, nodes, points, roles, np.float32(0.1) * (roles != UNSEEN), 16.0)
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 6, 80)
    vectors = rng.normal(size=(80, 8)) + 1.5 * points[truth]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    strange = unit(30, 8, 0).numpy().astype(np.float32)
    report = generalised_zero_shot({("full", 0): Asked(model, vectors, truth, vectors[:20], {"noise": strange})}, ks=(1, 2))
    scores = vectors @ points.T - 0.1 * (roles != UNSEEN)
    ranked = np.argsort(-scores, axis=1)
    for role in (SEEN, UNSEEN):
        own = roles[truth] == role
        for k in (1, 2):
            hit = (ranked[:, :k] == truth[:, None]).any(1)
            micro, macro = hit[own].mean(), np.mean([hit[truth == c].mean() for c in np.flatnonzero(roles == role)])
            found = {row["average"]: row["value"] for row in report.rows("answers", role=role, k=k)}
            assert found == pytest.approx({"micro": micro, "macro": macro})
    a, b = (report.rows("answers", role=role, k=1, average="macro")[0]["value"] for role in (SEEN, UNSEEN))
    assert report.rows("answers", role="harmonic mean", k=1, average="macro")[0]["value"] == pytest.approx(harmonic_mean(a, b))
    known = 1 - (vectors @ points.T).max(1)[roles[truth] == SEEN]
    odd = 1 - (strange @ points.T).max(1)
    pairs = np.mean([(x > known).mean() + (x == known).mean() / 2 for x in odd])
    assert report.rows("anomalies", anomalies="noise", score="prototypes")[0]["mean"] == pytest.approx(pairs)


def test_prototypes_refuse_vectors_of_another_encoder_and_a_folder_without_them(tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError, match="is not the folder of a finished"):
        PlacedPrototypes.load(tmp_path)
    tree = Taxonomy.from_table(TREE, ["group", "label"])
    nodes = np.unique(tree.index(TREE)).astype(np.int32)
    model = PlacedPrototypes(tree, nodes, np.eye(6, 8, dtype=np.float32), np.full(6, SEEN, object), np.zeros(6, np.float32), 16.0)
    with pytest.raises(BiocosmosError, match="vectors of 4 numbers cannot be compared with prototypes of 8"):
        model.scores(np.ones((2, 4), np.float32))
    with pytest.raises(BiocosmosError, match="2 taxa, 2 dimensions"):
        Prototypes(1, 8)
