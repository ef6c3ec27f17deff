"""Which row lies in which shard: a change rewrites the shards whose icons changed, and no others."""

import dataclasses

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioicons_pipeline.dataset import shard_name, shards_of, write_shards
from bioicons_pipeline_tests.dataset.test_dataset import digests, row

NUMBERS = st.sets(st.integers(0, 400), max_size=60)


def at(name: str) -> str:
    """The leading bits in a shard's name."""
    return name.removesuffix(".parquet").partition("_")[2]


def ids(rows, limit=8):
    return {name: [item.icon_id for item in part] for name, part in shards_of(rows, limit).items()}


def below(bits: str, shards) -> set[str]:
    """The icons of all shards whose leading bits begin with `bits`."""
    return {icon for name, icons in shards.items() if at(name).startswith(bits) for icon in icons}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine too
@given(NUMBERS, NUMBERS, st.integers(1, 9))
def test_rows_that_come_and_go_leave_the_other_shards_alone(numbers, touched, limit):
    before = ids([row(number) for number in numbers], limit)
    after = ids([row(number) for number in numbers ^ touched], limit)
    assert sorted(icon for part in after.values() for icon in part) == sorted(
        row(number).icon_id for number in numbers ^ touched
    )
    assert all(0 < len(part) <= limit and part == sorted(part) for part in after.values())
    changed = {row(number).icon_id for number in touched}
    for name, part in after.items():
        if name in before:
            assert set(part) ^ set(before[name]) <= changed
        else:  # halved, made whole again, or new: the icons of that region are others than before
            region = next((at(other) for other in before if at(name).startswith(at(other))), at(name))
            assert below(region, before) != below(region, after)


def test_only_the_touched_shard_has_other_bytes(tmp_path):
    rows = [row(number, "heldout" if number % 5 == 0 else "train") for number in range(1, 301)]
    write_shards(rows, tmp_path / "a")
    target = rows[100]
    write_shards(
        [dataclasses.replace(item, caption="another") if item is target else item for item in rows],
        tmp_path / "b",
    )
    write_shards([*rows, row(301)], tmp_path / "c")
    a, b, c = (digests(tmp_path / name) for name in "abc")
    assert len(a) >= 3 and a.keys() == b.keys()
    (edited,) = [name for name in a if a[name] != b[name]]
    assert target.icon_id in pq.read_table(tmp_path / "a" / edited, columns=["icon_id"])[0].to_pylist()
    grown = [name for name in c if a.get(name) != c[name]]
    assert len(grown) == 1 and len(a.keys() & c.keys()) == len(a)


@pytest.mark.parametrize("category", ["Animals-01", "Animals_01", "animals_01", "Animals.01"])
def test_a_part_of_one_category_is_never_the_name_of_another(category):
    assert shard_name(category, "train") != shard_name("Animals", "train", "01")
    assert shard_name("Animals", "train", "01") == "data/train-animals_01.parquet"
