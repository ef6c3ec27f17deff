"""Style features tell vector icons from raster-like pictures; distances put sets in the right order."""

import numpy as np
import pytest
from PIL import Image

from bioicons_pipeline.evaluation import distance
from bioicons_pipeline.evaluation.distance import Pictures, Scale, closer, gaussian, polynomial
from bioicons_pipeline.evaluation.features import LEAST, NAMES, style_features
from bioicons_pipeline.evaluation.figures import NOISES, noise_pictures
from bioicons_pipeline_tests.evaluation.conftest import icon, soft

FEATURE = {name: place for place, name in enumerate(NAMES)}


def test_each_feature_moves_the_way_its_name_says():
    plain = icon(0)
    flat, blurred = style_features(plain), style_features(soft(plain))
    assert flat.shape == (len(NAMES),) and np.isfinite(flat).all()

    def change(name):
        return blurred[FEATURE[name]] - flat[FEATURE[name]]

    assert change("soft gradient share") > 0.2 and change("edge share") < 0 and change("flat share") < 0
    assert change("colours for 90 %") > 1 and change("share of main colour") < 0
    assert change("darkest tenth") < 0 and change("outline darkness") < 0
    assert change("border off white") > 0.05 and change("coverage") > 0
    assert change("fine detail") < 0 and change("spectrum slope") < 0
    left = Image.new("RGB", (64, 64), "white")
    left.paste("black", (4, 10, 30, 50))
    middle = Image.new("RGB", (64, 64), "white")
    middle.paste("black", (12, 10, 52, 50))
    symmetry = FEATURE["symmetry left-right"]
    assert style_features(middle)[symmetry] == pytest.approx(1) and style_features(left)[symmetry] < 0.2


@pytest.mark.parametrize("colour", ["white", "black", "#fefefe"])
def test_plain_pictures_have_finite_features(colour):
    assert np.isfinite(style_features(Image.new("RGB", (64, 64), colour))).all()


def test_transparent_pictures_are_seen_on_white():
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    assert (style_features(clear) == style_features(Image.new("RGB", (64, 64), "white"))).all()


def features_of(pictures):
    return np.stack([style_features(picture) for picture in pictures])


@pytest.fixture(scope="module")
def sets(library):
    """Real icons in two halves by family, soft ones, slightly soft ones and noise, on one scale."""
    pictures, families, _ = library
    # four families in turn have four shapes: both halves get all
    first = [number for number, family in enumerate(families) if int(family.split()[1]) // 4 % 2]
    second = [number for number in range(len(families)) if number not in first]
    scale = Scale.of(features_of(pictures), tuple(LEAST.values()))

    def part(numbers, change=lambda picture: picture):
        found = features_of([change(pictures[number]) for number in numbers])
        return Pictures(scale.apply(found), tuple(families[number] for number in numbers))

    noise = Pictures(scale.apply(features_of(noise_pictures())), tuple(map(str, range(NOISES))))
    between = lambda picture: Image.blend(picture, soft(picture), 0.5)  # noqa: E731
    return part(first), part(second), part(first, between), part(first, soft), noise


@pytest.mark.parametrize("kernel", [polynomial, gaussian])
def test_real_icons_score_best_and_noise_worst(sets, kernel):
    real, heldout, _, blurred, noise = sets
    best, middle, worst = (distance.distance(found, heldout, kernel) for found in (real, blurred, noise))
    assert best.high < middle.low and middle.value < worst.value
    assert abs(best.value) < 0.1 * middle.value and best.low < 0 < best.high


def test_a_smaller_fault_is_a_smaller_distance_and_the_comparison_is_sure_of_it(sets):
    real, heldout, slightly, blurred, _ = sets
    assert distance.distance(slightly, heldout).value < distance.distance(blurred, heldout).value
    better = closer(slightly, blurred, heldout)
    assert better.below_zero and closer(blurred, slightly, heldout).above_zero
    nothing = closer(real, real, heldout)
    assert nothing.value == nothing.low == nothing.high == 0


def test_the_distance_has_no_bias_and_its_interval_holds_zero():
    random = np.random.default_rng(0)
    values, held = [], 0
    for round_ in range(60):
        one, other = (
            Pictures(random.normal(size=(12, 4)), tuple(f"{side}{number}" for number in range(12)))
            for side in "ab"
        )
        found = distance.distance(one, other, seed=round_)
        values.append(found.value)
        held += found.low <= 0 <= found.high
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert held / 60 > 0.88


def test_members_of_a_family_are_not_pairs():
    """Doubling every picture within its family must not change the distance of the set to itself."""
    random = np.random.default_rng(1)
    features = random.normal(size=(20, 4))
    groups = tuple(str(number) for number in range(20))
    other = Pictures(random.normal(size=(20, 4)), tuple(f"o{number}" for number in range(20)))
    once = distance.distance(Pictures(features, groups), other).value
    twice = Pictures(np.concatenate([features, features]), groups + groups)
    assert distance.distance(twice, other).value == pytest.approx(once)
    alone = Pictures(twice.features, tuple(map(str, range(40))))
    assert distance.distance(alone, other).value != pytest.approx(once, abs=1e-3)
    with pytest.raises(ValueError, match="two families"):
        distance.distance(Pictures(features, ("one",) * 20), other)
