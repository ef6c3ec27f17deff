"""Families, the split, and the licence audit, on drawings made for the purpose."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioicons_pipeline.library import audit
from bioicons_pipeline.library.families import Link, Member, group, stem_of
from bioicons_pipeline.library.licences import BY_SPDX
from bioicons_pipeline.library.records import icon_id
from bioicons_pipeline.library.shape import SIZE
from bioicons_pipeline.library.split import HELDOUT, assign, chance
from bioicons_pipeline_tests.library.library_of import (
    BEAKER,
    FISH,
    LEAF,
    STAR,
    SVG,
    drawing,
    manifest_of,
    row,
)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("cuvette-pink", "cuvette"),
        ("Veins_32_1", "veins"),
        ("petriDish2", "petri dish"),
        ("light_green_bottle", "bottle"),
        ("emptycell-vacuole- (11)", "emptycell vacuole"),
        ("red", "red"),
        ("42", "42"),
        ("клетка_2", "клетка"),
    ],
)
def test_stems(name, stem):
    assert stem_of(name) == stem


def families_of(files: dict[str, bytes], **more) -> list[set[str]]:
    df = manifest_of(files, **more)
    names = df.groupby("family_id")["source_path"].apply(
        lambda paths: {p.rsplit("/", 1)[1][:-4] for p in paths}
    )
    return sorted(names, key=sorted)


def mirrored(path: str) -> bytes:
    return SVG.format(
        '<g transform="translate(60 0) scale(-1 1)">'
        f'<path d="{path}" fill="#3a7" stroke="#222" stroke-width="2"/></g>'
    ).encode()


def test_colour_number_and_mirror_variants_are_one_family_and_others_are_not():
    files = {
        "cc-0/A/Bo/fish-red.svg": drawing(FISH, "#c33"),
        "cc-0/A/Bo/fish-blue.svg": drawing(FISH, "#33c"),
        "cc-0/A/Bo/fish_2.svg": drawing(STAR),
        "cc-by-4.0/B/Cy/leaf.svg": drawing(LEAF),
        "cc-by-4.0/B/Di/other.svg": mirrored(LEAF),
        "cc-0/A/Bo/beaker.svg": drawing(BEAKER),
        "cc-0/A/Cy/fish.svg": SVG.format('<rect x="4" y="20" width="50" height="9" fill="#777"/>').encode(),
    }
    found = families_of(files)
    assert {"fish-red", "fish-blue", "fish_2"} in found
    assert {"leaf", "other"} in found
    assert {"beaker"} in found
    assert {"fish"} in found  # another author's


def member(number: int, stem: str, category: str = "A") -> Member:
    path = f"cc-0/{category}/Bo/{stem}_{number}.svg"
    return Member(icon_id(path), path, f"{stem}_{number}", "Bo", category, None)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=60, unique=True), st.data())
def test_newcomers_move_no_family_to_the_other_side(stems, data):
    """Whatever joins, in whatever order, with the families formed by name."""
    letters = ["".join(chr(97 + int(digit)) for digit in str(stem)) for stem in stems]
    old = [member(n, stem) for stem in letters for n in range(2)]
    newcomers = [member(n + 5, data.draw(st.sampled_from([*letters, "new", "other"]))) for n in range(6)]

    def sides(members, previous=None):
        by_key: dict[str, list[int]] = {}
        for n, one in enumerate(members):
            by_key.setdefault(one.key, []).append(n)
        families = assign(list(by_key.values()), members, [True] * len(members), 0.1, previous)
        return {members[n].icon_id: (f.family_id, f.split) for f in families for n in f.rows}

    before = sides(old)
    pinned = sides([*newcomers, *old], before)
    assert {key: pinned[key] for key in before} == before
    drawn = [one.key for one in old if chance(one.key) < 0.1]
    together = drawn + [one.key for one in newcomers if chance(one.key) < 0.1]
    few = len(set(together)) <= 0.2 * len({one.key for one in old}) and len(together) <= 0.2 * len(old)
    if drawn and few:
        free = sides([*newcomers, *old])  # chance held out neither nothing nor too much
        assert {key: free[key] for key in before} == before


def test_every_larger_category_has_something_held_out_and_the_share_is_kept():
    members = [
        member(0, "".join(chr(97 + int(d)) for d in str(n)), c) for c in ("A", "B", "C") for n in range(400)
    ]
    families = assign([[n] for n in range(len(members))], members, [True] * len(members), 0.1)
    for category in ("A", "B", "C"):
        held = [f for f in families if f.category == category and f.split == HELDOUT]
        assert 20 <= len(held) <= 60
    few = [m for m in members if chance(m.key) >= 0.1][:12]
    assert sum(f.split == HELDOUT for f in assign([[n] for n in range(12)], few, [True] * 12, 0.1)) == 1
    assert not any(f.split == HELDOUT for f in assign([[n] for n in range(12)], few, [True] * 12, 0.0))


def test_a_family_that_is_half_of_a_category_is_not_held_out():
    """Neither by chance nor in the place of none; an earlier manifest that held it out stays."""
    stems = ["".join(chr(97 + int(digit)) for digit in str(number)) for number in range(300)]
    members = [member(n, stem) for n, stem in enumerate(stems)]
    lowest = min(range(300), key=lambda n: chance(members[n].key))
    others = [n for n in range(300) if chance(members[n].key) >= 0.1][:19]
    large = [member(300 + n, stems[lowest]) for n in range(20)]
    everyone = [*(members[n] for n in others), *large]
    groups = [*([n] for n in range(19)), list(range(19, 39))]

    def held(previous=None):
        families = assign(groups, everyone, [True] * 39, 0.1, previous)
        return [len(family.rows) for family in families if family.split == HELDOUT]

    assert chance(large[0].key) < 0.1 and held() == [1]
    assert held({one.icon_id: ("f", HELDOUT) for one in large}) == [20]


@pytest.mark.parametrize(("count", "size", "share"), [(12, 10, 0.02), (10, 30, 0.04)])
def test_where_all_families_are_large_one_is_held_out_all_the_same(count, size, share):
    letters = ["".join(chr(97 + int(digit)) for digit in str(number)) for number in range(count)]
    everyone = [member(count * copy + n, letters[n]) for n in range(count) for copy in range(size)]
    groups = [list(range(n * size, (n + 1) * size)) for n in range(count)]
    families = assign(groups, everyone, [True] * len(everyone), share)
    assert sum(family.split == HELDOUT for family in families) == 1


def test_a_bridge_between_the_two_sides_joins_only_one():
    links = [Link(0, 2, 0.99, "looks alike"), Link(1, 2, 0.98, "looks alike")]
    assert group(3, links) == [[0, 1, 2]]
    assert group(3, links, ["train", "heldout", None]) == [[0, 2], [1]]


def test_the_previous_manifest_is_kept_to():
    files = {
        f"cc-0/A/Bo/{name}.svg": drawing(path) for name, path in {"a": FISH, "b": STAR, "c": LEAF}.items()
    }
    first = manifest_of(files)
    swapped = {
        r["icon_id"]: (r["family_id"], "heldout" if r["split"] == "train" else "train")
        for r in first.to_dict("records")
    }
    second = manifest_of({**files, "cc-0/A/Bo/a_2.svg": drawing(BEAKER)}, previous=swapped)
    for r in second.to_dict("records"):
        expected = swapped.get(r["icon_id"]) or swapped[icon_id("cc-0/A/Bo/a.svg")]
        assert (r["family_id"], r["split"]) == expected


RIM = '<path d="{}" fill="none" stroke="#555"/>'
PARTS = [BEAKER, FISH, STAR, LEAF]


def test_the_audit_finds_contained_parts_and_recoloured_copies():
    jagged = [
        "M" + " ".join(f"{30 + r * np.cos(a):.2f} {30 + r * np.sin(a):.2f}" for a, r in zip(
            np.linspace(0, 6, 12), np.random.default_rng(seed).uniform(8, 28, 12), strict=True)) + "Z"
        for seed in range(5)
    ]  # fmt: skip
    inside = "".join(f'<path d="{path}" fill="#4a{n}"/>' for n, path in enumerate(jagged))
    host = f'<g transform="translate(30 30) scale(.3)">{inside}</g>'
    files = {
        "cc-by-3.0/M/Servier/bacterium.svg": SVG.format(inside).encode(),
        "cc-0/H/Fang/gut.svg": SVG.format(f'<rect width="60" height="30" fill="#eee"/>{host}').encode(),
        "cc-by-sa-4.0/H/Servier/syringe.svg": drawing(LEAF, "#eee", '<path d="M10 50L30 30" stroke="#000"/>'),
        "cc-0/H/Va/syringe_blood.svg": drawing(LEAF, "#e22", '<path d="M10 50L30 30" stroke="#000"/>'),
        "cc-0/H/Bo/fish.svg": drawing(FISH),
        "None/H/Bo/star.svg": drawing(STAR, "#111"),
        "mit/H/Bo/star_copy.svg": drawing(STAR, "#222"),
    }
    df = manifest_of(files)
    gut = row(df, "cc-0/H/Fang/gut.svg")
    assert (gut["spdx"], gut["folder_spdx"]) == ("CC-BY-3.0", "CC0-1.0")
    assert gut["licence_origin"] == "cc-by-3.0/M/Servier/bacterium.svg"
    assert gut["licence_origin_author"] == "Servier"
    assert "5 outlines in common, 100%" in gut["licence_evidence"]
    copy = row(df, "cc-0/H/Va/syringe_blood.svg")
    assert copy["exclusion_reason"] == "licence_not_in_preset"
    assert "shape: similarity" in copy["licence_evidence"]
    assert row(df, "mit/H/Bo/star_copy.svg")["exclusion_reason"] == "unlicensed"
    assert row(df, "cc-0/H/Bo/fish.svg")["licence_origin"] is None
    assert row(df, "cc-by-3.0/M/Servier/bacterium.svg")["licence_origin"] is None
    from bioicons_pipeline.library import credits
    from bioicons_pipeline.library.curation import CurationRules

    assert "it contains cc-by-3.0/M/Servier/bacterium.svg by Servier" in credits.attribution_csv(df)
    trusting = manifest_of(files, rules=CurationRules(audit_licences=False))
    assert row(trusting, "cc-0/H/Fang/gut.svg")["spdx"] == "CC0-1.0"


def drawn_by(icon: str, licence: str, shape: np.ndarray | None, outlines=()) -> audit.Drawing:
    return audit.Drawing(icon, BY_SPDX[licence], frozenset(outlines), shape, frozenset({"plasmid"}))


def test_rings_that_look_alike_are_nobodys_copy():
    """A drawing made of primitives alone needs more than a likeness in shape."""
    ring = np.zeros(SIZE, np.float32)
    ring[:2] = 0.6, 0.8
    alike = np.zeros(SIZE, np.float32)
    alike[:3] = 0.6 * 0.95, 0.8 * 0.95, np.sqrt(1 - 0.95**2)
    own = [(1, 1), (2, 2)]
    plain, other = drawn_by("a", "CC0-1.0", ring), drawn_by("b", "CC-BY-4.0", alike, own)
    assert audit.find_copies([plain, other]) == []
    told = drawn_by("a", "CC0-1.0", ring, [(3, 3)])
    assert [c.similarity for c in audit.find_copies([told, other])] == [pytest.approx(0.95, abs=1e-3)]


def test_two_outlines_that_nobody_else_has_are_no_accident():
    mine, theirs = [(n, n) for n in range(40)], [(n, n) for n in range(38, 90)]
    crowd = [drawn_by(f"c{n}", "CC0-1.0", None, [(1000 + n, 1000 + n)]) for n in range(2000)]
    pair = [drawn_by("a", "CC0-1.0", None, mine), drawn_by("b", "CC-BY-4.0", None, theirs)]
    (copy,) = audit.find_copies([*pair, *crowd])
    assert (copy.first, copy.second, copy.shared) == (0, 1, 2)
    assert audit.find_copies(pair) == []  # among two drawings nothing is rare
