"""Zero-shot naming with a space: its tower of images asks by names as its tower of texts was trained on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import biocosmos as bc
from biocosmos.encoders.spaces import read_space, save_space
from biocosmos.encoders.taxon_tokens import TaxonTokens
from biocosmos.encoders.text_models import TransformerTexts, save_transformer
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.zero_shot.report import zero_shot
from biocosmos.identify.namers.text import TEMPLATES, ZeroShotNamer, prompts
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.jobs.evaluate_settings import EvaluateSettings
from biocosmos.jobs.identify import identify_collection
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.nn.text_transformer import TextTransformer
from biocosmos.specimens.taxon_texts import Wording
from biocosmos.taxonomy import Taxonomy
from space_sample import both, space

RANKS = ("family", "genus", "species")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """both.cosmos, embedded with run/image; a tower of texts of three of its ranks beside it, with random weights."""
    folder = tmp_path_factory.mktemp("zero-shot")
    collection = both(folder)
    wording = Wording(RANKS)
    texts = wording.texts(collection.table(list(collection.ranks), split="train"), collection.ranks)
    tokens = TaxonTokens.learnt([text for text in texts if text])
    space(folder / "run")
    torch.manual_seed(0)
    network = TextTransformer(tokens.size, 16, 32, 0, 4, tokens.length)
    digest = save_transformer(folder / "run" / "text", network, tokens, wording, training={})
    digests = dict(read_space(folder / "run").digests) | {"text": digest}
    save_space(folder / "run", digests, dim=16, training={})  # type: ignore[arg-type]
    bc.embed(collection, str(folder / "run" / "image"))
    return folder


def test_all_leaves_are_candidates_by_their_names_at_the_ranks_of_the_tower(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = bc.Collection.open(place / "both.cosmos")
    encoder = bc.load_encoder(str(place / "run"))
    asked: list[str] = []
    features = TransformerTexts.features

    def noted(self: TransformerTexts, texts: list[str]) -> object:
        asked.extend(texts)
        return features(self, texts)

    monkeypatch.setattr(TransformerTexts, "features", noted)
    name = str(place / "run" / "image")
    known = collection.gallery(name, split="train")
    namer = bc.Identifier.fit(known, method="zero-shot", encoder=encoder)
    everything = collection.table(list(collection.ranks)).to_pylist()
    unseen = {row["species"] for row in collection.table(["species"], split="test_unseen").to_pylist()}
    wanted = {" ".join([row["family"], row["species"]]) for row in everything}
    assert unseen and set(asked) == wanted, "every species of the taxonomy, no order, the genus not twice"
    queries = collection.gallery(name, split="test_unseen")
    assert isinstance(namer.namer, ZeroShotNamer)
    by_hand = queries.vectors @ encoder.encode_texts(sorted(wanted)).T
    best = namer.namer.classes[namer.namer.scores(queries.vectors).argmax(1)]
    names = [str(collection.taxonomy.names[node]) for node in best]
    assert [sorted(wanted)[row].split(" ", 1)[1] for row in by_hand.argmax(1)] == names
    assert len(namer.identify(queries)) == len(queries)


def test_barcodes_are_named_by_the_same_names(place: Path) -> None:
    collection = bc.Collection.open(place / "both.cosmos")
    name = str(place / "run" / "dna")
    bc.embed(collection, name)
    settings = IdentifySettings(encoder=name, method="zero-shot", part="test_unseen", device="cpu")
    found = identify_collection(collection, settings)
    assert len(found.table) == len(collection.gallery(name, split="test_unseen"))
    with pytest.raises(BiocosmosError, match="'kmer:5' is of no space with a tower of texts"):
        identify_collection(collection, IdentifySettings(encoder="kmer:5", method="zero-shot", part="test_unseen", device="cpu"))


def test_the_protocol_asks_by_name_alone(place: Path) -> None:
    collection = bc.Collection.open(place / "both.cosmos")
    report = evaluate_collection(
        collection, EvaluateSettings(encoder=(str(place / "run"),), protocol="zero-shot", queries="test_unseen", device="cpu")
    )
    assert report.provenance["templates"] == ["{name}"]
    assert {row["text"] for row in report.tables["summary"].to_pylist()} == {"taxon"}
    report.html(place / "report.html")
    assert "by its name alone" in (place / "report.html").read_text(encoding="utf-8")


def test_a_taxon_without_a_name_at_these_ranks_is_asked_for_by_what_it_has() -> None:
    tree = Taxonomy.from_table({"order": ["Diptera", "Diptera"], "genus": ["Aedes", None], "species": ["Aedes vexans", None]})
    wording = Wording(("genus", "species"))
    vexans, diptera = tree.find("Aedes vexans"), tree.find("Diptera")
    assert prompts(tree, vexans, ("{lineage}",), wording) == ["Aedes vexans"]
    assert prompts(tree, diptera, ("{lineage}",), wording) == ["Diptera"]
    assert prompts(tree, vexans)[-1] == TEMPLATES[-1].replace("{lineage}", "Diptera Aedes Aedes vexans"), "as ever without one"


def test_other_encoders_are_asked_in_sentences_as_before(place: Path) -> None:
    class Reads:
        def encode_texts(self, texts: list[str]) -> np.ndarray:
            self.first = getattr(self, "first", None) or list(texts)
            rng = np.random.default_rng(len(texts))
            found = rng.normal(size=(len(texts), 16)).astype(np.float32)
            return found / np.linalg.norm(found, axis=1, keepdims=True)

    collection = bc.Collection.open(place / "both.cosmos")
    gallery = collection.gallery(str(place / "run" / "image"), split="test")
    reader = Reads()
    report = zero_shot({"other": gallery}, {"other": reader})
    assert len(report.provenance["templates"]) == 80
