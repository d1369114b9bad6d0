"""Networks over barcodes: BERT written out step by step, an encoder that sees no hidden token, losses written as loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from biocosmos.nn.barcode.autoencoder import MaskedAutoencoder
from biocosmos.nn.barcode.convolution import BarcodeCNN
from biocosmos.nn.barcode.embedder import BarcodeEmbedder
from biocosmos.nn.barcode.objectives import (
    MaskedTokens,
    NeighbourDistillation,
    SupervisedContrastive,
    hide,
    token_loss,
)
from biocosmos.nn.barcode.pooling import pooled
from biocosmos.nn.barcode.transformer import BarcodeTransformer

WIDTH, HEADS = 12, 3


def norm(x: torch.Tensor, layer: nn.LayerNorm) -> torch.Tensor:
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) / (variance + 1e-12).sqrt() * layer.weight + layer.bias


def bert(model: BarcodeTransformer, ids: list[int], real: int) -> torch.Tensor:
    """Hidden states (t, width) of one barcode, as in BERT's paper: post-norm, erf GELU, softmax over ``real`` tokens."""
    e = model.embeddings
    x = torch.stack([e.tokens.weight[id_] + e.positions.weight[i] + e.segments.weight[0] for i, id_ in enumerate(ids)])
    x = norm(x, e.norm)
    for layer in model.layers:
        size, mixed = WIDTH // HEADS, torch.zeros_like(x)
        q, k, v = (x @ part.weight.T + part.bias for part in (layer.query, layer.key, layer.value))
        for head in range(HEADS):
            own = slice(head * size, (head + 1) * size)
            weights = (q[:, own] @ k[:real, own].T / math.sqrt(size)).softmax(-1)
            mixed[:, own] = weights @ v[:real, own]
        x = norm(x + mixed @ layer.attended.weight.T + layer.attended.bias, layer.attended_norm)
        inner = x @ layer.inner.weight.T + layer.inner.bias
        inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
        x = norm(x + inner @ layer.outer.weight.T + layer.outer.bias, layer.outer_norm)
    return x


@pytest.fixture
def model() -> BarcodeTransformer:
    torch.manual_seed(0)
    made = BarcodeTransformer(20, WIDTH, 2, HEADS, 24, 16).eval()
    for weights in made.parameters():
        nn.init.normal_(weights, std=0.4)
    return made


def test_hidden_states_are_those_of_bert(model: BarcodeTransformer) -> None:
    ids = torch.randint(0, 20, (3, 7))
    lengths = (7, 4, 1)
    real = torch.arange(7) < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        found = model(ids, real)
        for row, length in enumerate(lengths):
            torch.testing.assert_close(found[row], bert(model, ids[row].tolist(), length), rtol=1e-4, atol=1e-5)


def test_pads_change_nothing_and_a_barcode_of_pads_has_numbers(model: BarcodeTransformer) -> None:
    network = BarcodeEmbedder(20, WIDTH, 1, HEADS, 24, 16).eval()
    tokens = torch.tensor([[5, 6, 7, -1, -1, -1], [-1] * 6])
    with torch.no_grad():
        vectors = network(tokens)
        torch.testing.assert_close(network(tokens[:1, :3]), vectors[:1], rtol=1e-5, atol=1e-6)
    assert torch.isfinite(vectors).all()


def test_the_three_poolings() -> None:
    hidden = torch.arange(8.0).view(1, 4, 2)
    real = torch.tensor([[True, True, False, False]])
    assert pooled(hidden, real, "mean").tolist() == [[1.0, 2.0]]
    assert pooled(hidden, real, "mean-all").tolist() == [[3.0, 4.0]]
    assert pooled(hidden, real, "cls").tolist() == [[0.0, 1.0]]


def test_windows_and_the_bag_are_sums_of_token_vectors() -> None:
    torch.manual_seed(0)
    network = BarcodeEmbedder(20, WIDTH, 1, HEADS, 24, 16, window=3, bag=True).eval()
    tokens = torch.tensor([[5, 6, 7, 8, 1, -1, -1]])  # 1 is [UNK]: it says nothing
    table = network.encoder.embeddings.tokens.weight
    with torch.no_grad():
        total = table[5] + table[6] + table[7] + table[8]
        torch.testing.assert_close(network(tokens)[0], total / total.norm())  # what is beside it begins at zero
        seen = []
        network.encoder.embeddings.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        network(tokens)
    torch.testing.assert_close(seen[0][0, 0], (table[5] + table[6] + table[7]) / math.sqrt(3))
    torch.testing.assert_close(seen[0][0, 1], table[8] / math.sqrt(3))
    assert not seen[0][0, 2].any()


