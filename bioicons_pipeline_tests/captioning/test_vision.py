"""Captioners other than the grammar: what a model's words may change, and a tiny model, built here."""

import io
import logging

import pytest
from PIL import Image

from bioicons_pipeline.captioning import caption_icon
from bioicons_pipeline.captioning.captioner import (
    Hint,
    visible_attributes,
    with_attributes,
)
from bioicons_pipeline.captioning.picture import measure_picture
from bioicons_pipeline.captioning.vision import VisionCaptioner, VisionModelError
from bioicons_pipeline.quiet import TALKATIVE, quieten_libraries
from bioicons_pipeline_tests.captioning.tiny_model import save_tiny_blip

HINT = Hint("mouse-2", "Animals", "Servier")


@pytest.fixture
def red_icon() -> bytes:
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((220, 20, 20, 255), (8, 8, 56, 56))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("described", "clause"),
    [
        ("This image shows a virus with red spikes on a white background.", "a virus with red spikes"),
        ("a flower with red dots", "with red dots"),
        ("a flower", None),
        ("virus", None),
        ("", None),
        ("red red red red red red virus", None),
        ("<s>A virus, green and round.</s>", "a virus, green and round"),
    ],
)
def test_a_model_may_add_attributes_and_never_the_subject(described, clause):
    assert visible_attributes(described, "virus") == clause


def test_the_grammars_caption_stays_first_and_every_variant_names_the_subject():
    made = caption_icon("herpes-simplex-virus", "Viruses")
    richer = with_attributes(made, ["a flower with red dots"])
    assert richer.text == made.text == richer.variants[0]
    assert richer.variants[1].endswith("herpes simplex virus, with red dots, isolated on a white background")
    assert len(richer.variants) <= 5 and all(made.subject in text for text in richer.variants)
    assert with_attributes(made, ["a flower"]) == made


def test_a_local_transformers_model_captions_a_picture(tmp_path, red_icon, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    captioner = VisionCaptioner(str(save_tiny_blip(tmp_path / "blip", says="dots")), max_new_tokens=6)
    described = captioner.describe(red_icon, "mouse")
    assert "dots" in described  # the weights speak, not the code
    assert captioner.describe(red_icon, "mouse") == described
    # A stutter adds nothing, so the grammar's caption is what comes out.
    grammar = caption_icon(HINT.name, HINT.category, author=HINT.author, picture=measure_picture(red_icon))
    assert captioner.caption(red_icon, HINT) == grammar.text
    assert "a red mouse" in grammar.text and "outlines" in grammar.text
    monkeypatch.setattr(VisionCaptioner, "describe", lambda *_: "a mouse with long whiskers")
    assert "mouse with long whiskers" in captioner.caption(red_icon, HINT)


def test_a_folder_without_a_model_is_refused_in_one_sentence(tmp_path, red_icon):
    with pytest.raises(VisionModelError, match="image-to-text"):
        VisionCaptioner(str(tmp_path)).describe(red_icon, "mouse")


def test_what_libraries_say_of_other_machines_is_not_shown():
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.NOTSET)
    quieten_libraries()
    assert not [name for name in TALKATIVE if logging.getLogger(name).isEnabledFor(logging.WARNING)]
