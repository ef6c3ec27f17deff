"""Pairs are measured once: what is remembered is what would be measured, and only what is new costs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioicons_pipeline.library.likeness import shared_outlines
from bioicons_pipeline.library.measure import rgba
from bioicons_pipeline.library.pairs import LOWEST, Pairs
from bioicons_pipeline.library.shape import SIZE, descriptor, transformed
from bioicons_pipeline_tests.library.drawings import probe_of
from bioicons_pipeline_tests.library.library_of import BEAKER, FISH, LEAF, STAR, drawing, manifest_of


def close_ones(count: int, seed: int = 1) -> list[np.ndarray]:
    """Descriptors of which many are alike, some of them turned, and two are the same."""
    shapes = [descriptor(rgba(probe_of(drawing(path)).png)) for path in (FISH, STAR, LEAF, BEAKER)]
    random = np.random.default_rng(seed)
    made = []
    for n in range(count - 1):
        noise = random.normal(0, random.uniform(0.002, 0.02), SIZE)
        turned = transformed(shapes[n % 4][None], int(random.integers(0, 8)))[0] + noise
        made.append((turned / np.linalg.norm(turned)).astype(np.float32))
    return [*made, made[0].copy()]


def test_all_similar_pairs_are_found():
    shapes = close_ones(40)
    found = {(i, j): (value, turn) for i, j, value, turn in Pairs().similar(shapes)}
    for i in range(len(shapes)):
        for j in range(i + 1, len(shapes)):
            values = [
                float(transformed(shapes[i][None], k)[0].astype(float) @ shapes[j].astype(float))
                for k in range(8)
            ]
            if max(values) > LOWEST + 2e-3:
                value, turn = found[(i, j)]
                assert value == pytest.approx(max(values), abs=2e-3)
                assert turn == 0 or max(values) > values[0] + 5e-4
            elif max(values) < LOWEST - 1e-3:
                assert (i, j) not in found
    assert found[(0, 39)] == (1.0, 0)
    assert len({turn for _, turn in found.values()}) > 4


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 29), min_size=0, max_size=40), st.lists(st.integers(0, 29), max_size=40))
def test_what_is_remembered_is_what_would_be_measured(tmp_path_factory, before, after):
    folder = tmp_path_factory.mktemp("pairs")
    shapes = close_ones(30)
    Pairs(folder).similar([shapes[n] for n in before])
    memory = Pairs(folder)
    assert memory.similar([shapes[n] for n in after]) == Pairs().similar([shapes[n] for n in after])
    once = {shapes[n].tobytes() for n in after}
    new = len(once - {shapes[n].tobytes() for n in before})
    assert memory.measured == new * (len(once) - new) + new * (new - 1) // 2


def test_a_replay_measures_only_pairs_with_what_is_new(tmp_path):
    shapes = close_ones(30)
    memory = Pairs(tmp_path)
    memory.similar(shapes[:20])
    assert memory.measured == memory.possible == 190
    assert memory.similar(shapes[1:21]) == Pairs().similar(shapes[1:21])
    assert (memory.measured, memory.possible) == (19, 190)
    memory.similar(shapes[1:21][::-1])
    assert memory.measured == 0


def test_a_damaged_memory_is_measured_again(tmp_path):
    shapes = close_ones(12)
    right = Pairs(tmp_path).similar(shapes)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damage in (whole[:-7], whole[:200] + b"x" + whole[201:], b"", b"{}\n", b"[]\n" + whole):
        file.write_bytes(damage)
        memory = Pairs(tmp_path)
        assert memory.similar(shapes) == right
        assert memory.measured == memory.possible
        assert file.read_bytes() == whole


def test_the_manifest_is_the_same_with_and_without_memory(tmp_path):
    files = {f"cc-0/A/Bo/{n}.svg": drawing(p) for n, p in enumerate((FISH, STAR, LEAF, BEAKER))}
    manifest_of(files, pairs=Pairs(tmp_path))
    more = {**files, "cc-by-4.0/A/Cy/fish.svg": drawing(FISH, "#00c")}
    memory = Pairs(tmp_path)
    remembered = manifest_of(more, pairs=memory)
    assert remembered.equals(manifest_of(more))
    assert memory.measured == 4
    assert remembered["licence_origin"].notna().sum() == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.frozensets(st.tuples(st.integers(0, 9), st.integers(-9, 9)), max_size=8), max_size=12))
def test_shared_outlines_are_counted_by_either_hash(drawings):
    expected = {}
    for i, first in enumerate(drawings):
        for j in range(i + 1, len(drawings)):
            counts = [
                sum(
                    sum(value in {pair[grid] for pair in one} for one in drawings) <= 3
                    for value in {pair[grid] for pair in first} & {pair[grid] for pair in drawings[j]}
                )
                for grid in (0, 1)
            ]
            if max(counts):
                expected[(i, j)] = max(counts)
    found = shared_outlines(drawings, common=3)
    assert {pair: common.outlines for pair, common in found.items()} == expected


def test_an_outline_says_more_the_fewer_have_it():
    rare, frequent, other = (1, 1), (2, 2), (3, 3)
    drawings = [frozenset(s) for s in ({rare, frequent}, {rare, frequent}, {frequent}, {other})]
    found = shared_outlines(drawings)
    assert found[(0, 1)].outlines == 2
    assert found[(0, 1)].bits == pytest.approx(np.log2(4 / 2) + np.log2(4 / 3), abs=1e-3)
    assert found[(0, 2)].bits == pytest.approx(np.log2(4 / 3), abs=1e-3)
    assert list(found) == [(0, 1), (0, 2), (1, 2)]
