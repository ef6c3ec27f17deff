"""Intervals hold the truth as often as they say, also for few families; icons of a family are no finds."""

import numpy as np
import pytest

from bioicons_pipeline.evaluation.intervals import mean_estimate, rate, rate_difference, resampled


def covered(families: int, rounds: int, inside: float = 0.5, seed: int = 0) -> float:
    """How often the interval of a mean has the true mean 0, with 3 icons a family that are alike."""
    random = np.random.default_rng(seed)
    groups = [str(index // 3) for index in range(3 * families)]
    hits = 0
    for round_ in range(rounds):
        shared = np.repeat(random.normal(size=families), 3)
        found = mean_estimate(
            shared + inside * random.normal(size=3 * families), groups, seed=round_, rounds=300
        )
        hits += found.low <= 0 <= found.high
    return hits / rounds


@pytest.mark.parametrize("families", [6, 10, 40])
def test_intervals_hold_the_truth_in_95_of_100_cases(families):
    assert covered(families, 400) == pytest.approx(0.95, abs=0.035)


def test_counting_icons_instead_of_families_would_be_too_sure():
    """The planted fault: each icon a group of its own."""
    random = np.random.default_rng(0)
    hits = 0
    for round_ in range(200):
        values = np.repeat(random.normal(size=10), 3) + 0.1 * random.normal(size=30)
        found = mean_estimate(values, [str(index) for index in range(30)], seed=round_, rounds=300)
        hits += found.low <= 0 <= found.high
    assert hits / 200 < 0.85


def test_a_family_is_drawn_whole_and_every_round_has_as_many_families():
    groups = ["a", "a", "b", "c"]
    counts = resampled(groups, rounds=50)
    assert counts.shape == (50, 4) and (counts[:, 0] == counts[:, 1]).all()
    assert (counts[:, 0] + counts[:, 2] + counts[:, 3] == 3).all()
    assert (resampled(groups, rounds=50) == counts).all()


def test_of_one_family_nothing_is_said_of_how_sure():
    found = mean_estimate([1.0, 3.0], ["a", "a"])
    assert (found.value, found.low, found.high, found.units) == (2.0, None, None, 1)
    assert not found.below_zero and not found.above_zero
    with pytest.raises(ValueError, match="at least one value"):
        mean_estimate([], [])


def test_no_copy_among_few_is_not_certainly_none():
    """A bootstrap of zeros would say 0 to 0."""
    none = rate([False] * 10, [str(index) for index in range(10)])
    assert none.value == none.low == 0 and 0.2 < none.high < 0.35
    difference = rate_difference([False] * 10, list("abcdefghij"), [False] * 8, list("abcdefgh"))
    assert difference.value == 0 and difference.low < -0.2 and difference.high > 0.2


def test_an_excess_is_seen_once_there_is_enough():
    hits, groups = [True] * 8 + [False] * 12, [str(index) for index in range(20)]
    found = rate_difference(hits, groups, [False] * 20, groups)
    assert found.value == 0.4 and found.above_zero
    few = rate_difference([True, False, False], list("abc"), [False] * 3, list("abc"))
    assert few.value > 0 and not few.above_zero
    same = rate_difference(hits, ["one"] * 20, [False] * 20, groups)
    assert same.low is None and not same.above_zero  # twenty pictures of one prompt are one find
