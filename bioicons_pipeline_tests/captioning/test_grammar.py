"""The caption grammar: the sentence, its variants, and what it does to names as the real library has them."""

import hashlib
import re
from dataclasses import replace

import pytest

from bioicons_pipeline.captioning import TRIGGER, StyleFacts, caption_icon, caption_prompt, subject_of
from bioicons_pipeline.captioning.articles import with_article
from bioicons_pipeline.captioning.captioner import with_attributes
from bioicons_pipeline.captioning.checks import check_captions
from bioicons_pipeline.captioning.distinct import with_detail


def facts(*palette: tuple[str, float], **changes: float) -> StyleFacts:
    numbers = {"outline": 0.8, "gradient": 0.2, "detail": 0.05, "dark": 0.05, "chroma": 0.8, "cover": 0.6}
    return StyleFacts(palette=palette, **{**numbers, **changes})


PINK = facts(("pink", 0.8), ("white", 0.1))


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("mouse_lab-2.drawio.svg", "mouse lab"),
        ("cuvette-red", "cuvette"),
        ("Veins_32_1", "veins"),
        ("DNA_helix", "DNA helix"),
        ("mRNA-3", "mRNA"),
        ("RedBloodCell", "red blood cell"),
        ("96_well_plate", "96-well plate"),
        ("123", "123"),
        ("cafe\u0301", "caf\u00e9"),
        ("caf\u00c3\u00a9", "caf\u00e9"),
        ("___", "___"),
        ("orange", "orange"),
        ("\u7ec6\u80de", "\u7ec6\u80de"),
    ],
)
def test_subject_of_real_names(name, subject):
    assert subject_of(name) == subject


def test_the_full_sentence():
    made = caption_icon("Culex_pipiens_mosquito.svg", "Animals", author="DBCLS", picture=PINK)
    assert made.text == (
        f"{TRIGGER}, a pink mosquito (Culex pipiens), zoology, painterly and naturalistic, "
        "isolated on a white background"
    )
    made = caption_icon("petri-dish-top-yellow.svg", "Microbiology", author="Servier", picture=PINK)
    assert made.text == (
        f"{TRIGGER}, a pink petri dish, seen from above, microbiology, thin outlines and soft shading, "
        "isolated on a white background"
    )


def test_two_arguments_still_make_a_caption_without_colour():
    made = caption_icon("eosinophil_2.svg", "Blood_Immunology")
    assert made.text == (
        f"{TRIGGER}, an eosinophil, hematology and immunology, isolated on a white background"
    )
    assert made.variants[0] == made.text


@pytest.mark.parametrize("picture", [None, PINK])
@pytest.mark.parametrize("name", ["eosinophil", "tube-red-bluecap", "E_coli", "123", "brain-2"])
def test_three_to_five_distinct_variants_name_the_subject(name, picture):
    made = caption_icon(name, "Microbiology", author="Somebody", picture=picture)
    assert 3 <= len(made.variants) == len(set(made.variants)) <= 5
    assert all(made.subject in text and text.startswith(TRIGGER) for text in made.variants)


def test_colour_is_the_pictures_and_not_the_names():
    blue = facts(("blue", 0.9))
    assert "blue cuvette" in caption_icon("cuvette-red", "Chemistry", picture=blue).text
    assert "red" not in caption_icon("cuvette-red", "Chemistry", picture=blue).text.split(" style,")[1]
    # A colour that is part of what the thing is stays, and takes no second one.
    assert "a red blood cell" in caption_icon("red_blood_cell", "Tissues", picture=blue).text


def test_no_colour_leads_no_colour_is_said():
    motley = facts(("red", 0.3), ("green", 0.3), ("blue", 0.3))
    assert "a mouse," in caption_icon("mouse", "Animals", picture=motley).text
    two = facts(("pink", 0.5), ("blue", 0.4))
    assert "a pink and blue mouse" in caption_icon("mouse", "Animals", picture=two).text


def test_a_black_ground_is_said_and_never_called_white():
    dark = replace(PINK, black_ground=True)
    said = caption_icon("Yeast_new", "Animals", picture=dark)
    assert said.text.endswith(f", {said.background}") and said.background == "on a black background"
    assert not [text for text in said.variants if "white" in text]
    detailed = with_detail(said, "open shape")
    assert detailed.text.endswith(", open shape, on a black background")
    described = with_attributes(said, ["a yeast cell with a large bud on a black background"])
    assert described.variants[1].endswith("with a large bud, on a black background")
    assert "isolated" in caption_icon("Yeast_new", "Animals", picture=PINK).text


def test_the_same_drawing_by_another_author_has_another_sub_style():
    styles = {
        caption_icon("mouse", "Safety_symbols", author=author, picture=PINK).sub_style
        for author in ("Servier", "UNECE", "Somebody Else")
    }
    assert styles == {
        "thin outlines and soft shading",
        "warning pictogram",
        "dark outlines and soft shading",
    }


@pytest.mark.parametrize(
    ("subject", "phrase"),
    [
        ("eosinophil", "an eosinophil"),
        ("collagen", "collagen"),
        ("antibodies", "antibodies"),
        ("bacteria", "bacteria"),
        ("HIV particle", "an HIV particle"),
        ("mRNA vaccine", "an mRNA vaccine"),
        ("SARS-CoV-2 virus", "a SARS-CoV-2 virus"),
        ("8-cell embryo", "an 8-cell embryo"),
        ("petri dish with bacteria", "a petri dish with bacteria"),
        ("pancreas", "a pancreas"),
        ("virus", "a virus"),
        ("trachea and bronchi", "trachea and bronchi"),
        ("heart and lung", "heart and lung"),
        ("hematoxylin and eosin stain", "a hematoxylin and eosin stain"),
        ("tube with cap and label", "a tube with cap and label"),
        ("protein purification columns", "protein purification columns"),
        ("contact lens", "a contact lens"),
        ("bile calculi", "bile calculi"),
        ("magnifying glass", "a magnifying glass"),
        ("glass of milk", "a glass of milk"),
        ("traffic light", "a traffic light"),
        ("glass", "glass"),
    ],
)
def test_articles(subject, phrase):
    assert with_article(subject) == phrase


@pytest.mark.bundle
def test_the_real_library_has_no_empty_long_or_artificial_caption(sample_repo):
    root = sample_repo / "static" / "icons"
    paths = sorted(path.relative_to(root) for path in root.rglob("*.svg"))
    assert len(paths) == 1581
    made = {path.as_posix(): caption_icon(path.name, path.parts[1], author=path.parts[-2]) for path in paths}
    findings = check_captions(
        {path: captions.variants for path, captions in made.items()},
        families=dict.fromkeys(made, "one"),  # duplicates need the manifest's families
        unknown={path: captions.unknown for path, captions in made.items()},
    )
    assert findings == []


def test_wording_and_version_move_together():
    """Captions are dataset content: whoever changes the wording changes the version and this hash."""
    names = ("Culex_pipiens_mosquito", "tube-screwcap-closed-green", "ldl-3", "emptycell-half-1")
    text = "\n".join(v for name in names for v in caption_icon(name, "Animals", picture=PINK).variants)
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == "dfbc5acf8b95", text


def test_prompt_is_put_into_the_words_of_training():
    assert caption_prompt("  a  tardigrade ", "Animals") == (
        f"{TRIGGER}, a tardigrade, zoology, isolated on a white background"
    )
    assert caption_prompt(f"{TRIGGER}, a cell") == f"{TRIGGER}, a cell"
    assert not re.search(r",\s*,", caption_prompt("a cell"))
