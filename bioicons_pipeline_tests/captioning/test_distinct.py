"""Different drawings get different captions; variants of one drawing may share theirs."""

import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioicons_pipeline.captioning import StyleFacts, caption_icon, distinguish
from bioicons_pipeline.captioning.checks import CLIP_TOKENS, check_captions, clip_tokens

PLAIN = StyleFacts((("gray", 0.9),), outline=0.8, gradient=0.2, detail=0.05, dark=0.1, chroma=0.3, cover=0.5)
BLUE = dataclasses.replace(PLAIN, palette=(("gray", 0.8), ("blue", 0.15)))


def captions(pictures):
    return {
        icon: caption_icon(f"gel-{n}", "Molecular_Biology", picture=facts)
        for n, (icon, facts) in enumerate(pictures.items())
    }


def findings(made, families):
    return check_captions({icon: list(c.variants) for icon, c in made.items()}, families)


def test_a_visible_detail_tells_two_drawings_apart():
    pictures = {"a": PLAIN, "b": BLUE}
    before = captions(pictures)
    assert before["a"].text == before["b"].text
    made = distinguish(before, {}, pictures)
    assert made["a"] == before["a"]
    assert made["b"].text.endswith(", with blue accents, isolated on a white background")
    assert made["b"].variants[0] == made["b"].text and len(set(made["b"].variants)) >= 3
    assert findings(before, {}) and findings(made, {}) == []


def test_what_looks_alike_in_every_measure_is_counted():
    pictures = {"a": PLAIN, "b": PLAIN, "c": None}
    made = distinguish(captions({"a": PLAIN, "b": PLAIN, "c": PLAIN}), {}, pictures)
    assert [", first drawing," in made["a"].text, ", second drawing," in made["b"].text] == [True, True]
    assert len({c.text for c in made.values()}) == 3


@pytest.mark.parametrize("families", [{"a": "f", "b": "f"}, {"a": "f", "b": "f", "c": "g"}])
def test_a_family_may_share_its_caption(families):
    pictures = {"a": PLAIN, "b": BLUE}
    made = captions(pictures)
    assert distinguish(made, families, pictures) == made


def test_families_stay_together_when_others_are_told_apart():
    pictures = {"a": PLAIN, "b": PLAIN, "c": PLAIN}
    made = distinguish(captions(pictures), {"a": "f", "b": "f", "c": "g"}, pictures)
    assert made["a"].text == made["b"].text != made["c"].text


def test_a_caption_that_has_no_room_for_a_detail_is_counted():
    pictures = {"a": PLAIN, "b": BLUE}
    count = "second drawing"
    long = "bioicons style, a gel, isolated on a white background"
    while clip_tokens(f"{long}, {count}") < CLIP_TOKENS:  # room for a count, and no more
        long = long.replace("gel", "gel on", 1)
    assert clip_tokens(f"{long}, with blue accents") > CLIP_TOKENS
    one = dataclasses.replace(caption_icon("gel", "Genetics"), text=long, variants=(long, "x", "y"))
    made = distinguish({"a": one, "b": one}, {}, pictures)
    assert all(clip_tokens(caption.text) <= CLIP_TOKENS for caption in made.values())
    assert "first drawing" in made["a"].text and "second drawing" in made["b"].text


FACTS = st.builds(
    dataclasses.replace,
    st.just(PLAIN),
    palette=st.lists(
        st.sampled_from([("blue", 0.2), ("red", 0.1), ("white", 0.04)]), max_size=3, unique=True
    ).map(lambda rest: (("gray", 0.9), *rest)),
    cover=st.sampled_from([0.2, 0.5, 0.9]),
    dark=st.sampled_from([0.0, 0.1, 0.2]),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine too
@given(st.lists(st.tuples(FACTS, st.integers(0, 6)), min_size=1, max_size=14), st.randoms())
def test_no_two_families_ever_share_a_caption_whatever_the_order(drawn, random):
    pictures = {f"i{n:02d}": facts for n, (facts, _) in enumerate(drawn)}
    families = {f"i{n:02d}": f"f{family}" for n, (_, family) in enumerate(drawn)}
    before = captions(pictures)
    made = distinguish(before, families, pictures)
    assert findings(made, families) == []
    icons = list(before)
    random.shuffle(icons)
    assert distinguish({icon: before[icon] for icon in icons}, families, pictures) == made
