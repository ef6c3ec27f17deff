"""Sampling weights: families count once, no author becomes the style, and files and card say so."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioicons_pipeline.dataset import sampling_weights
from bioicons_pipeline_tests.dataset.test_dataset import ROWS, build

ICONS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), min_size=1, max_size=60).map(
    lambda rows: [(f"i{n}", f"f{f}-{a}", f"a{a}") for n, (f, a) in enumerate(rows)]
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine too
@given(ICONS, st.floats(0.05, 1))
def test_weights_add_up_and_keep_the_cap(icons, cap):
    made = sampling_weights(icons, cap)
    assert sum(made.by_icon.values()) == pytest.approx(1)
    assert all(weight > 0 for weight in made.by_icon.values())
    authors = {author for _, _, author in icons}
    assert made.cap == max(cap, 1 / len(authors))
    for author in authors:
        share = sum(made.by_icon[icon] for icon, _, other in icons if other == author)
        assert share == pytest.approx(made.share[author]) and share <= made.cap + 1e-9


def test_a_family_of_ten_counts_as_much_as_one_of_one():
    icons = [(f"v{n}", "variants", "a") for n in range(10)] + [("single", "alone", "a")]
    made = sampling_weights(icons, cap=1)
    assert made.by_icon["single"] == pytest.approx(0.5)
    assert made.by_icon["v3"] == pytest.approx(0.05)


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


def test_weights_lie_in_the_dataset_and_on_the_card(tmp_path):
    facts = build(tmp_path, ROWS)
    lines = (tmp_path / "sampling_weights.csv").read_text().splitlines()
    assert len(lines) == 1 + 32  # the training split
    assert sum(float(line.split(",")[1]) for line in lines[1:]) == pytest.approx(1)
    assert facts["sampling"]["author_share"] == {"Ann | Author": 1.0}
    assert "Ann \\| Author: 100.0%" in (tmp_path / "README.md").read_text()