def test_a_masked_autoencoder_sees_no_hidden_token_and_says_something_of_it() -> None:
    torch.manual_seed(0)
    made = MaskedAutoencoder(
        BarcodeTransformer(20, WIDTH, 1, HEADS, positions=16), 18, layers=1, heads=HEADS, positions=16
    ).eval()
    tokens = torch.randint(2, 20, (2, 6))
    hidden = torch.tensor([[0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 1, 0]]).bool()
    real = torch.tensor([[1, 1, 1, 1, 1, 0], [1] * 6]).bool()
    with torch.no_grad():
        logits = made(tokens, real, hidden)
        other = torch.where(hidden, (tokens + 3) % 20, tokens)
        torch.testing.assert_close(made(other, real, hidden), logits)
        assert logits.shape == (2, 6, 18)
        changed = tokens.clone()
        changed[0, 0] = (changed[0, 0] + 1) % 20
        assert not torch.allclose(made(changed, real, hidden)[0, 1], logits[0, 1])
        torch.testing.assert_close(made(changed, real, hidden)[1], logits[1])


def test_half_of_the_k_mers_are_hidden_and_no_other_token() -> None:
    tokens = torch.randint(2, 20, (50, 30))
    tokens[:, :3], tokens[:, 25:] = 1, -1
    torch.manual_seed(1)
    hidden = hide(tokens, 2, 0.5)
    assert (hidden.sum(1) == 11).all() and not hidden[tokens < 2].any()  # 22 k-mers each
    torch.manual_seed(1)
    assert torch.equal(hide(tokens, 2, 0.5), hidden)


def test_the_loss_of_tokens_is_over_all_or_over_hidden_ones() -> None:
    torch.manual_seed(0)
    tokens = torch.tensor([[1, 2, 3, 4, -1]])
    hidden = torch.tensor([[False, True, False, False, False]])
    logits = torch.randn(1, 5, 3)
    each = [-logits[0, i].log_softmax(0)[int(tokens[0, i]) - 2] for i in (1, 2, 3)]
    torch.testing.assert_close(token_loss(logits, tokens, hidden, 2, over="all"), torch.stack(each).mean())
    torch.testing.assert_close(token_loss(logits, tokens, hidden, 2, over="masked"), each[0])


def test_masked_tokens_are_replaced_by_the_mask() -> None:
    torch.manual_seed(0)
    made = MaskedTokens(BarcodeEmbedder(18, WIDTH, 1, HEADS, positions=8), 0, 2).eval()
    tokens, hidden = torch.tensor([[5, 6, 7, -1]]), torch.tensor([[True, False, False, False]])
    with torch.no_grad():
        logits = made(tokens, hidden)
        torch.testing.assert_close(made(torch.tensor([[9, 6, 7, -1]]), hidden), logits)
    assert logits.shape == (1, 4, 16)


def test_supervised_contrast_as_a_loop() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(6, 4)
    labels = torch.tensor([[0, 7], [0, 7], [1, 7], [2, 8], [-1, 8], [-1, -1]])
    z = nn.functional.normalize(vectors, dim=1)
    total = 0.0
    for rank, weight in ((0, 1.0), (1, 0.5)):
        terms = []
        for i in range(6):
            others = [a for a in range(6) if a != i]
            same = [a for a in others if labels[i, rank] >= 0 and labels[a, rank] == labels[i, rank]]
            if same:
                below = torch.logsumexp(torch.stack([z[i] @ z[a] / 0.3 for a in others]), 0)
                terms.append(-sum(z[i] @ z[p] / 0.3 - below for p in same) / len(same))
        total += weight * sum(terms) / len(terms)
    torch.testing.assert_close(SupervisedContrastive(0.3, (1.0, 0.5))(vectors, labels), torch.as_tensor(total))
    assert float(SupervisedContrastive(0.3, (1.0,))(vectors, torch.arange(6)[:, None])) == 0.0


def test_distillation_is_least_where_the_neighbours_agree() -> None:
    torch.manual_seed(0)
    z = nn.functional.normalize(torch.randn(5, 3), dim=1)
    loss = NeighbourDistillation(0.2)
    own = loss(z, z @ z.T)
    rows = (z @ z.T / 0.2).masked_fill(torch.eye(5).bool(), -math.inf).softmax(1)
    entropy = -(rows * rows.clamp_min(1e-30).log()).sum(1).mean()
    torch.testing.assert_close(own, entropy)
    assert float(loss(torch.randn(5, 3), z @ z.T)) > float(own)


def test_the_cnn_has_the_published_sizes() -> None:
    made = BarcodeCNN().eval()
    assert (made.linear.in_features, made.linear.out_features) == (1920, 500)
    with torch.no_grad():
        found = made(torch.randint(0, 5, (2, 660)))
    assert found.shape == (2, 500) and float(found.abs().max()) <= 1
