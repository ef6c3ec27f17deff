"""Sampling weights: families count once, no author becomes the style, and files and card say so."""

from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioicons_pipeline.dataset import sampling_weights
from bioicons_pipeline_tests.dataset.test_dataset import ROWS, build

ICONS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), min_size=1, max_size=60).map(
    lambda rows: [(f"i{n}", f"f{f}-{a}", f"a{a}") for n, (f, a) in enumerate(rows)]
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine too
@given(ICONS, st.floats(0.05, 1), st.floats(1, 10))
def test_weights_add_up_and_keep_cap_and_limit(icons, cap, limit):
    made = sampling_weights(icons, cap, limit)
    assert sum(made.by_icon.values()) == pytest.approx(1)
    assert all(weight > 0 for weight in made.by_icon.values())
    by_family: dict[str, float] = defaultdict(float)
    for icon, family, _ in icons:
        by_family[family] += made.by_icon[icon]
    assert made.limit <= limit
    assert max(by_family.values()) <= made.limit / len(by_family) + 1e-9
    for author in {author for _, _, author in icons}:
        share = sum(made.by_icon[icon] for icon, _, other in icons if other == author)
        assert share == pytest.approx(made.share[author]) and share <= made.cap + 1e-9


@given(ICONS, st.floats(0.05, 1), st.floats(1, 10))
def test_the_cap_gives_way_only_where_the_others_cannot_take_up_more(icons, cap, limit):
    made = sampling_weights(icons, cap, limit)
    families = {family: author for _, family, author in icons}
    most = {
        author: made.limit * sum(other == author for other in families.values()) / len(families)
        for author in set(families.values())
    }
    if sum(min(cap, most[author]) for author in most) >= 1 + 1e-9:
        assert made.cap == cap
    elif made.cap > cap + 1e-9:  # it gave way: who is below the new cap has all that the limit allows
        assert all(
            share == pytest.approx(min(made.cap, most[author])) for author, share in made.share.items()
        )


def test_ten_icons_by_others_are_not_learnt_by_heart():
    # the icons of Animals in the sample of the library: 96 families by two, 5 by three others
    icons = [(f"d{n}", f"d{n}", "DBCLS") for n in range(78)] + [
        (f"s{n}", f"s{n}", "Servier") for n in range(18)
    ]
    icons += [("a", "a", "A"), ("b", "b", "A"), ("c", "c", "B"), ("d", "d", "B"), ("e", "e", "C")]
    made = sampling_weights(icons)
    assert max(made.by_icon.values()) == pytest.approx(2.5 / 101)
    assert made.share["A"] == pytest.approx(5 / 101) and made.share["C"] == pytest.approx(2.5 / 101)
    # and the balance is kept as far as it goes: even draws would give 77 % to one author
    assert made.share["DBCLS"] == made.cap < 0.5 and made.share["Servier"] > 0.4


def test_a_family_of_ten_counts_as_much_as_one_of_one():
    icons = [(f"v{n}", "variants", "a") for n in range(10)] + [("single", "alone", "a")]
    made = sampling_weights(icons, cap=1)
    assert made.by_icon["single"] == pytest.approx(0.5)
    assert made.by_icon["v3"] == pytest.approx(0.05)


def test_one_of_ten_families_is_not_a_quarter_of_the_draws():
    icons = [(f"s{n}", f"s{n}", "Servier") for n in range(9)] + [("h", "h", "Helicase")]
    made = sampling_weights(icons)
    assert made.by_icon["h"] == pytest.approx(0.125) and made.limit == 1.25
    many = [(f"s{n}", f"s{n}", "Servier") for n in range(99)] + [("h", "h", "Helicase")]
    assert sampling_weights(many).by_icon["h"] == pytest.approx(2.5 / 100)


def test_half_a_library_by_one_author_is_capped():
    icons = [(f"s{n}", f"s{n}", "Servier") for n in range(50)]
    icons += [(f"o{n}", f"o{n}", f"author {n % 10}") for n in range(50)]
    made = sampling_weights(icons, cap=0.25)
    assert made.share["Servier"] == pytest.approx(0.25)
    assert made.share["author 3"] == pytest.approx(0.075)
    assert sampling_weights(icons, cap=1).share["Servier"] == pytest.approx(0.5)


def test_empty_and_senseless():
    assert sampling_weights([]).by_icon == {}
    with pytest.raises(ValueError, match="cap"):
        sampling_weights([], cap=0)
    with pytest.raises(ValueError, match="limit"):
        sampling_weights([], limit=0.5)


def test_weights_lie_in_the_dataset_and_on_the_card(tmp_path):
    facts = build(tmp_path, ROWS)
    lines = (tmp_path / "sampling_weights.csv").read_text().splitlines()
    assert len(lines) == 1 + 32  # the training split
    assert sum(float(line.split(",")[1]) for line in lines[1:]) == pytest.approx(1)
    assert facts["sampling"]["author_share"] == {"Ann | Author": 1.0}
    assert "Ann \\| Author: 100.0%" in (tmp_path / "README.md").read_text()
