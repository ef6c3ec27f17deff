"""Better file names from the caption tables: what is corrected, in which style, and what is left alone."""

import pytest

from bioicons_pipeline.captioning.respelling import respell, tags_of


@pytest.mark.parametrize(
    ("name", "better", "kind"),
    [
        ("throphozoite-ehystolica", "trophozoite-histolytica", "misspelling"),
        ("Fluoresent_bead_green", "Fluorescent_bead_green", "misspelling"),
        ("heart-cros-section", "heart-cross-section", "misspelling"),
        ("cell-cultuure-quipment-3", "cell-culture-equipment-3", "misspelling"),
        ("cleanbench", "clean_bench", "two words in one"),
        ("glassslide-top", "glass-slide-top", "two words in one"),
        ("emptycell-vacuole- (11)", "empty-cell-vacuole- (11)", "two words in one"),
        ("gut_bacteria.drawio", "gut_bacteria", "second extension"),
        ("Simon Du\u0308rr", "Simon D\u00fcrr", "Unicode form"),
    ],
)
def test_corrected_in_the_names_own_style(name, better, kind):
    found = respell(name)
    assert found.name == better and found.kinds == (kind,) and found.changes


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("mouse_lab-2", "nothing is wrong"),
        ("ananas", "pineapple is another word"),
        ("haemorrhage", "British"),
        ("glassslideflat", "captions leave its end out"),
        ("tube-empty-bluecap", "captions leave it out"),
        ("FruitFly", "capitals take words apart too"),
        ("honey_bee_CCDColony_Collapse_Disorder", "the tables mean another thing"),
    ],
)
def test_left_alone(name, why):
    assert respell(name) is None, why


def test_a_better_name_needs_no_better_one():
    for name in ("throphozoite-ehystolica", "cleanbench", "inflamed-bronchus-crossection"):
        assert respell(respell(name).name) is None


def test_tags_are_subject_scientific_name_view_and_field():
    tags = tags_of("Arabidopsis_thaliana", "Plants_Algae")
    assert "Arabidopsis thaliana" in tags and "botany" in tags and len(set(tags)) == len(tags)
    assert tags_of("alanine_chem", "Amino-Acids")[:2] == ("alanine molecule", "skeletal formula")
