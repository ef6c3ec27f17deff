"""Held-out losses: what is better comes out better, what is not sure as not sure, and words are noticed."""

import numpy as np
import pytest

from bioicons_pipeline.evaluation.figures import loss_measures
from bioicons_pipeline.evaluation.heldout import SIGMAS, Losses, figures, stranger
from bioicons_pipeline.evaluation.measure import BASE

FAMILIES = tuple(f"family {number // 2}" for number in range(24))
CATEGORIES = ("Animals",) * 12 + ("Plants",) * 12


def losses(shift=0.0, noise=0.02, words=0.05, seed=0) -> Losses:
    """Losses around those of a common base: icons differ by 0.3, models by `shift` and `noise` an icon."""
    icons = 0.5 + 0.3 * np.random.default_rng(99).random((len(SIGMAS), len(FAMILIES)))
    own = icons + shift + noise * np.random.default_rng(seed).normal(size=len(FAMILIES))
    return Losses(own, own + words)


def test_a_small_gain_is_certain_because_both_models_see_the_same_noise():
    found = figures(losses(-0.03, seed=1), losses(), FAMILIES, CATEGORIES)
    assert found.change.value == pytest.approx(-0.03, abs=0.01) and found.change.below_zero
    width = found.mean.high - found.mean.low
    assert found.change.high - found.change.low < width  # unpaired it would be lost in the icons' spread
    assert len(found.by_sigma) == len(found.change_by_sigma) == len(SIGMAS)
    assert found.mean.units == 12


def test_categories_are_told_apart():
    better = losses(0, noise=0)
    better.own[:, :12] -= 0.1
    found = figures(better, losses(noise=0), FAMILIES, CATEGORIES)
    assert found.change_by_category["Animals"].below_zero
    assert found.change_by_category["Plants"].value == pytest.approx(0, abs=1e-9)
    assert figures(better, losses(), FAMILIES, ("Animals",) * 24).change_by_category == {}


def test_verdicts_better_unsure_and_not_better():
    models = {
        BASE: losses(),
        "better": losses(-0.05, seed=1),
        "unsure": losses(-0.012, noise=0.05, seed=5),
        "worse": losses(0.05, seed=3),
        "same": losses(),
    }
    found, (loss, words) = loss_measures(models, FAMILIES, CATEGORIES)
    states = {name: said.state for name, said in loss.verdicts.items()}
    assert states == {"better": "good", "unsure": "unsure", "worse": "bad", "same": "bad"}
    assert found["unsure"].change.value < 0 < found["unsure"].change.high
    assert found[BASE].change is None and words.lines["better"].value == pytest.approx(0.05)


def test_a_model_that_does_not_listen_to_words_has_no_use_of_the_caption():
    _, (_, words) = loss_measures(
        {BASE: losses(), "deaf": losses(words=0.0), "listens": losses(words=0.1)}, FAMILIES, CATEGORIES
    )
    assert (
        words.reported
        and words.lines["deaf"].value == 0 < words.lines[BASE].value < words.lines["listens"].low
    )
    _, (_, unclear) = loss_measures({BASE: losses(words=0.0), "lora": losses()}, FAMILIES, CATEGORIES)
    assert not unclear.reported and "the base predicts icons clearly better" in unclear.why_not
    alone = {BASE: Losses(losses().own, None)}
    _, (_, absent) = loss_measures(alone, ("one",) * 24, CATEGORIES)
    assert not absent.reported and "one family" in absent.why_not


def test_a_stranger_is_never_of_the_own_family():
    families = ["a"] * 5 + ["b", "c", "b", "d"]
    found = stranger(families)
    assert all(families[other] != families[place] for place, other in enumerate(found))
    assert stranger(["a", "a"]) is None
