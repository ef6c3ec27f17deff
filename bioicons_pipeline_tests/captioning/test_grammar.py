"""The caption grammar on names as the real library has them."""

import re

import pytest

from bioicons_pipeline.captioning import TRIGGER, caption_icon, caption_prompt, subject_of


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("mouse_lab-2.drawio.svg", "mouse lab"),
        ("cuvette-red", "cuvette red"),
        ("Veins_32_1", "veins"),
        ("DNA_helix", "DNA helix"),
        ("mRNA-3", "mRNA"),
        ("RedBloodCell", "red blood cell"),
        ("Escherichia_coli", "escherichia coli"),
        ("96_well_plate", "96 well plate"),
        ("123", "123"),
        ("cafe\u0301", "caf\u00e9"),
        ("___", "___"),
    ],
)
def test_subject_of_real_names(name, subject):
    assert subject_of(name) == subject


def test_caption_has_trigger_article_subject_context_and_background():
    captions = caption_icon("eosinophil_2.svg", "Blood_Immunology")
    assert captions.text == f"{TRIGGER}, an eosinophil, blood immunology, isolated on a white background"
    assert captions.variants[0] == captions.text
    assert len(captions.variants) == len(set(captions.variants)) >= 3
    assert all("eosinophil" in variant and TRIGGER in variant for variant in captions.variants)


@pytest.mark.bundle
def test_no_file_name_artefacts_on_the_real_library(sample_repo):
    names = [path.stem for path in (sample_repo / "static" / "icons").rglob("*.svg")]
    assert len(names) == 1581
    for name in names:
        for variant in caption_icon(name, "Human_physiology").variants:
            assert "_" not in variant and ".svg" not in variant and ".drawio" not in variant.lower()
            assert not re.search(r"\s\s|,\s*,", variant), variant


def test_prompt_is_put_into_the_words_of_training():
    assert caption_prompt("  a  tardigrade ", "Animals") == (
        f"{TRIGGER}, a tardigrade, animals, isolated on a white background"
    )
    assert caption_prompt(f"{TRIGGER}, a cell") == f"{TRIGGER}, a cell"
