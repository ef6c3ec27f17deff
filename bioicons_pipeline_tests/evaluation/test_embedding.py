"""CLIP and DINO models from a folder: the form of their vectors, and what is said when there is no model."""

import numpy as np
import pytest
from PIL import Image

from bioicons_pipeline.evaluation.embedding import Embedder, EmbeddingError
from bioicons_pipeline.evaluation.evaluate import _embedded
from bioicons_pipeline.evaluation.figures import Gallery
from bioicons_pipeline.evaluation.icons import RealIcon
from bioicons_pipeline.evaluation.measure import BASE, REAL
from bioicons_pipeline_tests.evaluation.conftest import icon, soft


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    """A CLIP of random weights with the tokenizer that ships with flux-nano."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

    from bioicons_pipeline.training.base_models import PACKAGED_NANO

    folder = tmp_path_factory.mktemp("clip")
    tokenizer = CLIPTokenizer.from_pretrained(PACKAGED_NANO / "tokenizer")
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**small, "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    config = CLIPConfig(
        text_config=text, vision_config={**small, "image_size": 32, "patch_size": 16}, projection_dim=16
    )
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(size=32, crop_size=32).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def dino_folder(tmp_path_factory):
    """A DINOv2 of random weights."""
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    folder = tmp_path_factory.mktemp("dino")
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    Dinov2Model(config).save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": 28}, crop_size=28).save_pretrained(folder)
    return folder


def test_a_clip_model_embeds_pictures_and_texts_into_one_space(clip_folder):
    model = Embedder.load(str(clip_folder))
    pictures = [icon(number) for number in range(18)]  # more than a batch
    vectors = model.pictures(pictures)
    assert vectors.shape == (18, 16) and model.reads_text
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.allclose(model.pictures(pictures[3:4]), vectors[3:4], atol=1e-5)
    texts = model.texts(["a mouse", "a very long caption " * 40])
    assert texts.shape == (2, 16) and np.allclose(np.linalg.norm(texts, axis=1), 1)


def test_figures_of_a_model_that_knows_nothing_are_not_reported(clip_folder, library):
    """Random weights rank captions at chance, for real icons too."""
    pictures, families, _ = library
    heldout = [RealIcon(f"i{n}", "", "", "", "", "", f"h{n}", f"a caption {n}", b"") for n in range(6)]
    shown = [icon(40 + number) for number in range(6)]
    groups = tuple(one.family_id for one in heldout)
    drawn = {BASE: [soft(picture) for picture in shown], "lora": shown}
    gallery = Gallery(
        tuple(one.caption for one in heldout), groups, drawn, (shown, groups), (pictures, families)
    )
    looks, retrieval = _embedded(Embedder.load(str(clip_folder)), gallery, heldout, heldout)
    assert (looks.key, retrieval.key) == ("embedding", "retrieval") and set(looks.changes) == {"lora"}
    assert {REAL, BASE, "lora"} <= set(looks.lines) and not retrieval.reported


def test_a_dino_model_embeds_pictures_only(dino_folder):
    model = Embedder.load(str(dino_folder))
    vectors = model.pictures([icon(1), Image.new("RGB", (50, 40), "white")])
    assert vectors.shape == (2, 16) and not model.reads_text and not np.allclose(vectors[0], vectors[1])


def test_no_model_is_one_sentence(tmp_path):
    with pytest.raises(EmbeddingError, match=r"No model for embeddings can be loaded from .*: give a folder"):
        Embedder.load(str(tmp_path))
